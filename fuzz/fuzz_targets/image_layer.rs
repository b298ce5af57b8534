//! Layers: whatever a tar holds, nothing is made or changed outside of the layer's directory. Needs root, as unpacking does.
#![no_main]

use std::fs;
use std::io::Write;
use std::path::Path;

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use sha2::{Digest, Sha256};

#[allow(dead_code)]
#[path = "../../crates/containers/src/image/layer.rs"]
mod layer;

/// Largest file that is written; an archive may promise any.
const FILE_MAX: u64 = 1 << 20;
const NAMES: [&str; 12] = [
    "a",
    "b",
    "a/b",
    "a/b/c",
    "../canary",
    "/canary",
    "a/../../canary",
    ".wh.a",
    "a/.wh.b",
    "a/.wh..wh..opq",
    ".wh..",
    ".",
];

#[derive(Arbitrary, Debug)]
struct Entry<'a> {
    kind: u8,
    name: Text<'a>,
    link: Text<'a>,
    mode: u16,
    mtime: u64,
    pax: Option<(&'a str, &'a [u8])>,
    content: &'a [u8],
    /// In place of the content's.
    size: Option<u64>,
}

#[derive(Arbitrary, Debug)]
enum Text<'a> {
    Known(u8),
    Any(&'a str),
}

#[derive(Arbitrary, Debug)]
enum Input<'a> {
    Bytes(&'a [u8]),
    Entries(Vec<Entry<'a>>),
}

impl Text<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Text::Known(at) => NAMES[usize::from(*at) % NAMES.len()].as_bytes(),
            Text::Any(text) => text.as_bytes(),
        }
    }
}

fn fill(field: &mut [u8], text: &[u8]) {
    let length = text.len().min(field.len());
    field[..length].copy_from_slice(&text[..length]);
}

fn add(tar: &mut Vec<u8>, kind: u8, entry: &Entry<'_>, content: &[u8], size: u64) {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_mode(entry.mode.into());
    header.set_mtime(entry.mtime);
    header.set_size(size);
    fill(&mut header.as_old_mut().name, entry.name.bytes());
    fill(&mut header.as_old_mut().linkname, entry.link.bytes());
    header.set_cksum();
    tar.extend_from_slice(header.as_bytes());
    tar.extend_from_slice(content);
    tar.resize(tar.len().next_multiple_of(512), 0);
}

fn tar(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut tar = Vec::new();
    for entry in entries {
        if let Some((key, value)) = entry.pax {
            let record = [key.as_bytes(), b"=", value, b"\n"].concat();
            let digits = (1..).find(|digits| (record.len() + 1 + digits).to_string().len() == *digits).unwrap_or(1);
            let record = [format!("{} ", record.len() + 1 + digits).as_bytes(), &record].concat();
            add(&mut tar, b'x', entry, &record, record.len() as u64);
        }
        add(&mut tar, entry.kind, entry, entry.content, entry.size.unwrap_or(entry.content.len() as u64));
    }
    tar
}

fn limit_files() {
    use nix::sys::resource::{Resource, setrlimit};
    use nix::sys::signal::{SigHandler, Signal, signal};
    setrlimit(Resource::RLIMIT_FSIZE, FILE_MAX, FILE_MAX).expect("limits may be lowered");
    // SAFETY: the signal is ignored; the write fails instead.
    unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) }.expect("a signal of its own");
}

fuzz_target!(
    init: limit_files(),
    |input: Input<'_>| {
        let bytes = match input {
            Input::Bytes(bytes) => bytes.to_vec(),
            Input::Entries(entries) => tar(&entries),
        };
        let outside = tempfile::tempdir_in("/dev/shm").expect("a directory");
        let (inside, canary) = (outside.path().join("layer"), outside.path().join("canary"));
        fs::create_dir(&inside).expect("a directory");
        fs::File::create(&canary).and_then(|mut file| file.write_all(b"sings")).expect("a file");
        let before = fs::symlink_metadata(&canary).expect("it is there");
        let digest = format!("sha256:{}", machinery::strconv::hex(&Sha256::digest(&bytes)));
        let _ = layer::unpack(&bytes[..], Path::new(&inside), &digest);
        let mut names: Vec<_> = fs::read_dir(outside.path()).expect("it is there").flatten().map(|of| of.file_name()).collect();
        names.sort();
        assert_eq!(names, ["canary", "layer"]);
        assert_eq!(fs::read(&canary).expect("it is there"), b"sings");
        let after = fs::symlink_metadata(&canary).expect("it is there");
        use std::os::unix::fs::MetadataExt;
        let of = |data: &fs::Metadata| (data.mode(), data.uid(), data.nlink(), data.mtime(), data.ctime_nsec());
        assert_eq!(of(&after), of(&before));
    }
);
