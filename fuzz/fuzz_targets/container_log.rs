//! Logs: what a container wrote, in whatever pieces, is what is read.
#![no_main]

use std::fs;
use std::sync::LazyLock;

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;

#[path = "."]
mod supervisor {
    pub mod output {
        /// Stands in for the supervisor's.
        #[derive(Clone, Copy, PartialEq, Eq)]
        pub enum Stream {
            Stdout,
            Stderr,
        }
    }

    #[allow(dead_code)]
    #[path = "../../crates/containers/src/supervisor/logs.rs"]
    pub mod logs;
}

#[allow(dead_code)]
#[path = "../../crates/node/src/logs/parse.rs"]
mod parse;

use parse::Entry;
use supervisor::logs::Log;
use supervisor::output::Stream;

static ROOT: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir_in("/dev/shm").expect("a directory"));

fuzz_target!(|input: (&[u8], Vec<(bool, &[u8])>)| {
    let (line, chunks) = input;
    let _ = (Entry::parse(line).map(|entry| entry.at()), parse::text_of(&String::from_utf8_lossy(line)));
    let path = ROOT.path().join("0.log");
    let _ = fs::remove_file(&path);
    let mut log = Log::open(&path).expect("a log");
    let mut wrote = [Vec::new(), Vec::new()];
    for (is_error, bytes) in &chunks {
        let stream = if *is_error { Stream::Stderr } else { Stream::Stdout };
        log.write(stream, bytes, Timestamp::UNIX_EPOCH).expect("a write");
        wrote[usize::from(*is_error)].extend_from_slice(bytes);
    }
    log.finish(Timestamp::UNIX_EPOCH).expect("a write");
    let mut read = [Vec::new(), Vec::new()];
    for line in fs::read(&path).expect("a log").split_inclusive(|byte| *byte == b'\n') {
        let entry = Entry::parse(line.strip_suffix(b"\n").expect("lines are whole")).expect("it was written");
        assert_eq!(entry.at(), Some(Timestamp::UNIX_EPOCH));
        let of = &mut read[usize::from(entry.stream == "stderr")];
        of.extend_from_slice(entry.text);
        if !entry.partial {
            of.push(b'\n');
        }
    }
    // The last line gets an end.
    for bytes in wrote.iter_mut().filter(|bytes| bytes.last().is_some_and(|byte| *byte != b'\n')) {
        bytes.push(b'\n');
    }
    assert_eq!(read, wrote);
});
