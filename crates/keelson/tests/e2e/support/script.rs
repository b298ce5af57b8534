//! Servers in Python that a test runs on a machine, and certificates for them.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use auth::pki::{Authority, LeafSpec};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Machine;

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");

/// A script that serves until it is dropped.
pub struct Script {
    process: Child,
    pub port: String,
}

impl Script {
    /// Runs a script and waits until it has printed its port.
    pub fn start(machine: &Machine, name: &str, words: &[&str]) -> Script {
        let mut command = machine.command("python3");
        command.arg(format!("{SCRIPTS}/{name}")).args(words).env("PYTHONDONTWRITEBYTECODE", "1");
        let mut process = command.stdout(Stdio::piped()).spawn().expect("python3 is there");
        let mut port = String::new();
        BufReader::new(process.stdout.take().expect("it is piped")).read_line(&mut port).expect("it prints text");
        assert!(!port.is_empty(), "{name} ended before it served");
        Script { process, port: port.trim().to_owned() }
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.process.kill().and_then(|()| self.process.wait()).expect("the script is this test's");
    }
}

/// A certificate and its key in files, and who vouches for them.
pub struct Serving {
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// As manifests hold it.
    pub bundle: String,
}

impl Serving {
    pub fn issue(directory: &Path, name: &str, address: IpAddr) -> Serving {
        let authority = Authority::create("test-ca").expect("an authority is made");
        let spec = LeafSpec::server(name, vec![name.to_owned()], vec![address]);
        let issued = authority.issue(&spec).expect("a certificate is issued");
        let [certificate, key] = ["crt", "key"].map(|of| directory.join(format!("{name}.{of}")));
        fs::write(&certificate, issued.0).and_then(|()| fs::write(&key, issued.1)).expect("files can be written");
        let bundle = STANDARD.encode(authority.certificate_pem().expect("it has a certificate"));
        Serving { certificate, key, bundle }
    }

    /// The two files as arguments.
    pub fn files(&self) -> [&str; 2] {
        [&self.certificate, &self.key].map(|file| file.to_str().expect("a plain path"))
    }
}
