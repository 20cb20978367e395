//! The way in under attack: many at once, and with everything that must never stand in a log.

use crate::site::{PASSWORD, administrator, first_link, site};
use crate::support::*;
use e2e::harness::{Service, poll};
use e2e::load::{Load, send};
use e2e::visit::Visitor;
use rustix::process::{Signal, kill_process};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How many come at once.
const CROWD: usize = 1_000;

/// Memory of one hash, and permits of two workers of two processors.
const HASH_MIB: u64 = 19;

/// Pages of a process that are its own, MiB: files that it maps do not count.
fn own_mib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line
        .and_then(|it| it.trim().strip_suffix(" kB"))
        .and_then(|it| it.trim().parse::<u64>().ok());
    kib.unwrap_or(0) >> 10
}

/// Sends requests at once, each over a connection of its own; the status of each answer. From one
/// thread, so that those who ask cost the machine little.
fn at_once(service: &Service, requests: impl Iterator<Item = Vec<u8>>) -> Vec<u16> {
    let sent = requests.map(|request| {
        let mut stream = TcpStream::connect(service.address).expect("the service listens");
        stream.write_all(&request).expect("the service reads");
        stream
    });
    let status = |mut stream: TcpStream| {
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer to everybody");
        let words = String::from_utf8_lossy(answer.get(9..12).unwrap_or_default()).into_owned();
        words.parse().unwrap_or_else(|_| panic!("no answer: {}", String::from_utf8_lossy(&answer)))
    };
    let sent: Vec<_> = sent.collect();
    sent.into_iter().map(status).collect()
}

/// A login with a wrong password; each third one at an account that there is.
fn login(visitor: &Visitor, number: usize) -> Vec<u8> {
    let name =
        if number.is_multiple_of(3) { "alice".to_owned() } else { format!("nobody{number}") };
    let form = [("name", name.as_str()), ("password", "wrong as it can be"), ("next", "/")];
    visitor.post_request("/login", &form)
}

