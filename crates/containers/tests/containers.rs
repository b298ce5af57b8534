//! Containers as a node agent uses them, with a real kernel and a real supervisor.

mod common;

use std::fs;
use std::time::Duration;

use common::{IMAGE, Node, shell, words};
use containers::{
    ContainerConfig, ContainerState, Error, ExecConfig, Mount, Propagation, Resources, Runtime, Seccomp,
    SecurityContext,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn a_container_runs_logs_and_ends_with_its_code() {
    let node = Node::new().await;
    let id = node.run_script("echo out; echo err >&2; exit 3").await;
    let status = node.ended(&id).await;
    assert_eq!((status.exit_code, status.reason.as_str()), (3, "Error"));
    let log = node.log(&id).await;
    let mut tails: Vec<&str> = log.lines().map(|line| &line[31..]).collect();
    tails.sort_unstable();
    assert_eq!(tails, ["stderr F err", "stdout F out"], "{log}");
    assert!(status.started_at.unwrap() <= status.finished_at.unwrap());
}

#[tokio::test]
async fn a_program_that_is_not_there_is_a_start_error() {
    let node = Node::new().await;
    let sandbox = node.sandbox().await;
    let config = ContainerConfig { command: words(&["/nope"]), ..shell("") };
    let id = node.runtime.create_container(&sandbox, &config).await.unwrap();
    let error = node.runtime.start_container(&id).await.unwrap_err().to_string();
    assert!(error.ends_with("exec: \"/nope\": stat /nope: no such file or directory: unknown"), "{error}");
    let status = node.ended(&id).await;
    assert_eq!((status.exit_code, status.reason.as_str()), (128, "StartError"));
    assert_eq!(status.message, error);
}

#[tokio::test]
async fn exec_sync_answers_output_and_code() {
    let node = Node::new().await;
    let id = node.run_script("sleep 600").await;
    let output = node.exec(&id, "echo out; echo err >&2; exit 7").await;
    assert_eq!(
        (output.stdout.as_slice(), output.stderr.as_slice(), output.exit_code),
        (&b"out\n"[..], &b"err\n"[..], 7)
    );
    let error = node.runtime.exec_sync(&id, &words(&["nope"]), Duration::from_secs(5)).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "failed to exec in container: OCI runtime exec failed: exec failed: unable to start container process: exec: \"nope\": \
         executable file not found in $PATH: unknown"
    );
}

#[tokio::test]
async fn exec_sync_kills_what_takes_too_long() {
    let node = Node::new().await;
    let id = node.run_script("sleep 600").await;
    let result = node.runtime.exec_sync(&id, &words(&["sleep", "77"]), Duration::from_millis(300)).await;
    assert!(matches!(result, Err(Error::DeadlineExceeded(_))), "{result:?}");
    let gone = async { while String::from_utf8(node.exec(&id, "ps").await.stdout).unwrap().contains("sleep 77") {} };
    tokio::time::timeout(Duration::from_secs(10), gone).await.unwrap();
}

#[tokio::test]
async fn the_filter_and_the_capabilities_hold_for_both_kinds_of_processes() {
    let node = Node::new().await;
    let status = "grep -E '^(Seccomp|CapEff|CapBnd|CapAmb|NoNewPrivs):' /proc/self/status";
    let sandbox = node.sandbox().await;
    let id = node.run_in(&sandbox, &shell(&format!("{status}; sleep 600"))).await;
    node.until_log(&id, "Seccomp").await;
    let first = node.lines(&id).await.join("\n");
    let joined = String::from_utf8(node.exec(&id, status).await.stdout).unwrap();
    assert_eq!(first, joined.trim_end());
    assert!(
        first.contains("Seccomp:\t2")
            && first.contains("CapEff:\t00000000a80425fb")
            && first.contains("NoNewPrivs:\t0"),
        "{first}"
    );

    let security = SecurityContext {
        run_as_user: Some(1000),
        run_as_group: Some(2000),
        supplemental_groups: vec![3000],
        drop_capabilities: words(&["ALL"]),
        no_new_privs: true,
        seccomp: Seccomp::Unconfined,
        ..SecurityContext::default()
    };
    let script = format!("{status}; id; sleep 600");
    let id = node.run_in(&sandbox, &ContainerConfig { name: "plain".to_owned(), security, ..shell(&script) }).await;
    node.until_log(&id, "uid").await;
    let first = node.lines(&id).await.join("\n");
    let joined = String::from_utf8(node.exec(&id, &format!("{status}; id")).await.stdout).unwrap();
    assert_eq!(first, joined.trim_end());
    assert!(
        first.contains("Seccomp:\t0")
            && first.contains("CapBnd:\t0000000000000000")
            && first.contains("NoNewPrivs:\t1"),
        "{first}"
    );
    assert!(first.contains("uid=1000 gid=2000 groups=2000,3000"), "{first}");
}

