//! Lists, maps and sets: what is merged, what is kept, what goes.

use super::Story;

fn containers(of: &str) -> String {
    format!("{{spec: {{containers: [{of}]}}}}")
}

#[test]
fn what_is_applied_no_more_goes_unless_another_applies_it() {
    let mut story = Story::pod();
    story.apply("one", &containers("{name: a}, {name: b}, {name: c}"));
    story.apply("two", &containers("{name: c}, {name: d}"));
    story.apply("one", &containers("{name: a}"));
    story.says(&containers("{name: a}, {name: c}, {name: d}"));
    let list = ".spec.containers";
    story.owned(&[
        &format!("apply two: {list}[name=\"c\"] {list}[name=\"d\"] {list}[name=\"c\"].name {list}[name=\"d\"].name"),
        &format!("apply one: {list}[name=\"a\"] {list}[name=\"a\"].name"),
    ]);
}

#[test]
fn what_an_updater_owns_stays() {
    let mut story = Story::config_map();
    story.apply("one", "{data: {a: '1', b: '1'}}").update("two", "{data: {a: '1', b: '2', c: '2'}}");
    story.apply("one", "{data: {a: '1'}}").says("{data: {a: '1', b: '2', c: '2'}}");
    story.apply("one", "{data: {}}").says("{data: {b: '2', c: '2'}}");
}

#[test]
fn fields_that_others_put_into_an_applied_item_keep_the_item() {
    let mut story = Story::pod();
    story.apply("one", &containers("{name: a, image: x}, {name: b, image: x}"));
    story.apply("two", &containers("{name: b, stdin: true}"));
    story.apply("one", &containers("{name: a, image: x}"));
    story.says(&containers("{name: a, image: x}, {name: b, stdin: true}"));
}

#[test]
fn nothing_is_left_where_all_goes() {
    let mut story = Story::pod();
    story.apply("one", "{spec: {nodeSelector: {a: b}, containers: [{name: a}], securityContext: {runAsUser: 1}}}");
    story.apply("one", &containers("{name: a}")).says(&containers("{name: a}"));
}

#[test]
fn an_atomic_value_belongs_to_one_manager() {
    let mut story = Story::pod();
    story.apply("one", "{spec: {nodeSelector: {a: b}, containers: [{name: a, args: [x, z]}]}}");
    assert_eq!(
        story.refused("two", "{spec: {nodeSelector: {c: d}}}"),
        "Apply failed with 1 conflict: conflict with \"one\": .spec.nodeSelector"
    );
    story
        .force("two", &containers("{name: a, args: [z]}"))
        .says("{spec: {nodeSelector: {a: b}, containers: [{name: a, args: [z]}]}}");
    story.owned(&[
        "apply one: .spec.nodeSelector .spec.containers[name=\"a\"] .spec.containers[name=\"a\"].name",
        "apply two: .spec.containers[name=\"a\"] .spec.containers[name=\"a\"].args .spec.containers[name=\"a\"].name",
    ]);
}

#[test]
fn sets_merge_value_by_value() {
    let mut story = Story::config_map();
    story.apply("one", "{metadata: {finalizers: [a/a, b/b]}}").apply("two", "{metadata: {finalizers: [c/c, b/b]}}");
    story.owned(&[
        "apply one: .metadata.finalizers[=\"a/a\"] .metadata.finalizers[=\"b/b\"]",
        "apply two: .metadata.finalizers[=\"b/b\"] .metadata.finalizers[=\"c/c\"]",
    ]);
    story.apply("one", "{metadata: {finalizers: [a/a]}}").says("{metadata: {finalizers: [a/a, c/c, b/b]}}");
    story.apply("one", "{metadata: {}}").says("{metadata: {finalizers: [c/c, b/b]}}");
}

/// `live` is there by an updater; `config` is applied; `wanted` are the containers then.
fn check_order(live: &str, config: &str, wanted: &str) {
    let list = |names: &str| {
        let items: Vec<String> = names.chars().map(|name| format!("{{name: {name}}}")).collect();
        containers(&items.join(", "))
    };
    let mut story = Story::pod();
    story.update("live", &list(live)).apply("one", &list(config)).says(&list(wanted));
}

#[test]
fn items_keep_the_order_of_what_is_applied_and_others_their_places() {
    check_order("abc", "d", "abcd");
    check_order("abc", "ba", "bca");
    check_order("abc", "bd", "abcd");
    check_order("abc", "cab", "cab");
    check_order("abcd", "dxa", "bcdxa");
    check_order("abcde", "edcba", "edcba");
    check_order("", "ab", "ab");
}