#[test]
fn a_thousand_logins_at_once_have_bounded_memory_and_leave_other_routes_alone() {
    let _alone = alone();
    let service = site("workers.count = 2\nhttp.keep_alive = \"5s\"");
    drop(administrator(&service));
    let workers = service.status().pids();
    let before: u64 = workers.iter().map(|pid| own_mib(*pid)).sum();
    let load = Load {
        path: "/assets/site.css".to_owned(),
        think: Some(Duration::from_millis(4)),
        ..Load::new(service.address)
    };
    let load = load.start();
    load.run_for(steady());
    let (most, is_over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let observer = {
        let (most, is_over, workers) = (Arc::clone(&most), Arc::clone(&is_over), workers.clone());
        std::thread::spawn(move || {
            poll(Duration::from_secs(120), || {
                let now = workers.iter().map(|pid| own_mib(*pid)).sum();
                most.fetch_max(now, Ordering::Relaxed);
                is_over.load(Ordering::Relaxed).then_some(())
            })
        })
    };
    // The same crowd, who only look at the page: what a thousand connections at once cost by themselves.
    load.mark("crowd");
    let visitor = Visitor::new(service.target());
    let looked =
        at_once(&service, (0..CROWD).map(|_| visitor.head("GET", "/login", &[]).into_bytes()));
    assert_eq!(looked, [200; CROWD]);
    load.mark("calm");
    load.run_for(steady() / 2);
    load.mark("logins");
    let begun = Instant::now();
    let statuses = at_once(&service, (0..CROWD).map(|number| login(&visitor, number)));
    let took = begun.elapsed();
    is_over.store(true, Ordering::Relaxed);
    observer.join().expect("an observer");
    let report = load.stop();
    let count = |status: u16| statuses.iter().filter(|it| **it == status).count();
    let grown = most.load(Ordering::Relaxed).saturating_sub(before);
    let [calm, crowd, busy] =
        ["steady", "crowd", "logins"].map(|name| report.phase(name).quantile(0.99));
    say(format_args!(
        "1000 logins at once in {took:.1?}: {} refused (401), {} told to come again (503); other routes p99 \
         {calm:.1?} undisturbed, {crowd:.1?} beside 1000 who look at a page, {busy:.1?} beside the logins ({:.2} x \
         that crowd); workers grew by {grown} MiB\n{report}",
        count(401),
        count(503),
        busy.as_secs_f64() / crowd.as_secs_f64().max(1e-6),
    ));
    assert_eq!(count(401) + count(503), CROWD, "{statuses:?}");
    assert_eq!(report.lost(), 0, "{report}");
    // One permit each, and what a thousand connections and the allocator keep.
    assert!(grown <= 2 * HASH_MIB + 64, "{grown} MiB");
    // No test fails because the machine was slow: a route that waits for a hash waits for all before it.
    assert!(busy <= crowd * 2 || busy < Duration::from_millis(500), "{report}");
    assert_eq!(service.status().pids(), workers, "nobody was replaced");
}

/// Words that nobody else would write, from a seed.
struct Words(u64);

impl Words {
    fn next(&mut self, least: usize) -> String {
        let mut word = String::new();
        while word.len() < least {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            word.push(char::from(b"bcdfghjklmnpqrstvwxz0123456789"[(self.0 >> 33) as usize % 30]));
        }
        word
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        of[(self.0 >> 33) as usize % of.len()]
    }
}

/// Everything that was written down, wherever: all logs of the harness are files beside the service.
fn written(service: &Service) -> String {
    let mut all = String::new();
    let places = fs::read_dir(service.directory()).expect("a directory of ours");
    for path in places.flatten().map(|it| it.path()).filter(|it| it.is_file()) {
        // The database keeps hashes, and the program of the harness is no log.
        let name = path.file_name().and_then(|it| it.to_str()).unwrap_or_default().to_owned();
        if !name.starts_with("site.db") {
            all += &String::from_utf8_lossy(&fs::read(&path).expect("a file of ours"));
        }
    }
    all
}

/// What somebody does who tries his luck; everything secret of it is told.
fn tries(words: &mut Words, visitor: &mut Visitor, secrets: &mut Vec<String>) {
    let (name, password) = (words.next(12), words.next(16));
    secrets.extend([name.clone(), password.clone()]);
    let decorated = match words.pick(&["plain", "percent", "long", "line"]) {
        "percent" => format!("%{password}%s\0"),
        "long" => password.repeat(100),
        "line" => format!("{password}\r\n[INFO] forged"),
        _ => password,
    };
    match words.pick(&["login", "cookie", "setup", "token", "torn", "account"]) {
        "cookie" => {
            let id = words.next(43);
            visitor.set_cookie("session", &id);
            visitor.set_cookie("__Host-session", &id);
            secrets.push(id);
            visitor.get("/operate");
        }
        "setup" => {
            let token = format!("mst_{}", words.next(43));
            let form = [("name", name.as_str()), ("password", &decorated), ("again", &decorated)];
            visitor.post(&format!("/setup/{token}"), &form);
            visitor.get(&format!("/setup/{token}?next=1"));
            secrets.push(token);
        }
        "token" => {
            let token = format!("mst_{}", words.next(43));
            visitor.headers.push(format!("Referer: http://site.example/setup/{token}"));
            visitor.get("/login");
            visitor.headers.clear();
            secrets.push(token);
        }
        "torn" => {
            let head =
                visitor.head("POST", "/login", &["Content-Length: 40", "Content-Type: text/plain"]);
            visitor.try_send(format!("{head}name={name}&password={decorated}").as_bytes()).ok();
        }
        "account" => {
            let form = [
                ("old", decorated.as_str()),
                ("password", "another one here"),
                ("again", "differs"),
            ];
            visitor.post("/operate/account", &form);
        }
        _ => {
            let form = [("name", name.as_str()), ("password", &decorated), ("next", "/")];
            visitor.post("/login", &form);
        }
    }
}

#[test]
fn a_fuzzed_run_of_logins_leaves_no_secret_in_any_log() {
    let _together = together();
    let config = "workers.count = 2\nlog.level = \"debug\"\ndatabase.echo = \"debug\"\n\
                  log.access_format = '%(h)s %(u)s \"%(r)s\" %(s)s \"%(f)s\" \"%(a)s\" %(U)s %(q)s'\n\
                  http.request_timeout = \"2s\"";
    let service = site(config);
    let link = first_link(&service);
    let mut alice = administrator(&service);
    let mut secrets =
        vec![PASSWORD.to_owned(), link.rsplit('/').next().expect("a token").to_owned()];
    let session = alice.cookie("session").expect("a session").to_owned();
    secrets.push(session);
    let mut words = Words(20_261_126);
    for _ in 0..150 {
        let mut visitor = Visitor::new(service.target());
        tries(&mut words, &mut visitor, &mut secrets);
    }
    // Twice at hers, which costs her nothing yet.
    for _ in 0..2 {
        secrets.push(words.next(16));
        let form =
            [("name", "alice"), ("password", secrets.last().expect("one").as_str()), ("next", "/")];
        assert_eq!(Visitor::new(service.target()).post("/login", &form).status, 401);
    }
    // Changed, and the worker killed while somebody signs in.
    let form =
        [("old", PASSWORD), ("password", "a new one, longer"), ("again", "a new one, longer")];
    assert!(alice.submit("/operate/account", &form).ends_with("?done=password"));
    secrets.push("a new one, longer".to_owned());
    secrets.push(alice.cookie("session").expect("a session").to_owned());
    let request = Visitor::new(service.target()).head("GET", &link, &[]);
    kill_process(pid(service.status().workers[0].pid), Signal::KILL).expect("a worker of ours");
    send(&service.target(), request.as_bytes(), Duration::from_secs(5)).ok();
    alice.submit("/logout", &[]);
    service.wait_log(&["session_logout:alice"], START);
    let mut written = written(&service);
    // The link that was printed for the first user, once and for this.
    let printed = format!("{link}\n");
    assert_eq!(written.matches(&printed).count(), 1);
    written = written.replace(&printed, "\n");
    for secret in &secrets {
        if let Some(at) = written.find(secret.as_str()) {
            let from = written.floor_char_boundary(at.saturating_sub(300));
            let to = written.floor_char_boundary((at + 300).min(written.len()));
            panic!("{secret} in …{}…", &written[from..to]);
        }
    }
    for event in ["authn_login_fail:", "authn_password_change:alice", "session_created:alice"] {
        assert!(written.contains(event), "no {event}");
    }
    say(format_args!("{} secrets, none of them in {} bytes of logs", secrets.len(), written.len()));
}
