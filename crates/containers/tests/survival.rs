//! What survives whom: agents come and go, supervisors are killed, and nothing is lost that need not be.

mod common;

use std::fs;
use std::time::Duration;

use common::{Node, shell};
use containers::{
    ContainerConfig, ContainerState, Error, Event, Mount, Propagation, Runtime, SandboxConfig, SandboxState,
};

#[tokio::test]
async fn exits_while_the_agent_was_away_are_told() {
    let mut node = Node::new().await;
    let sandbox = node.sandbox().await;
    let volume = node.directory.path().to_owned();
    let mounts = vec![Mount {
        host_path: volume.clone(),
        container_path: "/v".into(),
        read_only: true,
        propagation: Propagation::Private,
    }];
    let config =
        ContainerConfig { mounts, ..shell("while ! test -e /v/go; do sleep 0.02; done; echo last words; exit 4") };
    let short = node.run_in(&sandbox, &config).await;
    let ended = node.run_in(&sandbox, &ContainerConfig { name: "ended".to_owned(), ..shell("exit 6") }).await;
    node.ended(&ended).await;
    let pid = node.supervisor_pid();
    node.stop_agent();
    fs::write(volume.join("go"), "").unwrap();
    let record = node.root().join("containers").join(&short).join("record.json");
    let told = async {
        while !fs::read_to_string(&record).unwrap().contains("\"exit_code\":4") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), told).await.unwrap();
    node.start_agent().await;
    assert_eq!(node.supervisor_pid(), pid);
    assert_eq!(node.runtime.container_status(&ended).await.unwrap().exit_code, 6);
    assert_eq!(node.runtime.container_status(&short).await.unwrap().exit_code, 4);
    assert_eq!(node.lines(&short).await, ["last words"]);
}

/// Whatever it was doing: what it leaves is found, and goes when it is asked to.
#[tokio::test]
async fn a_supervisor_killed_at_any_moment_leaks_nothing() {
    let node = Node::new().await;
    for round in 0..12 {
        let config =
            SandboxConfig { share_process_namespace: round % 2 == 0, ..node.sandbox_config(&format!("pod{round}")) };
        let work = async {
            let sandbox = node.runtime.run_sandbox(&config).await?;
            let id = node.runtime.create_container(&sandbox, &shell("sleep 600")).await?;
            node.runtime.start_container(&id).await?;
            node.runtime.exec_sync(&id, &common::words(&["echo"]), Duration::from_secs(9)).await
        };
        let kill = async {
            tokio::time::sleep(Duration::from_millis(8 * round)).await;
            node.kill_supervisor();
        };
        // It may have been done in time or not.
        let (outcome, ()) = tokio::join!(work, kill);
        assert!(
            matches!(
                outcome,
                Ok(_) | Err(Error::Unavailable(_) | Error::Runtime(_) | Error::NotFound(_) | Error::InvalidArgument(_))
            ),
            "{outcome:?}"
        );
        for sandbox in node.runtime.list_sandboxes().await.unwrap() {
            node.runtime.remove_sandbox(&sandbox.id).await.unwrap();
        }
        assert_eq!(node.mounts(), Vec::<String>::new(), "round {round}");
        assert!(node.groups().iter().all(|group| group.ends_with("besteffort")), "round {round}: {:?}", node.groups());
        for directory in ["containers", "sandboxes", "trash"] {
            assert_eq!(fs::read_dir(node.root().join(directory)).unwrap().count(), 0, "round {round}: {directory}");
        }
    }
}

/// Linux 6.15 and later.
fn kernel_keeps_exit_codes() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map(|number| number.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap(), numbers.next().unwrap()) >= (6, 15)
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
    let replaced = async {
        // The old one may take its time to die.
        while node.supervisor_pid() == first {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), replaced).await.unwrap();
    let status = node.runtime.container_status(&id).await.unwrap();
    assert_eq!(status.state, ContainerState::Running);
    assert_eq!(node.runtime.list_sandboxes().await.unwrap()[0].state, SandboxState::Ready);
    // Exec, log and exit code go on as if nothing had happened.
    assert_eq!(node.exec(&id, "exit 8").await.exit_code, 8);
    // The container's end may overtake that of the process that lets it go.
    node.exec(&id, "touch /tmp/go").await;
    let status = node.ended(&id).await;
    assert_eq!(status.exit_code, if kernel_keeps_exit_codes() { 42 } else { 255 });
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
