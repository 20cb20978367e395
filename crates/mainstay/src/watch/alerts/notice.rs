//! What is told when watch itself is the matter: by a process that lives for that alone, and knows nothing but the
//! configuration. Silences and budgets are watch's, and do not hold here.

use super::letter::{Item, Letter, Sender};
use super::office::client;
use super::pace::Verdict;
use super::shape::send;
use super::{named, sender};
use crate::clock::{self, Mono};
use crate::config::Config;
use crate::config::receivers::Receiver;
use crate::passport::Matter;
use crate::watch::rules::engine::{Kind, Notice};
use crate::watch::rules::rule::Severity;
use serde_json::Value;
use std::thread;
use std::time::Duration;

/// What it is called for receivers; no rule has this name.
const RULE: &str = "watch_crash_loop";
/// For all of it.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two attempts.
const PAUSE: Duration = Duration::from_secs(1);

/// Tells all receivers at once; whether each of them has taken it.
pub(crate) fn notice(config: &Config, (name, version): (&str, &str), matter: &Matter) -> bool {
    if !config.alerts.enabled || config.alerts.dry_run {
        return true;
    }
    let sender = sender(name, version, &config.alerts);
    let letter = letter(&sender, matter, clock::wall());
    let (receivers, deadline) = (named(config), clock::mono() + PATIENCE);
    thread::scope(|scope| {
        let told: Vec<_> = receivers
            .iter()
            .map(|to| scope.spawn(|| tell(to, &letter, &sender, deadline)))
            .collect();
        // A thread that fails has told nobody.
        told.into_iter().all(|it| it.join().unwrap_or(false))
    })
}

/// Tells one of them, as often as it takes and there is time.
fn tell(to: &Receiver, letter: &Letter, sender: &Sender, deadline: Mono) -> bool {
    let client = client();
    loop {
        match send(&client, to, letter, sender) {
            Ok((Verdict::Taken | Verdict::Partly, _)) => return true,
            Ok((Verdict::Refused, _)) => return false,
            Ok((Verdict::Again(_), _)) | Err(_) => {}
        }
        let next = clock::mono() + PAUSE;
        if next >= deadline {
            return false;
        }
        while clock::mono() < next {
            thread::park_timeout(next.since(clock::mono()));
        }
    }
}

fn letter(sender: &Sender, matter: &Matter, now: u64) -> Letter {
    let text = if matter.is_over {
        "watch lives again, and looks after the service".to_owned()
    } else {
        format!(
            "watch died {} times in a row: nobody looks after the service, which goes on serving",
            matter.deaths
        )
    };
    let notice = Notice {
        rule: RULE.to_owned(),
        severity: Severity::Critical,
        label: String::new(),
        subject: String::new(),
        kind: if matter.is_over { Kind::Resolved } else { Kind::Firing },
        text,
        fired: matter.since,
        reason: None,
    };
    Letter::of(vec![Item::of(&notice, sender, &Value::Null, now)], None, now)
}

#[cfg(test)]
mod tests {
    use super::super::letter::tests::{FIRED, sender};
    use super::*;
    use crate::config::Sources;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    #[test]
    fn both_ends_are_one_incident_in_words_that_fit() {
        let matter = |is_over| Matter { deaths: 3, since: FIRED, is_over };
        let [begun, over] =
            [false, true].map(|it| letter(&sender(), &matter(it), FIRED + 60_000_000_000));
        assert_eq!(begun.items[0].key, over.items[0].key);
        assert_eq!(
            [begun.what(), over.what()],
            ["firing of watch_crash_loop", "resolved of watch_crash_loop"]
        );
        assert!(begun.items[0].text.starts_with("watch died 3 times in a row"));
    }

    /// Reads a request to its end: what is closed before that may be reset, and its answer lost.
    fn read_request(stream: &mut impl Read) {
        let (mut got, mut buffer) = (Vec::new(), [0; 8_192]);
        loop {
            let read = stream.read(&mut buffer).unwrap();
            assert!(read > 0, "it ends too soon: {}", String::from_utf8_lossy(&got));
            got.extend_from_slice(&buffer[..read]);
            let text = String::from_utf8_lossy(&got);
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let head = head.to_ascii_lowercase();
            let length = head.lines().find_map(|it| it.strip_prefix("content-length:"));
            if body.len() >= length.and_then(|it| it.trim().parse().ok()).unwrap_or(0) {
                return;
            }
        }
    }

    #[test]
    fn who_does_not_take_it_at_once_is_asked_again_and_who_refuses_is_not() {
        for (answers, is_taken) in [(&["503", "200"][..], true), (&["403"], false)] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let receivers = format!("ops=http://{}/", listener.local_addr().unwrap());
            let flags = [("alerts.receivers", receivers), ("alerts.state", "/var/lib/x".into())];
            let config =
                Config::resolve(&Sources { flags: flags.to_vec(), ..Sources::default() }).unwrap();
            let serving = thread::spawn(move || {
                for status in answers {
                    let (mut stream, _) = listener.accept().unwrap();
                    read_request(&mut stream);
                    let answer = format!(
                        "HTTP/1.1 {status} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                    );
                    stream.write_all(answer.as_bytes()).unwrap();
                }
            });
            let matter = Matter { deaths: 3, since: FIRED, is_over: false };
            assert_eq!(notice(&config, ("shop", "1"), &matter), is_taken, "{answers:?}");
            serving.join().unwrap();
        }
    }
}
