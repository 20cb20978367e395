//! Started and asked as a user would.

use e2e::harness::Service;
use std::path::Path;
use std::time::Duration;

const START: Duration = Duration::from_secs(20);

#[test]
fn it_says_hello_is_healthy_counts_and_stops() {
    let program = Path::new(env!("CARGO_BIN_EXE_hello"));
    let mut service = Service::start(program, &[], "workers.count = 2").ready(START);
    let answer = service.get("/").expect("an answer");
    assert_eq!((answer.status, &*answer.text()), (200, "hello\n"));
    for path in ["/healthz", "/readyz"] {
        assert_eq!(service.get(path).expect("an answer").status, 200);
    }
    service.wait_access(&["\"GET / HTTP/1.1\" 200"], START);
    let metrics = service.get_admin("/metrics").expect("an answer").text();
    assert!(metrics.contains("mainstay_http_requests_total"), "{metrics}");
    service.control_ok(&["stop"]);
    assert_eq!(service.wait_exit(START).code(), Some(0), "{}", service.log());
}
