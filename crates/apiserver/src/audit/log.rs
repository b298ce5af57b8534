//! The audit log: a line for each event, to a file that is cut off at a size, or to standard output.
//!
//! A thread of its own writes. When it can not keep up events are lost, and counted: requests do not wait for a
//! disk. Files that were cut off carry the time in their names (upstream: lumberjack).

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;

/// Events that wait to be written.
const QUEUE_MAX: usize = 10_000;
/// Bytes of them beyond which no more are taken on: some hold whole lists.
const QUEUE_BYTES: usize = 64 << 20;
/// The size at which a file is cut off unless the flag says otherwise.
const DEFAULT_MEGABYTES: u64 = 100;
const MEGABYTE: u64 = 1 << 20;
const FLUSH_WAIT: Duration = Duration::from_secs(2);

/// Where the log goes, and what is kept of it. Zeros keep everything.
#[derive(Clone, Debug, Default)]
pub struct LogOptions {
    /// `-` is standard output.
    pub path: PathBuf,
    pub max_megabytes: u64,
    pub max_backups: usize,
    pub max_age_days: u64,
}

enum Line {
    Event(Vec<u8>),
    Flush(SyncSender<()>),
}

pub struct Log {
    lines: SyncSender<Line>,
    /// Bytes of events that wait.
    waiting: Arc<AtomicUsize>,
    pub events: Counter,
    pub errors: Counter,
}

impl Log {
    pub fn start(options: LogOptions) -> io::Result<Self> {
        let (lines, taken) = sync_channel(QUEUE_MAX);
        let (events, errors) = (Counter::default(), Counter::default());
        let waiting = Arc::new(AtomicUsize::new(0));
        let (lost, left) = (errors.clone(), waiting.clone());
        std::thread::Builder::new().name("audit".to_owned()).spawn(move || write_all(options, &taken, &left, &lost))?;
        Ok(Self { lines, waiting, events, errors })
    }

    pub fn write(&self, line: Vec<u8>) {
        let length = line.len();
        let before = self.waiting.fetch_add(length, Ordering::Relaxed);
        let taken = before < QUEUE_BYTES && self.lines.try_send(Line::Event(line)).is_ok();
        if !taken {
            self.waiting.fetch_sub(length, Ordering::Relaxed);
        }
        if taken { &self.events } else { &self.errors }.inc();
    }

    /// Waits, for a while, until all that was written before is where it belongs.
    pub fn flush(&self) {
        let (done, wait) = sync_channel(1);
        let flushed = self.lines.try_send(Line::Flush(done)).is_ok() && wait.recv_timeout(FLUSH_WAIT).is_ok();
        if !flushed {
            tracing::warn!("the audit log is behind");
        }
    }
}

fn write_all(options: LogOptions, lines: &Receiver<Line>, waiting: &AtomicUsize, lost: &Counter) {
    let mut sink = Sink { options, file: None };
    let mut broken = false;
    while let Ok(line) = lines.recv() {
        match line {
            Line::Flush(done) => drop(done.try_send(())),
            Line::Event(event) => {
                let written = sink.write(&event);
                waiting.fetch_sub(event.len(), Ordering::Relaxed);
                if let Err(error) = &written {
                    lost.inc();
                    if !broken {
                        tracing::error!(%error, "audit events can not be written");
                    }
                }
                broken = written.is_err();
            }
        }
    }
}

struct Sink {
    options: LogOptions,
    /// The open file and its size.
    file: Option<(File, u64)>,
}

impl Sink {
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.options.path == Path::new("-") {
            return io::stdout().write_all(line);
        }
        let limit = if self.options.max_megabytes == 0 { DEFAULT_MEGABYTES } else { self.options.max_megabytes };
        let mut opened = self.open()?;
        if opened.1 > 0 && opened.1 + line.len() as u64 > limit * MEGABYTE {
            drop(opened);
            self.rotate()?;
            opened = self.open()?;
        }
        let written = opened.0.write_all(line);
        // After a failure the file is opened anew: it may have been moved, or its disk been full.
        if written.is_ok() {
            self.file = Some((opened.0, opened.1 + line.len() as u64));
        }
        written
    }

    fn open(&mut self) -> io::Result<(File, u64)> {
        if let Some(opened) = self.file.take() {
            return Ok(opened);
        }
        use std::os::unix::fs::OpenOptionsExt as _;
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.options.path)?;
        let size = file.metadata()?.len();
        Ok((file, size))
    }

    fn rotate(&self) -> io::Result<()> {
        let now = clock::now();
        std::fs::rename(&self.options.path, backup_name(&self.options.path, now))?;
        let (kept, age) = (self.options.max_backups, self.options.max_age_days);
        for old in surplus(backups(&self.options.path)?, kept, age, now) {
            std::fs::remove_file(old)?;
        }
        Ok(())
    }
}

