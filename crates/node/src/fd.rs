//! Pipes, terminals and notifications of the kernel as asynchronous streams.
//!
//! Holds two `unsafe` blocks: registering a descriptor with the runtime, and the ioctl that sets a
//! terminal's size.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use tokio::io::unix::AsyncFd;

/// One end of a pipe or terminal. Reading and writing may happen at the same time.
pub struct Fd(AsyncFd<OwnedFd>);

impl Fd {
    pub fn new(fd: OwnedFd) -> io::Result<Fd> {
        let flags = OFlag::from_bits_retain(fcntl(&fd, FcntlArg::F_GETFL)?);
        fcntl(&fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        // SAFETY: `fd` is owned, so it is open and stays the same file until this is dropped.
        Ok(Fd(unsafe { AsyncFd::register(fd)? }))
    }

    /// Reads what is there; 0 at the end.
    pub async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.0.readable().await?;
            match ready.try_io(|fd| nix::unistd::read(fd.get_ref(), buffer).map_err(io::Error::from)) {
                // A terminal that nobody holds any more.
                Ok(Err(error)) if error.raw_os_error() == Some(libc::EIO) => return Ok(0),
                Ok(result) => return result,
                Err(_) => {}
            }
        }
    }

    pub async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let mut ready = self.0.writable().await?;
            if let Ok(written) = ready.try_io(|fd| nix::unistd::write(fd.get_ref(), bytes).map_err(io::Error::from)) {
                bytes = &bytes[written?..];
            }
        }
        Ok(())
    }

    /// Sets a terminal's size.
    pub fn resize(&self, columns: u16, rows: u16) -> io::Result<()> {
        let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: the descriptor is open for as long as `self`, and the kernel only reads `size`.
        let result = unsafe { libc::ioctl(self.0.get_ref().as_raw_fd(), libc::TIOCSWINSZ, &size) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bytes_go_through_a_pipe_larger_than_its_buffer() {
        let (reader, writer) = nix::unistd::pipe().unwrap();
        let (reader, writer) = (Fd::new(reader).unwrap(), Fd::new(writer).unwrap());
        let writing = tokio::spawn(async move { writer.write_all(&vec![7; 1 << 20]).await });
        let (mut total, mut buffer) = (0, vec![0; 4096]);
        loop {
            match reader.read(&mut buffer).await.unwrap() {
                0 => break,
                count => total += count,
            }
        }
        writing.await.unwrap().unwrap();
        assert_eq!(total, 1 << 20);
    }
}
