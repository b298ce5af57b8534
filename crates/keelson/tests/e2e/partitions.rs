//! Networks that part: each member of the etcd and each server on a machine of its own, with a cable that can be pulled.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use crate::support::{Lan, Servers, until, until_within};

/// How long writes and loops may stand still when a member is cut off.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// The same of loops whose server is cut off, which others must know to have stopped.
const HAND_OVER_MAX: Duration = Duration::from_secs(15);

const LEASE: &str = "get lease kube-controller-manager -n kube-system -o jsonpath={.spec.holderIdentity}";

/// Where the servers are; the members come first.
const MACHINES: [(&str, usize); 2] = [("a", 3), ("b", 4)];

struct Parted {
    // Gone before the machines that it runs on.
    servers: Servers,
    lan: Lan,
    made: BTreeSet<String>,
}

impl Parted {
    fn prepare() -> Parted {
        let lan = Lan::new(5);
        let mut servers = Servers::prepare_apart(&lan);
        let start = |servers: &mut Servers, (name, index): (&str, usize), flags: &[&str]| {
            servers.start_on(lan.machine(index), name, &format!("{}:6443", Lan::address(index)), flags);
        };
        start(&mut servers, MACHINES[0], &[]);
        let token = std::fs::read_to_string(servers.path("a").join("token")).expect("the first server made one");
        start(&mut servers, MACHINES[1], &["--token", &token]);
        servers.kubectl("a", "create deployment web --image example.com/web --replicas 1");
        let parted = Parted { servers, lan, made: BTreeSet::new() };
        until("the loops run", || (parted.pods("b") == 1).then_some(()));
        parted
    }

    fn pods(&self, by: &str) -> usize {
        self.servers.try_kubectl(by, "get pods -l app=web -o name").stdout.lines().count()
    }

    /// Both servers write, and the loops act on it, soon.
    fn goes_on(&mut self, what: &str, replicas: usize) {
        for (server, _) in MACHINES {
            let name = format!("by-{server}-{replicas}");
            until_within(PAUSE_MAX, what, || {
                let done = self.servers.try_kubectl(server, &format!("create configmap {name}"));
                (done.code == 0 || done.stderr.contains("already exists")).then_some(())
            });
            self.made.insert(format!("configmap/{name}"));
        }
        self.servers.kubectl("a", &format!("scale deployment web --replicas {replicas}"));
        until_within(PAUSE_MAX, what, || (self.pods("b") == replicas).then_some(()));
    }

    fn has_all(&self, server: &str) {
        let found = self.servers.kubectl(server, "get configmaps -o name");
        let found: BTreeSet<String> = found.lines().map(str::to_owned).collect();
        assert!(found.is_superset(&self.made), "{server} has {found:?} of {:?}", self.made);
    }
}

#[test]
fn members_that_are_cut_off_cost_nothing_while_two_of_three_see_each_other() {
    let mut parted = Parted::prepare();
    // The one that both servers speak to first.
    parted.lan.cut(0);
    parted.goes_on("all goes on without a member", 2);
    parted.lan.mend(0);
    parted.goes_on("all goes on with it", 3);
    // The servers reach it, but it does not reach the others.
    [0, 2].iter().for_each(|other| parted.lan.part(1, *other));
    parted.goes_on("all goes on without a member that is alone", 4);
    [0, 2].iter().for_each(|other| parted.lan.join(1, *other));

    [0, 2].iter().for_each(|member| parted.lan.cut(*member));
    let map = ["--header", "content-type: application/json", "--data", r#"{"metadata": {"name": "uncertain"}}"#];
    for (server, _) in MACHINES {
        let code = parted.servers.status(server, "/api/v1/namespaces/default/configmaps?timeout=20s", &map);
        assert!(["503", "504"].contains(&code.as_str()), "{server}: {code}");
    }
    [0, 2].iter().for_each(|member| parted.lan.mend(*member));
    until("the servers are ready again", || {
        let ready = |server: &str| parted.servers.try_kubectl(server, "get --raw /readyz").stdout == "ok";
        MACHINES.iter().all(|(server, _)| ready(server)).then_some(())
    });
    parted.goes_on("all goes on with all members", 5);
    MACHINES.iter().for_each(|(server, _)| parted.has_all(server));
}

#[test]
fn a_server_that_is_cut_off_from_its_etcd_stops_its_loops_before_the_other_begins() {
    let mut parted = Parted::prepare();
    let holder = parted.servers.kubectl("b", LEASE);
    let at = usize::from(holder.starts_with('b'));
    let ((cut, machine), (other, _)) = (MACHINES[at], MACHINES[1 - at]);
    parted.lan.cut(machine);
    parted.servers.kubectl(other, "scale deployment web --replicas 4");
    until_within(HAND_OVER_MAX, "the other runs the loops", || (parted.pods(other) == 4).then_some(()));
    let stopped = said(&parted.servers, cut, "lost the lease").expect("it has stopped");
    let began = said(&parted.servers, other, "became leader").expect("it has begun");
    assert!(stopped < began, "{stopped} {began}");
    assert!(parted.servers.try_kubectl(cut, "get --raw /readyz --request-timeout 60s").fails().contains("[-]etcd"));

    parted.lan.mend(machine);
    until("it is ready again", || (parted.servers.try_kubectl(cut, "get --raw /readyz").stdout == "ok").then_some(()));
    parted.goes_on("both are servers again", 5);
    assert!(parted.servers.kubectl(cut, LEASE).starts_with(other), "it has not taken the loops back");
    MACHINES.iter().for_each(|(server, _)| parted.has_all(server));
}

/// When a server said something last.
fn said(servers: &Servers, server: &str, text: &str) -> Option<Timestamp> {
    let log = servers.log(server);
    let line = log.lines().rfind(|line| line.contains(text))?;
    line.split(['m', ' ', '\u{1b}']).find_map(|word| word.parse().ok())
}
