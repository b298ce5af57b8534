//! A client on one side, pipes as a fake runtime gives them on the other.

use std::os::fd::OwnedFd;

use futures::SinkExt;
use tokio::io::DuplexStream;
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::*;

/// The process's own ends of its pipes.
struct Process {
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    exit: Option<oneshot::Sender<i32>>,
}

async fn start(protocol: Protocol, ending: Ending) -> (WebSocketStream<DuplexStream>, Process) {
    let (stdin_read, stdin_write) = nix::unistd::pipe().unwrap();
    let (stdout_read, stdout_write) = nix::unistd::pipe().unwrap();
    let (exit, exited) = oneshot::channel();
    let streams =
        Streams { stdin: Some(stdin_write), stdout: Some(stdout_read), stderr: None, tty: None, exit: exited };
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let server = WebSocketStream::from_raw_socket(ours, Role::Server, None).await;
    let client = WebSocketStream::from_raw_socket(theirs, Role::Client, None).await;
    let wanted = Wanted { stdin: true, stdout: true, stderr: true, tty: false };
    tokio::spawn(serve(server, protocol, wanted, streams, ending));
    (client, Process { stdin: Some(stdin_read), stdout: Some(stdout_write), exit: Some(exit) })
}

async fn next(client: &mut WebSocketStream<DuplexStream>) -> String {
    match client.next().await {
        Some(Ok(Message::Binary(bytes))) => format!("{} {}", bytes[0], String::from_utf8_lossy(&bytes[1..])),
        Some(Ok(Message::Close(_))) => "close".into(),
        other => format!("{other:?}"),
    }
}

async fn read(fd: OwnedFd) -> String {
    let (fd, mut text, mut buffer) = (Fd::new(fd).unwrap(), String::new(), [0; 64]);
    while let Ok(count @ 1..) = fd.read(&mut buffer).await {
        text += std::str::from_utf8(&buffer[..count]).unwrap();
    }
    text
}

#[tokio::test]
async fn version_5_closes_stdin_and_tells_the_exit_code() {
    let (mut client, mut process) = start(Protocol::V5, Ending::Exit).await;
    assert_eq!(next(&mut client).await, "1 ");
    client.send(Message::Binary(b"\x00hello".to_vec().into())).await.unwrap();
    client.send(Message::Binary(vec![255, 0].into())).await.unwrap();
    assert_eq!(read(process.stdin.take().unwrap()).await, "hello");
    let stdout = Fd::new(process.stdout.take().unwrap()).unwrap();
    stdout.write_all(b"out").await.unwrap();
    assert_eq!(next(&mut client).await, "1 out");
    drop(stdout);
    process.exit.take().unwrap().send(3).unwrap();
    let status = next(&mut client).await;
    let status: Value = serde_json::from_str(status.strip_prefix("3 ").unwrap()).unwrap();
    assert_eq!(status["reason"], "NonZeroExitCode");
    assert_eq!(status["details"]["causes"][0], json!({"reason": "ExitCode", "message": "3"}));
    assert_eq!(next(&mut client).await, "close");
}

#[tokio::test]
async fn output_written_before_the_exit_comes_before_the_status() {
    let (mut client, mut process) = start(Protocol::V4, Ending::Exit).await;
    let stdout = Fd::new(process.stdout.take().unwrap()).unwrap();
    stdout.write_all(b"last words").await.unwrap();
    drop(stdout);
    process.exit.take().unwrap().send(0).unwrap();
    assert_eq!(next(&mut client).await, "1 ");
    assert_eq!(next(&mut client).await, "1 last words");
    assert_eq!(next(&mut client).await, "3 {\"metadata\":{},\"status\":\"Success\"}");
}

#[tokio::test]
async fn an_attach_ends_with_the_output() {
    let (mut client, mut process) = start(Protocol::V4, Ending::Output).await;
    assert_eq!(next(&mut client).await, "1 ");
    drop(process.stdout.take());
    assert_eq!(next(&mut client).await, "3 {\"metadata\":{},\"status\":\"Success\"}");
    assert_eq!(next(&mut client).await, "close");
}

#[tokio::test]
async fn an_attach_to_a_container_whose_input_stays_open_ends_with_the_clients_input() {
    let (mut client, mut process) = start(Protocol::V5, Ending::Input).await;
    assert_eq!(next(&mut client).await, "1 ");
    let stdout = Fd::new(process.stdout.take().unwrap()).unwrap();
    stdout.write_all(b"out").await.unwrap();
    assert_eq!(next(&mut client).await, "1 out");
    client.send(Message::Binary(b"\x00hello".to_vec().into())).await.unwrap();
    client.send(Message::Binary(vec![255, 0].into())).await.unwrap();
    assert_eq!(next(&mut client).await, "3 {\"metadata\":{},\"status\":\"Success\"}");
    assert_eq!(next(&mut client).await, "close");
    assert_eq!(read(process.stdin.take().unwrap()).await, "hello");
}

#[test]
fn only_containers_that_read_the_end_of_their_input_are_attached_beyond_it() {
    let until = |flags: serde_json::Value| {
        let mut container = json!({"name": "a"});
        container.as_object_mut().unwrap().extend(flags.as_object().unwrap().clone());
        let pod = serde_json::from_value(json!({"spec": {"containers": [container]}})).unwrap();
        attached_until(&pod, "a")
    };
    assert_eq!(until(json!({"stdin": true, "stdinOnce": true})), Ending::Output);
    assert_eq!(until(json!({"stdin": true})), Ending::Input);
    assert_eq!(until(json!({"stdin": true, "stdinOnce": true, "tty": true})), Ending::Input);
}

#[tokio::test]
async fn the_process_loses_its_streams_with_the_client() {
    let (client, mut process) = start(Protocol::V5, Ending::Exit).await;
    drop(client);
    assert_eq!(read(process.stdin.take().unwrap()).await, "");
}
