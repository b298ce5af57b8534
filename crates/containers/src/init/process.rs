//! The last steps of every process of a container, first or joining, and then its program.

use std::convert::Infallible;
use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::{access, chdir, execve};

use super::report::Socket;
use super::{credentials, terminal, users};
use crate::plan::ProcessPlan;

/// What differs between a container's first process and later ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    FirstProcess,
    Joining,
}

/// Becomes the program. Called as root with every capability, inside the container's namespaces; returns only a failure.
pub fn run(plan: &ProcessPlan, purpose: Purpose, socket: &Socket) -> Result<Infallible, String> {
    let user = users::resolve(&plan.user, Path::new("/"))?;
    if plan.tty {
        terminal::open(purpose, &user, socket).map_err(|error| format!("cannot open a terminal: {error}"))?;
    } else {
        credentials::own_streams(&user);
    }
    make_working_directory(&plan.working_dir)?;
    let early = chdir(&plan.working_dir);
    credentials::give_up(plan, &user)?;
    // Some file systems let only the user itself in.
    if early.is_err() {
        chdir(&plan.working_dir).map_err(|error| {
            format!("chdir to cwd (\"{}\") set in config.json failed: {}", plan.working_dir.display(), describe(error))
        })?;
    }
    let environment = environment(plan, &user.home);
    let program = find(plan.args.first().map_or("", String::as_str), &environment)?;
    // Rust programs ignore it, and what is ignored stays so across an exec.
    // SAFETY: the default action needs no handler.
    unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }.map_err(describe)?;
    execute(&program, &plan.args, &environment)
}

fn make_working_directory(path: &Path) -> Result<(), String> {
    if path.is_dir() {
        return Ok(());
    }
    let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(path);
    made.map_err(|error| format!("mkdir {}: {}", path.display(), lower_first(&error.to_string())))
}

fn environment(plan: &ProcessPlan, home: &str) -> Vec<(String, String)> {
    let mut environment = plan.env.clone();
    if !environment.iter().any(|(name, _)| name == "HOME") {
        environment.push(("HOME".to_owned(), home.to_owned()));
    }
    environment
}

/// Where the program is: as a path, or in `PATH`. Errors read as upstream's.
fn find(name: &str, environment: &[(String, String)]) -> Result<PathBuf, String> {
    if name.contains('/') {
        let path = PathBuf::from(name);
        return check(&path).map(|()| path.clone()).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => format!("exec: \"{name}\": stat {name}: no such file or directory"),
            _ => format!("exec: \"{name}\": {}", lower_first(&plain(&error))),
        });
    }
    let path = environment.iter().rev().find(|(key, _)| key == "PATH").map_or("", |(_, value)| value.as_str());
    let candidates =
        path.split(':').filter(|part| !part.is_empty() && !name.is_empty()).map(|part| Path::new(part).join(name));
    candidates
        .into_iter()
        .find(|candidate| check(candidate).is_ok())
        .ok_or_else(|| format!("exec: \"{name}\": executable file not found in $PATH"))
}

fn check(path: &Path) -> io::Result<()> {
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() {
        return Err(io::Error::from_raw_os_error(libc::EISDIR));
    }
    if metadata.permissions().mode() & 0o111 == 0 {
        return Err(io::Error::from_raw_os_error(libc::EACCES));
    }
    Ok(access(path, nix::unistd::AccessFlags::X_OK)?)
}

fn execute(program: &Path, args: &[String], environment: &[(String, String)]) -> Result<Infallible, String> {
    let no_zero = |text: String| CString::new(text).map_err(|_| "exec: an argument holds a zero byte".to_owned());
    let path = no_zero(program.to_string_lossy().into_owned())?;
    let args = args.iter().cloned().map(no_zero).collect::<Result<Vec<_>, _>>()?;
    let environment =
        environment.iter().map(|(name, value)| no_zero(format!("{name}={value}"))).collect::<Result<Vec<_>, _>>()?;
    execve(&path, &args, &environment).map_err(|error| format!("exec {}: {}", program.display(), describe(error)))
}

/// An error number in the words of Go's runtime, which are the C library's in lower case.
fn describe(error: nix::errno::Errno) -> String {
    lower_first(error.desc())
}

fn plain(error: &io::Error) -> String {
    error
        .raw_os_error()
        .map_or_else(|| error.to_string(), |number| nix::errno::Errno::from_raw(number).desc().to_owned())
}

fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_as_upstream_finds_them() {
        let environment = [("PATH".to_owned(), "/nowhere:/bin".to_owned())];
        assert_eq!(find("sh", &environment).unwrap(), PathBuf::from("/bin/sh"));
        assert_eq!(find("/bin/sh", &environment).unwrap(), PathBuf::from("/bin/sh"));
        assert_eq!(find("nope", &environment).unwrap_err(), "exec: \"nope\": executable file not found in $PATH");
        assert_eq!(find("/nope", &environment).unwrap_err(), "exec: \"/nope\": stat /nope: no such file or directory");
        assert_eq!(find("/etc/passwd", &environment).unwrap_err(), "exec: \"/etc/passwd\": permission denied");
        assert_eq!(find("/etc/", &environment).unwrap_err(), "exec: \"/etc/\": is a directory");
    }
}
