//! SPDY 3.1 as far as kubectl's port-forward speaks it, through the messages of a WebSocket.
//!
//! Clients open streams and number them; this side answers. Flow control is left to the connection below, as the
//! clients' library does.

mod dictionary;
mod frame;
pub mod tunnel;

/// What the WebSocket's subprotocol is for a tunnel.
pub const PROTOCOL: &str = "SPDY/3.1+portforward.k8s.io";
