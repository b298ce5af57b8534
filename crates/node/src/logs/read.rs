//! Reads a container's log as clients ask for it, and follows it by the kernel's own notifications.

use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use jiff::Timestamp;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::sync::{mpsc, watch};

use super::parse::Entry;
use crate::fd::Fd;

/// How much is read, and handed on, at once.
const CHUNK: usize = 32 * 1024;

/// What of a log is wanted, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    pub follow: bool,
    pub tail_lines: Option<u64>,
    pub since: Option<Timestamp>,
    pub timestamps: bool,
    pub limit_bytes: Option<u64>,
    /// `stdout` or `stderr`; both without it.
    pub stream: Option<String>,
}

/// Sends the log's text. Ends at the file's end, or, when following, once `ended` turned true and all was
/// read; earlier when nobody listens any more or the limit is reached.
pub async fn stream(
    path: PathBuf,
    options: Options,
    mut ended: watch::Receiver<bool>,
    sender: mpsc::Sender<Bytes>,
) -> io::Result<()> {
    let follower = if options.follow { Some(Follower::new(&path)?) } else { None };
    let mut source = Source::open(&path, options.tail_lines)?;
    let mut printer = Printer::new(options);
    loop {
        // Looked at before reading, so that what is written before the end is read after it.
        let last = follower.is_none() || *ended.borrow();
        while let Some(bytes) = source.read()? {
            let text = printer.print(&bytes);
            if !text.is_empty() && sender.send(text).await.is_err() || printer.full() {
                return Ok(());
            }
        }
        if source.reopen_if_rotated(&path)? {
            continue;
        }
        let Some(follower) = follower.as_ref().filter(|_| !last) else { return Ok(()) };
        tokio::select! {
            changed = follower.changed() => changed?,
            end = ended.wait_for(|ended| *ended) => {
                if end.is_err() {
                    return Ok(());
                }
            }
            () = sender.closed() => return Ok(()),
        }
    }
}

/// Tells when anything in the log's directory changed.
struct Follower(Fd);

impl Follower {
    fn new(path: &Path) -> io::Result<Follower> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        let flags = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO;
        inotify.add_watch(path.parent().unwrap_or(Path::new("/")), flags)?;
        Ok(Follower(Fd::new(inotify.as_fd().try_clone_to_owned()?)?))
    }

    /// Which file it was does not matter, so what the kernel says is only taken.
    async fn changed(&self) -> io::Result<()> {
        self.0.read(&mut [0; 4096]).await.map(|_| ())
    }
}

struct Source {
    file: std::fs::File,
    inode: u64,
}

impl Source {
    fn open(path: &Path, tail_lines: Option<u64>) -> io::Result<Source> {
        let mut file = std::fs::File::open(path)?;
        if let Some(lines) = tail_lines {
            let at = tail_offset(&mut file, lines)?;
            file.seek(SeekFrom::Start(at))?;
        }
        let inode = file.metadata()?.ino();
        Ok(Source { file, inode })
    }

    fn read(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut buffer = vec![0; CHUNK];
        let count = self.file.read(&mut buffer)?;
        buffer.truncate(count);
        Ok((count > 0).then_some(buffer))
    }

