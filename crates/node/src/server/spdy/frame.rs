//! Frames and their header blocks.

use std::collections::BTreeMap;
use std::io;

use bytes::{Buf, Bytes, BytesMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

use super::dictionary::dictionary;

const VERSION: u16 = 3;
const CONTROL: u16 = 0x8000;
const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const FIN: u8 = 1;
const HEAD: usize = 8;
const STREAM_ID: u32 = 0x7fff_ffff;
/// A client's header block, which names a port and a request, is far below.
const MAX_HEADERS: usize = 64 * 1024;
/// No client sends more at once.
const MAX_FRAME: usize = 1 << 20;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    Open {
        id: u32,
        headers: BTreeMap<String, String>,
        fin: bool,
    },
    Data {
        id: u32,
        bytes: Bytes,
        fin: bool,
    },
    Reset {
        id: u32,
    },
    Ping {
        id: u32,
    },
    GoAway,
    /// One that asks for nothing here.
    Other,
}

/// Takes bytes as they come, gives whole frames.
pub struct Decoder {
    buffer: BytesMut,
    inflate: Decompress,
}

impl Default for Decoder {
    fn default() -> Decoder {
        Decoder { buffer: BytesMut::new(), inflate: Decompress::new(true) }
    }
}

impl Decoder {
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame, once all of it is there.
    pub fn next(&mut self) -> io::Result<Option<Frame>> {
        if self.buffer.len() < HEAD {
            return Ok(None);
        }
        let length = u32::from_be_bytes([0, self.buffer[5], self.buffer[6], self.buffer[7]]) as usize;
        if length > MAX_FRAME {
            return Err(malformed("a frame is too long"));
        }
        if self.buffer.len() < HEAD + length {
            return Ok(None);
        }
        let mut head = self.buffer.split_to(HEAD);
        let body = self.buffer.split_to(length).freeze();
        let (first, second) = (head.get_u16(), head.get_u16());
        let fin = head.get_u8() & FIN != 0;
        if first & CONTROL == 0 {
            let id = u32::from(first) << 16 | u32::from(second);
            return Ok(Some(Frame::Data { id, bytes: body, fin }));
        }
        if first & !CONTROL != VERSION {
            return Err(malformed("only version 3 is spoken here"));
        }
        self.control(second, body, fin).map(Some)
    }

    fn control(&mut self, kind: u16, mut body: Bytes, fin: bool) -> io::Result<Frame> {
        let mut number = || if body.len() < 4 { Err(malformed("a frame is cut off")) } else { Ok(body.get_u32()) };
        Ok(match kind {
            SYN_STREAM => {
                let id = number()? & STREAM_ID;
                number()?;
                if body.len() < 2 {
                    return Err(malformed("a stream has no priority"));
                }
                body.advance(2);
                Frame::Open { id, headers: self.headers(&body)?, fin }
            }
            RST_STREAM => Frame::Reset { id: number()? & STREAM_ID },
            PING => Frame::Ping { id: number()? },
            GOAWAY => Frame::GoAway,
            _ => Frame::Other,
        })
    }

    fn headers(&mut self, block: &[u8]) -> io::Result<BTreeMap<String, String>> {
        let plain = self.inflate(block)?;
        let mut rest = plain.as_slice();
        let count = take_number(&mut rest)?;
        (0..count).map(|_| Ok((take_text(&mut rest)?, take_text(&mut rest)?))).collect()
    }

    fn inflate(&mut self, block: &[u8]) -> io::Result<Vec<u8>> {
        let mut plain = Vec::with_capacity(MAX_HEADERS);
        let before = self.inflate.total_in();
        loop {
            let read = (self.inflate.total_in() - before) as usize;
            let step = self.inflate.decompress_vec(&block[read..], &mut plain, FlushDecompress::Sync);
            match step {
                Err(error) if error.needs_dictionary().is_some() => {
                    self.inflate.set_dictionary(&dictionary()).map_err(io::Error::other)?;
                }
                Err(error) => return Err(io::Error::other(error)),
                Ok(_) if (self.inflate.total_in() - before) as usize == block.len() => return Ok(plain),
                Ok(_) if plain.len() == plain.capacity() => return Err(malformed("headers are too long")),
                Ok(_) => {}
            }
        }
    }
}

