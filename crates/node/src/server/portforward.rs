//! `/portForward/...` over WebSocket: a tunnel of SPDY, as kubectl asks for it, or for each port a data channel
//! and an error channel.
//!
//! The first message of each channel of ours is the port's number, two bytes, low one first.
//! upstream: pkg/kubelet portforward/websocket.go

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use futures::StreamExt;
use http::Request;
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::mpsc;

use super::query::Query;
use super::websocket::{Input, Reader, Socket, Writer, accept, offers, upgrade, upgrade_as};
use super::{Answer, Refusal, Server, finished, spdy};
use crate::pod::spec;
use containers::{Runtime, SandboxState};

const CHUNK: usize = 16 * 1024;
const BACKLOG: usize = 16;

pub async fn answer(
    server: &Server,
    mut request: Request<Incoming>,
    namespace: &str,
    pod: &str,
    query: &Query,
) -> Answer {
    let pod = server.pod(namespace, pod)?;
    let sandboxes = server.node.runtime.list_sandboxes().await?;
    let ready = sandboxes.into_iter().find(|s| s.metadata.uid == spec::uid(&pod) && s.state == SandboxState::Ready);
    let sandbox = ready.ok_or_else(|| Refusal::bad_request("unable to forward port because pod is not running"))?;
    let runtime = server.node.runtime.clone();
    if offers(request.headers()).contains(&spdy::PROTOCOL) {
        let (answer, upgrade) = upgrade_as(&mut request, Some(spdy::PROTOCOL))?;
        tokio::spawn(async move {
            let serving = async { spdy::tunnel::serve(accept(upgrade).await?, runtime, sandbox.id).await };
            finished("a port-forward", serving.await);
        });
        return answer;
    }
    let ports = ports(query)?;
    let (answer, _, upgrade) = upgrade(&mut request)?;
    tokio::spawn(async move {
        let serving = async { serve(accept(upgrade).await?, runtime, sandbox.id, ports).await };
        finished("a port-forward", serving.await);
    });
    answer
}

fn ports(query: &Query) -> Result<Vec<u16>, Refusal> {
    let values = query.all("ports").into_iter().chain(query.all("port"));
    let listed: Vec<String> =
        values.flat_map(|value| value.split(',').map(str::to_string).collect::<Vec<_>>()).collect();
    if listed.is_empty() {
        return Err(Refusal::bad_request("query parameter \"port\" is required"));
    }
    let bad = |port: &String| Refusal::bad_request(format!("unable to parse \"{port}\" as a port"));
    listed.iter().map(|port| port.parse().map_err(|_| bad(port))).collect()
}

async fn serve(socket: Socket, runtime: Arc<dyn Runtime>, sandbox: String, ports: Vec<u16>) -> io::Result<()> {
    let (sink, stream) = socket.split();
    let mut writer = Writer(sink);
    let (sender, mut output) = mpsc::channel::<(u8, Vec<u8>)>(BACKLOG);
    let mut inputs: HashMap<u8, OwnedWriteHalf> = HashMap::new();
    for (index, port) in ports.into_iter().enumerate() {
        let data = (index * 2) as u8;
        writer.send(data, &port.to_le_bytes()).await?;
        writer.send(data + 1, &port.to_le_bytes()).await?;
        match runtime.connect(&sandbox, port).await {
            Ok(stream) => {
                inputs.insert(data, carry(stream, data, sender.clone()));
            }
            Err(error) => {
                let text = format!("error forwarding port {port} to pod {sandbox}: {error}");
                writer.send(data + 1, text.as_bytes()).await?;
            }
        }
    }
    drop(sender);
    let mut reader = Reader(stream, super::websocket::Protocol::V4);
    loop {
        tokio::select! {
            message = reader.next() => match message {
                Some(Input::Data(channel, data)) => {
                    if let Some(input) = inputs.get_mut(&channel) {
                        input.write_all(&data).await?;
                    }
                }
                Some(Input::Close(_)) => {}
                None => return Ok(()),
            },
            sent = output.recv() => match sent {
                Some((channel, data)) => writer.send(channel, &data).await?,
                None => return writer.close().await,
            },
        }
    }
}

/// Reads a connection into the channel; answers the half that is written.
fn carry(stream: TcpStream, channel: u8, sender: mpsc::Sender<(u8, Vec<u8>)>) -> OwnedWriteHalf {
    let (mut reader, writer) = stream.into_split();
    tokio::spawn(async move {
        let mut buffer = vec![0; CHUNK];
        while let Ok(count @ 1..) = reader.read(&mut buffer).await {
            if sender.send((channel, buffer[..count].to_vec())).await.is_err() {
                return;
            }
        }
    });
    writer
}
