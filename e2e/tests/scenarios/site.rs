//! The built-in status site as people use it: its first user, incidents from draft to end, attachments, and
//! what everybody sees when the database is away; on SQLite, PostgreSQL and MariaDB.

use crate::probes::wait_probe;
use crate::support::*;
use e2e::harness::{Launch, Service, poll, poll_every};
use e2e::load::Response;
use e2e::peers::{Hook, MariaDb, Message, Postgres};
use e2e::visit::{Visitor, led};
use rustix::process::{Signal, kill_process};
use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

pub(crate) const PASSWORD: &str = "quite a long sentence";

const PICTURE: &[u8] =
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\0\0\0\rIDAT\
    x\x9cc\xf8\xcf\xc0\xf0\x1f\0\x05\0\x01\xff\x89\x99=\x1d\0\0\0\0IEND\xaeB`\x82";

fn launch(url: &str, config: &str) -> Launch {
    Launch::new(mainstay()).config(config).env("DATABASE_URL", url)
}

/// A ready site on a file of its own.
pub(crate) fn site(config: &str) -> Service {
    launch("sqlite:site.db", config).start().ready(START)
}

/// The path of the link that the site prints for its first user.
pub(crate) fn first_link(service: &Service) -> String {
    let line = service.wait_log(&["/setup/"], START);
    let at = line.find("/setup/").expect("it was found by this");
    line[at..].trim().to_owned()
}

/// Somebody who has become the administrator.
pub(crate) fn administrator(service: &Service) -> Visitor {
    let mut alice = Visitor::new(service.target());
    let link = first_link(service);
    let form = [("name", "alice"), ("password", PASSWORD), ("again", PASSWORD)];
    assert_eq!(alice.submit(&link, &form), "/operate");
    alice
}

/// A page as it is read: slashes are escaped in it.
fn read(visitor: &mut Visitor, path: &str) -> String {
    visitor.get(path).text().replace("&#x2f;", "/")
}

/// The address that begins like this in a page.
fn address(page: &str, begin: &str) -> String {
    let at = page.find(begin).unwrap_or_else(|| panic!("no {begin} in {page}"));
    page[at..].chars().take_while(|it| !matches!(it, '"' | '<')).collect()
}

/// Gets a page until it says all of this.
fn wait_page(visitor: &mut Visitor, path: &str, words: &[&str]) -> String {
    let found = poll_every(Duration::from_millis(50), START, || {
        let page = read(visitor, path);
        words.iter().all(|word| page.contains(word)).then_some(page)
    });
    found.unwrap_or_else(|| panic!("no {words:?} on {path}:\n{}", visitor.get(path).text()))
}

/// Publishes an incident and gives its id.
pub(crate) fn incident(alice: &mut Visitor, title: &str) -> String {
    let form = [
        ("kind", "incident"),
        ("title", title),
        ("impact", "minor"),
        ("begins", "2026-01-02T03:04"),
        ("component", "service"),
        ("status", "investigating"),
        ("body", "We are **looking** into it."),
        ("publish", "1"),
    ];
    let place = alice.submit("/operate/incidents", &form);
    let id = place.strip_prefix("/operate/incidents/").expect("an incident");
    id.split('?').next().expect("an id").to_owned()
}

fn json(answer: &Response) -> serde_json::Value {
    serde_json::from_slice(&answer.body).expect("JSON")
}

fn a_site_is_used(url: &str) {
    let service = launch(url, "workers.count = 2").start().ready(START);
    let (mut anybody, mut alice) = (Visitor::new(service.target()), Visitor::new(service.target()));
    wait_page(&mut anybody, "/", &["All systems operational", "Web service", "Database"]);
    assert_eq!(anybody.get("/operate").header("location"), Some("/login?next=%2Foperate"));
    the_first_user_comes_in_once(&service, &mut alice);
    let draft = a_draft_is_the_operators_own(&mut alice, &mut anybody);
    it_is_published_told_and_closed(&mut alice, &mut anybody, &draft);
    others_are_let_in_and_out(&service, &mut alice);
    let metrics = service.get_admin("/metrics").expect("an answer").text();
    let of_route = "mainstay_http_request_duration_seconds_count{method=\"POST\",\
                    route=\"/operate/incidents/{id}/updates\",status=\"3xx\"} 1";
    assert!(metrics.contains(of_route), "{metrics}");
    assert_eq!(alice.submit("/logout", &[]), "/");
    assert_eq!(alice.get("/operate").status, 303);
    let mut again = Visitor::new(service.target());
    let wrong =
        again.post("/login", &[("name", "alice"), ("password", "not hers at all"), ("next", "/")]);
    assert_eq!(wrong.status, 401);
    let form = [("name", "Alice "), ("password", PASSWORD), ("next", "/operate/users")];
    assert_eq!(again.submit("/login", &form), "/operate/users");
    assert_eq!(again.get("/operate/users").status, 200);
}

fn the_first_user_comes_in_once(service: &Service, alice: &mut Visitor) {
    let link = first_link(service);
    assert_eq!(service.log_lines(&["/setup/mst_"]).len(), 1, "one of two workers tells it");
    assert_eq!(alice.get(&format!("{link}x")).status, 410);
    let page = alice.get(&link);
    assert!(page.status == 200 && page.text().contains("Become the administrator"));
    let weak = alice.post(&link, &[("name", "alice"), ("password", "short"), ("again", "short")]);
    assert_eq!(weak.status, 422, "{}", weak.text());
    let form = [("name", "alice"), ("password", PASSWORD), ("again", PASSWORD)];
    assert_eq!(alice.submit(&link, &form), "/operate");
    assert_eq!(Visitor::new(service.target()).post(&link, &form).status, 410, "it was used");
}

fn a_draft_is_the_operators_own(alice: &mut Visitor, anybody: &mut Visitor) -> String {
    let form = [
        ("kind", "incident"),
        ("title", "Slow <checkout>"),
        ("impact", "major"),
        ("begins", "2026-01-02T03:04"),
        ("component", "service"),
        ("component", "nothing-we-know"),
        ("status", "investigating"),
        ("body", "We are *looking*. <script>alert(1)</script>"),
    ];
    let place = alice.submit("/operate/incidents", &form);
    let id = place.strip_prefix("/operate/incidents/").and_then(|it| it.split('?').next());
    let id = id.expect("an incident").to_owned();
    let public = format!("/incidents/{id}");
    assert_eq!(anybody.get(&public).status, 404, "a draft");
    assert_eq!(alice.get(&public).status, 200);
    assert!(!anybody.get("/").text().contains("checkout"));
    assert!(!anybody.get("/feed.atom").text().contains("checkout"));
    let picture =
        alice.upload(&format!("/operate/incidents/{id}/attachments"), "../shot.png", PICTURE);
    assert!(led("upload", &picture).ends_with("?done=attached"));
    id
}

fn it_is_published_told_and_closed(alice: &mut Visitor, anybody: &mut Visitor, id: &str) {
    let edit = format!("/operate/incidents/{id}");
    let facts = |revision: &'static str| {
        [
            ("revision", revision),
            ("title", "Slow <checkout>"),
            ("impact", "major"),
            ("begins", "2026-01-02T03:04"),
            ("component", "service"),
            ("status", "identified"),
            ("body", "A **full** disk."),
            ("publish", "1"),
        ]
    };
    assert_eq!(alice.post(&edit, &facts("9")).status, 409, "somebody else was quicker");
    assert_eq!(alice.submit(&edit, &facts("0")), format!("{edit}?done=published"));
    let page = wait_page(
        anybody,
        "/",
        &["Slow &lt;checkout&gt;", "<strong>full</strong>", "Some systems"],
    );
    assert!(!page.contains("<script>alert"));
    let found = poll_every(Duration::from_millis(50), START, || {
        let status = json(&anybody.get("/status.json"));
        let it = &status["incidents"][0];
        (it["status"] == "identified" && it["components"][0] == "service").then_some(())
    });
    assert!(found.is_some(), "{}", anybody.get("/status.json").text());
    let file = address(&read(anybody, &format!("/incidents/{id}")), "/attachments/");
    let picture = anybody.get(&file);
    assert_eq!((picture.status, &picture.body[..]), (200, PICTURE));
    assert_eq!(picture.header("content-type"), Some("image/png"));
    let update = [("status", "resolved"), ("body", "It is over.")];
    assert!(alice.submit(&format!("{edit}/updates"), &update).ends_with("?done=updated"));
    let page = wait_page(anybody, "/", &["All systems operational", "It is over."]);
    assert!(page.contains("The last 14 days"));
    wait_page(anybody, "/feed.atom", &["Resolved: Slow &lt;checkout&gt;"]);
    let month = anybody.get("/history?month=2026-01");
    assert!(month.text().contains("Slow &lt;checkout&gt;"), "{}", month.text());
    assert_eq!(alice.post(&format!("{edit}/remove"), &[]).status, 409, "it stays on the record");
    wait_page(anybody, "/badge.svg", &["Operational"]);
}

fn others_are_let_in_and_out(service: &Service, alice: &mut Visitor) {
    let page = alice.post("/operate/users", &[("name", "bob"), ("role", "operator")]).text();
    let link = address(&page.replace("&#x2f;", "/"), "/setup/mst_");
    let mut bob = Visitor::new(service.target());
    let form = [("password", PASSWORD), ("again", PASSWORD)];
    assert_eq!(bob.submit(&link, &form), "/operate");
    assert_eq!(bob.get("/operate/users").status, 403, "for administrators");
    service.wait_log(&["authz_fail:bob"], START);
    assert!(alice.submit("/operate/users/bob/disable", &[]).ends_with("?done=disabled"));
    assert_eq!(bob.get("/operate").status, 303, "the session has ended");
    let form = [("name", "bob"), ("password", PASSWORD), ("next", "/")];
    assert_eq!(bob.post("/login", &form).status, 401);
    assert_eq!(
        alice.post("/operate/users/alice/disable", &[]).status,
        409,
        "somebody must be left"
    );
}

#[test]
fn a_site_on_sqlite_is_set_up_and_tells_an_incident_from_draft_to_end() {
    let _together = together();
    a_site_is_used("sqlite:site.db");
}

#[test]
fn a_site_on_postgres_is_set_up_and_tells_an_incident_from_draft_to_end() {
    let _together = together();
    if let Some(postgres) = Postgres::start(40) {
        a_site_is_used(&postgres.url());
    }
}

#[test]
fn a_site_on_mariadb_is_set_up_and_tells_an_incident_from_draft_to_end() {
    let _together = together();
    if let Some(mariadb) = MariaDb::start(40) {
        a_site_is_used(&mariadb.url());
    }
}

#[test]
fn the_status_page_answers_while_its_database_hangs_and_says_what_is_old() {
    let _together = together();
    let Some(postgres) = Postgres::start(40) else { return };
    let config =
        "workers.count = 1\nhealth.check_interval = \"500ms\"\nhealth.check_timeout = \"300ms\"";
    let service = launch(&postgres.url(), config).start().ready(START);
    let (mut alice, mut anybody) = (administrator(&service), Visitor::new(service.target()));
    let id = incident(&mut alice, "Before the outage");
    wait_page(&mut anybody, "/", &["Before the outage"]);
    postgres.freeze();
    let words = ["The database of this page does not answer", "Before the outage", "Down"];
    wait_page(&mut anybody, "/", &words);
    let slowest = (0..20).map(|_| anybody.get("/").took).max().expect("answers");
    say(format_args!(
        "the status page beside a frozen database: slowest of 20 answers {slowest:.1?}"
    ));
    assert!(slowest < Duration::from_secs(3), "{slowest:?}");
    postgres.thaw();
    let page = wait_page(&mut anybody, "/", &["Before the outage", "Since"]);
    drop(page);
    let found = poll_every(Duration::from_millis(50), START, || {
        let page = anybody.get("/").text();
        (!page.contains("does not answer")).then_some(())
    });
    assert!(found.is_some(), "{}", anybody.get("/").text());
    assert_eq!(alice.get(&format!("/operate/incidents/{id}")).status, 200);
}

/// The first alert of a rule that fires, as `/alerts` shows it.
fn firing(service: &Service, rule: &str) -> Option<serde_json::Value> {
    let page = json(&service.get_admin("/alerts").ok()?);
    let rule = page["rules"].as_array()?.iter().find(|it| it["rule"] == rule)?.clone();
    rule["alerts"].as_array()?.iter().find(|it| it["state"] == "firing").cloned()
}

#[test]
fn nobody_is_called_for_what_was_announced_until_it_is_over() {
    let _together = together();
    let hook = Hook::start();
    let shop = Service::start(hello(), &[], "workers.count = 1").ready(START);
    let service = site(&format!(
        "workers.count = 1\nalerts.interval = \"200ms\"\nalerts.state = \"{{dir}}/alerts\"\n\
         alerts.receivers = \"ops={}\"\n[[probes]]\nname = \"shop\"\nurl = \"http://{}/\"\n\
         interval = \"400ms\"\n",
        hook.url(),
        shop.address
    ));
    wait_probe(&service, "shop", "up");
    let mut alice = administrator(&service);
    let page = wait_page(&mut alice, "/", &["Shop"]);
    assert!(!page.contains("Maintenance under way"), "{page}");
    let form = [
        ("kind", "maintenance"),
        ("title", "New disk"),
        ("begins", "2026-01-02T03:04"),
        ("ends", "2099-01-02T03:04"),
        ("component", "probe-shop"),
        ("status", "in_progress"),
        ("body", "The shop gets a new disk."),
        ("publish", "1"),
    ];
    let place = alice.submit("/operate/incidents", &form);
    let place = place.split('?').next().expect("a path").to_owned();
    let announced = service.directory().join("alerts/announced.json");
    let is_told = || fs::read_to_string(&announced).ok().filter(|it| it.contains("New disk"));
    assert!(poll(START, is_told).is_some(), "{}", service.log());
    drop(shop);
    wait_probe(&service, "shop", "down");
    let held = poll(START, || firing(&service, "probe_down"));
    let held = held.unwrap_or_else(|| panic!("it does not fire\n{}", service.log()));
    assert_eq!(held["held_by"], "maintenance New disk", "{held}");
    assert!(hook.taken().is_empty(), "{:?}", hook.taken());
    let update = [("status", "completed"), ("body", "It is in.")];
    assert!(alice.submit(&format!("{place}/updates"), &update).ends_with("?done=updated"));
    let told = poll(START, || hook.unique().first().map(Message::what));
    assert_eq!(told.as_deref(), Some("firing probe_down"), "{}", service.log());
}

/// How many files are in a directory of attachments, and how many are on their way there.
fn files_in(uploads: &Path) -> (usize, usize) {
    let count = |place: &Path| {
        let entries = fs::read_dir(place).into_iter().flatten().flatten();
        entries.filter(|it| it.path().is_file()).count()
    };
    (count(uploads), count(&uploads.join(".incoming")))
}

fn files(service: &Service) -> (usize, usize) {
    files_in(&service.directory().join("uploads"))
}

fn wait_incoming(service: &Service, count: usize) {
    let found =
        poll_every(Duration::from_millis(20), START, || (files(service).1 == count).then_some(()));
    assert!(found.is_some(), "{:?}\n{}", files(service), service.log());
}

/// Sends the first half of an upload and keeps the connection.
fn half_an_upload(service: &Service, alice: &Visitor, path: &str) -> TcpStream {
    let request = alice.upload_request(path, "half.txt", &b"half ".repeat(400_000));
    let mut stream = TcpStream::connect(service.address).expect("the service listens");
    stream.write_all(&request[..request.len() / 2]).expect("the service reads");
    wait_incoming(service, 1);
    stream
}

#[test]
fn a_torn_upload_leaves_nothing_behind_and_no_attachment() {
    let _together = together();
    let service = site("workers.count = 1\n[app]\nupload_limit = 3\nupload_quota = 4");
    let mut alice = administrator(&service);
    let id = incident(&mut alice, "Uploads");
    let path = format!("/operate/incidents/{id}/attachments");
    // The client goes away.
    drop(half_an_upload(&service, &alice, &path));
    wait_incoming(&service, 0);
    // The worker is killed: the next one tidies up.
    let stream = half_an_upload(&service, &alice, &path);
    let worker = service.status().workers[0].pid;
    kill_process(pid(worker), Signal::KILL).expect("a worker of ours");
    wait_incoming(&service, 0);
    drop(stream);
    assert_eq!(files(&service).0, 0);
    let edit = format!("/operate/incidents/{id}");
    assert!(!alice.get(&edit).text().contains("/attachments/"));
    // Too large, of a kind that runs, without room.
    let text = |mib: usize| b"0123456789abcde\n".repeat(mib << 16);
    assert_eq!(alice.upload(&path, "large.txt", &text(4)).status, 413);
    assert_eq!(alice.upload(&path, "page.png", b"<html><script>\x01").status, 415);
    assert_eq!(alice.upload(&path, "fits.txt", &text(3)).status, 303);
    assert_eq!(alice.upload(&path, "late.txt", &text(2)).status, 507);
    assert_eq!(files(&service), (1, 0));
    let page = alice.get(&edit).text();
    let remove = address(&page, "/operate/attachments/");
    assert!(alice.submit(&remove, &[]).ends_with("?done=removed"));
    assert_eq!(files(&service).0, 0);
}

#[test]
fn an_upload_that_fills_the_disk_is_refused_and_gives_its_space_back() {
    let _together = together();
    let place = tempfile::tempdir().expect("a temporary directory");
    let Some(disk) = Disk::mount(place.path(), "2m") else { return };
    let service =
        site(&format!("workers.count = 1\n[app]\nuploads = \"{}\"", place.path().display()));
    let mut alice = administrator(&service);
    let id = incident(&mut alice, "Uploads");
    let path = format!("/operate/incidents/{id}/attachments");
    let content = b"0123456789abcde\n".repeat(3 << 16);
    let answer = alice.upload(&path, "large.txt", &content);
    assert!(
        answer.status == 507 && answer.text().contains("The disk is full"),
        "{}",
        answer.text()
    );
    assert_eq!(files_in(place.path()), (0, 0));
    let answer = alice.upload(&path, "fits.txt", &content[..1 << 20]);
    assert!(led(&path, &answer).ends_with("?done=attached"), "its space was given back");
    assert_eq!(files_in(place.path()), (1, 0));
    drop(service);
    drop(disk);
}

#[test]
fn the_command_user_lets_people_in_beside_a_running_service() {
    let _together = together();
    let service = site("workers.count = 1");
    let said = service.control_ok(&["user", "add", "carol", "--role", "admin"]);
    let link = address(&said.replace('\n', "<"), "/setup/mst_");
    assert_eq!(
        Visitor::new(service.target()).get(&first_link(&service)).status,
        410,
        "there is a user"
    );
    let mut carol = Visitor::new(service.target());
    let form = [("password", PASSWORD), ("again", PASSWORD)];
    assert_eq!(carol.submit(&link, &form), "/operate");
    assert_eq!(carol.get("/operate/users").status, 200);
    service.control_ok(&["user", "role", "carol", "visitor"]);
    assert_eq!(carol.get("/operate").status, 303, "the session has ended by that");
    let form = [("name", "carol"), ("password", PASSWORD), ("next", "/operate")];
    assert_eq!(carol.submit("/login", &form), "/operate");
    assert_eq!(carol.get("/operate").status, 403, "a role that is none of the site's");
    let list = service.control_ok(&["user", "list"]);
    assert!(list.contains("carol") && list.contains("visitor"), "{list}");
    service.control_ok(&["user", "disable", "carol"]);
    assert_eq!(carol.get("/operate").status, 303);
    let wrong = service.control(&["user", "add", "No Name"]);
    let text = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(wrong.status.code() == Some(1) && text.contains("letters a-z"), "{text}");
}
