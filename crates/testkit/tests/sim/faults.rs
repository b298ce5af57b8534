//! Random faults, from a seed.

use std::process::Command;

use testkit::sim::{Cluster, Seed, minutes, seconds};

const ROUNDS: usize = 12;
const NODES: [&str; 3] = ["n1", "n2", "n3"];

/// Lets faults happen for some rounds, and checks after each that nothing runs twice.
fn storm(c: &mut Cluster) {
    for _ in 0..ROUNDS {
        let node = NODES[c.draw(NODES.len())];
        match c.draw(7) {
            0 => c.node(node).cut(),
            1 => c.node(node).heal(),
            2 => c.node(node).kill(),
            3 => c.node(node).start(),
            4 => c.crash_loops(),
            5 => c.lose_requests(20),
            _ => c.lose_requests(0),
        }
        let pause = 1 + c.draw(120) as u64;
        c.advance(seconds(pause));
        c.check_safety();
    }
}

fn calm(c: &mut Cluster) {
    c.lose_requests(0);
    for node in NODES {
        c.node(node).heal();
        c.node(node).start();
    }
    c.advance(minutes(6));
    c.settle();
}

fn weather(seed: u64) -> Cluster {
    let mut c = Cluster::new(Seed(seed)).nodes(3);
    c.apply("deployment web replicas=4");
    c.apply("statefulset db replicas=3");
    storm(&mut c);
    calm(&mut c);
    c
}

#[test]
fn a_cluster_recovers_from_random_faults() {
    for seed in 0..3 {
        let mut c = weather(seed);
        assert_eq!(c.rows("deployments"), "web 4/4 4 4\n", "seed {seed}");
        assert_eq!(c.rows("statefulsets"), "db 3/3\n", "seed {seed}");
        assert_eq!(c.states(), "db Running\n".repeat(3) + &"web Running\n".repeat(4), "seed {seed}");
        c.check_safety();
        c.check_no_leaks();
    }
}

/// Set in the processes that print a history and end.
const PRINT: &str = "TESTKIT_PRINT_HISTORY";

/// tokio numbers the runtimes of a process, and draws from the number: only the first of each is the same.
#[test]
fn the_same_seed_gives_the_same_history() {
    if std::env::var_os(PRINT).is_some() {
        weather(7).history().iter().for_each(|entry| println!("{entry}"));
        return;
    }
    let (first, second) = (printed_history(), printed_history());
    assert!(first.len() > 500, "{first:#?}");
    let differs = first.iter().zip(&second).position(|(a, b)| a != b);
    assert_eq!(differs.map(|at| (&first[at], &second[at])), None);
    assert_eq!(first.len(), second.len());
}

/// What this test prints in a process of its own.
fn printed_history() -> Vec<String> {
    let itself = std::env::current_exe().expect("a test has a path");
    let test = ["--exact", "faults::the_same_seed_gives_the_same_history", "--nocapture"];
    let output = Command::new(itself).args(test).env(PRINT, "1").output().expect("a test runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).expect("a history is text");
    lines.lines().filter(|line| line.contains("/registry/")).map(str::to_owned).collect()
}
