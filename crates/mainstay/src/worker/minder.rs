//! The task that minds the worker: hears signals, gives signs of life, and holds connections to
//! their deadlines.
//!
//! It wakes by a timer descriptor of its own, because a timer of the runtime, however rare, would
//! cost every request a look at the clock; and it is a task, not a thread, because a second thread
//! makes every system call dearer. A runtime that the application blocks therefore gives no sign of
//! life, which is the point; that such a worker outlives nobody is the [`alarm`]'s business.

use super::Shared;
use super::connections::sweep;
use super::io::registered;
use crate::clock::{self, Mono};
use crate::event::Event;
use crate::log::bridge;
use crate::memory;
use mainstay_os::alarm;
use mainstay_os::signals::{Signal, SignalSource};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;
use tokio::io::unix::AsyncFd;

/// How much longer than the supervisor's patience the alarm's is.
const ALARM_MARGIN: Duration = Duration::from_secs(10);

/// What the minder does, and when.
pub(crate) struct Minder {
    shared: Arc<Shared>,
    signals: AsyncFd<SignalSource>,
    timer: AsyncFd<OwnedFd>,
    beat_every: Duration,
    sweep_every: Duration,
    next_beat: Mono,
    next_sweep: Mono,
    next_check: Mono,
}

impl Minder {
    /// A minder on the runtime that is entered.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub(crate) fn new(source: SignalSource, shared: Arc<Shared>) -> io::Result<Minder> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let nanos = shared.log.segment().header().heartbeat_interval();
        let deadlines = shared.deadlines();
        let all = [deadlines.header, deadlines.body, deadlines.write, deadlines.linger];
        let shortest = all.into_iter().min().unwrap_or_default();
        Ok(Minder {
            signals: registered(source)?,
            timer: registered(timer)?,
            beat_every: Duration::from_nanos(nanos.max(1_000_000)),
            sweep_every: (shortest / 4)
                .clamp(Duration::from_millis(10), Duration::from_millis(250)),
            next_beat: Mono(0),
            next_sweep: Mono(0),
            next_check: Mono(0),
            shared,
        })
    }

    /// Minds until the process ends.
    pub(crate) async fn run(mut self) {
        loop {
            let now = clock::mono();
            if now >= self.next_beat {
                self.next_beat = now + self.beat_every;
                self.beat();
            }
            let open = self.shared.connections.len() > 0;
            if open && now >= self.next_sweep {
                // A runtime that was blocked has not read what came meanwhile: nobody is judged
                // before it had a chance to.
                let late = now.since(self.next_sweep) > self.sweep_every;
                self.next_sweep = now + self.sweep_every;
                if late {
                    self.shared.recorder.set_coarse(now);
                } else {
                    sweep(&self.shared, now);
                }
            }
            if now >= self.next_check {
                // Those that are made by others may come back to be made here.
                let soon = now + self.beat_every;
                let due = [self.shared.checks.attend(now), self.look_at_pools(now), Some(soon)];
                self.next_check = due.into_iter().flatten().min().unwrap_or(soon);
            }
            let next = if open { self.next_beat.min(self.next_sweep) } else { self.next_beat };
            let next = next.min(self.next_check);
            self.set_timer(next.since(now));
            if let Some(signal) = self.wait().await {
                handle(signal, &self.shared);
            }
        }
    }

    /// Waits for a signal, the timer, or a first connection.
    async fn wait(&self) -> Option<Signal> {
        let first = self.shared.connections.first();
        tokio::pin!(first);
        std::future::poll_fn(|cx| {
            if let Poll::Ready(signal) = self.poll_signal(cx) {
                return Poll::Ready(Some(signal));
            }
            if first.as_mut().poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            let mut rung = [0; 8];
            loop {
                let Ok(mut guard) = ready!(self.timer.poll_read_ready(cx)) else {
                    return Poll::Ready(None);
                };
                match guard.try_io(|timer| Ok(rustix::io::read(timer, &mut rung)?)) {
                    Ok(_) => return Poll::Ready(None),
                    Err(_would_block) => {}
                }
            }
        })
        .await
    }

    fn poll_signal(&self, cx: &mut std::task::Context<'_>) -> Poll<Signal> {
        loop {
            let Ok(mut guard) = ready!(self.signals.poll_read_ready(cx)) else {
                return Poll::Pending;
            };
            if let Ok(Ok(signal)) = guard.try_io(|source| source.get_ref().next()) {
                return Poll::Ready(signal);
            }
        }
    }

    fn set_timer(&self, after: Duration) {
        // Zero would switch the timer off.
        let after = after.max(Duration::from_micros(1));
        let Ok(value) = Timespec::try_from(after) else { return };
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        let spec = Itimerspec { it_interval: never, it_value: value };
        // Only a bad descriptor or time could fail here, and both are ours.
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &spec).ok();
    }

    #[cfg(feature = "database")]
    fn look_at_pools(&self, now: Mono) -> Option<Mono> {
        self.shared.pools.look(&self.shared.checks, now)
    }

    #[cfg(not(feature = "database"))]
    #[expect(clippy::unused_self, reason = "with databases there is something to look at")]
    fn look_at_pools(&self, _: Mono) -> Option<Mono> {
        None
    }

    /// Gives a sign of life, and sets the switch that ends this process when there is no next one
    /// and no supervisor to act on it.
    fn beat(&self) {
        let now = self.shared.recorder.look_at_clocks();
        self.shared.log.slot().beat(now.0, memory::resident());
        bridge::refresh(&self.shared.log);
        self.shared.layers.limiter.tell_ended(now);
        self.shared.layers.lookout.tell_ended(now);
        self.shared.layers.limiter.mind_store(now);
        let workers = &self.shared.config.workers;
        if let Some(timeout) = workers.timeout {
            // Until READY the application may block the runtime for as long as it may boot.
            let booting = self.shared.log.slot().ready_at() == 0;
            let limit = if booting { workers.boot_timeout.max(timeout) } else { timeout };
            alarm::set(limit + ALARM_MARGIN);
        }
    }
}

fn handle(signal: Signal, shared: &Shared) {
    match signal {
        Signal::Term => {
            let parent = u64::from(std::os::unix::process::parent_id());
            if parent != shared.log.segment().header().supervisor_pid() {
                shared.log.event(&Event::ParentGone { pid: std::process::id() });
            }
            shared.drain.begin(false);
        }
        Signal::Int | Signal::Quit => shared.drain.begin(true),
        Signal::Usr1 => shared.log.event(&Event::LogsReopened {}),
        Signal::Hup
        | Signal::Usr2
        | Signal::Ttin
        | Signal::Ttou
        | Signal::Winch
        | Signal::Chld
        | Signal::Abrt
        | Signal::Kill => {}
    }
}
