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
use crate::incident::{self, Heard, Incident};
use crate::passport::Matter;
use crate::watch::rules::engine::{Kind, Notice};
use crate::watch::rules::rule::Severity;
use serde_json::Value;
use std::io;
use std::thread;
use std::time::Duration;

/// What it is called for receivers; no rule has this name.
const RULE: &str = "watch_crash_loop";
/// For all of it.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two attempts.
const PAUSE: Duration = Duration::from_secs(1);

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Told {
    /// Everybody who is to know of it does.
    All = 0,
    /// It is to be tried again.
    Later = 1,
    /// Somebody has refused it, which is final; everybody else knows.
    Refused = 2,
    /// There was nobody to tell it to.
    Nobody = 3,
}

/// Tells all receivers at once who do not know it yet; the end only those who were told the beginning. Who knows what
/// stands in a file, so that it is the same after a restart of the service, and for whoever tells the end. Also returns
/// whether that could be written down: whom it was told is another matter.
pub(crate) fn notice(
    config: &Config,
    (name, version): (&str, &str),
    matter: &Matter,
) -> (Told, io::Result<()>) {
    let is_silent = !config.alerts.enabled || config.alerts.dry_run;
    let all = if is_silent { Vec::new() } else { named(config) };
    let state = config.alerts.state.as_ref().filter(|_| !all.is_empty());
    let Some(state) = state else { return (Told::Nobody, Ok(())) };
    let known = incident::read(state).filter(|it| it.since == matter.since);
    if matter.is_over && known.is_none() && !matter.is_unwritten {
        // Whoever had been told the beginning would stand in the file.
        return (Told::Nobody, Ok(()));
    }
    let sender = sender(name, version, &config.alerts);
    let (letter, deadline) = (letter(&sender, matter, clock::wall()), clock::mono() + PATIENCE);
    let receivers = whom(all, matter.is_over, known.as_ref());
    let mut incident = known.unwrap_or(Incident { since: matter.since, ..Incident::default() });
    // Whoever is asked may know of it from then on, even if this process does not see the answer.
    receivers.iter().for_each(|it| note(&mut incident, it, Heard::Unsure));
    incident.receivers.retain(|name, _| !matter.is_over || is_among(&receivers, name));
    incident.is_over = matter.is_over;
    // If that fails, so may what is written at the end, which is told then.
    incident.save(state).ok();
    let answers: Vec<Answer> = thread::scope(|scope| {
        let told: Vec<_> = receivers
            .iter()
            .map(|to| scope.spawn(|| tell(to, &letter, &sender, deadline)))
            .collect();
        // A thread that fails has told nobody.
        told.into_iter().map(|it| it.join().unwrap_or(Answer::None)).collect()
    });
    for (receiver, answer) in receivers.iter().zip(&answers) {
        match answer {
            Answer::Taken if !matter.is_over => note(&mut incident, receiver, Heard::Taken),
            Answer::Taken | Answer::Refused => drop(incident.receivers.remove(&receiver.name)),
            Answer::None => {}
        }
    }
    let told = if answers.contains(&Answer::None) {
        Told::Later
    } else if answers.contains(&Answer::Refused) {
        Told::Refused
    } else {
        Told::All
    };
    (told, incident.save(state))
}

fn note(incident: &mut Incident, receiver: &Receiver, heard: Heard) {
    incident.receivers.insert(receiver.name.clone(), heard);
}

fn is_among(receivers: &[Receiver], name: &str) -> bool {
    receivers.iter().any(|it| it.name == name)
}

/// Who of these is to be told. Where nothing could be written down, everybody may have heard of the beginning.
fn whom(all: Vec<Receiver>, is_over: bool, known: Option<&Incident>) -> Vec<Receiver> {
    let Some(incident) = known else { return all };
    let heard = |it: &Receiver| incident.receivers.get(&it.name);
    all.into_iter()
        .filter(|it| if is_over { heard(it).is_some() } else { heard(it) != Some(&Heard::Taken) })
        .collect()
}

/// What a receiver made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Taken,
    Refused,
    None,
}