#[tokio::test]
async fn the_default_filter_refuses_and_the_containers_namespaces_hold() {
    let node = Node::new().await;
    let lines = node.output_of("mount -t tmpfs x /tmp 2>&1; mknod /tmp/sda b 8 0 && dd if=/tmp/sda of=/dev/null count=1 2>&1; hostname; ps | wc -l; cat /etc/resolv.conf").await;
    let text = lines.join("\n");
    assert!(text.contains("mount: permission denied"), "{text}");
    assert!(text.contains("can't open '/tmp/sda': Operation not permitted"), "{text}");
    assert!(text.contains("\npod\n") && text.contains("nameserver 10.43.0.10"), "{text}");
}

#[tokio::test]
async fn named_users_come_from_the_image() {
    let node = Node::new().await;
    let sandbox = node.sandbox().await;
    let security = SecurityContext { run_as_username: Some("web".to_owned()), ..SecurityContext::default() };
    let id = node
        .run_in(&sandbox, &ContainerConfig { security, ..shell("id -u; id -G; echo $HOME; echo again > /dev/stdout") })
        .await;
    node.ended(&id).await;
    assert_eq!(node.lines(&id).await, ["33", "34 4", "/home/web", "again"]);
}

#[tokio::test]
async fn a_root_file_system_may_be_read_only_and_mounts_not() {
    let node = Node::new().await;
    let sandbox = node.sandbox().await;
    let volume = node.directory.path().join("volume");
    fs::create_dir(&volume).unwrap();
    let file = node.directory.path().join("hosts");
    fs::write(&file, "127.0.0.1 localhost\n").unwrap();
    let mount = |host: &std::path::Path, inside: &str, read_only| Mount {
        host_path: host.to_owned(),
        container_path: inside.into(),
        read_only,
        propagation: Propagation::Private,
    };
    let config = ContainerConfig {
        mounts: vec![
            mount(&volume, "/data", false),
            mount(&volume, "/data-ro", true),
            mount(&file, "/etc/hosts", true),
        ],
        security: SecurityContext { read_only_rootfs: true, ..SecurityContext::default() },
        ..shell(
            "touch /x 2>&1; touch /data/y; touch /data-ro/z 2>&1; cat /etc/hosts; touch /dev/shm/s && echo shm; touch /proc/sys/kernel/x 2>&1; cat /proc/timer_list | wc -c",
        )
    };
    let id = node.run_in(&sandbox, &config).await;
    node.ended(&id).await;
    let text = node.lines(&id).await.join("\n");
    assert!(
        text.contains("touch: /x: Read-only file system") && text.contains("touch: /data-ro/z: Read-only file system"),
        "{text}"
    );
    assert!(text.contains("127.0.0.1 localhost") && text.contains("shm\n") && text.ends_with("\n0"), "{text}");
    assert!(volume.join("y").exists());
}

