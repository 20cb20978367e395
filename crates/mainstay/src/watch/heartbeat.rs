//! The heartbeat outwards: a service that is dead cannot say so, so it says again and again that it lives, to
//! somebody who tells when nothing comes any more. It is sent only while everything is well that an alert needs:
//! the supervisor, a ready worker, the evaluation of the rules, and the way to the receivers.

use super::alerts::Shown;
use super::export::client::Client;
use super::rules::builtin::NOTIFIER;
use super::threads;
use crate::clock::{self, Mono};
use crate::config::{Config, Secret};
use crate::event::{Event, Time};
use crate::health::{State, checks};
use crate::log::Log;
use crate::metrics::names;
use crate::status::{OTHER_SLOTS, makes_progress};
use mainstay_os::segment::Segment;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// For an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The rules may be evaluated as late as this, if not by their interval.
const EVALUATION: Duration = Duration::from_secs(60);
/// The supervisor gives a sign of life each second.
const SUPERVISOR: Duration = Duration::from_secs(15);
/// How long one that is under way at the end is waited for.
const LAST: Duration = Duration::from_millis(300);
/// TLS needs more than most.
const STACK: usize = 1 << 20;

/// The thread, if there is somebody to tell.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Heartbeat {
    /// Starts what the configuration asks for.
    ///
    /// # Errors
    /// When the system has no room for a thread.
    pub(crate) fn start(log: &Log, config: &Config, alerts: Arc<Shown>) -> io::Result<Heartbeat> {
        let is_over = Arc::new(AtomicBool::new(false));
        let Some(url) = config.heartbeat.url.clone() else {
            return Ok(Heartbeat { is_over, thread: None });
        };
        let interval = config.heartbeat.interval;
        let heart = Heart {
            log: log.clone(),
            url,
            interval,
            evaluation: config.alerts.enabled.then(|| EVALUATION.max(config.alerts.interval * 3)),
            alerts,
            is_over: Arc::clone(&is_over),
            client: Client::new(PATIENCE.min(interval)),
        };
        let thread = thread::Builder::new().name("heartbeat".into()).stack_size(STACK);
        let thread = Some(thread.spawn(move || heart.run())?);
        Ok(Heartbeat { is_over, thread })
    }

    /// The thread has ended by itself, which only a fault in it does.
    pub(crate) fn has_failed(&self) -> bool {
        self.thread.as_ref().is_some_and(JoinHandle::is_finished)
    }

    /// Ends it.
    pub(crate) fn finish(self) {
        self.is_over.store(true, SeqCst);
        threads::end(self.thread.into_iter().collect(), clock::mono() + LAST);
    }
}

struct Heart {
    log: Log,
    url: Secret,
    interval: Duration,
    /// How old the last evaluation may be; none where there is none to be.
    evaluation: Option<Duration>,
    alerts: Arc<Shown>,
    is_over: Arc<AtomicBool>,
    client: Client,
}

impl Heart {
    fn run(self) {
        let begun = clock::mono();
        let (mut next, mut silent) = (begun, None);
        while !self.is_over.load(SeqCst) {
            let now = clock::mono();
            if now < next {
                thread::park_timeout(next.since(now));
                continue;
            }
            next = (next + self.interval).max(now);
            self.beat(now, begun, &mut silent);
        }
    }

    /// Sends one, or says why not; `silent` is since when none was taken, if that was told.
    fn beat(&self, now: Mono, begun: Mono, silent: &mut Option<Mono>) {
        let segment = self.log.segment();
        let state = State::from_word(segment.header().state());
        let (cell, event) = match well(segment, &self.alerts, self.evaluation, now, begun) {
            // One that begins or ends says nothing of itself.
            Err(_) if matches!(state, State::Starting | State::Draining | State::Stopped) => {
                self.log.slot().add(names::HEARTBEATS_WITHHELD, 1);
                return;
            }
            Err(reason) => (names::HEARTBEATS_WITHHELD, Event::HeartbeatWithheld { reason }),
            Ok(()) => match self.client.get(self.url.expose()) {
                Ok(200..300) => {
                    self.log.slot().add(names::HEARTBEATS, 1);
                    if let Some(since) = silent.take() {
                        self.log.event(&Event::HeartbeatBack { after: Time(now.since(since)) });
                    }
                    return;
                }
                Ok(status) => {
                    let reason = format!("the answer has status {status}");
                    (names::HEARTBEATS_FAILED, Event::HeartbeatFailed { reason })
                }
                Err(reason) => {
                    let reason = reason.to_owned();
                    (names::HEARTBEATS_FAILED, Event::HeartbeatFailed { reason })
                }
            },
        };
        self.log.slot().add(cell, 1);
        if silent.is_none() {
            *silent = Some(now);
            self.log.event(&event);
        }
    }
}

