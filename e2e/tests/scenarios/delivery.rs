//! Delivery: each kind of receiver is told in its own words, in company or alone, and nobody hears of what is
//! silenced.

use crate::alerts::{LONG, Ward, what};
use crate::support::*;
use e2e::harness::poll;
use e2e::peers::{Alertmanager, Hook, MailServer, Postbox, Posted};
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;

const KEY: &str = "0123456789abcdef0123456789abcdef";

const LOOKS: &str = "workers.count = 1\nalerts.interval = \"200ms\"";
/// A rule that fires for six seconds after a request of a kind that nobody else makes.
const PUTS: &str = "alerts.rules = ['puts: \
                    p50(mainstay_http_request_duration_seconds{method=\"PUT\"}, 6s) > 0']";

fn put_once(ward: &Ward) {
    let request = b"PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let answer = e2e::load::send(&ward.service.target(), request, LONG).expect("an answer");
    assert_eq!(answer.status, 405);
}

fn wait_taken(postbox: &Postbox, ward: &Ward, path: &str, count: usize) -> Vec<Posted> {
    let found = poll(LONG, || Some(postbox.taken(path)).filter(|it| it.len() >= count));
    found.unwrap_or_else(|| {
        panic!("{path}: {:?}\n{}", postbox.posted(path), ward.service.log());
    })
}

#[test]
fn each_kind_of_receiver_is_told_of_both_ends_in_its_own_words() {
    let _together = together();
    let (postbox, alertmanager, mail) =
        (Postbox::start(), Alertmanager::start(), MailServer::start());
    let place = tempfile::tempdir().expect("a temporary directory");
    let (program, said) = (place.path().join("notify"), place.path().join("said"));
    // It is to find signals as any other program does.
    let script = format!(
        "#!/bin/sh\nread -r letter\ngrep -q '^SigBlk:.*[1-9a-f]' /proc/self/status && exit 9\n\
         echo \"$1 $ALERT_STATUS\" >> {}\n",
        said.display()
    );
    fs::write(&program, script).expect("a file of ours");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).expect("a file of ours");
    let url = postbox.url();
    let mut receivers = format!(
        "pager=pagerduty+{url}/v2/enqueue {KEY}\nslack=slack+{url}/slack/hunter2\n\
         discord=discord+{url}/discord/hunter2\nteams=teams+{url}/teams/hunter2\nntfy=ntfy+{url}/hunter2 {KEY}\n\
         script=exec:{} now",
        program.display()
    );
    if let Some(alertmanager) = &alertmanager {
        receivers.push_str(&format!("\nmanager=alertmanager+{}", alertmanager.url()));
    }
    if let Some(mail) = &mail {
        let port = mail.port();
        receivers.push_str(&format!(
            "\nmail=smtp://127.0.0.1:{port}?from=shop@a.example&to=ops@b.example"
        ));
    }
    // As each service answers, and two of them only at the second attempt.
    postbox.answer("/v2/enqueue", &[(429, ""), (202, "{\"status\":\"success\"}")]);
    postbox.answer("/slack/hunter2", &[(200, "ok")]);
    postbox.answer("/discord/hunter2", &[(429, "{\"retry_after\":0.05}"), (204, "")]);
    postbox.answer("/teams/hunter2", &[(202, "")]);
    let ward = Ward::telling(&receivers, 1, LOOKS);
    // PagerDuty wants its first answer a minute later, which is not waited for: it takes the test's word.
    let told = ward.service.control(&["notify", "test", "pager"]);
    assert!(String::from_utf8_lossy(&told.stderr).contains("status 429"), "{told:?}");
    ward.set("fail");
    for path in ["/slack/hunter2", "/discord/hunter2", "/teams/hunter2", "/", "/v2/enqueue"] {
        wait_taken(&postbox, &ward, path, 1);
    }
    if let Some(alertmanager) = &alertmanager {
        let alert = &alertmanager.wait("not_ready", 1)[0];
        assert_eq!(alert["status"]["state"], "active", "{alert}");
        assert_eq!(alert["labels"]["severity"], "critical");
    }
    ward.service.control_ok(&["alerts", "ack", "not_ready", "--by", "anna"]);
    wait_taken(&postbox, &ward, "/v2/enqueue", 2);
    ward.set("ok");
    let both = |path: &str| wait_taken(&postbox, &ward, path, 2);
    let pages = wait_taken(&postbox, &ward, "/v2/enqueue", 3);
    let actions: Vec<_> = pages.iter().map(|it| &it.body["event_action"]).collect();
    assert_eq!(actions, ["trigger", "acknowledge", "resolve"]);
    assert!(pages.iter().all(|it| it.body["dedup_key"] == pages[0].body["dedup_key"]));
    assert_eq!(both("/slack/hunter2")[0].body["attachments"][0]["color"], "#d73a49");
    assert_eq!(both("/discord/hunter2")[1].body["allowed_mentions"], json!({ "parse": [] }));
    assert_eq!(postbox.posted("/discord/hunter2").len(), 3, "once more than it was taken");
    let card = &both("/teams/hunter2")[0].body["attachments"][0];
    assert_eq!(card["contentType"], "application/vnd.microsoft.card.adaptive");
    let notes = both("/");
    assert_eq!(
        (&notes[0].body["topic"], &notes[0].body["priority"]),
        (&json!("hunter2"), &json!(5))
    );
    let lines = poll(LONG, || fs::read_to_string(&said).ok().filter(|it| it.lines().count() == 2));
    assert_eq!(lines.as_deref(), Some("now firing\nnow resolved\n"), "{}", ward.service.log());
    if let Some(alertmanager) = &alertmanager {
        let _none = alertmanager.wait("not_ready", 0);
    }
    if let Some(mail) = &mail {
        let mails = mail.wait(2);
        assert!(mails[0].contains("Subject: [critical] ") && mails[0].contains("FIRING not_ready"));
        let root = |mail: &str| {
            mail.lines().find(|line| line.starts_with("References: ")).map(str::to_owned)
        };
        assert!(root(&mails[0]).is_some() && root(&mails[0]) == root(&mails[1]), "{mails:?}");
    }
    let log = ward.service.log();
    assert!(!log.contains("hunter2") && !log.contains(KEY), "secrets are shown: {log}");
    let state = || ward.service.control_ok(&["alerts"]);
    let idle = poll(LONG, || Some(state()).filter(|it| it.contains("receiver slack: 0 wait")));
    assert!(idle.is_some_and(|it| !it.contains("hunter2")), "{}", state());
}