/// Makes frames. One for a connection, as the compression of headers goes on from frame to frame.
pub struct Encoder {
    deflate: Compress,
}

impl Encoder {
    pub fn new() -> io::Result<Encoder> {
        let mut deflate = Compress::new(Compression::default(), true);
        deflate.set_dictionary(&dictionary()).map_err(io::Error::other)?;
        Ok(Encoder { deflate })
    }

    /// Accepts a stream.
    pub fn reply(&mut self, id: u32) -> io::Result<Vec<u8>> {
        let none = 0_u32.to_be_bytes();
        let mut block = Vec::with_capacity(64);
        self.deflate.compress_vec(&none, &mut block, FlushCompress::Sync).map_err(io::Error::other)?;
        Ok(control(SYN_REPLY, &[id.to_be_bytes().as_slice(), &block].concat()))
    }
}

pub fn data(id: u32, bytes: &[u8], fin: bool) -> Vec<u8> {
    frame((id & STREAM_ID).to_be_bytes(), if fin { FIN } else { 0 }, bytes)
}

pub fn ping(id: u32) -> Vec<u8> {
    control(PING, &id.to_be_bytes())
}

fn control(kind: u16, body: &[u8]) -> Vec<u8> {
    let ([a, b], [c, d]) = ((CONTROL | VERSION).to_be_bytes(), kind.to_be_bytes());
    frame([a, b, c, d], 0, body)
}

fn frame(head: [u8; 4], flags: u8, body: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = (body.len() as u32).to_be_bytes();
    [&head, [flags].as_slice(), &length, body].concat()
}

fn take_number(rest: &mut &[u8]) -> io::Result<u32> {
    if rest.len() < 4 {
        return Err(malformed("headers are cut off"));
    }
    Ok(rest.get_u32())
}

fn take_text(rest: &mut &[u8]) -> io::Result<String> {
    let length = take_number(rest)? as usize;
    let text = rest.get(..length).ok_or_else(|| malformed("headers are cut off"))?;
    *rest = &rest[length..];
    Ok(String::from_utf8_lossy(text).into_owned())
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client's frame that opens a stream.
    fn open(deflate: &mut Compress, id: u32, headers: &[(&str, &str)]) -> Vec<u8> {
        let text = |text: &str| [&(text.len() as u32).to_be_bytes(), text.as_bytes()].concat();
        let mut plain = (headers.len() as u32).to_be_bytes().to_vec();
        headers.iter().for_each(|(name, value)| plain.extend([text(name), text(value)].concat()));
        let mut block = Vec::with_capacity(1024);
        deflate.compress_vec(&plain, &mut block, FlushCompress::Sync).unwrap();
        control(SYN_STREAM, &[&id.to_be_bytes(), [0; 6].as_slice(), &block].concat())
    }

    #[test]
    fn streams_data_and_pings_are_read_in_whatever_pieces_they_come() {
        let mut deflate = Compress::new(Compression::default(), true);
        deflate.set_dictionary(&dictionary()).unwrap();
        let mut bytes = open(&mut deflate, 1, &[("streamtype", "error"), ("port", "80")]);
        bytes.extend(open(&mut deflate, 3, &[("streamtype", "data"), ("port", "80")]));
        bytes.extend(data(3, b"hello", true));
        bytes.extend(ping(7));
        let mut decoder = Decoder::default();
        let mut frames = Vec::new();
        for byte in bytes {
            decoder.feed(&[byte]);
            frames.extend(decoder.next().unwrap());
        }
        let headers = |kind: &str| BTreeMap::from([("port".into(), "80".into()), ("streamtype".into(), kind.into())]);
        let expected = [
            Frame::Open { id: 1, headers: headers("error"), fin: false },
            Frame::Open { id: 3, headers: headers("data"), fin: false },
            Frame::Data { id: 3, bytes: Bytes::from_static(b"hello"), fin: true },
            Frame::Ping { id: 7 },
        ];
        assert_eq!(frames, expected);
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        for bytes in
            [&[0x80, 2, 0, 1, 0, 0, 0, 0][..], &[0x80, 3, 0, 1, 0, 0, 0, 0], &[0, 0, 0, 1, 0, 0xff, 0xff, 0xff]]
        {
            let mut decoder = Decoder::default();
            decoder.feed(bytes);
            assert!(decoder.next().is_err(), "{bytes:?}");
        }
    }
}
