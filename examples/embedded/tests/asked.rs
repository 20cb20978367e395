//! Started and asked as a user would.

use e2e::harness::{free_port, poll};
use e2e::load::{Response, Target, get, send};
use std::fs::File;
use std::net::SocketAddr;
use std::process::{Child, Command};
use std::time::Duration;

const START: Duration = Duration::from_secs(20);

/// A program that is gone when the test is over.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn another_server_has_the_stack_as_a_layer() {
    let port = free_port();
    let out = std::env::temp_dir().join(format!("embedded-{port}.log"));
    let mut program = Command::new(env!("CARGO_BIN_EXE_embedded"));
    program.arg(port.to_string()).stdout(File::create(&out).expect("a file of ours"));
    let program = Program(program.spawn().expect("it was built"));
    let target = Target::from(SocketAddr::from(([127, 0, 0, 1], port)));
    let ask = |path: &str| get(&target, path, START);
    let ready = || Some(()).filter(|()| ask("/readyz").is_ok_and(|it| it.status == 200));
    assert!(poll(START, ready).is_some(), "it is not ready");
    assert_eq!(ask("/healthz").expect("an answer").status, 200);
    let hello = ask("/").expect("an answer");
    let id = hello.header("x-request-id").expect("a name");
    assert_eq!(hello.text(), format!("you are request {id}\n"));
    assert!(ask("/none").expect("an answer").header("x-request-id").is_some());
    let echo = || -> Response {
        let request =
            "POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi";
        send(&target, request.as_bytes(), START).expect("an answer")
    };
    assert_eq!([echo().status, echo().status, echo().status], [200, 200, 429]);
    let written = || {
        let text = std::fs::read_to_string(&out).ok()?;
        text.contains("127.0.0.1 - - [").then_some(())?;
        text.contains("\"POST /echo HTTP/1.1\" 429").then_some(())
    };
    assert!(poll(START, written).is_some(), "{:?}", std::fs::read_to_string(&out));
    drop(program);
    std::fs::remove_file(out).ok();
}
