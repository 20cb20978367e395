//! What is seen of logins and of tools, in one process.

use super::*;
use crate::config::{Config, Sources};
use crate::limits::jails::Jails;
use mainstay_os::segment::{Layout, Segment};

const SECOND: u64 = 1_000_000_000;

impl Lookout {
    /// It sees what it sees by itself, and bans nobody.
    pub(crate) fn for_tests(log: &Log) -> Arc<Lookout> {
        Lookout::of_lines("", log)
    }

    fn of_lines(lines: &str, log: &Log) -> Arc<Lookout> {
        let file = Some(("mainstay.toml".into(), lines.to_owned()));
        let config = Config::resolve(&Sources { file, ..Sources::default() });
        let config = config.unwrap_or_else(|error| panic!("{error}"));
        let warden = Warden::new(Jails::of(&config).unwrap(), log.clone());
        Lookout::new(Signs::of(&config).unwrap(), 64, warden, log.clone(), 1)
    }
}

struct Rig {
    lookout: Arc<Lookout>,
    segment: Segment,
    now: Mono,
}

impl Rig {
    fn new(lines: &str) -> Rig {
        let (ring_bytes, limits) = ([64 << 10; 3], 1 << 20);
        let layout = Layout { ring_bytes, limits, ..Layout::small(names::CELLS) };
        let segment = Segment::on_heap(layout);
        segment.header().set_log_level(crate::log::level_word(crate::config::Level::Info));
        let lookout = Lookout::of_lines(lines, &Log::new(segment.clone(), 0));
        Rig { lookout, segment, now: Mono(1_000 * SECOND) }
    }

    /// An answer to a login, of which the application may say something.
    fn login(&self, client: &str, status: u16, said: Option<LoginSaid>) {
        self.login_by("POST", client, status, said);
    }

    fn login_by(&self, method: &str, client: &str, status: u16, said: Option<LoginSaid>) {
        let context = Context::begin(|it| {
            it.client = client.parse().ok();
            it.method.push_str(method);
            it.path.push_str("/login");
        });
        if let Some(said) = said {
            context.login.set(said).unwrap();
        }
        let status = StatusCode::from_u16(status).unwrap();
        let is_login = self.lookout.signs.is_login(&context.method, &context.path);
        self.lookout.login(&context, status, is_login, self.now);
    }

    fn tool(&self, client: &str, agent: &str) {
        let context = Context::begin(|it| it.client = client.parse().ok());
        let tool = self.lookout.signs.tool_of(agent.as_bytes()).unwrap();
        self.lookout.tool(&self.lookout.seen(&context, self.now), tool);
    }

    fn lines(&self) -> Vec<String> {
        let slot = self.segment.slot(0).unwrap();
        let (mut buffer, mut lines) = (Vec::new(), Vec::new());
        while let Some(record) = slot.ring(1).pop(&mut buffer) {
            if record.bytes.is_empty() {
                continue;
            }
            let line = String::from_utf8(record.bytes[8..].to_vec()).unwrap();
            let message = line.match_indices("] ").nth(2).expect("three brackets").0 + 2;
            let message = line[message..].trim_end();
            lines.push(message.split(" [client=").next().unwrap_or_default().to_owned());
        }
        lines
    }

    /// Fills the log until it has room for so many words.
    fn leave_room(&self, words: usize) {
        let ring = self.segment.slot(0).unwrap().ring(1);
        while ring.push(0, b"") {}
        let mut buffer = Vec::new();
        for _ in 0..words {
            ring.pop(&mut buffer);
        }
    }

    fn total(&self, name: &str) -> u64 {
        self.segment.slot(0).unwrap().counter(names::event_cell_of(name).unwrap())
    }
}

const LOGIN: &str = "security.login_routes = ['POST /login']\nbans.logins = '3 per 10 minute'";

#[test]
fn refused_logins_are_told_counted_and_ban() {
    let rig = Rig::new(LOGIN);
    rig.login("192.0.2.7", 401, None);
    for status in [400, 404, 422, 429, 500] {
        rig.login("192.0.2.7", status, None);
    }
    rig.login("192.0.2.8", 200, None);
    rig.login("192.0.2.7", 403, None);
    rig.login("192.0.2.7", 401, None);
    assert_eq!(
        rig.lines(),
        [
            "authn_login_fail:- (answered with 401)",
            "authn_login_fail:- (answered with 403)",
            "authn_login_fail:- (answered with 401)",
            "authn_login_fail_max:-,3 (of the client)",
            "ban.added:192.0.2.7 for 600.0 s (authn_login_fail, ban number 1)",
        ]
    );
    assert_eq!(rig.total("authn_login_fail"), 3);
}

