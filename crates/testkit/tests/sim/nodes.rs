//! Machines that come, go and are lost.

use expect_test::expect;
use testkit::sim::{Cluster, Seed, minutes, seconds};

#[test]
fn a_lost_node_is_replaced_and_cleaned_up_when_it_is_back() {
    let mut c = Cluster::new(Seed::from_name("lost-node")).nodes(3);
    c.apply("deployment web replicas=3");
    c.settle();
    c.node("n1").cut();
    c.advance(minutes(6));
    c.check(expect![[r#"
        web-a n3 Running
        web-b n2 Running
        web-c n1 Terminating
        web-d n3 Running
    "#]]);
    c.check_rows(
        "nodes",
        expect![[r#"
        n1 NotReady <none> v1.35.0+keelson0.1.0
        n2 Ready <none> v1.35.0+keelson0.1.0
        n3 Ready <none> v1.35.0+keelson0.1.0
    "#]],
    );
    c.node("n1").heal();
    // A watch that failed for long is tried again after a minute at most; what follows takes its time, too.
    c.advance(minutes(2));
    c.settle();
    c.check(expect![[r#"
        web-a n3 Running
        web-b n2 Running
        web-d n3 Running
    "#]]);
    c.check_no_leaks();
}

#[test]
fn pods_of_a_killed_node_start_elsewhere_and_go_when_it_is_back() {
    let mut c = Cluster::new(Seed::from_name("killed-node")).nodes(2);
    c.apply("deployment web replicas=2");
    c.settle();
    c.node("n2").kill();
    c.advance(minutes(7));
    c.check(expect![[r#"
        web-a n2 Terminating
        web-b n1 Running
        web-c n1 Running
    "#]]);
    c.node("n2").start();
    c.settle();
    c.check(expect![[r#"
        web-b n1 Running
        web-c n1 Running
    "#]]);
    c.check_no_leaks();
}

#[test]
fn a_short_power_cut_restarts_the_pods_in_place() {
    let mut c = Cluster::new(Seed::from_name("power-cut")).nodes(1);
    c.apply("deployment web replicas=2");
    c.settle();
    c.node("n1").kill();
    c.advance(seconds(20));
    c.node("n1").start();
    c.settle();
    c.check(expect![[r#"
        web-a n1 Running
        web-b n1 Running
    "#]]);
}

#[test]
fn a_drain_waits_for_the_disruption_budget() {
    let mut c = Cluster::new(Seed::from_name("drain")).nodes(2);
    c.apply("pdb web min=2");
    c.apply("deployment web replicas=3 cpu=1");
    c.settle();
    let fewest = c.fewest_ready("web", |c| c.node("n1").drain());
    assert_eq!(fewest, 2);
    c.settle();
    c.check(expect![[r#"
        web-a n2 Running
        web-c n2 Running
        web-d n2 Running
    "#]]);
    c.check_rows(
        "poddisruptionbudgets",
        expect![[r#"
        web 2 N/A 1
    "#]],
    );
}

#[test]
fn a_daemon_set_covers_a_node_that_joins() {
    let mut c = Cluster::new(Seed::from_name("joins")).nodes(1);
    c.apply("daemonset log");
    c.settle();
    c.check(expect![[r#"
        log-a n1 Running
    "#]]);
    c.add_nodes(1);
    c.check(expect![[r#"
        log-a n1 Running
        log-b n2 Running
    "#]]);
}
