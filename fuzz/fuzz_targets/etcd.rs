//! Answers of an etcd: whatever it sends, they are read or refused, and what was read is written and read alike.
#![no_main]

use libfuzzer_sys::fuzz_target;
use prost::Message;

#[allow(dead_code)]
#[path = "../../crates/store/src/etcd/proto.rs"]
mod proto;

fn read<M: Message + Default + PartialEq>(bytes: &[u8]) {
    if let Ok(message) = M::decode(bytes) {
        let again = M::decode(&message.encode_to_vec()[..]).expect("it was encoded");
        assert!(message == again);
    }
}

fuzz_target!(|bytes: &[u8]| {
    read::<proto::RangeResponse>(bytes);
    read::<proto::TxnResponse>(bytes);
    read::<proto::CompactionResponse>(bytes);
    read::<proto::WatchResponse>(bytes);
});
