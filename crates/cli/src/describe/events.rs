//! The events about an object.

use jiff::Timestamp;
use machinery::percent::encode;
use serde_json::Value;

use super::text::{Text, items, or_none, text};
use crate::Result;
use crate::ages::age;
use crate::connection::{Session, with_query};

/// Events about the object, oldest first.
pub async fn of(session: &Session, object: &Value) -> Result<Vec<Value>> {
    let metadata = &object["metadata"];
    let mut fields = vec![
        format!("involvedObject.name={}", text(&metadata["name"])),
        format!("involvedObject.kind={}", text(&object["kind"])),
    ];
    // Nodes are known by their name: those who write their events do not know the uid.
    if object["kind"] != "Node" {
        fields.push(format!("involvedObject.uid={}", text(&metadata["uid"])));
    }
    let path = match text(&metadata["namespace"]) {
        "" => "/api/v1/events".to_owned(),
        namespace => format!("/api/v1/namespaces/{}/events", encode(namespace)),
    };
    let mut list = session.get(&with_query(&path, &[("fieldSelector", &fields.join(","))])).await?;
    let mut events: Vec<Value> = serde_json::from_value(list["items"].take())?;
    events.sort_by_key(|event| last_seen(event).to_owned());
    Ok(events)
}

fn last_seen(event: &Value) -> &str {
    let candidates = [&event["series"]["lastObservedTime"], &event["lastTimestamp"], &event["eventTime"]];
    candidates.into_iter().find_map(Value::as_str).unwrap_or_default()
}

fn first_seen(event: &Value) -> &str {
    [&event["firstTimestamp"], &event["eventTime"]].into_iter().find_map(Value::as_str).unwrap_or_default()
}

pub fn describe(to: &mut Text, events: &[Value], now: Timestamp) {
    if events.is_empty() {
        to.field(0, "Events", "<none>");
        return;
    }
    to.line(0, "Events:");
    to.line(1, "Type\tReason\tAge\tFrom\tMessage");
    to.line(1, "----\t------\t----\t----\t-------");
    for event in events {
        let message = text(&event["message"]).trim();
        let cells = [text(&event["type"]), text(&event["reason"]), &when(event, now), source(event), message];
        to.line(1, &cells.join("\t"));
    }
}

fn when(event: &Value, now: Timestamp) -> String {
    let count = event["series"]["count"].as_i64().or(event["count"].as_i64()).unwrap_or(1);
    let last = age(last_seen(event), now);
    if count > 1 { format!("{last} (x{count} over {})", age(first_seen(event), now)) } else { last }
}

fn source(event: &Value) -> &str {
    let component = text(&event["source"]["component"]);
    or_none(if component.is_empty() { text(&event["reportingComponent"]) } else { component })
}

/// Conditions without times, as pods and workloads show them.
pub fn conditions(to: &mut Text, object: &Value, with_reason: bool) {
    let conditions = items(&object["status"]["conditions"]);
    if conditions.is_empty() {
        return;
    }
    to.line(0, "Conditions:");
    if with_reason {
        let row = |of: &Value| ["type", "status", "reason"].map(|field| text(&of[field]).to_owned()).to_vec();
        to.table(1, &["Type", "Status", "Reason"], &conditions.iter().map(row).collect::<Vec<_>>());
    } else {
        to.line(1, "Type\tStatus");
        for condition in conditions {
            to.line(1, &format!("{} \t{} ", text(&condition["type"]), text(&condition["status"])));
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    #[test]
    fn events_tell_how_often_and_since_when() {
        let now = "2026-01-01T00:10:00Z".parse().unwrap();
        let events = [
            json!({"type": "Normal", "reason": "Scheduled", "eventTime": "2026-01-01T00:00:00.000000Z",
                "reportingComponent": "default-scheduler", "message": "Assigned"}),
            json!({"type": "Warning", "reason": "BackOff", "count": 4, "firstTimestamp": "2026-01-01T00:05:00Z",
                "lastTimestamp": "2026-01-01T00:09:30Z", "source": {"component": "kubelet"}, "message": "Back-off\n"}),
        ];
        let mut text = Text::default();
        describe(&mut text, &events, now);
        expect![[r#"
            Events:
              Type     Reason     Age               From               Message
              ----     ------     ----              ----               -------
              Normal   Scheduled  10m               default-scheduler  Assigned
              Warning  BackOff    30s (x4 over 5m)  kubelet            Back-off
        "#]]
        .assert_eq(&text.aligned());
    }
}
