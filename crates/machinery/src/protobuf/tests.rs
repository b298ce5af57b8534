use super::*;

/// A field with the bytes it holds.
fn held(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    let length = u8::try_from(bytes.len()).unwrap();
    if length >= 128 {
        field.extend([length & 0x7f | 0x80, length >> 7]);
    } else {
        field.push(length);
    }
    field.extend(bytes);
    field
}

fn number(number: u8, value: u8) -> Vec<u8> {
    vec![number << 3, value]
}

fn wrapped(version: &str, kind: &str, object: &[u8]) -> Vec<u8> {
    let names = [held(1, version.as_bytes()), held(2, kind.as_bytes())].concat();
    [MAGIC.to_vec(), held(1, &names), held(2, object), held(3, b""), held(4, b"")].concat()
}

fn read(version: &str, kind: &str, message: &str, object: &[Vec<u8>]) -> Value {
    decode_protobuf(&wrapped(version, kind, &object.concat()), message).unwrap().into_value()
}

#[test]
fn a_config_map_is_read() {
    let created = held(8, &[]);
    let metadata = [held(1, b"web"), held(2, b""), held(3, b"default"), held(5, b""), created].concat();
    let entry = |key: &[u8], value: &[u8]| held(2, &[held(1, key), held(2, value)].concat());
    let object = [held(1, &metadata), entry(b"a", b"1"), entry(b"b", b"")];
    assert_eq!(
        read("v1", "ConfigMap", "io.k8s.api.core.v1.ConfigMap", &object),
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "1", "b": ""},
            "metadata": {"name": "web", "namespace": "default"},
        })
    );
}

#[test]
fn fields_that_json_shows_elsewhere_are_lifted() {
    // A volume's source is a message of its own on the wire: emptyDir is field 2 of field 2.
    let volume = [held(1, b"tmp"), held(2, &held(2, &[]))].concat();
    let port = [held(1, b"http"), number(2, 0), number(3, 80), held(4, b"TCP"), held(5, b"")].concat();
    let container = [held(1, b"a"), held(2, b"image"), held(6, &port)].concat();
    let spec = [held(1, &volume), held(2, &container), number(4, 0), number(11, 0)].concat();
    let pod = read("v1", "Pod", "io.k8s.api.core.v1.Pod", &[held(2, &spec), held(3, &held(1, b""))]);
    assert_eq!(
        pod["spec"],
        json!({
            "volumes": [{"name": "tmp", "emptyDir": {}}],
            "containers": [{
                "name": "a", "image": "image", "resources": {},
                "ports": [{"name": "http", "containerPort": 80, "protocol": "TCP"}],
            }],
            // Zero seconds are not the same as none said.
            "terminationGracePeriodSeconds": 0,
        })
    );
    assert_eq!(pod["status"], json!({}));
}

#[test]
fn numbers_texts_and_times_have_their_form() {
    let port =
        [held(1, b"a"), held(4, &[number(1, 1), number(2, 0), held(3, b"http")].concat()), number(3, 80)].concat();
    let other = [number(3, 81), held(4, &[number(1, 0), number(2, 99), held(3, b"")].concat())].concat();
    let service =
        read("v1", "Service", "io.k8s.api.core.v1.Service", &[held(2, &[held(1, &port), held(1, &other)].concat())]);
    assert_eq!(
        service["spec"]["ports"],
        json!([{"name": "a", "port": 80, "targetPort": "http"}, {"port": 81, "targetPort": 99}])
    );
    let metadata = held(8, &number(1, 5));
    let config = read(
        "v1",
        "ConfigMap",
        "io.k8s.api.core.v1.ConfigMap",
        &[held(1, &metadata), held(3, &[held(1, b"k"), held(2, &[1, 2])].concat())],
    );
    assert_eq!(config["metadata"]["creationTimestamp"], "1970-01-01T00:00:05Z");
    assert_eq!(config["binaryData"], json!({"k": "AQI="}));
}

#[test]
fn what_is_no_object_is_refused() {
    let message = "io.k8s.api.core.v1.ConfigMap";
    let refused = |bytes: &[u8]| decode_protobuf(bytes, message).unwrap_err().message;
    assert_eq!(
        refused(b"{}"),
        "the object provided is unrecognized (must be of type ConfigMap): provided data does not appear to be a \
         protobuf message, expected prefix [107 56 115 0] ({})"
    );
    let whole = wrapped("v1", "ConfigMap", &held(1, &held(1, b"web")));
    for end in MAGIC.len() + 1..whole.len() {
        // Cut off anywhere: an error or fewer fields, never a panic.
        drop(decode_protobuf(&whole[..end], message));
    }
    let cut = refused(&whole[..whole.len() - 6]);
    assert!(cut.starts_with("the object provided is unrecognized (must be of type ConfigMap): unexpected EOF (6b38"));
}

#[test]
fn hostile_messages_are_refused() {
    let refused = |object: &[u8]| {
        let body = wrapped("v1", "ConfigMap", object);
        let error = decode_protobuf(&body, "io.k8s.api.core.v1.ConfigMap").unwrap_err();
        assert_eq!(error.code(), 400);
        error.message.strip_prefix("ConfigMap in version \"v1\" cannot be handled as a ConfigMap: ").unwrap().to_owned()
    };
    // A length of two gigabytes, and one of all 64 bits.
    assert_eq!(refused(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0x07]), "unexpected EOF");
    assert_eq!(refused(&[&[0x0a][..], &[0xff; 9], &[1]].concat()), "unexpected EOF");
    assert_eq!(refused(&[0xff; 11]), "proto: integer overflow");
    assert_eq!(refused(&[0x0a]), "unexpected EOF");
    assert_eq!(refused(&[0x02, 0]), "proto: illegal tag");
    // A group begins, a group ends, and two types that do not exist.
    for wire in [3, 4, 6, 7] {
        assert_eq!(refused(&[1 << 3 | wire]), "proto: illegal wireType");
    }
    assert_eq!(refused(&held(1, &held(1, &[0xff]))), "a text is not UTF-8");
    assert_eq!(refused(&number(1, 1)), "a field has another wire type than its message says");
}

#[test]
fn a_schema_is_not_followed_without_end() {
    // Each the `not` of the one around it.
    let mut schema = Vec::new();
    for _ in 0..1000 {
        let mut outer = Vec::new();
        put_length(&mut outer, 28, schema.len());
        schema.splice(0..0, outer);
    }
    let mut body = MAGIC.to_vec();
    put_length(&mut body, 2, schema.len());
    body.extend(schema);
    let error = decode_protobuf(&body, JSON_SCHEMA).unwrap_err();
    assert!(error.message.ends_with("messages are nested too deep"), "{}", error.message);
}
