//! What survives whom: agents come and go, supervisors are killed, and nothing is lost that need not be.

mod common;

use std::fs;
use std::time::Duration;

use common::{Node, shell};
use containers::{ContainerConfig, ContainerState, Event, Runtime, SandboxState};

#[tokio::test]
async fn exits_while_the_agent_was_away_are_told() {
    let mut node = Node::new().await;
    let sandbox = node.sandbox().await;
    let short = node.run_in(&sandbox, &shell("read x < /tmp/f; exit 4")).await;
    let ended = node.run_in(&sandbox, &ContainerConfig { name: "ended".to_owned(), ..shell("exit 6") }).await;
    node.ended(&ended).await;
    let pid = node.supervisor_pid();
    node.restart_agent().await;
    assert_eq!(node.supervisor_pid(), pid);
    assert_eq!(node.runtime.container_status(&ended).await.unwrap().exit_code, 6);
    assert_eq!(node.ended(&short).await.reason, "Error");
}

#[tokio::test]
async fn containers_survive_their_supervisor() {
    let node = Node::new().await;
    let sandbox = node.sandbox().await;
    let script = "echo before; while ! test -e /tmp/go; do sleep 0.02; done; echo after; exit 42";
    let id = node.run_in(&sandbox, &shell(script)).await;
    node.until_log(&id, "before").await;
    let mut events = node.runtime.events();
    let first = node.supervisor_pid();
    node.kill_supervisor();
    let lagged = async { while events.recv().await.unwrap() != Event::Lagged {} };
    tokio::time::timeout(Duration::from_secs(20), lagged).await.unwrap();
    assert_ne!(node.supervisor_pid(), first);
    let status = node.runtime.container_status(&id).await.unwrap();
    assert_eq!(status.state, ContainerState::Running);
    assert_eq!(node.runtime.list_sandboxes().await.unwrap()[0].state, SandboxState::Ready);
    // Exec, log and exit code go on as if nothing had happened.
    assert_eq!(node.exec(&id, "touch /tmp/go").await.exit_code, 0);
    let status = node.ended(&id).await;
    assert_eq!(status.exit_code, 42);
    assert_eq!(node.lines(&id).await, ["before", "after"]);
    node.runtime.remove_sandbox(&sandbox).await.unwrap();
    assert_eq!(node.mounts(), Vec::<String>::new());
}

#[tokio::test]
async fn what_ended_without_a_supervisor_has_ended() {
    let node = Node::new().await;
    let id = node.run_script("sleep 600").await;
    let pid = node.runtime.container_status(&id).await.unwrap().pid.unwrap();
    let supervisor = nix::unistd::Pid::from_raw(node.supervisor_pid());
    // Stopped, so that its end is noticed by nobody before it is killed.
    nix::sys::signal::kill(supervisor, nix::sys::signal::Signal::SIGSTOP).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid as i32), nix::sys::signal::Signal::SIGKILL).unwrap();
    node.kill_supervisor();
    let status = node.ended(&id).await;
    // Whether the code can still be read is up to the kernel, and to how soon the process's new parent reaps it.
    assert!(matches!((status.exit_code, status.reason.as_str()), (137, "Error") | (255, "Unknown")), "{status:?}");
}

#[tokio::test]
async fn a_new_supervisor_cleans_up_what_nobody_knows() {
    let node = Node::new().await;
    let sandbox = node.sandbox().await;
    let created = node.runtime.create_container(&sandbox, &shell("sleep 600")).await.unwrap();
    let pid = node.runtime.container_status(&created).await.unwrap().pid.unwrap();
    // As a crash between two steps leaves it: no record, but mounts and groups.
    fs::remove_file(node.root().join("sandboxes").join(&sandbox).join("record.json")).unwrap();
    let mut events = node.runtime.events();
    node.kill_supervisor();
    let lagged = async { while events.recv().await.unwrap() != Event::Lagged {} };
    tokio::time::timeout(Duration::from_secs(20), lagged).await.unwrap();
    assert!(
        node.runtime.list_containers().await.unwrap().is_empty()
            && node.runtime.list_sandboxes().await.unwrap().is_empty()
    );
    assert_eq!(node.mounts(), Vec::<String>::new());
    assert_eq!(node.groups(), Vec::<std::path::PathBuf>::new());
    assert_eq!(fs::read_dir(node.root().join("containers")).unwrap().count(), 0);
    // A zombie, until whoever is its parent now notices.
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z "), "{state}");
}