/// Whether everything lives that an alert needs; why not, if not.
fn well(
    segment: &Segment,
    alerts: &Shown,
    evaluation: Option<Duration>,
    now: Mono,
    begun: Mono,
) -> Result<(), String> {
    let supervisor = segment.slot(segment.layout().slots.saturating_sub(OTHER_SLOTS));
    let silent = supervisor.map_or(Duration::MAX, |slot| now.since(Mono(slot.heartbeat())));
    if silent > SUPERVISOR {
        return Err("the supervisor gives no sign of life".to_owned());
    }
    if checks::state(segment, now) != State::Ready || !makes_progress(segment, now) {
        return Err("the service is not ready".to_owned());
    }
    let old = now.since(alerts.looked().max(begun));
    if evaluation.is_some_and(|most| old > most) {
        return Err(format!("the alert rules were not evaluated for {} s", old.as_secs()));
    }
    if alerts.failing() >= NOTIFIER {
        return Err("a receiver of notifications takes nothing".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;
    use mainstay_os::segment::{Layout, Phase};
    use std::io::{Read, Write};
    use std::net::TcpListener;

    /// A service whose supervisor and one worker have just given signs of life.
    fn segment() -> Segment {
        let (counters, metrics, ring_bytes) = (names::CELLS, names::CAPACITY, [4_096; 3]);
        let layout = Layout { slots: 4, ring_bytes, metrics, ..Layout::small(counters) };
        let segment = Segment::on_heap(layout);
        segment.header().set_state(State::Ready as u64);
        segment.header().set_heartbeat_interval(60_000_000_000);
        let now = clock::mono().0;
        segment.slot(2).unwrap().beat(now, 0);
        let worker = segment.slot(0).unwrap();
        worker.hand_out(1, now, 0);
        worker.set_phase(Phase::Ready);
        worker.beat(now, 0);
        segment
    }

    #[test]
    fn only_while_all_is_well_that_an_alert_needs_is_it_said_to_be() {
        let (segment, now) = (segment(), clock::mono());
        let minute = Some(Duration::from_secs(60));
        let shown = Shown::default();
        let is = |at: Mono| well(&segment, &shown, minute, at, now);
        assert_eq!(is(now), Ok(()));
        let later = now + Duration::from_secs(20);
        assert!(is(later).unwrap_err().contains("supervisor"));
        segment.slot(2).unwrap().beat((now + Duration::from_secs(90)).0, 0);
        assert!(is(now + Duration::from_secs(90)).unwrap_err().contains("not evaluated for 90 s"));
        shown.looked_at(now + Duration::from_secs(80), Duration::ZERO);
        assert_eq!(is(now + Duration::from_secs(90)), Ok(()));
        shown.looked_at(now + Duration::from_secs(80), NOTIFIER);
        assert!(is(now + Duration::from_secs(90)).unwrap_err().contains("takes nothing"));
        segment.header().set_state(State::Degraded as u64);
        assert!(is(now).unwrap_err().contains("not ready"));
    }

    #[test]
    fn it_is_counted_and_what_is_wrong_told_once_without_the_address() {
        let log = Log::new(segment(), 3);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hunter2", listener.local_addr().unwrap());
        let flags = vec![("heartbeat.url", url)];
        let config = Config::resolve(&Sources { flags, ..Sources::default() }).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
        let answering = thread::spawn(move || {
            for status in [500, 404, 200] {
                let (mut stream, _) = listener.accept().unwrap();
                let mut head = [0; 4_096];
                let count = stream.read(&mut head).unwrap();
                assert!(head[..count].starts_with(b"GET /hunter2 HTTP/1.1\r\n"));
                let answer = format!("HTTP/1.1 {status} X\r\nconnection: close\r\n\r\n");
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        let heart = Heart {
            log: log.clone(),
            url: config.heartbeat.url.unwrap(),
            interval: Duration::from_secs(20),
            evaluation: None,
            alerts: Arc::default(),
            is_over: Arc::default(),
            client: Client::new(Duration::from_secs(20)),
        };
        let (now, mut silent) = (clock::mono(), None);
        for told in [true, true, false, true] {
            heart.beat(now, now, &mut silent);
            assert_eq!(silent.is_some(), told);
        }
        answering.join().unwrap();
        let total = |cell| log.segment().total(cell);
        assert_eq!((total(names::HEARTBEATS), total(names::HEARTBEATS_FAILED)), (1, 3));
        let event = |name| total(names::event_cell_of(name).unwrap());
        assert_eq!((event("heartbeat.failed"), event("heartbeat.back")), (2, 1));
    }
}
