//! Messages on the wire: a flag, a length and the message; and how failures are told.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http::HeaderMap;
use prost::Message;

use crate::{Error, transport};

/// Flag and length in front of a message.
const HEAD: usize = 5;
/// Bytes of a message that is taken in at most.
const MESSAGE_MAX: usize = 1 << 29;

/// A message as it is sent.
pub fn frame(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(length + HEAD);
    frame.put_u8(0);
    frame.put_u32(length as u32);
    message.encode(&mut frame).expect("a buffer grows as it must");
    frame.freeze()
}

/// Takes the first whole message off what has arrived; nothing while it is not there yet.
pub fn unframe(arrived: &mut BytesMut) -> Result<Option<Bytes>, Error> {
    if arrived.len() < HEAD {
        return Ok(None);
    }
    let length = u32::from_be_bytes([arrived[1], arrived[2], arrived[3], arrived[4]]) as usize;
    if arrived[0] != 0 {
        return Err(transport("the answer is compressed, which was not asked for"));
    }
    if length > MESSAGE_MAX {
        return Err(transport(format!("a message of {length} bytes is more than {MESSAGE_MAX}")));
    }
    if arrived.len() < HEAD + length {
        arrived.reserve(HEAD + length - arrived.len());
        return Ok(None);
    }
    arrived.advance(HEAD);
    Ok(Some(arrived.split_to(length).freeze()))
}

/// What went wrong, by the code and the message in headers or trailers.
pub fn failure(headers: &HeaderMap) -> Option<Error> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let code = text("grpc-status");
    let failed = !["", "0"].contains(&code);
    // 2 is what a code that says nothing stands for.
    failed.then(|| Error::Status { code: code.parse().unwrap_or(2), message: text("grpc-message").to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_taken_off_whole() {
        let sent = [frame(&"one".to_owned()), frame(&"two".to_owned())].concat();
        let mut arrived = BytesMut::new();
        let mut seen = Vec::new();
        for byte in sent {
            arrived.put_u8(byte);
            seen.extend(unframe(&mut arrived).unwrap().map(|message| String::decode(message).unwrap()));
        }
        assert_eq!((seen, arrived.len()), (vec!["one".to_owned(), "two".to_owned()], 0));
    }

    #[test]
    fn what_can_not_be_read_is_refused() {
        for head in [[1, 0, 0, 0, 0], [0, 255, 255, 255, 255]] {
            assert!(unframe(&mut BytesMut::from(&head[..])).is_err(), "{head:?}");
        }
    }
}
