//! The server of the sample application and of the tests: a small static program, one thread a connection.
//!
//! | Path | Answer |
//! | --- | --- |
//! | `/` | greeting, version and host name; a front end adds what its back end says |
//! | `/healthz` | 200, or 500 once `/break` was asked for |
//! | `/break` | makes `/healthz` fail |
//! | `/burn?ms=N` | uses a core for N milliseconds |
//! | `/allocate?mb=N` | keeps N MiB of memory |
//! | `/exit?code=N` | ends the process |
//! | `/file?path=P` | the file's text |
//!
//! Set up by the environment: `PORT` (8080), `GREETING`, `VERSION`, `BACKEND` (`host:port`), `PASSWORD`
//! (a front end sends it, a back end that has one wants it), `DRAIN_MS` (how long it goes on serving after
//! SIGTERM, so that everyone has learned that it goes; 2000).

mod request;

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal};
use request::{Request, get};

static BROKEN: AtomicBool = AtomicBool::new(false);
static KEPT: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

fn main() -> std::io::Result<()> {
    let ends: SigSet = [Signal::SIGTERM, Signal::SIGINT].into_iter().collect();
    // Blocked before any thread starts, so that none of them takes the signal.
    ends.thread_block()?;
    let port: u16 = setting("PORT", "8080").parse().unwrap_or(8080);
    let listener = TcpListener::bind(("0.0.0.0", port))?;
    println!("{} serves on port {port}", host_name());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve(stream));
        }
    });
    let signal = ends.wait()?;
    let drain = setting("DRAIN_MS", "2000").parse().unwrap_or(2000);
    println!("{signal}: serving {drain} ms more");
    std::thread::sleep(Duration::from_millis(drain));
    Ok(())
}

fn setting(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").map(|name| name.trim().to_owned()).unwrap_or_default()
}

fn serve(mut stream: TcpStream) {
    let Ok(request) = Request::read(&mut stream) else { return };
    let (status, body) = answer(&request);
    println!("{} {} {status}", request.method, request.path);
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    if let Err(error) = stream.write_all(format!("{head}{body}").as_bytes()) {
        println!("answer not sent: {error}");
    }
}

fn answer(request: &Request) -> (&'static str, String) {
    const OK: &str = "200 OK";
    match request.path.as_str() {
        "/" => greet(request),
        "/healthz" if BROKEN.load(Ordering::Relaxed) => ("500 Internal Server Error", "broken\n".to_owned()),
        "/healthz" => (OK, "ok\n".to_owned()),
        "/break" => {
            BROKEN.store(true, Ordering::Relaxed);
            (OK, "broken from now on\n".to_owned())
        }
        "/burn" => (OK, burn(Duration::from_millis(request.number("ms")))),
        "/allocate" => {
            let bytes = usize::try_from(request.number("mb")).unwrap_or(0) << 20;
            KEPT.lock().expect("nobody panics with the lock").push(vec![1; bytes]);
            (OK, format!("{bytes} bytes kept\n"))
        }
        "/exit" => std::process::exit(i32::try_from(request.number("code")).unwrap_or(1)),
        "/file" => match std::fs::read_to_string(request.text("path")) {
            Ok(text) => (OK, text),
            Err(error) => ("404 Not Found", format!("{error}\n")),
        },
        _ => ("404 Not Found", "no such page\n".to_owned()),
    }
}

fn greet(request: &Request) -> (&'static str, String) {
    let password = setting("PASSWORD", "");
    let backend = setting("BACKEND", "");
    if backend.is_empty() && !password.is_empty() && request.password != password {
        return ("401 Unauthorized", "wrong password\n".to_owned());
    }
    let own = format!("{} from {} {}\n", setting("GREETING", "hello"), host_name(), setting("VERSION", "v1"));
    if backend.is_empty() {
        return ("200 OK", own);
    }
    match get(&backend, "/", &password) {
        Ok(said) => ("200 OK", format!("{own}back end: {said}")),
        Err(error) => ("502 Bad Gateway", format!("{own}back end {backend}: {error}\n")),
    }
}

fn burn(time: Duration) -> String {
    let started = Instant::now();
    let mut sum = 0_u64;
    while started.elapsed() < time {
        sum = std::hint::black_box((0..1000).fold(sum, u64::wrapping_add));
    }
    format!("{time:?} burnt\n")
}