    /// Whether a new file was begun under the same path.
    fn reopen_if_rotated(&mut self, path: &Path) -> io::Result<bool> {
        match std::fs::metadata(path) {
            Ok(meta) if meta.ino() != self.inode => {
                *self = Source::open(path, None)?;
                Ok(true)
            }
            Ok(_) => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Where the last `lines` lines begin; parts of a long line count as one.
fn tail_offset(file: &mut std::fs::File, lines: u64) -> io::Result<u64> {
    let length = file.metadata()?.len();
    if lines == 0 {
        return Ok(length);
    }
    let (mut end, mut seen) = (length, 0);
    while end > 0 {
        let start = end.saturating_sub(CHUNK as u64);
        let mut chunk = vec![0; (end - start) as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut chunk)?;
        for (index, _) in chunk.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            let at = start + index as u64 + 1;
            seen += u64::from(at < length && starts_line(file, at)?);
            if seen == lines {
                return Ok(at);
            }
        }
        end = start;
    }
    Ok(0)
}

/// Whether the entry at `at` is the first part of its line: the one before it is not partial.
fn starts_line(file: &mut std::fs::File, at: u64) -> io::Result<bool> {
    // The head of an entry is far shorter, and runtimes cut entries at 16 KiB.
    let start = at.saturating_sub(CHUNK as u64);
    let mut before = vec![0; (at - 1 - start) as usize];
    file.seek(SeekFrom::Start(start))?;
    file.read_exact(&mut before)?;
    let line = before.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(Entry::parse(line).is_none_or(|entry| !entry.partial))
}

/// Turns a log's bytes into the text that a client gets.
struct Printer {
    options: Options,
    /// The begin of a line whose end was not read yet.
    rest: Vec<u8>,
    left: Option<u64>,
    /// The next entry goes on with a line that was begun.
    continues: bool,
}

impl Printer {
    fn new(options: Options) -> Printer {
        Printer { left: options.limit_bytes, options, rest: Vec::new(), continues: false }
    }

    fn full(&self) -> bool {
        self.left == Some(0)
    }

    fn print(&mut self, bytes: &[u8]) -> Bytes {
        let mut input = std::mem::take(&mut self.rest);
        input.extend_from_slice(bytes);
        let mut output = Vec::with_capacity(input.len());
        for line in input.split_inclusive(|byte| *byte == b'\n') {
            match line.strip_suffix(b"\n") {
                Some(line) => self.line(line, &mut output),
                None => self.rest = line.to_vec(),
            }
        }
        if let Some(left) = &mut self.left {
            output.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= output.len() as u64;
        }
        Bytes::from(output)
    }

    fn line(&mut self, line: &[u8], output: &mut Vec<u8>) {
        let Some(entry) = Entry::parse(line) else { return };
        let early = self.options.since.is_some_and(|since| entry.at().is_some_and(|at| at < since));
        let other = self.options.stream.as_deref().is_some_and(|stream| stream != entry.stream);
        if early || other {
            return;
        }
        if self.options.timestamps && !self.continues {
            output.extend_from_slice(entry.timestamp.as_bytes());
            output.push(b' ');
        }
        output.extend_from_slice(entry.text);
        if !entry.partial {
            output.push(b'\n');
        }
        self.continues = entry.partial;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn line(second: u32, tag: &str, text: &str) -> String {
        format!("2026-01-01T00:00:{second:02}.000000000Z stdout {tag} {text}\n")
    }

    async fn read(log: &str, options: Options) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), log).unwrap();
        let (_keep, ended) = watch::channel(true);
        let (sender, mut receiver) = mpsc::channel(100);
        stream(file.path().to_path_buf(), options, ended, sender).await.unwrap();
        let mut text = String::new();
        while let Some(bytes) = receiver.recv().await {
            text += std::str::from_utf8(&bytes).unwrap();
        }
        text
    }

    #[tokio::test]
    async fn options_choose_what_is_shown() {
        let log = line(1, "F", "a") + &line(2, "P", "b") + &line(3, "F", "c") + &line(4, "F", "d");
        let with = |change: fn(&mut Options)| {
            let mut options = Options::default();
            change(&mut options);
            options
        };
        assert_eq!(read(&log, Options::default()).await, "a\nbc\nd\n");
        assert_eq!(read(&log, with(|o| o.tail_lines = Some(1))).await, "d\n");
        assert_eq!(read(&log, with(|o| o.tail_lines = Some(2))).await, "bc\nd\n");
        assert_eq!(read(&log, with(|o| o.tail_lines = Some(0))).await, "");
        assert_eq!(read(&log, with(|o| o.tail_lines = Some(9))).await, "a\nbc\nd\n");
        assert_eq!(read(&log, with(|o| o.limit_bytes = Some(3))).await, "a\nb");
        assert_eq!(read(&log, with(|o| o.since = Some("2026-01-01T00:00:04Z".parse().unwrap()))).await, "d\n");
        assert_eq!(read(&log, with(|o| o.stream = Some("stderr".into()))).await, "");
        assert_eq!(read(&line(1, "F", "a"), with(|o| o.timestamps = true)).await, "2026-01-01T00:00:01.000000000Z a\n");
    }

    #[tokio::test]
    async fn the_tail_of_a_long_log_is_found() {
        let log: String = (0..3000).map(|i| line(i % 60, "F", &format!("line {i}"))).collect();
        let text = read(&log, Options { tail_lines: Some(1000), ..Options::default() }).await;
        assert_eq!(text.lines().count(), 1000);
        assert!(text.starts_with("line 2000\n"));
    }

    #[tokio::test]
    async fn following_sees_new_lines_a_rotation_and_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        std::fs::write(&path, line(1, "F", "one")).unwrap();
        let (end, ended) = watch::channel(false);
        let (sender, mut receiver) = mpsc::channel(1);
        let options = Options { follow: true, ..Options::default() };
        let reading = tokio::spawn(stream(path.clone(), options, ended, sender));
        assert_eq!(receiver.recv().await.unwrap(), "one\n");
        let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(line(2, "F", "two").as_bytes()).unwrap();
        assert_eq!(receiver.recv().await.unwrap(), "two\n");
        std::fs::rename(&path, dir.path().join("0.log.1")).unwrap();
        std::fs::write(&path, line(3, "F", "three")).unwrap();
        assert_eq!(receiver.recv().await.unwrap(), "three\n");
        end.send(true).unwrap();
        assert!(receiver.recv().await.is_none());
        reading.await.unwrap().unwrap();
    }
}