#[test]
fn an_absent_protocol_is_tcp() {
    let mut story = Story::pod();
    story.update(
        "live",
        &containers("{name: a, ports: [{containerPort: 53, protocol: TCP}, {containerPort: 53, protocol: UDP}]}"),
    );
    story.apply("one", &containers("{name: a, ports: [{containerPort: 53, name: dns}]}"));
    story.says(&containers(
        "{name: a, ports: [{containerPort: 53, protocol: TCP, name: dns}, {containerPort: 53, protocol: UDP}]}",
    ));
    let port = ".spec.containers[name=\"a\"].ports[containerPort=53,protocol=\"TCP\"]";
    story.owned(&[
        &format!(
            "apply one: .spec.containers[name=\"a\"] .spec.containers[name=\"a\"].name {port} {port}.containerPort {port}.name"
        ),
        "update live: .spec.containers[name=\"a\"] .spec.containers[name=\"a\"].name .spec.containers[name=\"a\"].ports \
         .spec.containers[name=\"a\"].ports[containerPort=53,protocol=\"TCP\"] \
         .spec.containers[name=\"a\"].ports[containerPort=53,protocol=\"UDP\"] \
         .spec.containers[name=\"a\"].ports[containerPort=53,protocol=\"TCP\"].containerPort \
         .spec.containers[name=\"a\"].ports[containerPort=53,protocol=\"TCP\"].protocol \
         .spec.containers[name=\"a\"].ports[containerPort=53,protocol=\"UDP\"].containerPort \
         .spec.containers[name=\"a\"].ports[containerPort=53,protocol=\"UDP\"].protocol",
    ]);
}

#[test]
fn nulls_and_empty_values_are_owned_but_take_nothing_from_what_merges() {
    let mut story = Story::config_map();
    story.update("live", "{data: {a: '1'}}");
    story.apply("one", "{data: null, binaryData: {}}").says("{data: {a: '1'}, binaryData: {}}");
    story.owned(&["apply one: .binaryData .data", "update live: .data .data.a"]);
}

#[test]
fn what_does_not_fit_the_schema_is_refused() {
    let mut story = Story::pod();
    let mut refused = |yaml: &str| {
        let error = story.try_apply("one", yaml, true).unwrap_err();
        assert_eq!(error.code(), 500);
        error.message.replace("failed to create typed patch object (ns/a; /v1, Kind=Pod): ", "")
    };
    let meta = "metadata: {name: a, namespace: ns}";
    for (spec, wanted) in [
        ("nope: 1", ".spec.nope: field not declared in schema"),
        (
            "containers: [{image: x}]",
            ".spec.containers: element 0: associative list with keys has an element that omits \
          all key fields [\"name\"] (and doesn't have default values for any key fields)",
        ),
        ("containers: [{name: a}, {name: a}]", ".spec.containers: duplicate entries for key [name=\"a\"]"),
        ("containers: [null]", ".spec.containers: element 0: associative list with keys may not have a null element"),
        ("containers: {}", ".spec.containers: expected list, got &{map[]}"),
        (
            "containers: [{name: a, command: [[x]]}]",
            ".spec.containers[name=\"a\"].command[0]: expected string, got \
          &value.valueUnstructured{Value:[x]}",
        ),
        ("hostNetwork: 'yes!'", ".spec.hostNetwork: expected boolean, got &{yes!}"),
        ("activeDeadlineSeconds: x", ".spec.activeDeadlineSeconds: expected numeric (int or float), got string"),
        ("nodeName: 5", ".spec.nodeName: expected string, got &value.valueUnstructured{Value:5}"),
        ("nodeSelector: [a]", ".spec.nodeSelector: expected map, got &{[a]}"),
        ("a: 1, b: 2", "errors:\n  .spec.a: field not declared in schema\n  .spec.b: field not declared in schema"),
    ] {
        assert_eq!(refused(&format!("{{{meta}, spec: {{{spec}}}}}")), wanted);
    }
    let finalizers = "{metadata: {name: a, namespace: ns, finalizers: [x, x]}}";
    assert_eq!(refused(finalizers), ".metadata.finalizers: duplicate entries for key [=\"x\"]");
}

#[test]
fn duplicates_that_are_there_already_do_no_harm() {
    let env = |of: &str| containers(&format!("{{name: a, env: [{of}]}}"));
    let mut story = Story::pod();
    story.update("live", &env("{name: X, value: '1'}, {name: X, value: '2'}, {name: W, value: '1'}"));
    story.apply("one", &env("{name: Z, value: '3'}"));
    story.says(&env("{name: X, value: '1'}, {name: X, value: '2'}, {name: W, value: '1'}, {name: Z, value: '3'}"));
    story.force("one", &env("{name: X, value: '3'}"));
    story.says(&env("{name: X, value: '3'}, {name: W, value: '1'}"));
}
