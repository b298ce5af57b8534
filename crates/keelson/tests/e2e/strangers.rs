//! What listens, what lies on disk, and what strangers get from it: docs/security.md, walked.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use auth::pki::Authority;

use crate::support::{Cluster, Machine, Output, bearer, until};

const SERVER: &str = "10.99.0.1";
const OTHER: &str = "10.99.0.2";

/// Of the API server, by who asks: nobody, a token that is none, an account without roles.
const API: &[(&str, [&str; 3])] = &[
    ("/livez", ["200", "401", "200"]),
    ("/readyz", ["200", "401", "200"]),
    ("/version", ["200", "401", "200"]),
    ("/", ["401", "401", "403"]),
    ("/api", ["401", "401", "200"]),
    ("/api/v1/namespaces/kube-system/secrets", ["401", "401", "403"]),
    ("/apis", ["401", "401", "200"]),
    ("/openapi/v3", ["401", "401", "200"]),
    ("/openid/v1/jwks", ["401", "401", "200"]),
    ("/metrics", ["401", "401", "403"]),
    ("/configz", ["401", "401", "403"]),
    ("/logs/", ["401", "401", "403"]),
    ("/debug/pprof/", ["401", "401", "403"]),
    ("/api/v1/nodes/n1/proxy/pods", ["401", "401", "403"]),
];

/// Of a node, by who asks: nobody, a token that is none, an account without roles, a user, another node, the proxy that
/// speaks for others.
const NODE: &[(&str, [&str; 6])] = &[
    ("/healthz", ["200", "200", "200", "200", "200", "000"]),
    ("/", ["401", "401", "403", "403", "403", "000"]),
    ("/pods", ["401", "401", "403", "403", "403", "000"]),
    ("/metrics", ["401", "401", "403", "403", "403", "000"]),
    ("/stats/summary", ["401", "401", "403", "403", "403", "000"]),
    ("/configz", ["401", "401", "403", "403", "403", "000"]),
    ("/containerLogs/default/a/b", ["401", "401", "403", "403", "403", "000"]),
    ("/exec/default/a/b?command=sh", ["401", "401", "403", "403", "403", "000"]),
    ("/attach/default/a/b", ["401", "401", "403", "403", "403", "000"]),
    ("/portForward/default/a", ["401", "401", "403", "403", "403", "000"]),
    ("/images/import", ["401", "401", "403", "403", "403", "000"]),
];

struct Walk {
    cluster: Cluster,
    other: Machine,
    agent: PathBuf,
}

#[test]
fn strangers_find_what_is_documented_and_get_nothing_from_it() {
    let (machine, other) = (Machine::new(), Machine::new());
    machine.connect(SERVER, &other, OTHER);
    let snapshots = tempfile::tempdir().expect("there is a place for files");
    let log = snapshots.path().join("audit.log").to_string_lossy().into_owned();
    let policy = snapshots.path().join("policy").to_string_lossy().into_owned();
    let rules = "{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: Metadata}]}";
    fs::write(&policy, rules).expect("a small file is written");
    let flags = ["--node-ip", SERVER, "--audit-policy-file", &policy, "--audit-log-path", &log];
    let mut cluster = Cluster::start_with(machine, &flags);
    // One that somebody made before, open to all.
    fs::create_dir(cluster.scratch().join("n2")).expect("a directory is made");
    let agent = cluster.join(&other, "n2", &["--server", &format!("https://{SERVER}:6443"), "--node-ip", OTHER]);
    cluster.until_field("node n2", ".status.conditions[?(@.type==\"Ready\")].status", "True");
    until("the node has a certificate for its own API", || {
        agent.join("node-pki/node-serving.crt").exists().then_some(())
    });
    let walk = Walk { cluster, other, agent };
    walk.sockets();
    walk.ports();
    walk.names();
    let saved = walk.cluster.keelson(&["snapshot", "save", "--snapshot-dir", &snapshots.path().to_string_lossy()]);
    saved.succeeds();
    walk.files(snapshots.path());
    walk.logs();
}

