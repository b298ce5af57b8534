//! One line of a log in CRI's format: `TIMESTAMP STREAM TAG TEXT`.

use jiff::Timestamp;

/// One line, or part of a long one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    pub timestamp: &'a str,
    /// `stdout` or `stderr`.
    pub stream: &'a str,
    /// The line goes on in the next entry.
    pub partial: bool,
    pub text: &'a [u8],
}

impl<'a> Entry<'a> {
    /// Reads a line without its end; nothing when it is not of this format.
    pub fn parse(line: &'a [u8]) -> Option<Entry<'a>> {
        let mut parts = line.splitn(4, |byte| *byte == b' ');
        let mut word = || std::str::from_utf8(parts.next()?).ok();
        let (timestamp, stream, tag) = (word()?, word()?, word()?);
        let text = parts.next().unwrap_or_default();
        matches!(stream, "stdout" | "stderr").then_some(Entry {
            timestamp,
            stream,
            partial: tag.split(':').next() == Some("P"),
            text,
        })
    }

    pub fn at(&self) -> Option<Timestamp> {
        self.timestamp.parse().ok()
    }
}

/// What the container wrote, with the end of the line where there was one.
pub fn text_of(line: &str) -> Option<String> {
    let entry = Entry::parse(line.as_bytes())?;
    let end = if entry.partial { "" } else { "\n" };
    Some(format!("{}{end}", String::from_utf8_lossy(entry.text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_parts_of_lines_are_read() {
        let line = "2026-01-01T00:00:00.123456789Z stdout F hello  world";
        let entry = Entry::parse(line.as_bytes()).unwrap();
        assert_eq!((entry.stream, entry.partial, entry.text), ("stdout", false, &b"hello  world"[..]));
        assert_eq!(entry.at().unwrap().subsec_nanosecond(), 123_456_789);
        assert_eq!(text_of("2026-01-01T00:00:00Z stderr P ab").unwrap(), "ab");
        assert_eq!(text_of("2026-01-01T00:00:00Z stderr F ").unwrap(), "\n");
        assert_eq!(text_of("2026-01-01T00:00:00Z stderr F").unwrap(), "\n");
        assert_eq!(text_of("garbage"), None);
    }
}
