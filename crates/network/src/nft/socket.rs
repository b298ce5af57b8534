//! Sending batches to the kernel.

use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

use super::Batch;
use super::wire::answers;

/// How long the kernel may take to confirm a batch.
const ANSWER_SECONDS: i64 = 10;
const ANSWER_BUFFER: usize = 1 << 20;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refused a message; nothing of the batch was applied.
    #[error("nftables refused message {message} of a batch of {bytes} bytes: {errno}")]
    Refused { message: u32, bytes: usize, errno: Errno },
    #[error("nftables: {0}")]
    Socket(#[from] Errno),
}

/// Applies a batch in the network namespace of the calling thread, whole or not at all. Blocks.
pub fn apply(batch: Batch) -> Result<(), Error> {
    let (bytes, last) = batch.finish();
    let socket = open(bytes.len())?;
    sendto(socket.as_raw_fd(), &bytes, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
    let mut buffer = vec![0; ANSWER_BUFFER];
    loop {
        let length = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        for (message, errno) in answers(&buffer[..length]) {
            if errno != 0 {
                return Err(Error::Refused { message, bytes: bytes.len(), errno: Errno::from_raw(-errno) });
            }
            if message == last {
                return Ok(());
            }
        }
    }
}

fn open(send_bytes: usize) -> Result<OwnedFd, Errno> {
    let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkNetFilter)?;
    setsockopt(&socket, sockopt::SndBufForce, &(2 * send_bytes + ANSWER_BUFFER))?;
    setsockopt(&socket, sockopt::RcvBufForce, &ANSWER_BUFFER)?;
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::seconds(ANSWER_SECONDS))?;
    Ok(socket)
}