/// `udp ADDRESS:PORT` of all that listens in a machine's network, and the paths of Unix sockets.
fn listening(machine: &Machine) -> (BTreeSet<String>, Vec<PathBuf>) {
    let said = |words: &str| Output::of(machine.command("ss").arg(words)).succeeds();
    let column = |line: &str, at: usize| line.split_whitespace().nth(at).unwrap_or_default().to_owned();
    let ports = said("-lntuH").lines().map(|line| format!("{} {}", column(line, 0), column(line, 4))).collect();
    let paths = said("-lxH").lines().map(|line| PathBuf::from(column(line, 4))).collect();
    (ports, paths)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).permissions().mode() & 0o777
}

impl Walk {
    fn sockets(&self) {
        let (ports, paths) = listening(&self.cluster.machine);
        let expected = ["tcp 0.0.0.0:10250", "tcp 0.0.0.0:6443", "tcp 10.43.0.10:53", "udp 10.43.0.10:53"];
        assert_eq!(ports, expected.map(str::to_owned).into());
        let (others, other_paths) = listening(&self.other);
        let expected = ["tcp 0.0.0.0:10250", "tcp 10.43.0.10:53", "udp 10.43.0.10:53"];
        assert_eq!(others, expected.map(str::to_owned).into());
        for paths in [paths, other_paths] {
            assert!(matches!(&paths[..], [path] if path.starts_with("/run/keelson")), "{paths:?}");
            let directory = paths[0].parent().expect("a socket lies in a directory");
            let above = directory.parent().expect("it lies in another");
            assert_eq!([mode(&paths[0]), mode(directory), mode(above)], [0o600, 0o700, 0o700], "{paths:?}");
        }
    }

    fn ports(&self) {
        self.cluster.kubectl("create serviceaccount robot");
        let token = self.cluster.kubectl("create token robot");
        let robot = bearer(&token);
        let callers = [vec![], bearer("made-up"), robot.clone()];
        for (path, expected) in API {
            let found = callers.each_ref().map(|who| self.ask(&format!("https://{SERVER}:6443{path}"), who));
            assert_eq!(&found.each_ref().map(String::as_str), expected, "{path}");
        }
        let shown = |authority: &str, name: &str, groups: &[&str]| {
            self.cluster.shows(&self.cluster.authority(authority), name, groups)
        };
        let forged = ["X-Remote-User: root", "X-Remote-Group: system:masters"];
        let forged = forged.iter().flat_map(|header| ["--header".to_owned(), (*header).to_owned()]);
        let callers = [
            vec![],
            bearer("made-up"),
            robot,
            shown("ca", "jane", &["dev"]),
            shown("ca", "system:node:n3", &["system:nodes"]),
            shown("front-proxy-ca", "front-proxy-client", &[]).into_iter().chain(forged).collect(),
        ];
        for (path, expected) in NODE {
            for address in [SERVER, OTHER] {
                let found = callers.each_ref().map(|who| self.ask(&format!("https://{address}:10250{path}"), who));
                assert_eq!(&found.each_ref().map(String::as_str), expected, "{path} of {address}");
            }
        }
        self.scrapers();
        for url in [format!("http://{SERVER}:6443/version"), format!("http://{OTHER}:10250/healthz")] {
            assert_ne!(self.ask(&url, &[]), "200", "nothing is spoken without TLS");
        }
        let stranger = Authority::create("stranger").expect("an authority is made");
        let foreign = self.cluster.shows(&stranger, "admin", &["system:masters"]);
        for url in [format!("https://{SERVER}:6443/api"), format!("https://{OTHER}:10250/pods")] {
            assert_eq!(self.ask(&url, &foreign), "000", "a certificate of another authority ends the handshake");
        }
    }

    /// Those who may read metrics do, and no more: by a certificate of their group, and by a role.
    fn scrapers(&self) {
        let cluster = &self.cluster;
        let of_group = cluster.shows(&cluster.authority("ca"), "prometheus", &["system:monitoring"]);
        for (path, expected) in [("/metrics", "200"), ("/pods", "403"), ("/exec/default/web/main", "403")] {
            assert_eq!(self.ask(&format!("https://{OTHER}:10250{path}"), &of_group), expected, "{path}");
        }
        cluster.kubectl("create serviceaccount scraper");
        cluster.kubectl("create clusterrole scraper --verb=get --resource=nodes/metrics,nodes/stats");
        cluster.kubectl("create clusterrolebinding scraper --clusterrole=scraper --serviceaccount=default:scraper");
        let scraper = bearer(&cluster.kubectl("create token scraper"));
        for (path, expected) in [("/metrics", "200"), ("/stats/summary", "200"), ("/pods", "403"), ("/configz", "403")]
        {
            for address in [SERVER, OTHER] {
                let url = format!("https://{address}:10250{path}");
                until(&format!("{expected} for {path}"), || (self.ask(&url, &scraper) == expected).then_some(()));
            }
        }
    }

