//! Forwarding ports through a tunnel: for each connection of the client a data stream, and one for its error.
//!
//! upstream: pkg/kubelet portforward/httpstream.go, client-go's tools/portforward

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use containers::Runtime;
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use super::frame::{Decoder, Encoder, Frame, data, ping};
use crate::server::websocket::Socket;

const CHUNK: usize = 16 * 1024;
/// Pieces that wait for a slow reader on either side.
const BACKLOG: usize = 16;

/// The streams of one connection of the client.
struct Pair {
    port: u16,
    error: u32,
    data: u32,
}

/// What a tunnel knows of its streams.
struct Tunnel {
    runtime: Arc<dyn Runtime>,
    sandbox: String,
    encoder: Encoder,
    /// Error streams that wait for their data stream, by the request that both name.
    errors: HashMap<String, u32>,
    /// What comes on data streams, until the client ends them.
    inputs: HashMap<u32, mpsc::Sender<Bytes>>,
    output: mpsc::Sender<Vec<u8>>,
}

/// Serves a tunnel until the client leaves.
pub async fn serve(socket: Socket, runtime: Arc<dyn Runtime>, sandbox: String) -> io::Result<()> {
    let (mut sink, mut stream) = socket.split();
    let (output, mut frames) = mpsc::channel(BACKLOG);
    let (errors, inputs) = (HashMap::new(), HashMap::new());
    let mut tunnel = Tunnel { runtime, sandbox, encoder: Encoder::new()?, errors, inputs, output };
    let mut decoder = Decoder::default();
    loop {
        tokio::select! {
            message = stream.next() => match message {
                Some(Ok(Message::Binary(bytes))) => {
                    decoder.feed(&bytes);
                    while let Some(frame) = decoder.next()? {
                        if let Some(answer) = tunnel.take(frame).await? {
                            sink.send(Message::Binary(answer.into())).await.map_err(io::Error::other)?;
                        }
                    }
                }
                Some(Ok(Message::Close(_))) | None => return Ok(()),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(io::Error::other(error)),
            },
            Some(frame) = frames.recv() => {
                sink.send(Message::Binary(frame.into())).await.map_err(io::Error::other)?;
            }
        }
    }
}

impl Tunnel {
    /// Deals with a frame; answers the one to be sent at once.
    async fn take(&mut self, frame: Frame) -> io::Result<Option<Vec<u8>>> {
        match frame {
            Frame::Open { id, headers, .. } => {
                self.open(id, &headers)?;
                return self.encoder.reply(id).map(Some);
            }
            Frame::Data { id, bytes, fin } => {
                let ended = match self.inputs.get(&id) {
                    Some(input) if !bytes.is_empty() => input.send(bytes).await.is_err(),
                    _ => false,
                };
                if fin || ended {
                    self.inputs.remove(&id);
                }
            }
            Frame::Reset { id } => {
                self.inputs.remove(&id);
            }
            Frame::Ping { id } => return Ok(Some(ping(id))),
            Frame::GoAway | Frame::Other => {}
        }
        Ok(None)
    }

    fn open(&mut self, id: u32, headers: &BTreeMap<String, String>) -> io::Result<()> {
        let header = |name: &str| headers.get(name).cloned().unwrap_or_default();
        let request = header("requestid");
        if header("streamtype") == "error" {
            self.errors.insert(request, id);
            return Ok(());
        }
        let port = header("port");
        let port = port.parse().map_err(|_| io::Error::other(format!("unable to parse {port:?} as a port")))?;
        let error = self.errors.remove(&request);
        let error = error.ok_or_else(|| io::Error::other(format!("request {request} has no error stream")))?;
        let (sender, input) = mpsc::channel(BACKLOG);
        self.inputs.insert(id, sender);
        let pair = Pair { port, error, data: id };
        tokio::spawn(carry(self.runtime.clone(), self.sandbox.clone(), pair, input, self.output.clone()));
        Ok(())
    }
}

/// Connects to the port and carries bytes both ways until both sides have ended; then ends both streams.
async fn carry(
    runtime: Arc<dyn Runtime>,
    sandbox: String,
    pair: Pair,
    input: mpsc::Receiver<Bytes>,
    output: mpsc::Sender<Vec<u8>>,
) {
    let error = match runtime.connect(&sandbox, pair.port).await {
        Ok(stream) => exchange(stream, pair.data, input, &output).await.err().map(|error| error.to_string()),
        Err(error) => Some(error.to_string()),
    };
    let text = error.map(|error| format!("error forwarding port {} to pod {sandbox}: {error}", pair.port));
    let last = [data(pair.data, &[], true), data(pair.error, text.unwrap_or_default().as_bytes(), true)];
    for frame in last {
        if output.send(frame).await.is_err() {
            tracing::debug!(port = pair.port, "the client of a forwarded port has left");
        }
    }
}

async fn exchange(
    stream: TcpStream,
    id: u32,
    mut input: mpsc::Receiver<Bytes>,
    output: &mpsc::Sender<Vec<u8>>,
) -> io::Result<()> {
    let (mut reader, mut writer) = stream.into_split();
    let inward = async {
        while let Some(bytes) = input.recv().await {
            writer.write_all(&bytes).await?;
        }
        writer.shutdown().await
    };
    let outward = async {
        let mut buffer = vec![0; CHUNK];
        loop {
            let count = reader.read(&mut buffer).await?;
            // Without bytes this ends the stream.
            if output.send(data(id, &buffer[..count], count == 0)).await.is_err() || count == 0 {
                return Ok(());
            }
        }
    };
    // A pod that ended its side takes no more; its error then is none of the client's concern.
    let (_written, read): (io::Result<()>, io::Result<()>) = tokio::join!(inward, outward);
    read
}
