use bootway_exec::{Sandbox, SystemRunner};
use bootway_plan::{Failure, step};

use super::*;
use crate::{command, commands};

fn step(json: &str) -> step::Command {
    serde_json::from_str(json).unwrap()
}

/// Runs a step; what it emitted and how it ended, without what differs from run to run.
fn go(sandbox: &Sandbox<'_>, step: &step::Command) -> String {
    let result = command(&sandbox.cx(), step);
    let text = result.err().map(|error| Failure::of(&error).to_string()).unwrap_or_default();
    let port = free_port(sandbox.cx().scratch.as_str()).to_string();
    text.replace(sandbox.root().as_str(), "").replace(&port, "PORT")
}

/// A web server, and a client that asks it for something.
fn golden(beside: &str, client: &str) -> step::Command {
    step(&format!(r#"{{ "argv": ["sh", "-c", {client:?}, "sh", "${{port}}"], "beside": {beside} }}"#))
}

const SERVER: &str = r#"{
    "argv": ["sh", "-c", "echo started; echo $$ > pid; exec busybox httpd -f -p 127.0.0.1:$0 -h .", "${port}"],
    "ready": { "http": "http://127.0.0.1:${port}/health", "within": "20s" }
}"#;

/// Whether the process whose number is in the scratch directory is still there.
fn runs(sandbox: &Sandbox<'_>, file: &str) -> bool {
    let pid = std::fs::read_to_string(sandbox.cx().scratch.join(file)).unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

#[test]
fn a_client_meets_its_server_and_nothing_is_left() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    std::fs::write(sandbox.cx().scratch.join("health"), "fine").unwrap();
    let step = golden(SERVER, "test \"$(busybox wget -qO- http://127.0.0.1:$1/health)\" = fine");
    let preview: Vec<String> =
        commands(&sandbox.cx(), &step).unwrap().iter().map(|cmd| format!("$ {cmd}")).collect();
    assert_eq!(go(&sandbox, &step), "");
    let ran: Vec<String> = sandbox.lines().into_iter().filter(|line| line.starts_with("$ ")).collect();
    assert_eq!(ran, preview, "the server, then the client");
    assert!(sandbox.lines().iter().any(|line| line.starts_with("the program beside it was ready")));
    assert!(!runs(&sandbox, "pid"), "the server is gone");
}

#[test]
fn a_server_that_is_never_ready_fails_with_its_log_and_is_gone() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let server = SERVER.replace("20s", "1s");
    let said = go(&sandbox, &golden(&server, "touch ran"));
    insta::assert_snapshot!(said, @"
    error: `cd /scratch && SOURCE_DATE_EPOCH=1735689600 sh -c 'echo started; echo $$ > pid; exec busybox httpd -f -p 127.0.0.1:$0 -h .' PORT` was not ready within 1s: http://127.0.0.1:PORT/health did not answer well; its last lines:
        started
      hint: raise `within`, or find out why it takes so long
    ");
    assert!(!runs(&sandbox, "pid") && !sandbox.cx().scratch.join("ran").exists());
}

#[test]
fn a_server_that_ends_takes_its_client_with_it() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let server = r#"{ "argv": ["sh", "-c", "echo $$ > pid; echo up; while ! test -e go; do sleep 0.01; done; echo cannot bind >&2; exit 3"], "ready": { "line": "up" } }"#;
    let said = go(&sandbox, &golden(server, "touch go; exec sleep 600"));
    insta::assert_snapshot!(said, @"
    error: `cd /scratch && SOURCE_DATE_EPOCH=1735689600 sh -c 'echo $$ > pid; echo up; while ! test -e go; do sleep 0.01; done; echo cannot bind >&2; exit 3'` exited with code 3 while it was still needed; its last lines:
        up
        cannot bind
    ");
    let early = r#"{ "argv": ["sh", "-c", "echo no such file; exit 4"], "ready": { "line": "up" } }"#;
    insta::assert_snapshot!(go(&sandbox, &golden(early, "true")), @"
    error: `cd /scratch && SOURCE_DATE_EPOCH=1735689600 sh -c 'echo no such file; exit 4'` exited with code 4 while it was still needed; its last lines:
        no such file
    ");
}

#[test]
fn a_client_that_fails_is_what_failed_and_the_server_and_its_children_are_stopped() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let server = r#"{ "argv": ["sh", "-c", "trap 'echo bye > bye; exit 0' TERM; sleep 600 & echo $! > child; echo $$ > pid; echo up; wait"], "ready": { "line": "up" } }"#;
    insta::assert_snapshot!(go(&sandbox, &golden(server, "exit 7")), @"error: `cd /scratch && SOURCE_DATE_EPOCH=1735689600 sh -c 'exit 7' sh PORT` exited with code 7");
    assert!(!runs(&sandbox, "pid") && !runs(&sandbox, "child"));
    assert!(sandbox.cx().scratch.join("bye").exists(), "it was asked first");
}

#[test]
fn somebody_who_stops_the_run_stops_both() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let server =
        r#"{ "argv": ["sh", "-c", "echo $$ > pid; echo up; exec sleep 600"], "ready": { "line": "up" } }"#;
    let step = golden(server, "echo $$ > client; exec sleep 600");
    thread::scope(|scope| {
        scope.spawn(|| {
            while !sandbox.cx().scratch.join("client").exists() {
                thread::yield_now();
            }
            sandbox.cancel.cancel();
        });
        insta::assert_snapshot!(go(&sandbox, &step), @"error: cancelled");
    });
    assert!(!runs(&sandbox, "pid") && !runs(&sandbox, "client"));
}

#[test]
fn only_a_good_answer_of_this_machine_is_one() {
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = server.local_addr().unwrap();
    let said = |answer: &'static str| {
        thread::scope(|scope| {
            scope.spawn(|| {
                let (mut stream, _) = server.accept().unwrap();
                let mut asked = Vec::new();
                while !asked.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    asked.extend(byte);
                }
                assert!(asked.starts_with(b"GET /health HTTP/1.1\r\n"));
                stream.write_all(answer.as_bytes()).unwrap();
            });
            status(address, "127.0.0.1", "/health")
        })
    };
    assert_eq!(said("HTTP/1.1 200 OK\r\n\r\n"), Some(200));
    assert_eq!(said("HTTP/1.0 503 Not yet\r\n"), Some(503));
    assert_eq!(said("SSH-2.0-OpenSSH\r\n"), None);
    assert_eq!(said(""), None);
    assert!(!answers("192.0.2.1:80", "/"), "the network is not asked");
}

#[test]
fn a_port_is_free_and_the_same_twice() {
    let port = free_port("a step");
    assert_eq!(free_port("a step"), port);
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    assert_ne!(free_port("a step"), port);
    drop(taken);
}
