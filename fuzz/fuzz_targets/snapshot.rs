//! Files of snapshots: as they are, and as what they are when unpacked.
#![no_main]

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use libfuzzer_sys::fuzz_target;
use store::snapshot;

fn read(file: &[u8]) {
    let header = snapshot::read_header(file);
    if let Ok(whole) = snapshot::read(file) {
        assert_eq!(header.expect("what is whole begins with one"), whole.header);
    }
}

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(bytes).expect("memory takes all");
    read(&packed.finish().expect("memory takes all"));
});
