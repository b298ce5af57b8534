//! `keelson certs`: the certificates of a data directory.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use auth::lineage::{CLUSTER, PROXIES, SERVICE_ACCOUNTS, Step};
use auth::pki::{self, Authority};

use crate::flags;
use crate::paths::Paths;

/// Leaves of a server's directory that the cluster's authority signs, and the one that its proxies' does.
const LEAVES: [(&str, &str); 5] = [
    ("apiserver", "ca"),
    ("apiserver-kubelet-client", "ca"),
    ("node-serving", "ca"),
    ("admin", "ca"),
    ("front-proxy-client", "front-proxy-ca"),
];

pub fn run(flags: flags::Certs) -> anyhow::Result<ExitCode> {
    match flags.command {
        flags::CertsCommand::Check { data } => check(&data),
        flags::CertsCommand::Rotate { data, ca: false, service_account_key: false } => rotate(&data),
        flags::CertsCommand::Rotate { data, ca, service_account_key } => advance(&data, ca, service_account_key),
    }
}

/// Prints what there is, and fails if something has ended.
fn check(data: &flags::DataDir) -> anyhow::Result<ExitCode> {
    let paths = Paths::open(&data.data_dir)?;
    let mut ended = false;
    println!("{:<28} {:<38} {:<21} STATE", "CERTIFICATE", "SUBJECT", "VALID UNTIL");
    for directory in [paths.pki(), paths.node_pki()] {
        for (name, text) in certificates(&directory)? {
            match pki::Summary::of(&text) {
                Err(error) => {
                    ended = true;
                    println!("{name:<28} {:<38} {:<21} unreadable: {error}", "", "");
                }
                Ok(summary) => {
                    ended |= summary.has_ended();
                    let until = clock::format_time(summary.not_after);
                    println!("{name:<28} {:<38} {until:<21} {}", summary.subject, state(&summary));
                }
            }
        }
    }
    Ok(if ended { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn state(summary: &pki::Summary) -> &'static str {
    match (summary.has_ended(), summary.is_due(), summary.is_authority) {
        (true, ..) => "expired",
        (_, true, true) => "due: a running server makes a successor",
        (_, true, false) => "due: a running server or agent replaces it",
        _ => "good",
    }
}

/// Signs all leaves of a server anew. A running server takes them over.
fn rotate(data: &flags::DataDir) -> anyhow::Result<ExitCode> {
    let paths = Paths::open(&data.data_dir)?;
    let directory = paths.pki();
    for (name, signer) in LEAVES {
        let path = directory.join(format!("{name}.crt"));
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let authority = Authority::load(&directory, signer)
            .with_context(|| format!("the authority {signer} of {} is not to be had", directory.display()))?;
        let (certificate, key) = authority.issue(&pki::spec_of(&text)?)?;
        pki::write_pair(&directory, name, &certificate, &key)?;
        println!("{name} is new");
    }
    println!("the administrator's kubeconfig is written by the server: at once if it runs, else when it starts");
    Ok(ExitCode::SUCCESS)
}

/// Takes the next step of lines of authorities. A running server takes it over.
fn advance(data: &flags::DataDir, authorities: bool, tokens: bool) -> anyhow::Result<ExitCode> {
    let directory = Paths::open(&data.data_dir)?.pki();
    let lines = [(CLUSTER, authorities), (PROXIES, authorities), (SERVICE_ACCOUNTS, tokens)];
    for (line, _) in lines.iter().filter(|(_, wanted)| *wanted) {
        let (taken, generation) = line.advance(&directory)?;
        let until = clock::format_time(generation.next_step(line).1);
        println!(
            "{}: {}",
            line.name,
            match taken {
                Step::Announce => format!("a successor is trusted; it signs from {until}, or when this is said again"),
                Step::Succeed => {
                    format!(
                        "the successor signs; its predecessor is trusted until {until}, or until this is said again"
                    )
                }
                Step::Retire => "the predecessor is trusted no more".to_owned(),
            }
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Names and texts of a directory's certificates, in order of their names.
fn certificates(directory: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "crt") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            found.push((name, std::fs::read_to_string(&path)?));
        }
    }
    found.sort();
    Ok(found)
}