#[tokio::test]
async fn mounts_propagate_as_asked() {
    let node = Node::new().await;
    let volume = node.directory.path().join("shared");
    fs::create_dir(&volume).unwrap();
    nix::mount::mount(Some(&volume), &volume, None::<&str>, nix::mount::MsFlags::MS_BIND, None::<&str>).unwrap();
    nix::mount::mount(None::<&str>, &volume, None::<&str>, nix::mount::MsFlags::MS_SHARED, None::<&str>).unwrap();
    for directory in ["up", "down"] {
        fs::create_dir(volume.join(directory)).unwrap();
    }
    let sandbox = node.sandbox().await;
    let with = |name: &str, propagation, privileged, script: &str| ContainerConfig {
        name: name.to_owned(),
        mounts: vec![Mount { host_path: volume.clone(), container_path: "/v".into(), read_only: false, propagation }],
        security: SecurityContext { privileged, ..SecurityContext::default() },
        ..shell(script)
    };
    let look = "while ! test -e /v/up/seen; do sleep 0.02; done; ls /v/down; echo done; sleep 600";
    let slave = node.run_in(&sandbox, &with("slave", Propagation::HostToContainer, false, look)).await;
    let private = node
        .run_in(
            &sandbox,
            &with(
                "private",
                Propagation::Private,
                false,
                "while ! test -e /v/go; do sleep 0.02; done; ls /v/down; echo done",
            ),
        )
        .await;
    nix::mount::mount(Some("t"), &volume.join("down"), Some("tmpfs"), nix::mount::MsFlags::empty(), None::<&str>)
        .unwrap();
    fs::write(volume.join("down/file"), "").unwrap();
    let up = node
        .run_in(
            &sandbox,
            &with("up", Propagation::Bidirectional, true, "mount -t tmpfs t /v/up && touch /v/up/seen && sleep 600"),
        )
        .await;
    node.until_log(&slave, "done").await;
    assert_eq!(node.lines(&slave).await, ["file", "done"]);
    assert!(volume.join("up/seen").exists());
    fs::write(volume.join("go"), "").unwrap();
    node.ended(&private).await;
    assert_eq!(node.lines(&private).await, ["done"]);
    node.runtime.stop_container(&up, Duration::ZERO).await.unwrap();
}

#[tokio::test]
async fn limits_are_set_read_and_changed() {
    let node = Node::new().await;
    let sandbox = node.sandbox().await;
    let resources =
        Resources { memory_limit: Some(64 << 20), pids_limit: Some(50), cpu_shares: Some(256), ..Resources::default() };
    let id = node.run_in(&sandbox, &ContainerConfig { resources: resources.clone(), ..shell("sleep 600") }).await;
    let usage = node.runtime.container_usage(&id).await.unwrap();
    assert!(usage.memory_usage > 0 && usage.memory_usage < 64 << 20 && usage.pids == 1, "{usage:?}");
    // Memory can not be held against what it was a moment before: pages of files come and go.
    let all = node.runtime.sandbox_usage(&sandbox).await.unwrap();
    assert!(all.memory_usage > 0 && all.pids >= usage.pids, "{all:?}");
    for limit in [128 << 20, 32 << 20] {
        node.runtime
            .update_resources(&id, &Resources { memory_limit: Some(limit), ..resources.clone() })
            .await
            .unwrap();
        let found = node.groups().into_iter().filter(|group| group.ends_with(&id)).find_map(|group| {
            fs::read_to_string(group.join("memory.limit_in_bytes"))
                .or_else(|_| fs::read_to_string(group.join("memory.max")))
                .ok()
        });
        assert_eq!(found.unwrap().trim(), limit.to_string());
    }
}

#[tokio::test]
async fn too_much_memory_ends_as_oom_killed() {
    let node = Node::new().await;
    let sandbox = node.sandbox().await;
    let resources = Resources { memory_limit: Some(16 << 20), ..Resources::default() };
    let config = ContainerConfig {
        resources,
        command: words(&["dd", "if=/dev/zero", "of=/dev/null", "bs=100M", "count=1"]),
        ..shell("")
    };
    let id = node.run_in(&sandbox, &config).await;
    let status = node.ended(&id).await;
    assert_eq!((status.exit_code, status.reason.as_str()), (137, "OOMKilled"));
}

