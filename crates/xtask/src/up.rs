//! `cargo xtask up`: a cluster with the sample application on this machine; `cargo xtask down` removes it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::build::{binary, run};
use crate::image;

const DATA_DIR: &str = "/var/lib/keelson";
/// What the server says, and its process.
const LOG: &str = "/var/lib/keelson/server.log";
const PID: &str = "/var/lib/keelson/server.pid";
const MANIFEST: &str = "examples/shop/shop.yaml";
const NODE_PORT: u16 = 30080;
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(200);

/// Builds, starts a server unless one runs, loads the image, applies the application, and asks it.
pub fn up(debug: bool) -> anyhow::Result<()> {
    ensure!(is_root(), "containers, networks and control groups need root: run this as root");
    let keelson = binary("keelson", !debug)?;
    let archive = image::pack(!debug)?;
    start(&keelson)?;
    run(Command::new(&keelson).args(["image", "import"]).arg(&archive))?;
    run(Command::new(&keelson).args(["apply", "-f", MANIFEST]))?;
    for deployment in ["deployment/back", "deployment/front"] {
        run(Command::new(&keelson).args(["rollout", "status", deployment, "-n", "shop", "--timeout", "120s"]))?;
    }
    let answer = wait(|| ask(NODE_PORT)).context("the application does not answer")?;
    println!("\nThe front end, through its Service on port {NODE_PORT} of this machine:\n\n{answer}");
    println!("{}", next_steps(&keelson));
    Ok(())
}

/// Stops the server and removes everything it made.
pub fn down() -> anyhow::Result<()> {
    let keelson = binary("keelson", true)?;
    stop()?;
    run(Command::new(keelson).arg("reset"))
}

fn next_steps(keelson: &Path) -> String {
    let keelson = keelson.display();
    format!(
        "Next:\n  \
         {keelson} get pods -A -o wide\n  \
         {keelson} logs -n shop deployment/front\n  \
         {keelson} scale -n shop deployment/front --replicas 5\n  \
         {keelson} describe -n shop pod\n  \
         KUBECONFIG={DATA_DIR}/kubeconfig kubectl get all -n shop      (where kubectl is installed)\n  \
         cargo xtask down                                             (removes it all)"
    )
}

/// Starts the server as a process of its own, unless it answers already.
fn start(keelson: &Path) -> anyhow::Result<()> {
    if is_ready(keelson) {
        println!("a server runs already on {DATA_DIR}");
        return Ok(());
    }
    // Closed to others from the start: the server does not close a directory that holds files it does not know.
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(DATA_DIR)?;
    let log = std::fs::File::create(LOG)?;
    let mut server = Command::new(keelson);
    server.arg("server").stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
    let mut child = server.spawn().context("cannot start the server")?;
    std::fs::write(PID, child.id().to_string())?;
    wait(|| match child.try_wait()? {
        Some(status) => bail!("the server ended ({status}); see {LOG}"),
        None if is_ready(keelson) => Ok(()),
        None => Err(NotYet.into()),
    })?;
    print!("{}", std::fs::read_to_string(LOG)?);
    Ok(())
}

fn is_ready(keelson: &Path) -> bool {
    let nodes = Command::new(keelson).args(["get", "nodes"]).stderr(Stdio::null()).output();
    nodes.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(" Ready"))
}

fn stop() -> anyhow::Result<()> {
    let Ok(pid) = std::fs::read_to_string(PID) else { return Ok(()) };
    let running = Path::new("/proc").join(&pid);
    if running.exists() {
        run(Command::new("kill").arg(&pid))?;
    }
    wait(|| if running.exists() { Err(NotYet.into()) } else { Ok(()) })?;
    // Without these, what a server leaves that never began is an empty directory, which a reset removes.
    Ok([LOG, PID].into_iter().try_for_each(std::fs::remove_file)?)
}

fn is_root() -> bool {
    // Owner of this process, without a library for one number.
    std::fs::metadata("/proc/self").is_ok_and(|of| std::os::unix::fs::MetadataExt::uid(&of) == 0)
}

#[derive(Debug, thiserror::Error)]
#[error("not yet")]
struct NotYet;

/// Tries until it succeeds, fails for good, or patience ends.
fn wait<T>(mut attempt: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let started = Instant::now();
    loop {
        match attempt() {
            Err(error) if error.is::<NotYet>() && started.elapsed() < PATIENCE => std::thread::sleep(PAUSE),
            result => return result,
        }
    }
}

fn ask(port: u16) -> anyhow::Result<String> {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    match ask() {
        Ok(answer) if answer.starts_with("HTTP/1.1 200") => {
            Ok(answer.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned()))
        }
        _ => Err(NotYet.into()),
    }
}
