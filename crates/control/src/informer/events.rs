//! Cuts the body of a watch into its events.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

/// What a watch tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Kind {
    Added,
    Modified,
    Deleted,
    Bookmark,
    Error,
}

/// An event whose object has not been looked at.
#[derive(Debug, PartialEq, Eq)]
pub struct Event {
    pub kind: Kind,
    pub object: Bytes,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: Kind,
    #[serde(borrow)]
    object: &'a RawValue,
}

const HEAD: (&[u8], &[u8]) = (b"{\"type\":", b",\"object\":");
const TAIL: &[u8] = b"}\n";

/// Joins frames to lines. An event is a line.
#[derive(Debug)]
pub struct Events {
    begun: Vec<u8>,
    share: bool,
}

impl Events {
    /// With `share`, objects that come in a frame of their own stay in it, uncopied. Only where the server is in this
    /// process: a piece of what came over a network would keep all of it in memory.
    pub fn new(share: bool) -> Self {
        Self { begun: Vec::new(), share }
    }

    /// The events that `frame` completes, or what is wrong with a line.
    pub fn read(&mut self, frame: Bytes) -> Result<Vec<Event>, serde_json::Error> {
        if let Some(kind) = self.share.then(|| head(&self.begun)).flatten()
            && let Some(object) = frame.strip_suffix(TAIL)
            && !object.contains(&b'\n')
        {
            let object = frame.slice(..object.len());
            self.begun.clear();
            return Ok(vec![Event { kind, object }]);
        }
        let mut events = Vec::new();
        let mut rest: &[u8] = &frame;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.begun.extend_from_slice(&rest[..end]);
            rest = &rest[end + 1..];
            let line: Result<Line<'_>, _> = serde_json::from_slice(&self.begun);
            let event = line
                .map(|line| Event { kind: line.kind, object: Bytes::copy_from_slice(line.object.get().as_bytes()) });
            self.begun.clear();
            events.push(event?);
        }
        self.begun.extend_from_slice(rest);
        Ok(events)
    }
}

/// The kind of the event that is to follow, when everything before its object is there.
fn head(begun: &[u8]) -> Option<Kind> {
    let kind = begun.strip_prefix(HEAD.0)?.strip_suffix(HEAD.1)?;
    serde_json::from_slice(kind).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(share: bool, frames: &[&'static str]) -> Vec<(Kind, String)> {
        let mut events = Events::new(share);
        let read = frames.iter().flat_map(|frame| events.read(Bytes::from_static(frame.as_bytes())).unwrap());
        read.map(|event| (event.kind, String::from_utf8(event.object.to_vec()).unwrap())).collect()
    }

    #[test]
    fn events_are_lines_however_they_are_cut() {
        let whole = "{\"type\":\"ADDED\",\"object\":{\"a\":1}}\n{\"type\":\"DELETED\",\"object\":{\"a\":2}}\n";
        let expected = [(Kind::Added, "{\"a\":1}".to_owned()), (Kind::Deleted, "{\"a\":2}".to_owned())];
        for share in [false, true] {
            for cut in 0..whole.len() {
                assert_eq!(read(share, &[&whole[..cut], &whole[cut..]]), expected, "cut at {cut}");
            }
        }
    }

    #[test]
    fn an_object_in_a_frame_of_its_own_is_shared() {
        let frame = Bytes::from_static(b"{\"a\":1}}\n");
        for (share, expected) in [(true, true), (false, false)] {
            let mut events = Events::new(share);
            assert_eq!(events.read(Bytes::from_static(b"{\"type\":\"MODIFIED\",\"object\":")).unwrap(), []);
            let [event] = events.read(frame.clone()).unwrap().try_into().unwrap();
            assert_eq!((event.kind, &event.object[..]), (Kind::Modified, &b"{\"a\":1}"[..]));
            assert_eq!(event.object.as_ptr() == frame.as_ptr(), expected);
        }
    }

    #[test]
    fn what_is_no_event_is_an_error_and_the_next_line_is_read() {
        let mut events = Events::new(false);
        assert!(events.read(Bytes::from_static(b"nonsense\n")).is_err());
        let next = events.read(Bytes::from_static(b"{\"type\":\"ERROR\",\"object\":{}}\n")).unwrap();
        assert_eq!(next[0].kind, Kind::Error);
    }
}