#[tokio::test]
async fn stopping_asks_first_and_then_kills() {
    let node = Node::new().await;
    let sandbox = node.sandbox().await;
    let polite = node.run_in(&sandbox, &shell("trap 'exit 5' TERM; echo up; while :; do sleep 0.05; done")).await;
    node.until_log(&polite, "up").await;
    node.runtime.stop_container(&polite, Duration::from_secs(20)).await.unwrap();
    assert_eq!(node.runtime.container_status(&polite).await.unwrap().exit_code, 5);
    let deaf = node
        .run_in(
            &sandbox,
            &ContainerConfig { name: "deaf".to_owned(), ..shell("trap '' TERM; echo up; while :; do sleep 1; done") },
        )
        .await;
    node.until_log(&deaf, "up").await;
    node.runtime.stop_container(&deaf, Duration::from_millis(200)).await.unwrap();
    assert_eq!(node.runtime.container_status(&deaf).await.unwrap().exit_code, 137);
    node.runtime.stop_container(&deaf, Duration::ZERO).await.unwrap();
    node.runtime.stop_container("unknown", Duration::ZERO).await.unwrap();
}

#[tokio::test]
async fn exec_streams_and_terminals_work() {
    let node = Node::new().await;
    let id = node.run_script("sleep 600").await;
    let mut streams =
        node.runtime.exec(&id, &ExecConfig { command: words(&["cat"]), stdin: true, tty: false }).await.unwrap();
    let mut stdin = tokio::net::unix::pipe::Sender::from_owned_fd(streams.stdin.take().unwrap()).unwrap();
    stdin.write_all(b"hello").await.unwrap();
    drop(stdin);
    let mut text = String::new();
    tokio::net::unix::pipe::Receiver::from_owned_fd(streams.stdout.take().unwrap())
        .unwrap()
        .read_to_string(&mut text)
        .await
        .unwrap();
    assert_eq!((text.as_str(), streams.exit.await.unwrap()), ("hello", 0));

    let command = words(&["sh", "-c", "read line; stty size; echo $TERM; exit 9"]);
    let streams = node.runtime.exec(&id, &ExecConfig { command, stdin: true, tty: true }).await.unwrap();
    streams.resize(100, 40).unwrap();
    let tty = fs::File::from(streams.tty.unwrap());
    let text = tokio::task::spawn_blocking(move || {
        use std::io::{Read, Write};
        (&tty).write_all(b"go\n").unwrap();
        let mut bytes = Vec::new();
        let mut buffer = [0; 100];
        // The end of a terminal is an error.
        while let Ok(length) = (&tty).read(&mut buffer) {
            bytes.extend_from_slice(&buffer[..length]);
        }
        String::from_utf8(bytes).unwrap()
    });
    assert_eq!(text.await.unwrap(), "go\r\n40 100\r\nxterm\r\n");
    assert_eq!(streams.exit.await.unwrap(), 9);
}

#[tokio::test]
async fn attached_clients_see_output_and_feed_input() {
    let node = Node::new().await;
    let sandbox = node.sandbox().await;
    let id = node
        .run_in(
            &sandbox,
            &ContainerConfig { stdin: true, stdin_once: true, ..shell("read line; echo got $line; cat; echo end") },
        )
        .await;
    let mut streams = node.runtime.attach(&id).await.unwrap();
    let mut stdin = tokio::net::unix::pipe::Sender::from_owned_fd(streams.stdin.take().unwrap()).unwrap();
    stdin.write_all(b"one\ntwo\n").await.unwrap();
    drop(stdin);
    let mut text = String::new();
    tokio::net::unix::pipe::Receiver::from_owned_fd(streams.stdout.take().unwrap())
        .unwrap()
        .read_to_string(&mut text)
        .await
        .unwrap();
    assert_eq!(text, "got one\ntwo\nend\n");
    assert_eq!(node.ended(&id).await.exit_code, 0);
    assert_eq!(node.lines(&id).await, ["got one", "two", "end"]);
}

