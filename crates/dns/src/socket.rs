//! Sockets on an address that the node may not have yet.

use std::net::SocketAddr;
use std::os::fd::AsFd;

use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpListener, TcpSocket, UdpSocket};

const BACKLOG: u32 = 256;

pub fn udp(address: SocketAddr) -> std::io::Result<UdpSocket> {
    // Bound by hand: the option must be set before.
    let socket = nix::sys::socket::socket(
        nix::sys::socket::AddressFamily::Inet,
        nix::sys::socket::SockType::Datagram,
        nix::sys::socket::SockFlag::SOCK_CLOEXEC | nix::sys::socket::SockFlag::SOCK_NONBLOCK,
        None,
    )?;
    allow_absent(&socket)?;
    let SocketAddr::V4(address) = address else {
        return Err(std::io::Error::from(std::io::ErrorKind::Unsupported));
    };
    nix::sys::socket::bind(std::os::fd::AsRawFd::as_raw_fd(&socket), &nix::sys::socket::SockaddrIn::from(address))?;
    UdpSocket::from_std(std::net::UdpSocket::from(socket))
}

pub fn tcp(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    allow_absent(&socket)?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn allow_absent(socket: &impl AsFd) -> std::io::Result<()> {
    Ok(setsockopt(socket, sockopt::IpFreebind, &true)?)
}