#[test]
fn nobody_hears_of_what_is_silenced_until_it_is_not_and_an_end_follows_its_beginning() {
    let _together = together();
    let hook = Hook::start();
    let receivers = format!("ops={} repeat=1s", hook.url());
    let ward = Ward::telling(&receivers, 1, LOOKS);
    ward.wait_alert("not_ready", "evaluated", |it| it["state"] == "inactive");
    let wrong = ward.service.control(&["silence", "add", "rule=not_redy", "--for", "1h"]);
    assert!(
        String::from_utf8_lossy(&wrong.stderr).contains("did you mean not_ready?"),
        "{wrong:?}"
    );
    let args =
        ["silence", "add", "rule=not_*", "--for", "1h", "--by", "anna", "--comment", "new disk"];
    let told = ward.service.control_ok(&args);
    let id = told.split(' ').nth(1).expect("silence ID of …").to_owned();
    ward.set("fail");
    let alert = ward.wait_alert("not_ready", "silenced", |it| it["state"] == "firing");
    assert_eq!(alert["held_by"], format!("silence {id}"), "{alert}");
    ward.service.wait_log(&[&format!("silence {id} keeps it quiet")], START);
    let shown = ward.service.control_ok(&["silence", "list"]);
    assert!(shown.contains(&id) && shown.contains("by anna: new disk"), "{shown}");
    assert_eq!(what(&hook.unique()), [""; 0]);
    // It is there still after a reload, which starts another watch.
    ward.service.control_ok(&["reload", "--wait"]);
    ward.wait_alert("not_ready", "silenced still", |it| it["held_by"] == format!("silence {id}"));
    ward.service.control_ok(&["silence", "del", &id]);
    ward.wait_messages(&hook, 2);
    assert!(what(&hook.unique()).iter().all(|it| it == "firing not_ready"), "told, and again");
    let told = ward.service.control_ok(&["alerts", "ack", "not_ready", "--by", "anna"]);
    assert_eq!(told, "not_ready is acknowledged by anna\n");
    let known = ward.wait_alert("not_ready", "known", |it| it["known_by"] == "anna");
    assert_eq!(known["state"], "firing", "{known}");
    let before = hook.unique().len();
    ward.set("ok");
    let told = ward.wait_messages(&hook, before + 1);
    assert_eq!(told.last().map(e2e::peers::Message::what).as_deref(), Some("resolved not_ready"));
    // What was on its way when it became known, and nothing after that.
    assert!(told.len() <= before + 2, "{:?}", what(&told));
}

