//! Jobs and what starts them.

use std::time::Duration;

use expect_test::expect;
use testkit::sim::{Behaviour, Cluster, Seed, hours, minutes};

use crate::support::pauses;

fn ends(after: u64, code: i32) -> Behaviour {
    Behaviour { ends: Some((Duration::from_secs(after), code)), ..Behaviour::default() }
}

#[test]
fn a_job_runs_as_many_pods_as_it_wants_to_complete() {
    let mut c = Cluster::new(Seed::from_name("job")).nodes(2);
    c.image("pi:1", ends(30, 0));
    c.apply("job pi image=pi:1 completions=3 parallelism=2");
    c.settle();
    c.advance(minutes(2));
    c.check(expect![[r#"
        pi-a n1 Completed
        pi-b n2 Completed
        pi-c n2 Completed
    "#]]);
    c.check_rows(
        "jobs",
        expect![[r#"
        pi Complete 3/3
    "#]],
    );
}

#[test]
fn a_job_that_fails_backs_off_and_gives_up() {
    let mut c = Cluster::new(Seed::from_name("job-fails")).nodes(1);
    c.image("pi:1", ends(1, 3));
    c.apply("job pi image=pi:1 backoff=3");
    c.advance(minutes(3));
    c.check(expect![[r#"
        pi-a n1 Error
        pi-b n1 Error
        pi-c n1 Error
        pi-d n1 Error
    "#]]);
    c.check_rows(
        "jobs",
        expect![[r#"
        pi Failed 0/1
    "#]],
    );
    assert_eq!(pauses(&c.history(), "pods"), [11, 21, 41]);
}

#[test]
fn a_cron_job_starts_a_job_each_half_hour_and_keeps_the_last_ones() {
    let mut c = Cluster::new(Seed::from_name("cron")).nodes(1);
    c.image("backup:1", ends(60, 0));
    c.apply("cronjob backup schedule=*/30_*_*_*_* keep=2 image=backup:1");
    c.advance(hours(2));
    c.check_rows(
        "jobs",
        expect![[r#"
        backup-29453820 Complete 1/1
        backup-29453850 Complete 1/1
        backup-29453880 Running 0/1
    "#]],
    );
    assert_eq!(pauses(&c.history(), "jobs"), [1800, 1800, 1800]);
}
