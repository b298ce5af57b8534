//! Cluster DNS, answered on each node from memory.
//!
//! Names of the cluster domain follow upstream's record schema; see [`names`]. All other names are forwarded
//! to the servers of the node's own `/etc/resolv.conf`.

mod handler;
pub mod names;
mod socket;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use control::{CancellationToken, Informers};
use hickory_server::Server;

use handler::Handler;
use names::Names;

/// How long a client on TCP may say nothing.
const TCP_IDLE: Duration = Duration::from_secs(10);
/// Bytes that one TCP client may have waiting.
const TCP_BUFFER: usize = 16 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot listen for DNS on {address}: {cause}")]
    Listen { address: SocketAddr, cause: std::io::Error },
    #[error("DNS server: {0}")]
    Serve(String),
}

/// Answers on `address`, UDP and TCP, until `shutdown`. The address may appear on the node later.
pub async fn run(
    informers: Informers,
    address: IpAddr,
    port: u16,
    domain: &str,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let address = SocketAddr::new(address, port);
    let listen = |cause| Error::Listen { address, cause };
    let mut server = Server::new(Handler::new(Names::new(&informers, domain), handler::upstream()));
    server.register_socket(socket::udp(address).map_err(listen)?);
    server.register_listener(socket::tcp(address).map_err(listen)?, TCP_IDLE, TCP_BUFFER);
    tokio::select! {
        () = shutdown.cancelled() => server.shutdown_gracefully().await,
        ended = server.block_until_done() => ended,
    }
    .map_err(|cause| Error::Serve(cause.to_string()))
}