/// What stands before and behind the time in the names of files that were cut off.
fn around(path: &Path) -> (String, String) {
    let text = |part: Option<&std::ffi::OsStr>| part.map(|part| part.to_string_lossy().into_owned());
    let extension = text(path.extension()).map(|extension| format!(".{extension}")).unwrap_or_default();
    (format!("{}-", text(path.file_stem()).unwrap_or_default()), extension)
}

const TIME: &str = "%Y-%m-%dT%H-%M-%S%.3f";

fn backup_name(path: &Path, at: Timestamp) -> PathBuf {
    let (before, behind) = around(path);
    path.with_file_name(format!("{before}{}{behind}", at.strftime(TIME)))
}

/// The files that were cut off, with the times in their names.
fn backups(path: &Path) -> io::Result<Vec<(Timestamp, PathBuf)>> {
    let (before, behind) = around(path);
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let time = name.strip_prefix(&before).and_then(|rest| rest.strip_suffix(&behind));
        let time = time.and_then(|time| Timestamp::strptime("%Y-%m-%dT%H-%M-%S%.f%z", format!("{time}+0000")).ok());
        found.extend(time.map(|time| (time, entry.path())));
    }
    Ok(found)
}

/// Which of them are too many or too old.
fn surplus(mut backups: Vec<(Timestamp, PathBuf)>, kept: usize, age_days: u64, now: Timestamp) -> Vec<PathBuf> {
    backups.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
    let too_old = |time: Timestamp| {
        let age = now.duration_since(time).as_secs();
        age_days > 0 && age > (age_days * 24 * 60 * 60) as i64
    };
    let surplus = backups.into_iter().enumerate().filter(|(at, (time, _))| (kept > 0 && *at >= kept) || too_old(*time));
    surplus.map(|(_, (_, path))| path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_file_that_is_full_is_cut_off_and_surplus_ones_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        let options = LogOptions { path: path.clone(), max_megabytes: 1, max_backups: 1, max_age_days: 0 };
        let mut sink = Sink { options, file: None };
        let line = vec![b'x'; 600 << 10];
        for _ in 0..4 {
            sink.write(&line).unwrap();
        }
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 600 << 10);
        assert_eq!(backups(&path).unwrap().len(), 1);
    }

    #[test]
    fn names_carry_the_time_and_tell_it_again() {
        let time = at("2026-11-25T20:30:01.250Z");
        let name = backup_name(Path::new("/var/log/audit.log"), time);
        assert_eq!(name, Path::new("/var/log/audit-2026-11-25T20-30-01.250.log"));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        std::fs::write(backup_name(&path, time), "").unwrap();
        std::fs::write(dir.path().join("audit-notes.log"), "").unwrap();
        let found: Vec<Timestamp> = backups(&path).unwrap().into_iter().map(|(time, _)| time).collect();
        assert_eq!(found, [time]);
    }

    #[test]
    fn old_files_are_surplus() {
        let files = ["2026-11-01T00:00:00Z", "2026-11-20T00:00:00Z"].map(|time| (at(time), PathBuf::from(time)));
        let now = at("2026-11-25T00:00:00Z");
        assert_eq!(surplus(files.to_vec(), 0, 10, now), [PathBuf::from("2026-11-01T00:00:00Z")]);
        assert!(surplus(files.to_vec(), 0, 0, now).is_empty());
    }

    #[test]
    fn what_can_not_be_written_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::start(LogOptions { path: dir.path().to_owned(), ..LogOptions::default() }).unwrap();
        log.write(b"{}\n".to_vec());
        log.flush();
        assert_eq!((log.events.get(), log.errors.get()), (1, 1));
    }
}
