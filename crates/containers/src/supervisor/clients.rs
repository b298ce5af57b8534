//! Agents on the socket.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use nix::sys::epoll::{EpollEvent, EpollFlags};

use super::{Source, Supervisor, Waiter};
use crate::wire::{Call, Inbox, Message, encode, send};

/// An agent that lets more than this wait for it is cut off; it connects again and lists.
const MAX_QUEUED: usize = 64 << 20;

pub struct Client {
    stream: UnixStream,
    /// Tells it from a later client on the same descriptor.
    pub generation: u64,
    inbox: Inbox,
    outbox: VecDeque<(Vec<u8>, Vec<OwnedFd>)>,
    queued: usize,
}

impl Supervisor {
    pub(super) fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            let fd = stream.as_raw_fd();
            if let Err(error) = stream.set_nonblocking(true).and_then(|()| self.watch(fd, Source::Client)) {
                eprintln!("cannot serve an agent: {error}");
                continue;
            }
            let generation = self.next_generation;
            self.next_generation += 1;
            self.clients
                .insert(fd, Client { stream, generation, inbox: Inbox::default(), outbox: VecDeque::new(), queued: 0 });
        }
    }

    pub(super) fn serve_client(&mut self, fd: RawFd, flags: EpollFlags) {
        if flags.contains(EpollFlags::EPOLLOUT) {
            self.flush(fd);
        }
        if flags.intersects(EpollFlags::EPOLLIN | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR)
            && let Err(error) = self.read_calls(fd)
        {
            if error.kind() != io::ErrorKind::UnexpectedEof {
                eprintln!("an agent is cut off: {error}");
            }
            self.drop_client(fd);
        }
    }

    fn read_calls(&mut self, fd: RawFd) -> io::Result<()> {
        loop {
            let Some(client) = self.clients.get_mut(&fd) else { return Ok(()) };
            match client.inbox.fill(fd) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
            while let Some(client) = self.clients.get_mut(&fd)
                && let Some(call) = client.inbox.next::<Call>()?
            {
                let waiter = Waiter { client: fd, generation: client.generation, call: call.id };
                self.call(waiter, call);
            }
        }
    }

    fn drop_client(&mut self, fd: RawFd) {
        if let Some(client) = self.clients.remove(&fd) {
            self.close(client.stream.into());
        }
    }

    pub(super) fn broadcast(&mut self, message: &Message) {
        let clients: Vec<RawFd> = self.clients.keys().copied().collect();
        for fd in clients {
            self.send(fd, None, message, Vec::new());
        }
    }

    /// Queues a message for a client; one that is gone, or came later on the same descriptor, gets nothing.
    pub(super) fn send(&mut self, fd: RawFd, generation: Option<u64>, message: &Message, fds: Vec<OwnedFd>) {
        let Some(client) = self.clients.get_mut(&fd) else { return };
        if generation.is_some_and(|generation| generation != client.generation) {
            return;
        }
        let frame = encode(message);
        client.queued += frame.len();
        client.outbox.push_back((frame, fds));
        if client.queued > MAX_QUEUED {
            eprintln!("an agent does not read, it is cut off");
            return self.drop_client(fd);
        }
        self.flush(fd);
    }

    fn flush(&mut self, fd: RawFd) {
        let Some(client) = self.clients.get_mut(&fd) else { return };
        match client.flush() {
            Ok(()) => self.want_output(fd, false),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.want_output(fd, true),
            Err(_) => self.drop_client(fd),
        }
    }

    fn want_output(&mut self, fd: RawFd, wanted: bool) {
        let Some(client) = self.clients.get(&fd) else { return };
        let flags = if wanted { EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT } else { EpollFlags::EPOLLIN };
        if let Err(error) = self.epoll.modify(client.stream.as_fd(), &mut EpollEvent::new(flags, fd as u64)) {
            eprintln!("cannot watch an agent: {error}");
        }
    }
}

impl Client {
    fn flush(&mut self) -> io::Result<()> {
        while let Some((bytes, fds)) = self.outbox.front_mut() {
            let sent = send(self.stream.as_raw_fd(), bytes, fds)?;
            // The descriptors went with the first byte.
            fds.clear();
            bytes.drain(..sent);
            self.queued -= sent;
            if bytes.is_empty() {
                self.outbox.pop_front();
            }
        }
        Ok(())
    }
}
