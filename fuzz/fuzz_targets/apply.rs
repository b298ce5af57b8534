//! Server-side apply of any configuration to any object, whoever is said to own it.
#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use machinery::Object;
use machinery::apply::{Filter, Layout, Set, Versions, Writer};
use machinery::decode::{FieldPolicy, decode_json};
use machinery::names::GroupVersionKind;
use serde_json::{Map, Value};

const POD: &str = "io.k8s.api.core.v1.Pod";

/// One version, as which everything is written.
struct OneVersion;

impl Versions for OneVersion {
    fn layout(&self, _: &str) -> Option<Layout> {
        None
    }

    fn convert(&self, object: Map<String, Value>, _: &str, _: &str) -> Map<String, Value> {
        object
    }
}

/// The pod that the value describes, as the server reads it.
fn pod(value: &Value) -> Option<Object> {
    let (mut object, _) = decode_json(&serde_json::to_vec(value).ok()?, POD, FieldPolicy::Ignore).ok()?;
    object.set(&["apiVersion"], "v1");
    object.set(&["kind"], "Pod");
    Some(object)
}

fn apply(live: &Object, config: &Object, manager: &str, force: bool) -> Option<Object> {
    let writer = Writer {
        manager,
        gvk: &GroupVersionKind::new("", "v1", "Pod"),
        api_version: "v1",
        subresource: "",
        now: Timestamp::UNIX_EPOCH,
        filter: &Filter::Without(Set::default()),
        layout: &Layout::Message(schema::message(POD).expect("a kind")),
        versions: &OneVersion,
    };
    let applied = writer.apply(Some(live), config, force).ok()?;
    Some(pod(&applied.into_value()).expect("what is applied can be stored"))
}

fuzz_target!(|bytes: &[u8]| {
    let Ok((live, config)) = serde_json::from_slice::<(Value, Value)>(bytes) else { return };
    let (Some(live), Some(config)) = (pod(&live), pod(&config)) else { return };
    for manager in ["one", "kubectl"] {
        let Some(once) = apply(&live, &config, manager, true) else { continue };
        assert_eq!(apply(&once, &config, manager, false).as_ref(), Some(&once), "by force it became its own");
    }
});
