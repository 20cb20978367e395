//! A program of the operator's: it reads the body of a webhook, and what is most asked for stands in its
//! environment. Status 0 has taken it.

use super::super::letter::{Letter, Sender};
use super::super::pace::Verdict;
use super::{Outcome, PATIENCE, webhook};
use crate::clock;
use crate::config::receivers::Receiver;
use mainstay_os::child::{Child, Ended, Program};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::MemfdFlags;
use rustix::pipe::PipeFlags;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};

/// Most bytes that are kept of what it writes, and most characters of that are told.
const KEPT: usize = 4_096;
const TOLD: usize = 200;
/// What one process of a service tells the next, and nobody else.
const OURS: &[&str] = &["MAINSTAY_ROLE", "MAINSTAY_HANDOVER", "NOTIFY_SOCKET"];

/// Runs it to its end.
///
/// # Errors
/// Why it has not ended by itself.
pub(super) fn run(letter: &Letter, to: &Receiver, sender: &Sender) -> Result<Outcome, String> {
    let body = webhook::body(letter, to, sender).to_string();
    let (ended, said) = ended(to, &environment(letter, sender), &body)?;
    let how = match ended {
        Ended::Code(code) => format!("exit code {code}"),
        Ended::Signal(signal) => format!("signal {signal}"),
    };
    if ended == Ended::Code(0) {
        return Ok((Verdict::Taken, how));
    }
    let said = if said.is_empty() { String::new() } else { format!(" and says {said:?}") };
    Ok((Verdict::Again(None), format!("{how}{said}")))
}

fn environment(letter: &Letter, sender: &Sender) -> Vec<(&'static str, String)> {
    vec![
        ("ALERT_ID", letter.id.clone()),
        ("ALERT_STATUS", letter.status().as_str().to_owned()),
        ("ALERT_SEVERITY", letter.severity().as_str().to_owned()),
        ("ALERT_TITLE", letter.title(sender)),
        ("ALERT_SERVICE", sender.service.clone()),
    ]
}

fn ended(to: &Receiver, env: &[(&str, String)], body: &str) -> Result<(Ended, String), String> {
    let told = |error: io::Error| format!("it cannot be run: {error}");
    let path = OsStr::new(to.url.expose());
    let args: Vec<OsString> = to.args.iter().map(OsString::from).collect();
    let program = Program { path, name: path, args: &args, env, env_remove: OURS, keep: &[] };
    let input = input(body).map_err(told)?;
    let (reader, output) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)
        .map_err(|error| told(error.into()))?;
    // It is to see a pipe like any other.
    rustix::io::ioctl_fionbio(&output, false).map_err(|error| told(error.into()))?;
    let child = program.spawn_stranger(input, output).map_err(told)?;
    let said = attend(&child, File::from(reader));
    match said.and_then(|said| Ok((child.try_reap()?, said))) {
        Ok((Some((ended, _)), said)) => Ok((ended, said)),
        Ok((None, _)) => {
            end(&child);
            Err(format!("it has not ended within {} s", PATIENCE.as_secs()))
        }
        Err(error) => {
            end(&child);
            Err(told(error))
        }
    }
}

/// What it reads: memory, so that nobody waits for it to read.
fn input(body: &str) -> io::Result<OwnedFd> {
    let mut memory = File::from(rustix::fs::memfd_create("mainstay-letter", MemfdFlags::CLOEXEC)?);
    memory.write_all(body.as_bytes())?;
    memory.rewind()?;
    Ok(memory.into())
}

/// Reads what it writes until it has ended or its time is over; returns the last line of what was kept.
fn attend(child: &Child, mut reader: File) -> io::Result<String> {
    let deadline = clock::mono() + PATIENCE;
    let (mut kept, mut is_open, mut chunk) = (Vec::new(), true, [0; 4_096]);
    loop {
        let left = deadline.since(clock::mono());
        if left.is_zero() {
            break;
        }
        let has_ended = {
            let mut polls = vec![PollFd::from_borrowed_fd(child.as_fd(), PollFlags::IN)];
            if is_open {
                polls.push(PollFd::from_borrowed_fd(reader.as_fd(), PollFlags::IN));
            }
            let limit = Timespec {
                tv_sec: left.as_secs().cast_signed(),
                tv_nsec: left.subsec_nanos().into(),
            };
            match poll(&mut polls, Some(&limit)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            !polls[0].revents().is_empty()
        };
        while is_open {
            match reader.read(&mut chunk) {
                Ok(0) => is_open = false,
                // What is more than enough is read all the same: it must not wait for us.
                Ok(count) => {
                    let room = KEPT.saturating_sub(kept.len());
                    kept.extend_from_slice(&chunk[..count.min(room)]);
                    if deadline.since(clock::mono()).is_zero() {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => is_open = false,
            }
        }
        if has_ended {
            break;
        }
    }
    let text = String::from_utf8_lossy(&kept).into_owned();
    let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    Ok(last.trim().chars().take(TOLD).collect())
}

/// Ends it with all that it has started.
fn end(child: &Child) {
    // What has ended needs no end, and more than this nobody can do.
    child.kill_group().ok();
    let deadline = clock::mono() + PATIENCE;
    while matches!(child.try_reap(), Ok(None)) && clock::mono() < deadline {
        let mut polls = [PollFd::from_borrowed_fd(child.as_fd(), PollFlags::IN)];
        poll(&mut polls, Some(&Timespec { tv_sec: 1, tv_nsec: 0 })).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::super::rules::engine::Kind;
    use super::super::super::letter::tests::{letter, sender};
    use super::super::tests::parse_one;
    use super::*;

    fn ran(script: &str) -> Result<Outcome, String> {
        use std::os::unix::fs::PermissionsExt;
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("notify");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        let to = parse_one(&format!("exec:{} one two", path.display()));
        run(&letter(Kind::Firing), &to, &sender())
    }

    #[test]
    fn a_program_gets_arguments_environment_and_the_letter() {
        let script = "[ \"$1 $2 $ALERT_STATUS $ALERT_SEVERITY\" = 'one two firing critical' ] || exit 3\n\
                      grep -q '\"alertname\":\"pool_exhausted\"' || exit 4";
        assert_eq!(ran(script), Ok((Verdict::Taken, "exit code 0".to_owned())));
    }

    #[test]
    fn what_fails_is_tried_again_and_tells_its_last_line() {
        let expected = "exit code 7 and says \"no such channel\"".to_owned();
        assert_eq!(
            ran("echo begin; echo no such channel >&2; exit 7"),
            Ok((Verdict::Again(None), expected))
        );
        // More than a pipe holds.
        let much = ran(
            "i=0; while [ $i -lt 3000 ]; do echo 0123456789012345678901234567890123456789; i=$((i+1)); done; exit 1",
        );
        assert!(
            much.is_ok_and(|(verdict, how)| verdict == Verdict::Again(None) && how.len() < 300)
        );
        let missing = run(&letter(Kind::Firing), &parse_one("exec:/no/such/program"), &sender());
        assert!(missing.unwrap_err().contains("cannot be run"));
    }
}