#[test]
fn a_login_that_succeeds_after_failures_is_told_once_with_how_many_there_were() {
    let mut rig = Rig::new(LOGIN);
    (0..2).for_each(|_| rig.login("192.0.2.7", 401, None));
    rig.login("192.0.2.8", 303, None);
    rig.lines();
    rig.login("192.0.2.7", 303, None);
    rig.login("192.0.2.7", 303, None);
    assert_eq!(rig.lines(), ["authn_login_successafterfail:-,2"]);
    rig.login("192.0.2.7", 401, None);
    rig.lines();
    rig.now = Mono(rig.now.0 + 601 * SECOND);
    rig.login("192.0.2.7", 200, None);
    assert_eq!(rig.lines(), [""; 0], "it was long ago");
}

#[test]
fn who_looks_at_the_form_between_failures_has_not_logged_in() {
    let rig = Rig::new("security.login_routes = ['/login']");
    for _ in 0..5 {
        rig.login("192.0.2.7", 401, None);
        rig.login_by("GET", "192.0.2.7", 200, None);
        rig.login_by("OPTIONS", "192.0.2.7", 204, None);
    }
    let lines = rig.lines();
    assert_eq!(lines.last().unwrap(), "authn_login_fail_max:-,5 (of the client)");
    assert_eq!(rig.total("authn_login_successafterfail"), 0);
    rig.login("192.0.2.7", 303, None);
    assert_eq!(rig.lines(), ["authn_login_successafterfail:-,5"]);
}

#[test]
fn what_the_application_says_of_a_login_counts_and_not_its_answer() {
    let rig = Rig::new("");
    let failed = || Some(LoginSaid::Failed("alice".into()));
    // From everywhere: the account's failures are too many.
    for client in 1..=5 {
        rig.login(&format!("192.0.2.{client}"), 200, failed());
    }
    let lines = rig.lines();
    assert_eq!(lines[..5], ["authn_login_fail:alice (as the application says)"; 5]);
    assert_eq!(lines[5..], ["authn_login_fail_max:alice,5 (of the account)"]);
    rig.login("192.0.2.9", 401, Some(LoginSaid::Succeeded("alice".into())));
    rig.login("192.0.2.9", 401, Some(LoginSaid::Succeeded("bob".into())));
    rig.login("192.0.2.9", 401, None);
    let told = ["authn_login_successafterfail:alice,5", "authn_login_success:bob"];
    assert_eq!(rig.lines(), told, "without a route an answer says nothing");
}

#[test]
fn what_the_login_kit_tells_is_not_told_twice() {
    let rig = Rig::new(LOGIN);
    for status in [401, 200, 401, 401, 401] {
        rig.login("192.0.2.7", status, Some(LoginSaid::Kit));
    }
    assert_eq!(rig.lines(), [""; 0]);
    assert_eq!(rig.total("authn_login_fail"), 0);
}

#[test]
fn of_many_failures_few_are_told_and_all_are_counted() {
    let rig = Rig::new("security.login_routes = ['POST /login']");
    (0..100).for_each(|_| rig.login("192.0.2.7", 401, None));
    let lines = rig.lines();
    let fails = lines.iter().filter(|it| it.starts_with("authn_login_fail:")).count();
    assert_eq!(fails, 7, "{lines:?}");
    assert!(
        lines
            .iter()
            .any(|it| it == "authn_login_fail of 192.0.2.7: 100 times, 89 of them were not told"),
        "{lines:?}"
    );
    assert_eq!(rig.total("authn_login_fail"), 100);
    assert_eq!(rig.total("authn_login_fail_max"), 1);
}

/// How many failed logins these lines tell of.
fn told(lines: &[String]) -> u64 {
    let number = |line: &str| line.split(' ').next().unwrap().parse::<u64>().unwrap();
    let of = |line: &String| match line.split_once(" times, ") {
        Some((_, untold)) => number(untold),
        None if line.ends_with("there were too many clients") => number(line),
        None => u64::from(line.starts_with("authn_login_fail:")),
    };
    lines.iter().map(of).sum()
}

