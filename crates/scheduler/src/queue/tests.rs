use super::*;
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

fn pod(name: &str, priority: i32) -> Arc<PodInfo> {
    let pod: Pod = serde_json::from_value(json!({"metadata": {"name": name, "uid": name},
        "spec": {"priority": priority, "containers": []}}))
    .unwrap();
    Arc::new(PodInfo::new(Arc::new(pod)))
}

fn pop(queue: &mut Queue, now: Instant) -> Option<String> {
    queue.pop(now).map(|pod| pod.name().to_owned())
}

fn resources() -> BTreeSet<&'static str> {
    BTreeSet::from(["NodeResourcesFit"])
}

#[test]
fn the_highest_priority_goes_first_then_the_oldest() {
    let now = Instant::now();
    let mut queue = Queue::default();
    for (name, priority) in [("b", 0), ("a", 0), ("z", 10)] {
        queue.set(pod(name, priority), now);
    }
    assert_eq!([pop(&mut queue, now), pop(&mut queue, now)].map(Option::unwrap), ["z", "a"]);
}

#[test]
fn a_pod_that_no_node_fits_waits_for_a_change_that_helps() {
    let now = Instant::now();
    let mut queue = Queue::default();
    queue.set(pod("a", 0), now);
    queue.pop(now);
    queue.unschedulable("a", resources(), now);
    queue.changed(Change::NodeLabels, now);
    assert_eq!(queue.lengths(), [0, 0, 1]);
    queue.changed(Change::PodGone, now);
    assert_eq!((queue.lengths(), queue.next_wake()), ([0, 1, 0], Some(now + BACKOFF_MIN)));
    assert_eq!(pop(&mut queue, now), None);
    assert_eq!(pop(&mut queue, now + BACKOFF_MIN).unwrap(), "a");
}

#[test]
fn a_change_during_the_attempt_is_not_lost() {
    let now = Instant::now();
    let mut queue = Queue::default();
    queue.set(pod("a", 0), now);
    queue.pop(now);
    queue.changed(Change::NodeAdded, now);
    queue.unschedulable("a", resources(), now);
    assert_eq!(queue.lengths(), [0, 1, 0]);
}

#[test]
fn back_off_doubles_up_to_its_bound() {
    let seconds: Vec<u64> = (1..7).map(|attempts| backoff(attempts).as_secs()).collect();
    assert_eq!(seconds, [1, 2, 4, 8, 10, 10]);
}

#[test]
fn a_forgotten_pod_is_tried_again_after_five_minutes() {
    let now = Instant::now();
    let mut queue = Queue::default();
    queue.set(pod("a", 0), now);
    queue.pop(now);
    queue.unschedulable("a", resources(), now);
    assert_eq!(queue.next_wake(), Some(now + UNSCHEDULABLE_MAX));
    assert_eq!(pop(&mut queue, now + UNSCHEDULABLE_MAX).unwrap(), "a");
}

#[test]
fn a_gated_pod_waits_for_its_gates() {
    let now = Instant::now();
    let mut queue = Queue::default();
    let gated: Pod = serde_json::from_value(json!({"metadata": {"name": "a", "uid": "a"},
        "spec": {"containers": [], "schedulingGates": [{"name": "g"}]}}))
    .unwrap();
    queue.set(Arc::new(PodInfo::new(Arc::new(gated))), now);
    assert_eq!(pop(&mut queue, now), None);
    queue.set(pod("a", 0), now);
    assert_eq!(pop(&mut queue, now).unwrap(), "a");
}

#[test]
fn a_removed_pod_is_not_scheduled() {
    let now = Instant::now();
    let mut queue = Queue::default();
    queue.set(pod("a", 0), now);
    queue.remove("a");
    assert_eq!(pop(&mut queue, now), None);
}