#[test]
fn alerts_that_come_together_are_one_message_and_an_own_rule_is_one_of_them() {
    let _together = together();
    let hook = Hook::start();
    let receivers = format!("ops={} wait=2s interval=1s", hook.url());
    let ward = Ward::telling(&receivers, 1, &format!("{LOOKS}\n{PUTS}"));
    let told = ward.service.control_ok(&["alerts", "explain"]);
    assert!(told.contains("Own rule: p50(") && told.contains("ops (after 2s"), "{told}");
    let exported = ward.service.control_ok(&["rules", "export", "--format", "prometheus"]);
    assert!(exported.contains("- alert: Puts\n"), "{exported}");
    if let Some(complaints) = e2e::peers::promtool_rules(&exported) {
        assert_eq!(complaints, "", "{exported}");
    }
    ward.wait_alert("not_ready", "evaluated", |it| it["state"] == "inactive");
    ward.set("fail");
    put_once(&ward);
    let first = ward.wait_messages(&hook, 1).remove(0);
    let alerts = first.body["alerts"].as_array().expect("a list").iter();
    let mut names: Vec<_> = alerts.map(|it| it["labels"]["alertname"].to_string()).collect();
    names.sort();
    assert_eq!(names, ["\"not_ready\"", "\"puts\""], "{}", first.text);
    let group = json!({ "service": first.body["commonLabels"]["service"] });
    assert_eq!((&first.body["status"], &first.body["groupLabels"]), (&json!("firing"), &group));
    ward.set("ok");
    let over = poll(LONG, || {
        let all = hook.unique();
        let alerts = all.iter().filter_map(|it| it.body["alerts"].as_array());
        let ends = alerts.flatten().filter(|it| it["status"] == "resolved").count();
        (ends == 2).then_some(all)
    });
    let over = over.unwrap_or_else(|| panic!("{:?}\n{}", what(&hook.unique()), ward.service.log()));
    assert!(over.len() <= 3, "{:?}", what(&over));
}

#[test]
fn a_receiver_that_takes_nothing_has_one_that_stands_in_for_it() {
    let _together = together();
    let postbox = Postbox::start();
    postbox.answer("/first", &[(500, "")]);
    let url = postbox.url();
    let receivers = format!(
        "first={url}/first fallback=second fallback_after=1s, second={url}/second severity=critical"
    );
    let ward = Ward::telling(&receivers, 1, &format!("{LOOKS}\n{PUTS}"));
    ward.set("fail");
    put_once(&ward);
    // The critical one by itself, the warning in place of the other.
    let told = wait_taken(&postbox, &ward, "/second", 2);
    let note = |it: &Posted| it.body["mainstay"]["note"].as_str().map(str::to_owned);
    let in_place: Vec<_> = told.iter().filter(|it| note(it).is_some()).collect();
    assert_eq!(in_place.len(), 1, "{told:?}");
    assert_eq!(in_place[0].body["alerts"][0]["labels"]["alertname"], "puts");
    postbox.answer("/first", &[(200, "")]);
    ward.set("ok");
    let ends = |path: &str| {
        poll(LONG, || {
            let all = postbox.taken(path);
            let over = all.iter().filter(|it| it.body["status"] == "resolved").count();
            (over == 2).then_some(all)
        })
    };
    let (first, second) = (ends("/first"), ends("/second"));
    assert!(
        first.is_some_and(|it| it.len() == 4) && second.is_some_and(|it| it.len() == 4),
        "{}",
        ward.service.log()
    );
}