#[test]
fn each_failed_login_is_told_once_however_much_room_the_log_has() {
    let mut partly = 0;
    for room in 0..80 {
        let rig = Rig::new("security.login_routes = ['POST /login']");
        (0..9).for_each(|_| rig.login("192.0.2.7", 401, None));
        let mut lines = rig.lines();
        rig.leave_room(room);
        rig.login("192.0.2.7", 401, None);
        let last = rig.lines();
        partly += usize::from(last.len() == 1);
        lines.extend(last);
        rig.lookout.tell_rest(rig.now);
        lines.extend(rig.lines());
        assert_eq!(told(&lines), 10, "{room}: {lines:?}");
    }
    assert!(partly > 0, "there was room for the one and not for the sum");
}

#[test]
fn a_process_that_ends_tells_what_it_left_untold() {
    let rig = Rig::new("security.login_routes = ['POST /login']");
    (0..12).for_each(|_| rig.login("192.0.2.7", 401, None));
    rig.lines();
    rig.lookout.tell_ended(rig.now);
    assert_eq!(rig.lines(), [""; 0], "others may follow");
    rig.lookout.tell_rest(rig.now);
    let rest = "authn_login_fail of 192.0.2.7: 12 times, 2 of them were not told";
    assert_eq!(rig.lines(), [rest]);
}

#[test]
fn names_that_clients_choose_do_not_fill_the_log_and_who_is_right_in_the_end_is_told() {
    let rig = Rig::new("");
    let mut lines = Vec::new();
    for turn in 0..3_000 {
        let user = format!("user-{}-{}", turn / 5, "x".repeat(100));
        let client = format!("198.18.{}.{}", turn % 1_000 / 250, turn % 250);
        rig.login(&client, 200, Some(LoginSaid::Failed(user.into())));
        lines.extend(rig.lines());
    }
    let bytes = lines.iter().map(String::len).sum::<usize>();
    assert!(bytes < MOST[0], "{bytes} bytes in a minute");
    assert_eq!(rig.total("authn_login_fail_max"), 600, "counted to the last");
    rig.login("198.18.0.1", 200, Some(LoginSaid::Succeeded("alice".into())));
    assert_eq!(rig.lines(), ["authn_login_successafterfail:alice,3"]);
}

#[test]
fn who_logs_in_as_himself_again_and_again_hides_no_name_that_he_has_guessed() {
    let rig = Rig::new("");
    let succeeded =
        |user: &str| rig.login("192.0.2.7", 200, Some(LoginSaid::Succeeded(user.into())));
    let failed = |user: &str| rig.login("192.0.2.7", 200, Some(LoginSaid::Failed(user.into())));
    for _ in 0..8 {
        failed("alice");
        succeeded("eve");
    }
    rig.lines();
    failed("alice");
    succeeded("alice");
    let lines = rig.lines();
    assert!(
        lines.iter().any(|it| it.starts_with("authn_login_successafterfail:alice,")),
        "{lines:?}"
    );
}

#[test]
fn however_many_workers_there_are_each_tells_of_the_first_failed_logins() {
    let mut rig = Rig::new("security.login_routes = ['POST /login']");
    let Some(lookout) = Arc::get_mut(&mut rig.lookout) else { panic!("nobody else has it") };
    lookout.floods = floods(1_000);
    (0..5).for_each(|_| rig.login("192.0.2.7", 401, None));
    rig.login("192.0.2.7", 303, None);
    let lines = rig.lines();
    assert_eq!(lines.len(), 7, "{lines:?}");
}

#[test]
fn an_attack_tool_is_told_once_for_each_client_and_each_request_is_counted() {
    let mut rig = Rig::new("bans.attack_tools = '4/minute'");
    (0..3).for_each(|_| rig.tool("192.0.2.7", "sqlmap/1.7"));
    rig.tool("192.0.2.8", "Mozilla/5.00 (Nikto/2.1.6)");
    let told = ["malicious_attack_tool:192.0.2.7,sqlmap", "malicious_attack_tool:192.0.2.8,nikto"];
    assert_eq!(rig.lines(), told);
    rig.tool("192.0.2.7", "sqlmap/1.7");
    let ban = "ban.added:192.0.2.7 for 600.0 s (malicious_attack_tool, ban number 1)";
    assert_eq!(rig.lines(), [ban]);
    rig.now = Mono(rig.now.0 + 601 * SECOND);
    rig.tool("192.0.2.7", "sqlmap/1.7");
    assert_eq!(rig.lines(), [told[0]]);
    assert_eq!(rig.segment.slot(0).unwrap().counter(names::ATTACK_TOOLS), 6);
}
