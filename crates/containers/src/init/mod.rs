//! The short-lived processes that become container processes.
//!
//! `container-init create DIR` makes a container from `DIR/create.json` with libcontainer, whose `build` changes its caller for
//! good and therefore never runs in a process that stays. `container-init exec DIR` joins one. `container-init pause` holds the
//! PID namespace of pods that share one. All speak to the supervisor over a socket at descriptor 3 ([`report`]) and end as the
//! same function, [`process::run`]: it gives up what the process must not have and executes its program, for a container's first
//! process and for every later one alike.
//!
//! `unsafe`: descriptors known by number, and system calls that the wrappers lack.

mod create;
mod credentials;
mod exec;
mod pause;
mod process;
pub mod report;
mod spec;
mod terminal;
mod users;

use std::ffi::OsString;
use std::path::Path;
use std::process::exit;

use crate::cgroup::DeviceRule;
use crate::plan::ContainerPlan;
use report::{Report, Socket};

pub use credentials::CAPABILITIES;
pub use exec::open_pidfd;

/// What the processes of a container may open, by its plan.
pub fn device_rules(plan: &ContainerPlan) -> Vec<DeviceRule> {
    spec::device_rules(plan, &spec::host_devices(plan))
}

/// What a process that could not become the program ends with, as container runtimes have it.
pub const EXIT_NOT_STARTED: i32 = 128;

/// Runs one of the helper processes; `args` are the arguments behind `container-init`.
pub fn init_main(args: impl IntoIterator<Item = OsString>) -> ! {
    let args: Vec<OsString> = args.into_iter().collect();
    let directory = args.get(1).map(Path::new);
    let socket = Socket::inherited();
    let result = match (args.first().and_then(|verb| verb.to_str()), directory) {
        (Some("create"), Some(directory)) => create::run(directory, &socket),
        (Some("exec"), Some(directory)) => exec::run(directory, &socket),
        (Some("pause"), _) => pause::run(&socket),
        _ => Err("usage: container-init create|exec|pause".to_owned()),
    };
    if let Err(message) = result {
        socket.send(&Report::Failed { message }, &[]);
        exit(EXIT_NOT_STARTED);
    }
    exit(0)
}
