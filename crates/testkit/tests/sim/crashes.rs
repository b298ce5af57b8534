//! Loops that end in the middle of what they do.

use testkit::sim::{Cluster, Seed, seconds};

/// Writes after which the loops crash. An undisturbed rollout needs more.
const WRITES: [u32; 6] = [1, 2, 4, 8, 14, 22];

/// A rollout and a StatefulSet's start, with a crash after `writes` of the loops' writes.
fn rollout(writes: u32) -> String {
    let mut c = Cluster::new(Seed::from_name("crash")).nodes(2);
    c.apply("deployment web replicas=3 image=web:1");
    c.settle();
    c.cut_loops_after(writes);
    c.apply("deployment web replicas=4 image=web:2");
    c.apply("statefulset db replicas=2");
    c.advance(seconds(20));
    c.crash_loops();
    c.settle();
    c.check_no_leaks();
    [c.rows("deployments"), c.rows("replicasets"), c.rows("statefulsets"), c.states()].concat()
}

#[test]
fn loops_that_crash_in_the_middle_end_at_the_same() {
    let undisturbed = rollout(u32::MAX);
    for writes in WRITES {
        assert_eq!(rollout(writes), undisturbed, "after {writes} writes");
    }
}
