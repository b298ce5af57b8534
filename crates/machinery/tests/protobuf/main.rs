//! What is written in protobuf, read back, and read by k8s-pb, which knows nothing of the schema table.

mod generate;

use generate::Numbers;
use k8s_pb::api;
use k8s_pb::apiextensions_apiserver::pkg::apis::apiextensions;
use k8s_pb::apimachinery::pkg::runtime::Unknown;
use machinery::decode::{FieldPolicy, decode_json};
use machinery::protobuf::{decode_protobuf, encode_message, encode_protobuf};
use proptest::prelude::*;
use prost::Message as _;
use schema::Message;
use serde_json::{Map, Value, json};

fn objects() -> impl Iterator<Item = &'static Message> {
    schema::messages().iter().copied().filter(|message| message.is_object())
}

fn names(message: &Message) -> (String, &'static str) {
    let parts: Vec<&str> = message.name.rsplit('.').collect();
    (format!("test/{}", parts[1]), message.name.rsplit('.').next().unwrap_or_default())
}

fn check_round_trip(message: &'static Message, seed: u64) {
    let (api_version, kind) = names(message);
    let object = generate::object(&mut Numbers(seed), message, &api_version, kind);
    let back = decode_protobuf(&encode_protobuf(&object, message), message.name).unwrap();
    let (back, made) = (Value::Object(back.0), Value::Object(object.clone()));
    assert_eq!(difference("", &back, &made), None, "{message:?} through protobuf");
    let text = serde_json::to_vec(&object).unwrap();
    let (same, problems) = decode_json(&text, message.name, FieldPolicy::Strict).unwrap();
    assert_eq!(problems, Vec::<String>::new(), "{message:?}");
    assert_eq!(difference("", &same.into_value(), &made), None, "{message:?} through JSON");
}

/// The first place where two trees differ, and what each has there.
fn difference(path: &str, one: &Value, other: &Value) -> Option<String> {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let names = one.keys().chain(other.keys());
            let at = |map: &Map<String, Value>, name: &str| map.get(name).cloned().unwrap_or_default();
            names.into_iter().find_map(|name| difference(&format!("{path}.{name}"), &at(one, name), &at(other, name)))
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            one.iter().zip(other).enumerate().find_map(|(at, (a, b))| difference(&format!("{path}[{at}]"), a, b))
        }
        _ => (one != other).then(|| format!("{path}: {one} and {other}")),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, ..ProptestConfig::default() })]

    #[test]
    fn objects_of_every_kind_come_back_as_they_were(seed: u64) {
        objects().for_each(|message| check_round_trip(message, seed));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        let body = [b"k8s\0".as_slice(), &bytes].concat();
        for message in ["io.k8s.api.core.v1.Pod", "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"] {
            // Either is fine; a panic is not.
            drop(decode_protobuf(&body, message));
        }
    }
}

/// The other reader writes the same bytes again: it knew every field, its type and its place.
fn check_other_reader<T: prost::Message + Default>(name: &str) {
    let message = schema::message(name).unwrap();
    for seed in 0..50 {
        let object = generate::object(&mut Numbers(seed), message, "v1", "Any");
        let bytes = encode_message(&object, message);
        let read = T::decode(bytes.as_slice()).unwrap_or_else(|error| panic!("{name}, seed {seed}: {error}"));
        assert_eq!(read.encode_to_vec(), bytes, "{name}, seed {seed}");
    }
}

#[test]
fn another_reader_understands_every_field() {
    check_other_reader::<api::core::v1::Pod>("io.k8s.api.core.v1.Pod");
    check_other_reader::<api::apps::v1::Deployment>("io.k8s.api.apps.v1.Deployment");
    check_other_reader::<api::core::v1::Service>("io.k8s.api.core.v1.Service");
    check_other_reader::<api::core::v1::Node>("io.k8s.api.core.v1.Node");
    check_other_reader::<api::core::v1::Event>("io.k8s.api.core.v1.Event");
    check_other_reader::<api::core::v1::PersistentVolume>("io.k8s.api.core.v1.PersistentVolume");
    check_other_reader::<api::batch::v1::CronJob>("io.k8s.api.batch.v1.CronJob");
    check_other_reader::<api::networking::v1::Ingress>("io.k8s.api.networking.v1.Ingress");
    check_other_reader::<api::autoscaling::v2::HorizontalPodAutoscaler>(
        "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler",
    );
    check_other_reader::<apiextensions::v1::CustomResourceDefinition>(
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
    );
}

fn written(name: &str, object: Value) -> Vec<u8> {
    let object: Map<String, Value> = serde_json::from_value(object).unwrap();
    encode_protobuf(&object, schema::message(name).unwrap())
}

#[test]
fn an_envelope_names_the_type() {
    let bytes = written(
        "io.k8s.api.core.v1.Secret",
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "generation": 7}, "data": {"k": "AQI="}}),
    );
    let unknown = Unknown::decode(bytes.strip_prefix(b"k8s\0").unwrap()).unwrap();
    let names = unknown.type_meta.unwrap();
    assert_eq!((names.api_version(), names.kind()), ("v1", "Secret"));
    let secret = api::core::v1::Secret::decode(unknown.raw.unwrap().as_slice()).unwrap();
    let metadata = secret.metadata.unwrap();
    assert_eq!((metadata.name(), metadata.generation()), ("s", 7));
    assert_eq!(secret.data["k"], [1, 2]);
}

#[test]
fn bytes_are_those_of_go() {
    let bytes = written(
        "io.k8s.api.core.v1.ConfigMap",
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "creationTimestamp": "1970-01-01T00:00:05Z"},
            "data": {"y": "2", "x": "1"},
        }),
    );
    let metadata = [
        b"\x0a\x01a".as_slice(),
        b"\x12\0\x1a\0\x22\0\x2a\0\x32\0\x38\0", // no pointers: written though empty
        b"\x42\x04\x08\x05\x10\0",               // five seconds, no nanoseconds
    ]
    .concat();
    let message = [
        &[0x0a, u8::try_from(metadata.len()).unwrap()],
        metadata.as_slice(),
        b"\x12\x06\x0a\x01x\x12\x011",
        b"\x12\x06\x0a\x01y\x12\x012",
    ]
    .concat();
    let length = u8::try_from(message.len()).unwrap();
    let head = [b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09ConfigMap\x12".as_slice(), &[length]].concat();
    assert_eq!(bytes, [head.as_slice(), &message, b"\x1a\0\x22\0"].concat());
}
