//! Container logs in CRI's format: `2026-01-01T00:00:00.000000000Z stdout F line`, with `P` for what has no line end: a
//! part of a longer line, or the last words.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::output::Stream;

/// A longer line is cut into parts of this many bytes.
const MAX_LINE: usize = 16 << 10;

pub struct Log {
    path: PathBuf,
    file: File,
    /// The beginnings of lines, by stream.
    pending: [Vec<u8>; 2],
}

impl Log {
    pub fn open(path: &Path) -> io::Result<Log> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        Ok(Log { path: path.to_path_buf(), file: append(path)?, pending: [Vec::new(), Vec::new()] })
    }

    /// Goes on in a new file, when the old one was moved away.
    pub fn reopen(&mut self) -> io::Result<()> {
        self.file = append(&self.path)?;
        Ok(())
    }

    pub fn write(&mut self, stream: Stream, bytes: &[u8], now: Timestamp) -> io::Result<()> {
        let mut entries = Vec::with_capacity(bytes.len() + 64);
        split(&mut self.pending[stream as usize], stream, bytes, now, &mut entries);
        self.file.write_all(&entries)
    }

    /// Writes what is left without a line end.
    pub fn finish(&mut self, now: Timestamp) -> io::Result<()> {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let rest = std::mem::take(&mut self.pending[stream as usize]);
            if !rest.is_empty() {
                let mut entry = Vec::new();
                push(&mut entry, stream, b'P', &rest, now);
                self.file.write_all(&entry)?;
            }
        }
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new().create(true).append(true).mode(0o640).open(path)
}

fn split(pending: &mut Vec<u8>, stream: Stream, mut bytes: &[u8], now: Timestamp, entries: &mut Vec<u8>) {
    while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
        pending.extend_from_slice(&bytes[..end]);
        cut(pending, stream, now, entries);
        push(entries, stream, b'F', pending, now);
        pending.clear();
        bytes = &bytes[end + 1..];
    }
    pending.extend_from_slice(bytes);
    cut(pending, stream, now, entries);
}

/// Takes whole parts from the front, and leaves at most one part.
fn cut(pending: &mut Vec<u8>, stream: Stream, now: Timestamp, entries: &mut Vec<u8>) {
    while pending.len() > MAX_LINE {
        push(entries, stream, b'P', &pending[..MAX_LINE], now);
        pending.drain(..MAX_LINE);
    }
}

fn push(entries: &mut Vec<u8>, stream: Stream, tag: u8, line: &[u8], now: Timestamp) {
    entries.extend_from_slice(now.strftime("%Y-%m-%dT%H:%M:%S%.9fZ").to_string().as_bytes());
    entries.extend_from_slice(if stream == Stream::Stdout { b" stdout " } else { b" stderr " });
    entries.push(tag);
    entries.push(b' ');
    entries.extend_from_slice(line);
    entries.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp::constant(1_767_225_600, 5);

    fn written(chunks: &[(Stream, &[u8])]) -> String {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("web/0.log");
        let mut log = Log::open(&path).unwrap();
        for (stream, bytes) in chunks {
            log.write(*stream, bytes, AT).unwrap();
        }
        log.finish(AT).unwrap();
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn lines_are_whole_whatever_the_reads() {
        let text = written(&[(Stream::Stdout, b"one\ntw"), (Stream::Stderr, b"oops\n"), (Stream::Stdout, b"o\nrest")]);
        assert_eq!(
            text,
            "2026-01-01T00:00:00.000000005Z stdout F one\n\
             2026-01-01T00:00:00.000000005Z stderr F oops\n\
             2026-01-01T00:00:00.000000005Z stdout F two\n\
             2026-01-01T00:00:00.000000005Z stdout P rest\n"
        );
    }

    #[test]
    fn a_long_line_comes_in_parts() {
        let long = vec![b'x'; MAX_LINE * 2];
        let text = written(&[(Stream::Stdout, &long), (Stream::Stdout, b"y\n")]);
        let tags: Vec<(&str, usize)> = text.lines().map(|line| (&line[38..39], line.len() - 40)).collect();
        assert_eq!(tags, [("P", MAX_LINE), ("P", MAX_LINE), ("F", 1)]);
    }

    #[test]
    fn a_reopened_log_goes_on_in_a_new_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("0.log");
        let mut log = Log::open(&path).unwrap();
        log.write(Stream::Stdout, b"old\n", AT).unwrap();
        fs::rename(&path, directory.path().join("0.log.1")).unwrap();
        log.reopen().unwrap();
        log.write(Stream::Stdout, b"new\n", AT).unwrap();
        assert!(fs::read_to_string(path).unwrap().ends_with("stdout F new\n"));
    }
}