/// Tells one of them, as often as it takes and there is time.
fn tell(to: &Receiver, letter: &Letter, sender: &Sender, deadline: Mono) -> Answer {
    let client = client();
    loop {
        match send(&client, to, letter, sender) {
            Ok((Verdict::Taken | Verdict::Partly, _)) => return Answer::Taken,
            Ok((Verdict::Refused, _)) => return Answer::Refused,
            Ok((Verdict::Again(_), _)) | Err(_) => {}
        }
        let next = clock::mono() + PAUSE;
        if next >= deadline {
            return Answer::None;
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
    let letter = Letter::of(vec![Item::of(&notice, sender, &Value::Null, now)], None, now);
    Letter { is_said_once: true, ..letter }
}

#[cfg(test)]
mod tests {
    use super::super::letter::tests::{FIRED, sender};
    use super::*;
    use crate::config::Sources;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::path::Path;

    fn matter(is_over: bool, is_unwritten: bool) -> Matter {
        Matter { deaths: 3, since: FIRED, is_over, is_unwritten }
    }

    #[test]
    fn both_ends_are_one_incident_in_words_that_fit() {
        let matter = |is_over| matter(is_over, false);
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

    /// A configuration that tells this listener, its state there.
    fn telling(listener: &TcpListener, state: &Path) -> Config {
        let receivers = format!("ops=http://{}/", listener.local_addr().unwrap());
        let state = state.to_str().unwrap().to_owned();
        let flags = vec![("alerts.receivers", receivers), ("alerts.state", state)];
        Config::resolve(&Sources { flags, ..Sources::default() }).unwrap()
    }

    /// Answers so many requests with these statuses; what is asked beyond finds nobody.
    fn answer(listener: TcpListener, answers: &'static [&'static str]) -> thread::JoinHandle<()> {
        thread::spawn(move || {
            for status in answers {
                let (mut stream, _) = listener.accept().unwrap();
                read_request(&mut stream);
                let answer = format!(
                    "HTTP/1.1 {status} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                );
                stream.write_all(answer.as_bytes()).unwrap();
            }
        })
    }

    #[test]
    fn who_does_not_take_it_at_once_is_asked_again_and_who_refuses_is_not() {
        for (answers, told) in [(&["503", "200"][..], Told::All), (&["403"], Told::Refused)] {
            let place = tempfile::tempdir().unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let config = telling(&listener, place.path());
            let serving = answer(listener, answers);
            let found = notice(&config, ("shop", "1"), &matter(false, false)).0;
            assert_eq!(found, told, "{answers:?}");
            serving.join().unwrap();
            assert_eq!(incident::read(place.path()).is_some(), told == Told::All);
        }
    }

    #[test]
    fn nobody_is_told_twice_and_the_end_reaches_who_knows_of_the_beginning_alone() {
        let place = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let config = telling(&listener, place.path());
        // Two requests in all: one beginning, one end.
        let serving = answer(listener, &["200", "200"]);
        let tell = |is_over| notice(&config, ("shop", "1"), &matter(is_over, false)).0;
        assert_eq!((tell(false), tell(false)), (Told::All, Told::All));
        let known = incident::read(place.path()).unwrap();
        assert_eq!(known.receivers, [("ops".to_owned(), Heard::Taken)].into());
        assert_eq!(tell(true), Told::All);
        assert_eq!(incident::read(place.path()), None);
        serving.join().unwrap();
        let receivers = [("another".to_owned(), Heard::Taken)].into();
        let stranger = Incident { since: FIRED, is_over: false, receivers };
        stranger.save(place.path()).unwrap();
        assert_eq!((tell(true), incident::read(place.path())), (Told::All, None));
    }

    #[test]
    fn what_cannot_be_written_down_is_told_all_the_same_and_its_end_once() {
        let place = tempfile::tempdir().unwrap();
        // No directory can be made there.
        let state = place.path().join("state");
        std::fs::write(&state, "").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let config = telling(&listener, &state);
        let serving = answer(listener, &["200", "200"]);
        let tell = |it: Matter| notice(&config, ("shop", "1"), &it);
        for is_over in [false, true] {
            let (told, written) = tell(matter(is_over, is_over));
            assert_eq!((told, written.is_err()), (Told::All, true));
        }
        serving.join().unwrap();
    }

    #[test]
    fn an_end_is_told_to_nobody_where_nobody_heard_of_the_beginning() {
        let place = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut config = telling(&listener, place.path());
        listener.set_nonblocking(true).unwrap();
        let told =
            |config: &Config, is_over| notice(config, ("shop", "1"), &matter(is_over, false)).0;
        assert_eq!(told(&config, true), Told::Nobody);
        config.alerts.dry_run = true;
        assert_eq!([false, true].map(|it| told(&config, it)), [Told::Nobody; 2]);
        assert!(listener.accept().is_err(), "somebody was asked");
    }
}
