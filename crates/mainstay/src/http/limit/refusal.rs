//! The answer to who came too often.

use super::fields::{self, Item, Known};
use super::{Asked, Kept, Limiter, SECOND, Shown};
use crate::http::record::Reason;
use crate::limits::jails::Why;
use crate::limits::settings::Fields;
use http::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use mainstay_os::segment::Verdict;

/// In the extensions of a 429: what its page or problem tells.
#[derive(Clone, Debug)]
pub(crate) struct Quota {
    pub(crate) message: String,
    /// Names of the limits that refused.
    pub(crate) violated: Vec<Box<str>>,
}

/// The limits that a refused request met, and what they said.
#[derive(Debug, Default)]
pub(super) struct Refusal {
    met: Vec<(Kept, Verdict)>,
}

impl Refusal {
    pub(super) fn add(&mut self, kept: &Kept, verdict: &Verdict) {
        self.met.push((kept.clone(), *verdict));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.met.is_empty()
    }

    /// Whether a limit of the client's own is among those that refused, and not its whole network's alone: for that a
    /// neighbour is not to blame who merely came again.
    pub(super) fn is_the_clients(&self) -> bool {
        self.denied().any(|(kept, _)| !kept.is_wide)
    }

    fn denied(&self) -> impl Iterator<Item = &(Kept, Verdict)> {
        self.met.iter().filter(|(_, verdict)| !verdict.admitted)
    }
}

impl Limiter {
    /// The answer in its bare form; the error stage gives it its body.
    #[cold]
    pub(super) fn refuse<B: Default>(
        &self,
        asked: &Asked<'_>,
        refusal: &Refusal,
    ) -> Box<Response<B>> {
        if refusal.is_the_clients() {
            self.warden.note(Why::Limits, asked.client, asked.context, asked.now);
        }
        let mut response = Response::new(B::default());
        *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        // The one that lasts longest says when it is worth another try.
        let longest =
            refusal.denied().map(|(kept, it)| (kept, it, it.retry_after_ns.max(it.reset_after_ns)));
        let longest = longest.max_by_key(|(.., wait)| *wait);
        if let Some((kept, verdict, wait)) = longest {
            let shown = Shown::of(0, verdict);
            let items: Vec<Item<'_>> =
                refusal.met.iter().map(|(kept, it)| kept.item(&Shown::of(0, it))).collect();
            let headers = response.headers_mut();
            let fields = self.settings.fields;
            let reset_at = self.reset_at(asked.wall, shown.reset);
            fields::write(headers, fields, &items, &kept.item(&shown), reset_at, Known::default());
            let flask = self.settings.flask;
            let seconds =
                if flask { shown.reset / SECOND + 1 } else { wait.div_ceil(SECOND).max(1) };
            // Flask-Limiter sends it among its headers, and not without them.
            if !flask || fields != Fields::Off {
                retry_later(headers, seconds);
            }
            let message = match flask {
                true => kept.text.clone(),
                false => format!(
                    "There were too many requests. Please try again in {}.",
                    in_words(seconds)
                ),
            };
            let violated = refusal.denied().map(|(kept, _)| kept.name.clone()).collect();
            response.extensions_mut().insert(Quota { message, violated });
        }
        response.extensions_mut().insert(Reason("rate_limited"));
        Box::new(response)
    }
}

/// Says when to come again, unless the answer says later already.
pub(super) fn retry_later(headers: &mut HeaderMap, seconds: u64) {
    let said = headers.get(RETRY_AFTER).and_then(|it| it.to_str().ok()?.parse::<u64>().ok());
    if said.is_none_or(|said| said < seconds) {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
}

/// A time to wait.
pub(super) fn in_words(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7_200 => (seconds.div_ceil(60), "minute"),
        7_200..172_800 => (seconds.div_ceil(3_600), "hour"),
        _ => (seconds.div_ceil(86_400), "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_told_in_words_and_never_too_short() {
        let cases = [
            (1, "1 second"),
            (119, "119 seconds"),
            (121, "3 minutes"),
            (7_199, "120 minutes"),
            (7_201, "3 hours"),
            (172_800, "2 days"),
        ];
        for (seconds, words) in cases {
            assert_eq!(in_words(seconds), words);
        }
    }

    #[test]
    fn a_later_time_to_come_again_stands() {
        let mut headers = HeaderMap::new();
        retry_later(&mut headers, 5);
        retry_later(&mut headers, 3);
        assert_eq!(headers[RETRY_AFTER], "5");
        retry_later(&mut headers, 9);
        assert_eq!(headers[RETRY_AFTER], "9");
    }
}
