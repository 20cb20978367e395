//! The same questions that the Flask application was asked.

use e2e::harness::{Service, poll};
use e2e::load::{Response, send};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const START: Duration = Duration::from_secs(20);

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_from-flask"))
}

/// Sends an order through a proxy that names this client.
fn post(service: &Service, client: &str, body: &str) -> Response {
    let head =
        "POST /orders HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAccept: application/json\r\n";
    let length = body.len();
    let kind = format!("Content-Type: application/json\r\nX-Forwarded-For: {client}");
    let request = format!("{head}{kind}\r\nContent-Length: {length}\r\n\r\n{body}");
    send(&service.target(), request.as_bytes(), START).expect("an answer")
}

#[test]
fn it_answers_limits_and_logs_as_the_flask_application_did() {
    let service = Service::start(program(), &[], "workers.count = 2").ready(START);
    assert_eq!(service.get("/health").expect("an answer").status, 200);
    for _ in 0..5 {
        let answer = post(&service, "203.0.113.9", r#"{"item":"a hat"}"#);
        assert_eq!((answer.status, &*answer.text()), (201, r#"{"item":"a hat"}"#));
    }
    let sixth = post(&service, "203.0.113.9", r#"{"item":"a hat"}"#);
    assert_eq!(sixth.status, 429);
    assert!(sixth.header("retry-after").is_some());
    // The proxy is believed: another client has a limit of its own.
    assert_eq!(post(&service, "203.0.113.10", r#"{"item":"a hat"}"#).status, 201);
    let log = service.directory().join("app.log");
    let told = || {
        let text = std::fs::read_to_string(&log).ok()?;
        text.lines().any(|it| it.contains(" - shop - INFO - order placed: a hat")).then_some(())
    };
    assert!(poll(START, told).is_some(), "{:?}", std::fs::read_to_string(&log));
}

#[test]
fn gunicorn_s_settings_are_what_import_makes_of_them() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(program())
        .args(["import", "flask/gunicorn.conf.py"])
        .current_dir(here)
        .output()
        .expect("it was built");
    assert!(output.status.success(), "{output:?}");
    let made = String::from_utf8(output.stdout).expect("text");
    if std::env::var_os("MAINSTAY_BLESS").is_some() {
        std::fs::write(here.join("mainstay.toml"), &made).expect("the tree can be written");
    }
    let stands = std::fs::read_to_string(here.join("mainstay.toml")).expect("it is in the tree");
    assert_eq!(made, stands, "run with MAINSTAY_BLESS=1");
    let place = std::env::temp_dir().join(format!("from-flask-{}", std::process::id()));
    std::fs::create_dir_all(&place).expect("a directory of ours");
    std::fs::write(place.join("mainstay.toml"), made).expect("a file of ours");
    let mut check = Command::new(program());
    let checked = check.env_remove("MAINSTAY_BLESS").arg("check").current_dir(&place).output();
    let checked = checked.expect("it was built");
    std::fs::remove_dir_all(&place).ok();
    assert!(checked.status.success(), "{checked:?}");
}
