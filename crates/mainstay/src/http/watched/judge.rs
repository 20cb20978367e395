//! What the sweeper makes of a connection, and what it orders.

use super::*;

impl Watched {
    /// What is to become of the connection at `now`, in a worker that drains since then.
    pub(crate) fn judge(
        &self,
        now: Mono,
        deadlines: &Deadlines,
        draining: Option<Mono>,
    ) -> Verdict {
        let since = Mono(self.since.load(Relaxed));
        let phase = self.phase.load(Relaxed);
        if phase == DETACHED {
            return Verdict::Keep;
        }
        let unread = self.write_wait.load(Relaxed);
        if unread != 0 && now.since(Mono(unread)) > deadlines.write {
            return Verdict::Abort("write");
        }
        if self.active.load(Relaxed) > 0 {
            return self.judge_busy(now, deadlines, draining.is_some());
        }
        let ordered = self.ordered.load(Relaxed);
        if ordered != 0
            && phase == IDLE
            && now.since(Mono(ordered)) > deadlines.linger.max(FAREWELL)
        {
            return Verdict::Abort("closing");
        }
        let lingered = draining.is_some_and(|begun| now.since(begun.max(since)) > deadlines.linger);
        let h2_drains = draining.is_some() && self.h2.load(Relaxed);
        match phase {
            FRESH if lingered => Verdict::Shutdown,
            IDLE if h2_drains => Verdict::Shutdown,
            HEAD if now.since(since) > deadlines.header * 2 => Verdict::Abort("header"),
            HEAD if now.since(since) > deadlines.header => Verdict::RefuseHead,
            FRESH if now.since(since) > deadlines.header => Verdict::Abort("header"),
            IDLE if lingered || now.since(since) > deadlines.keep_alive => Verdict::Shutdown,
            _ => Verdict::Keep,
        }
    }

    fn judge_busy(&self, now: Mono, deadlines: &Deadlines, draining: bool) -> Verdict {
        let h2 = self.h2.load(Relaxed);
        // A client that gives no window takes nothing, though the socket would.
        let last = Mono(self.last_write.load(Relaxed));
        if h2 && self.unsent.load(Relaxed) > 0 && now.since(last) > deadlines.write {
            return Verdict::Abort("write");
        }
        if !deadlines.request.is_zero() {
            let asked = self.asked.load(Relaxed);
            if asked != 0 && now.since(Mono(asked)) > deadlines.request {
                return Verdict::Overdue;
            }
            if h2 {
                let answers = lock(&self.answers);
                let late = answers.iter().filter(|it| now.since(it.since) > deadlines.request);
                late.for_each(|answer| answer.expire());
            }
        }
        match self.judge_bodies(now, deadlines.body, h2) {
            // HTTP/2 has a way to say it that loses nothing; no need to wait.
            Verdict::Keep if draining && h2 => Verdict::Shutdown,
            verdict => verdict,
        }
    }

    /// A body that stops coming fails first; if the application does not even notice, the
    /// connection goes, unless it carries other requests.
    fn judge_bodies(&self, now: Mono, limit: Duration, h2: bool) -> Verdict {
        for body in self.bodies().iter() {
            let waited = body.waited(now);
            if waited > limit * 2 && !h2 {
                return Verdict::Abort("body");
            }
            if waited > limit && !body.is_expired() {
                body.expire();
            }
        }
        Verdict::Keep
    }

    /// Serving one HTTP/1 request for longer than `limit`: worth a look whether its client is there.
    pub(crate) fn is_long_busy(&self, now: Mono, limit: Duration) -> bool {
        let since = Mono(self.since.load(Relaxed));
        self.active.load(Relaxed) > 0 && !self.h2.load(Relaxed) && now.since(since) > limit
    }

    /// Carries a verdict out.
    pub(crate) fn order(&self, verdict: Verdict, now: Mono) {
        match verdict {
            Verdict::Keep => return,
            Verdict::Shutdown if self.must_shut_down() => return,
            Verdict::Shutdown => {
                self.ordered.store(now.0, Relaxed);
                self.order.store(SHUTDOWN, Release);
            }
            Verdict::RefuseHead if self.head_overdue.swap(true, Relaxed) => return,
            Verdict::Overdue if self.overdue.swap(true, Relaxed) => return,
            Verdict::RefuseHead | Verdict::Overdue => {}
            Verdict::Abort(why) => {
                *lock(&self.cut) = why;
                self.order.store(ABORT, Release);
            }
        }
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