    /// The HTTP status of the answer; 000 for none.
    fn ask(&self, url: &str, who: &[String]) -> String {
        let mut curl = self.cluster.machine.command("curl");
        curl.args([
            "--silent",
            "--insecure",
            "--max-time",
            "5",
            "--output",
            "/dev/null",
            "--write-out",
            "%{http_code}",
        ]);
        Output::of(curl.args(who).arg(url)).stdout
    }

    /// DNS answers names, and lists none.
    fn names(&self) {
        let dig =
            |words: &[&str]| Output::of(self.cluster.machine.command("dig").arg("@10.43.0.10").args(words)).stdout;
        assert_eq!(dig(&["+short", "kubernetes.default.svc.cluster.local"]), "10.43.0.1\n");
        let zone = dig(&["AXFR", "cluster.local"]);
        assert!(zone.contains("Transfer failed") && !zone.contains("kubernetes"), "{zone}");
        assert_eq!(dig(&["+short", "CHAOS", "TXT", "version.bind"]), "");
    }

    /// What holds a key, a token or a Secret is its owner's alone.
    fn files(&self, snapshots: &Path) {
        let data = self.cluster.data_dir();
        assert_eq!([mode(&data), mode(&self.agent)], [0o700, 0o700]);
        let mut private = 0;
        for file in [&data, &self.agent].into_iter().flat_map(|directory| all(directory)) {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let small = fs::metadata(&file).is_ok_and(|of| of.is_file() && of.len() < 1 << 20);
            let text = if small { fs::read(&file).unwrap_or_default() } else { Vec::new() };
            let secret = ["PRIVATE KEY", "client-key-data"].iter().any(|mark| holds(&text, mark));
            if secret || matches!(name.as_str(), "encryption.keys" | "token" | "kubeconfig") {
                assert_eq!(mode(&file) & 0o077, 0, "{} is open to others", file.display());
                private += 1;
            }
        }
        assert!(private >= 12, "only {private} files with keys were found");
        let kept: Vec<PathBuf> = all(snapshots).into_iter().filter(|path| !path.ends_with("policy")).collect();
        assert_eq!(kept.len(), 2, "a snapshot and an audit log: {kept:?}");
        for file in kept {
            assert_eq!(mode(&file), 0o600, "{}", file.display());
            assert_eq!(fs::metadata(&file).map(|of| of.uid()).ok(), Some(0));
        }
    }

    /// No log tells a token or a key.
    fn logs(&self) {
        let token = self.cluster.keelson(&["token", "create"]).succeeds();
        let joined = self.cluster.kubectl("get secrets -n kube-system -o jsonpath={.items[*].data.token-secret}");
        let key = fs::read_to_string(self.cluster.data_dir().join("pki/ca.key")).expect("it is there");
        let key = key.lines().nth(1).expect("a key has lines").to_owned();
        let secrets: Vec<String> =
            joined.split_whitespace().map(unbase64).chain([token.trim().to_owned(), key]).collect();
        assert!(secrets.len() >= 3, "{}", secrets.len());
        for log in fs::read_dir(self.cluster.scratch()).expect("it is there").flatten().map(|entry| entry.path()) {
            if log.extension().is_some_and(|extension| extension == "log") {
                let text = fs::read(&log).unwrap_or_default();
                assert!(secrets.iter().all(|secret| !holds(&text, secret)), "{} tells a secret", log.display());
            }
        }
    }
}

fn unbase64(text: &str) -> String {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).expect("Secrets hold base64");
    String::from_utf8(bytes).expect("a token is text")
}

fn holds(text: &[u8], part: &str) -> bool {
    text.windows(part.len()).any(|window| window == part.as_bytes())
}

/// All files below a directory.
fn all(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let below = |entry: fs::DirEntry| match entry.file_type() {
        Ok(of) if of.is_dir() => all(&entry.path()),
        Ok(of) if of.is_file() => vec![entry.path()],
        _ => Vec::new(),
    };
    entries.flat_map(below).collect()
}
