//! Logs, exec, attach, cp and port-forward.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;

use crate::support::manifests::{pod, script, server};
use crate::support::{Cluster, until};

#[test]
fn logs_are_followed_cut_and_kept_of_the_run_before() {
    let cluster = Cluster::start();
    let count = "i=0; while [ $i -lt 5 ]; do i=$((i+1)); echo line $i; done; [ -e /shared/again ] && exec sleep 1000; touch /shared/again; exit 1";
    let count = count.replace("touch", "busybox touch");
    let work = "volumeMounts: [{name: work, mountPath: /shared}]";
    let volume = "volumes: [{name: work, emptyDir: {}}]";
    cluster.apply(&pod("web", &format!("{volume}, containers: [{}]", script(&count, work))));
    cluster.until_field("pod web", ".status.containerStatuses[0].restartCount", "1");
    cluster.kubectl("wait pod/web --for=condition=Ready --timeout 60s");
    let five = "line 1\nline 2\nline 3\nline 4\nline 5\n";
    until("the log is whole", || (cluster.kubectl("logs web") == five).then_some(()));
    assert_eq!(cluster.kubectl("logs web --previous"), five);
    assert_eq!(cluster.kubectl("logs web --tail 2"), "line 4\nline 5\n");
    assert_eq!(cluster.kubectl("logs web --since 1h"), five);
    assert_eq!(cluster.kubectl("logs web --since-time 2999-01-01T00:00:00Z"), "");
    let stamped = cluster.kubectl("logs web --timestamps --tail 1");
    assert!(stamped.ends_with("Z line 5\n"), "{stamped}");
    let missing = cluster.try_kubectl("logs web -c other").fails();
    assert!(missing.contains("container other is not valid for pod web"), "{missing}");
}

#[test]
fn a_followed_log_shows_lines_as_they_come_and_ends_with_the_container() {
    let cluster = Cluster::start();
    let spec = format!(
        "restartPolicy: Never, containers: [{}]",
        script("while read line; do echo got $line; done", "stdin: true, stdinOnce: true")
    );
    cluster.apply(&pod("echo", &spec));
    cluster.kubectl("wait pod/echo --for=condition=Ready --timeout 60s");
    let mut logs = cluster.kubectl_command();
    let mut logs = logs.args(["logs", "-f", "echo"]).stdout(Stdio::piped()).spawn().expect("kubectl starts");
    let mut lines = BufReader::new(logs.stdout.take().expect("it is a pipe")).lines();

    let mut attach = cluster.kubectl_command();
    let attach =
        attach.args(["attach", "-i", "echo"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut attach = attach.spawn().expect("kubectl starts");
    let mut input = attach.stdin.take().expect("it is a pipe");
    writeln!(input, "one").expect("attach reads");
    assert_eq!(lines.next().expect("a line").expect("text"), "got one");
    writeln!(input, "two").expect("attach reads");
    assert_eq!(lines.next().expect("a line").expect("text"), "got two");
    drop(input);
    assert!(lines.next().is_none(), "the log ends");
    assert!(logs.wait().expect("kubectl ends").success());
    let mut said = String::new();
    attach.stdout.take().expect("it is a pipe").read_to_string(&mut said).expect("text");
    attach.wait().expect("kubectl ends");
    assert!(said.contains("got two"), "{said}");
    cluster.until_field("pod echo", ".status.phase", "Succeeded");
}

#[test]
fn commands_in_containers_have_input_output_errors_and_an_exit_code() {
    let cluster = Cluster::start();
    cluster.apply(&pod("web", &format!("containers: [{}]", server(""))));
    cluster.kubectl("wait pod/web --for=condition=Ready --timeout 60s");
    let output = cluster.sh("pod/web", "echo out; echo err >&2; exit 42");
    assert_eq!((output.stdout.as_str(), output.code), ("out\n", 42));
    assert!(output.stderr.starts_with("err\n"), "{}", output.stderr);
    assert_eq!(cluster.kubectl_stdin("exec -i web -- cat", "through and back").succeeds(), "through and back");
    let missing = cluster.try_kubectl("exec web -- no-such-program").fails();
    assert!(missing.contains("no-such-program"), "{missing}");
    let absent = cluster.try_kubectl("exec absent -- true").fails();
    assert!(absent.contains("pods \"absent\" not found"), "{absent}");
    let long = cluster.sh("pod/web", "i=0; while [ $i -lt 20000 ]; do echo $i; i=$((i+1)); done").succeeds();
    assert_eq!(long.lines().count(), 20_000, "no output is lost");
}

#[test]
fn files_are_copied_into_a_container_and_out_of_it() {
    let cluster = Cluster::start();
    cluster.apply(&pod("web", &format!("containers: [{}]", server(""))));
    cluster.kubectl("wait pod/web --for=condition=Ready --timeout 60s");
    let directory = cluster.scratch().join("files");
    std::fs::create_dir(&directory).expect("a directory is made");
    let content: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    std::fs::write(directory.join("data"), &content).expect("a file is written");
    std::fs::write(directory.join("note"), "a note").expect("a file is written");
    let (here, back) = (directory.display(), cluster.scratch().join("back"));
    cluster.kubectl(&format!("cp {here} web:/tmp/files"));
    assert_eq!(cluster.sh("pod/web", "cat /tmp/files/note").succeeds(), "a note");
    cluster.kubectl(&format!("cp web:/tmp/files {}", back.display()));
    assert!(std::fs::read(back.join("data")).expect("it was copied") == content, "the copy differs");
}

#[test]
fn a_forwarded_port_reaches_the_pod() {
    let cluster = Cluster::start();
    cluster.apply(&pod("web", &format!("containers: [{}]", server(""))));
    cluster.kubectl("wait pod/web --for=condition=Ready --timeout 60s");
    let mut forward = cluster.kubectl_command();
    let mut forward =
        forward.args(["port-forward", "pod/web", "8099:8080"]).stdout(Stdio::piped()).spawn().expect("kubectl starts");
    let mut first = String::new();
    // Kept, as kubectl ends when nobody reads what it says.
    let mut said = BufReader::new(forward.stdout.take().expect("it is a pipe"));
    said.read_line(&mut first).expect("text");
    assert!(first.contains("Forwarding from 127.0.0.1:8099 -> 8080"), "{first}");
    let answers: Vec<String> = (0..3).map(|_| cluster.machine.http("http://127.0.0.1:8099/")).collect();
    forward.kill().and_then(|()| forward.wait()).expect("it runs");
    assert!(answers.iter().all(|answer| answer == "hello from web v1\n"), "{answers:?}");
}