#[tokio::test]
async fn a_container_may_have_a_terminal() {
    let node = Node::new().await;
    let sandbox = node.sandbox().await;
    let id = node
        .run_in(
            &sandbox,
            &ContainerConfig {
                stdin: true,
                tty: true,
                ..shell("echo up; read line; echo got $line; readlink /proc/self/fd/1; stty size")
            },
        )
        .await;
    node.until_log(&id, "up").await;
    let streams = node.runtime.attach(&id).await.unwrap();
    streams.resize(80, 25).unwrap();
    use std::io::Write;
    fs::File::from(streams.tty.unwrap()).write_all(b"in\n").unwrap();
    node.ended(&id).await;
    assert_eq!(node.lines(&id).await, ["up", "in", "got in", "/dev/pts/0", "25 80"]);
}

#[tokio::test]
async fn a_port_on_loopback_is_reached() {
    let node = Node::new().await;
    let sandbox = node.sandbox().await;
    let id = node.run_in(&sandbox, &shell("echo up; exec nc -ll -p 8080 -e echo hello")).await;
    node.until_log(&id, "up").await;
    let mut text = String::new();
    let connect = async {
        loop {
            if let Ok(stream) = node.runtime.connect(&sandbox, 8080).await {
                return stream;
            }
        }
    };
    let mut stream = tokio::time::timeout(Duration::from_secs(10), connect).await.unwrap();
    stream.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "hello\n");
    let error = node.runtime.connect(&sandbox, 9).await.unwrap_err().to_string();
    assert!(error.contains("failed to connect to localhost:9 inside namespace"), "{error}");
}

#[tokio::test]
async fn containers_of_a_pod_may_share_their_processes() {
    let node = Node::new().await;
    let sandbox = node
        .runtime
        .run_sandbox(&containers::SandboxConfig { share_process_namespace: true, ..node.sandbox_config("shared") })
        .await
        .unwrap();
    let first = node.run_in(&sandbox, &shell("sleep 601")).await;
    let second =
        node.run_in(&sandbox, &ContainerConfig { name: "second".to_owned(), ..shell("sleep 602 & ps; exit 0") }).await;
    node.ended(&second).await;
    let text = node.lines(&second).await.join("\n");
    assert!(text.contains("/pause") && text.contains("sleep 601"), "{text}");
    // What the second left behind goes with it.
    let gone =
        async { while String::from_utf8(node.exec(&first, "ps").await.stdout).unwrap().contains("sleep 602") {} };
    tokio::time::timeout(Duration::from_secs(10), gone).await.unwrap();

    let alone = node.sandbox().await;
    let target = node.run_in(&alone, &shell("sleep 603")).await;
    let config = ContainerConfig { name: "debugger".to_owned(), target_container: Some(target), ..shell("ps") };
    let debugger = node.run_in(&alone, &config).await;
    node.ended(&debugger).await;
    assert!(node.lines(&debugger).await.join("\n").contains("sleep 603"));
}

#[tokio::test]
async fn host_namespaces_and_privileges_are_the_hosts() {
    let node = Node::new().await;
    let config =
        containers::SandboxConfig { host_network: true, host_pid: true, host_ipc: true, ..node.sandbox_config("host") };
    let sandbox = node.runtime.run_sandbox(&config).await.unwrap();
    let security = SecurityContext { privileged: true, ..SecurityContext::default() };
    let script = "for n in net pid ipc uts; do readlink /proc/self/ns/$n; done; grep Seccomp: /proc/self/status; mount -t tmpfs x /tmp && echo mounted; ls /dev/loop-control /dev/vda /dev/kmsg 2>&1 | head -1";
    let id = node.run_in(&sandbox, &ContainerConfig { security, ..shell(script) }).await;
    node.ended(&id).await;
    let lines = node.lines(&id).await;
    for (line, name) in lines.iter().zip(["net", "pid", "ipc", "uts"]) {
        assert_eq!(line, fs::read_link(format!("/proc/self/ns/{name}")).unwrap().to_str().unwrap());
    }
    assert_eq!(lines[4..6], ["Seccomp:\t0", "mounted"], "{lines:?}");
}

