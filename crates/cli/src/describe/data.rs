//! Config maps and secrets: the former with their values, the latter without.

use serde_json::Value;

use super::text::{Text, text};

pub fn describe_config_map(to: &mut Text, map: &Value) {
    head(to, map);
    title(to, "Data");
    for (name, value) in map["data"].as_object().into_iter().flatten() {
        to.line(0, &format!("{name}:\n----\n{}\n", text(value)));
    }
    title(to, "BinaryData");
    for (name, value) in map["binaryData"].as_object().into_iter().flatten() {
        to.line(0, &format!("{name}: {} bytes", decoded_length(text(value))));
    }
    to.line(0, "");
}

pub fn describe_secret(to: &mut Text, secret: &Value) {
    head(to, secret);
    to.line(0, "");
    to.field(0, "Type", text(&secret["type"]));
    title(to, "Data");
    for (name, value) in secret["data"].as_object().into_iter().flatten() {
        to.field(0, name, format!("{} bytes", decoded_length(text(value))));
    }
}

fn head(to: &mut Text, object: &Value) {
    to.head(object);
    to.labels(0, &object["metadata"]["labels"]);
    to.annotations(0, &object["metadata"]["annotations"]);
}

fn title(to: &mut Text, title: &str) {
    to.line(0, &format!("\n{title}\n===="));
}

/// How many bytes a text in base64 stands for.
fn decoded_length(base64: &str) -> usize {
    base64.trim_end_matches('=').len() * 3 / 4
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    #[test]
    fn config_maps_show_their_values() {
        let mut text = Text::default();
        let map =
            json!({"metadata": {"name": "c", "namespace": "ns"}, "data": {"x": "1"}, "binaryData": {"b": "AAEC"}});
        describe_config_map(&mut text, &map);
        expect![[r#"
            Name:         c
            Namespace:    ns
            Labels:       <none>
            Annotations:  <none>

            Data
            ====
            x:
            ----
            1


            BinaryData
            ====
            b: 3 bytes

        "#]]
        .assert_eq(&text.aligned());
    }

    #[test]
    fn secrets_show_how_long_their_values_are() {
        let mut text = Text::default();
        let secret = json!({"metadata": {"name": "s"}, "type": "Opaque", "data": {"a": "aGVsbG8=", "empty": ""}});
        describe_secret(&mut text, &secret);
        let text = text.aligned();
        assert!(text.ends_with("\nType:  Opaque\n\nData\n====\na:      5 bytes\nempty:  0 bytes\n"), "{text}");
        assert!(!text.contains("aGVsbG8"), "{text}");
    }
}
