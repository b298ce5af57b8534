//! Workloads that come up, change and scale.

use expect_test::expect;
use serde_json::json;
use testkit::sim::{Behaviour, Cluster, Seed, What, minutes, seconds};

use crate::support::names;

const MISSING: Behaviour = Behaviour { ends: None, missing: true, stubborn: false };

#[test]
fn a_deployment_comes_up() {
    let mut c = Cluster::new(Seed::from_name("comes-up")).nodes(3);
    c.apply("deployment web replicas=3");
    c.settle();
    c.check(expect![[r#"
        web-a n3 Running
        web-b n2 Running
        web-c n1 Running
    "#]]);
    c.check_rows(
        "deployments",
        expect![[r#"
        web 3/3 3 3
    "#]],
    );
}

#[test]
fn a_rollout_of_an_image_that_is_missing_stops() {
    let mut c = Cluster::new(Seed::from_name("bad-image")).nodes(2);
    c.image("web:2", MISSING);
    c.apply("deployment web replicas=4 image=web:1");
    c.settle();
    let fewest = c.fewest_ready("web", |c| {
        c.apply("deployment web replicas=4 image=web:2");
        c.advance(minutes(1));
        c.check(expect![[r#"
            web-b n1 Running
            web-c n1 Running
            web-d n2 Running
            web-e n2 ImagePullBackOff
            web-f n1 ImagePullBackOff
        "#]]);
        c.apply("deployment web replicas=4 image=web:3");
        c.settle();
    });
    assert_eq!(fewest, 3);
    c.check(expect![[r#"
        web-g n2 Running
        web-h n1 Running
        web-i n2 Running
        web-j n1 Running
    "#]]);
}

#[test]
fn recreate_ends_the_old_pods_before_it_starts_new_ones() {
    let mut c = Cluster::new(Seed::from_name("recreate")).nodes(2);
    c.image("web:1", Behaviour { stubborn: true, ..Behaviour::default() });
    c.apply("deployment web replicas=2 strategy=Recreate image=web:1");
    c.settle();
    c.apply("deployment web replicas=2 strategy=Recreate image=web:2");
    c.advance(seconds(20));
    c.check(expect![[r#"
        web-a n1 Terminating
        web-b n2 Terminating
    "#]]);
    c.settle();
    c.check(expect![[r#"
        web-c n1 Running
        web-d n2 Running
    "#]]);
}

#[test]
fn an_autoscaler_follows_the_usage_up_and_down() {
    let mut c = Cluster::new(Seed::from_name("autoscaler")).nodes(2);
    c.apply("deployment web replicas=1 cpu=100m");
    c.apply("hpa web min=1 max=4 percent=50");
    c.usage("web", 50);
    c.advance(minutes(2));
    c.check_rows(
        "horizontalpodautoscalers",
        expect![[r#"
        web Deployment/web cpu: 50%/50% 1 4 1
    "#]],
    );
    c.usage("web", 120);
    c.advance(minutes(5));
    c.check_rows(
        "horizontalpodautoscalers",
        expect![[r#"
        web Deployment/web cpu: 120%/50% 1 4 4
    "#]],
    );
    c.usage("web", 10);
    c.advance(minutes(4));
    c.check_rows(
        "horizontalpodautoscalers",
        expect![[r#"
        web Deployment/web cpu: 10%/50% 1 4 4
    "#]],
    );
    c.advance(minutes(4));
    c.check_rows(
        "horizontalpodautoscalers",
        expect![[r#"
        web Deployment/web cpu: 10%/50% 1 4 1
    "#]],
    );
    c.check(expect![[r#"
        web-d n1 Running
    "#]]);
}

#[test]
fn a_stateful_set_starts_and_ends_its_pods_in_order() {
    let mut c = Cluster::new(Seed::from_name("ordinals")).nodes(2);
    c.apply("statefulset db replicas=3");
    c.settle();
    c.check(expect![[r#"
        db-0 n2 Running
        db-1 n1 Running
        db-2 n2 Running
    "#]]);
    assert_eq!(names(&c.history(), What::Create, "pods"), ["db-0", "db-1", "db-2"]);
    c.patch("statefulsets", "db", json!({ "spec": { "replicas": 1 } }));
    c.settle();
    assert_eq!(names(&c.history(), What::Delete, "pods"), ["db-2", "db-1"]);
}

#[test]
fn a_stateful_set_does_not_go_past_a_pod_that_is_not_ready() {
    let mut c = Cluster::new(Seed::from_name("stuck-ordinal")).nodes(2);
    c.image("db:1", MISSING);
    c.apply("statefulset db replicas=3 image=db:1");
    c.advance(minutes(1));
    c.check(expect![[r#"
        db-0 n2 ImagePullBackOff
    "#]]);
}
