//! Channels on a WebSocket: what a client sends is what is read, however it is cut; anything else ends the connection.
#![no_main]

use std::sync::LazyLock;

use futures::StreamExt;
use libfuzzer_sys::fuzz_target;
use tokio::io::AsyncWriteExt;
use tokio::runtime::{Builder, Runtime};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

#[path = "."]
mod server {
    use std::convert::Infallible;

    use bytes::Bytes;
    use http::{Response, StatusCode};
    use http_body_util::combinators::BoxBody;

    /// Stand in for the server's.
    #[derive(Debug)]
    #[expect(dead_code, reason = "nobody is told")]
    pub struct Refusal(StatusCode, String);
    pub type Answer = Result<Response<BoxBody<Bytes, Infallible>>, Refusal>;

    impl Refusal {
        pub fn bad_request(text: impl Into<String>) -> Self {
            Self(StatusCode::BAD_REQUEST, text.into())
        }
    }

    #[allow(dead_code)]
    #[path = "../../crates/node/src/server/websocket.rs"]
    pub mod websocket;
}

use server::websocket::{Input, Protocol, Reader};

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Builder::new_current_thread().build().expect("a runtime"));
/// Bytes that are under way.
const BUFFER: usize = 1 << 16;

/// All that is read of these bytes.
fn read(bytes: &[u8], piece: usize, protocol: Protocol) -> Vec<Input> {
    RUNTIME.block_on(async {
        let (mut client, server) = tokio::io::duplex(BUFFER);
        let socket = WebSocketStream::from_raw_socket(server, Role::Server, None).await;
        let (_sink, stream) = socket.split();
        let mut reader = Reader(stream, protocol);
        let write = async {
            for piece in bytes.chunks(piece) {
                if client.write_all(piece).await.is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            drop(client);
        };
        let read = async {
            let mut inputs = Vec::new();
            while let Some(input) = reader.next().await {
                inputs.push(input);
            }
            inputs
        };
        tokio::join!(write, read).1
    })
}

/// A client's binary frame, masked with zeros.
fn frame(payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x82];
    match u8::try_from(payload.len()) {
        Ok(length) if length < 126 => bytes.push(0x80 | length),
        _ => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&(payload.len() as u16).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(payload);
    bytes
}

fuzz_target!(|input: (&[u8], Vec<(u8, &[u8])>, u8)| {
    let (raw, messages, piece) = input;
    let piece = 1 + usize::from(piece);
    for protocol in [Protocol::V1, Protocol::V4, Protocol::V5] {
        assert_eq!(read(raw, piece, protocol), read(raw, BUFFER, protocol));
        let frames: Vec<u8> =
            messages.iter().flat_map(|(channel, data)| frame(&[&[*channel], *data].concat())).collect();
        let sent: Vec<Input> = messages
            .iter()
            .map(|(channel, data)| match (channel, data) {
                (255, [closed]) if protocol == Protocol::V5 => Input::Close(*closed),
                (channel, data) => Input::Data(*channel, data.to_vec().into()),
            })
            .collect();
        assert_eq!(read(&frames, piece, protocol), sent);
    }
});
