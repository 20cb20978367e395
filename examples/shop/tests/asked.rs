//! Started and asked as its users and operators would, on SQLite and on PostgreSQL.

use e2e::harness::{Launch, Service, poll};
use e2e::peers::Postgres;
use e2e::visit::Visitor;
use std::path::Path;
use std::time::Duration;

const START: Duration = Duration::from_secs(30);
const PASSWORD: &str = "correct horse battery";

/// Lines that mainstay may be set up by.
const MOST: usize = 15;

/// A whole visit: the first user, orders, photos, what operators see of it.
fn visit(service: &Service) {
    let log = service.wait_log(&["The first user: /setup/"], START);
    let link = log.split("The first user: ").nth(1).expect("it was waited for");
    let link = link.split_whitespace().next().expect("a path").to_owned();
    let mut alice = Visitor::new(service.target());
    let given = [("name", "alice"), ("password", PASSWORD)];
    assert_eq!(alice.post("/", &[("item", "a hat")]).status, 401, "nobody is signed in");
    assert_eq!(alice.post(&link, &given).status, 200, "{}", service.log());
    assert_eq!(alice.post("/", &[("item", "a hat")]).status, 201, "{}", service.log());
    assert_eq!(alice.post("/", &[("item", "")]).status, 400);
    assert_eq!(alice.get("/").text(), "a hat for alice\n");
    let photo = alice.upload("/photos", "hat.png", b"a photo of a hat");
    assert_eq!(photo.status, 201, "{}", service.log());
    let at = photo.text().trim().to_owned();
    assert_eq!(alice.get(&at).body, b"a photo of a hat");
    assert_eq!(alice.upload("/photos", "big", &vec![0; 3 << 20]).status, 413);
    assert_eq!(alice.post("/sign-out", &[]).status, 200);
    assert_eq!(alice.post("/", &[("item", "a coat")]).status, 401);
    assert_eq!(alice.post("/sign-in", &[("name", "alice"), ("password", "wrong")]).status, 401);
    assert_eq!(alice.post("/sign-in", &given).status, 200);
    assert_eq!(alice.post("/", &[("item", "a coat")]).status, 201, "{}", service.log());
    assert_eq!(alice.get("/").text(), "a coat for alice\na hat for alice\n", "the newest first");
    let page = alice.get("/photos/none");
    assert_eq!(page.status, 404);
    assert!(page.text().contains("The shop does not have that"), "{}", page.text());
    let metric = || {
        let metrics = service.get_admin("/metrics").ok()?.text();
        metrics.lines().any(|it| it == "shop_orders_total 2").then_some(())
    };
    assert!(poll(START, metric).is_some(), "{:?}", service.get_admin("/metrics"));
    assert!(service.control_ok(&["user", "list"]).contains("alice"));
}

#[test]
fn users_sign_in_order_and_upload_on_sqlite() {
    let program = Path::new(env!("CARGO_BIN_EXE_shop"));
    let service = Service::start(program, &[], "workers.count = 2").ready(START);
    visit(&service);
    // The shop's own check: a directory that is no directory cannot be written to.
    let uploads = service.directory().join("uploads");
    std::fs::rename(&uploads, service.directory().join("away")).expect("our own directory");
    let ready = |wanted| {
        let answer = || Some(service.get("/readyz").ok()?.status).filter(|it| *it == wanted);
        assert!(poll(START, answer).is_some(), "{wanted}: {}", service.log());
    };
    ready(503);
    std::fs::rename(service.directory().join("away"), &uploads).expect("our own directory");
    ready(200);
}

#[test]
fn users_sign_in_order_and_upload_on_postgresql() {
    let Some(postgres) = Postgres::start(50) else { return };
    let program = Path::new(env!("CARGO_BIN_EXE_shop"));
    let launch = Launch::new(program).config("workers.count = 2");
    visit(&launch.env("DATABASE_URL", &postgres.url()).start().ready(START));
}

/// What sets mainstay up: lines that name it or its worker, the chain that builds the service, and the three that
/// users are opened, invited and guarded by. Handlers that take a session or a pool as an argument would do so
/// with any library, and are not counted.
#[test]
fn what_sets_mainstay_up_is_at_most_fifteen_lines() {
    let main = include_str!("../src/main.rs");
    let (_, chain) = main.split_once("mainstay::builder()\n").expect("it is built");
    let (chain, _) = chain.split_once("\n}\n").expect("it ends");
    let words = ["mainstay", "worker", "login.first_link", "login.csrf"];
    let code = main.lines().filter(|it| !it.trim().starts_with("//"));
    let named = code.filter(|line| words.iter().any(|it| line.contains(it)));
    let built = chain.lines().filter(|line| !line.contains("mainstay"));
    let said: Vec<_> = named.chain(built).collect();
    assert!(said.len() <= MOST, "{}: {said:#?}", said.len());
    assert!(said.iter().any(|it| it.contains(".serve(")), "{said:#?}");
}