#[tokio::test]
async fn sysctls_are_the_sandboxes_own() {
    let node = Node::new().await;
    let sysctls = [("net.ipv4.ip_unprivileged_port_start", "0"), ("kernel.shm_rmid_forced", "1")];
    let sysctls = sysctls.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let sandbox =
        node.runtime.run_sandbox(&containers::SandboxConfig { sysctls, ..node.sandbox_config("sys") }).await.unwrap();
    let id = node
        .run_in(&sandbox, &shell("cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shm_rmid_forced"))
        .await;
    node.ended(&id).await;
    assert_eq!(node.lines(&id).await, ["0", "1"]);
    let bad = [("net.no.such".to_owned(), "1".to_owned())].into();
    let error = node
        .runtime
        .run_sandbox(&containers::SandboxConfig { sysctls: bad, ..node.sandbox_config("bad") })
        .await
        .unwrap_err();
    assert!(error.to_string().contains("sysctl net.no.such"), "{error}");
    assert_eq!(node.runtime.list_sandboxes().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_moved_log_is_written_anew() {
    let node = Node::new().await;
    let id = node.run_script("echo one; while ! test -e /tmp/go; do sleep 0.02; done; echo two; sleep 600").await;
    node.until_log(&id, "one").await;
    let path = node.runtime.container_status(&id).await.unwrap().log_path;
    fs::rename(&path, path.with_extension("log.1")).unwrap();
    node.runtime.reopen_log(&id).await.unwrap();
    node.exec(&id, "touch /tmp/go").await;
    node.until_log(&id, "two").await;
    assert_eq!(node.lines(&id).await, ["two"]);
    assert!(fs::read_to_string(path.with_extension("log.1")).unwrap().ends_with("stdout F one\n"));
}

#[tokio::test]
async fn removing_leaves_nothing() {
    let node = Node::new().await;
    let sandbox = node.sandbox().await;
    let id = node.run_in(&sandbox, &shell("touch /made; sleep 600")).await;
    let running = node.runtime.remove_container(&id).await;
    assert!(matches!(running, Err(Error::InvalidArgument(_))), "{running:?}");
    let status = node.runtime.container_status(&id).await.unwrap();
    assert_eq!(status.state, ContainerState::Running);
    assert!(!node.mounts().is_empty() && !node.groups().is_empty());
    node.runtime.remove_sandbox(&sandbox).await.unwrap();
    node.runtime.remove_sandbox(&sandbox).await.unwrap();
    assert!(
        node.runtime.list_containers().await.unwrap().is_empty()
            && node.runtime.list_sandboxes().await.unwrap().is_empty()
    );
    assert_eq!(node.mounts(), Vec::<String>::new());
    assert!(node.groups().iter().all(|group| group.ends_with("besteffort")), "{:?}", node.groups());
    for directory in ["containers", "sandboxes", "trash"] {
        assert_eq!(fs::read_dir(node.root().join(directory)).unwrap().count(), 0, "{directory}");
    }
    assert!(!status.log_path.exists());
}

#[tokio::test]
async fn starting_is_quick_and_the_supervisor_small() {
    let node = Node::new().await;
    let sandbox = node.sandbox().await;
    let mut times = Vec::new();
    for attempt in 0..20 {
        let started = tokio::time::Instant::now();
        let config = ContainerConfig { attempt, image: IMAGE.to_owned(), ..shell("sleep 600") };
        node.run_in(&sandbox, &config).await;
        times.push(started.elapsed());
    }
    times.sort();
    let status = fs::read_to_string(format!("/proc/{}/smaps_rollup", node.supervisor_pid())).unwrap();
    let dirty = status.lines().find(|line| line.starts_with("Private_Dirty:")).unwrap();
    eprintln!("create and start: p50 {:?}, p95 {:?}; supervisor {dirty}", times[10], times[18]);
    // A debug build on a busy machine is far from what a release does.
    assert!(times[10] < Duration::from_millis(500), "{times:?}");
}
