//! Accepting a WebSocket, and Kubernetes' channel framing on it.
//!
//! Each binary message begins with the number of its channel. Version 5 adds a signal that half-closes one.
//! upstream: apimachinery/pkg/util/httpstream/wsstream

use std::io;

use bytes::Bytes;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::{Answer, Refusal};

/// In version 5 this channel number half-closes the channel that follows it.
const CLOSE_SIGNAL: u8 = 255;

/// The framing that both sides agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    V1,
    V4,
    V5,
}

impl Protocol {
    pub const ALL: &[(&str, Protocol)] =
        &[("v5.channel.k8s.io", Protocol::V5), ("v4.channel.k8s.io", Protocol::V4), ("channel.k8s.io", Protocol::V1)];

    /// The first of the client's protocols that is known here; without any the oldest.
    pub fn negotiate(offered: &[&str]) -> Option<(Option<&'static str>, Protocol)> {
        if offered.is_empty() {
            return Some((None, Protocol::V1));
        }
        let known = |offer: &&str| Self::ALL.iter().find(|(name, _)| name == offer);
        offered.iter().find_map(known).map(|(name, protocol)| (Some(*name), *protocol))
    }
}

/// The subprotocols that the client offers.
pub fn offers(headers: &HeaderMap) -> Vec<&str> {
    let values = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).map(str::trim).collect()
}

/// The answer that switches protocols, the framing, and the connection to come.
pub fn upgrade(request: &mut Request<Incoming>) -> Result<(Answer, Protocol, OnUpgrade), Refusal> {
    let offers = offers(request.headers());
    let (name, protocol) = Protocol::negotiate(&offers).ok_or_else(|| {
        Refusal(StatusCode::FORBIDDEN, format!("unable to negotiate protocol: client supports {offers:?}"))
    })?;
    let (answer, upgrade) = upgrade_as(request, name)?;
    Ok((answer, protocol, upgrade))
}

/// The answer that switches to this subprotocol, and the connection to come.
pub fn upgrade_as(request: &mut Request<Incoming>, name: Option<&'static str>) -> Result<(Answer, OnUpgrade), Refusal> {
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY);
    let key = key.ok_or_else(|| Refusal::bad_request("you must use a WebSocket to connect"))?;
    let accept = derive_accept_key(key.as_bytes());
    let mut response = Response::new(Empty::<Bytes>::new().boxed());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let fields = response.headers_mut();
    fields.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    fields.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    let accept = HeaderValue::try_from(accept).map_err(|error| Refusal::bad_request(error.to_string()))?;
    fields.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if let Some(name) = name {
        fields.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(name));
    }
    Ok((Ok(response), hyper::upgrade::on(request)))
}

pub type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// The connection once the switch is through.
pub async fn accept(upgrade: OnUpgrade) -> io::Result<Socket> {
    let upgraded = upgrade.await.map_err(io::Error::other)?;
    Ok(WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await)
}

/// What a client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    Data(u8, Bytes),
    /// Nothing more comes on this channel.
    Close(u8),
}

/// The client's side of the channels.
pub struct Reader<S>(pub SplitStream<WebSocketStream<S>>, pub Protocol);

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> Reader<S> {
    /// The next message; nothing once the client closed or was lost.
    pub async fn next(&mut self) -> Option<Input> {
        loop {
            let bytes = match self.0.next().await? {
                Ok(Message::Binary(bytes)) => bytes,
                Ok(Message::Text(text)) => Bytes::from(text),
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => continue,
            };
            match bytes.first() {
                Some(&CLOSE_SIGNAL) if self.1 == Protocol::V5 && bytes.len() == 2 => {
                    return Some(Input::Close(bytes[1]));
                }
                Some(&channel) => return Some(Input::Data(channel, bytes.slice(1..))),
                None => {}
            }
        }
    }
}

/// Our side of the channels.
pub struct Writer<S>(pub SplitSink<WebSocketStream<S>, Message>);

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> Writer<S> {
    pub async fn send(&mut self, channel: u8, data: &[u8]) -> io::Result<()> {
        let mut message = Vec::with_capacity(data.len() + 1);
        message.push(channel);
        message.extend_from_slice(data);
        self.0.send(Message::Binary(message.into())).await.map_err(io::Error::other)
    }

    /// Clients take any code but this one, and none as well, for a failure.
    pub async fn close(&mut self) -> io::Result<()> {
        let normal = CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::default() };
        self.0.send(Message::Close(Some(normal))).await.map_err(io::Error::other)?;
        self.0.flush().await.map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clients_first_known_protocol_wins() {
        let offer = |offers: &[&str]| Protocol::negotiate(offers);
        assert_eq!(offer(&["v5.channel.k8s.io", "v4.channel.k8s.io"]), Some((Some("v5.channel.k8s.io"), Protocol::V5)));
        assert_eq!(offer(&["v9.channel.k8s.io", "channel.k8s.io"]), Some((Some("channel.k8s.io"), Protocol::V1)));
        assert_eq!(offer(&[]), Some((None, Protocol::V1)));
        assert_eq!(offer(&["other"]), None);
    }
}
