//! Log levels at run time: for everybody, for one module, for one request.

use crate::clock::{self, Mono};
use crate::config::Level;
use crate::event::{Event, Time};
use crate::log;
use crate::log::levels::{self, Whom, Wish};
use crate::supervisor::run::Supervisor;
use mainstay_os::segment::Segment;
use serde_json::{Value, json};
use std::time::Duration;

impl Supervisor {
    /// Puts a level in force.
    pub(super) fn set_log_level(
        &mut self,
        level: &str,
        millis: Option<u64>,
        module: Option<String>,
        request: Option<String>,
    ) -> Result<Value, String> {
        let level: Level = level.parse().map_err(|_| format!("\"{level}\" is not a level"))?;
        let until = millis.map(|millis| clock::mono() + Duration::from_millis(millis));
        let segment = self.log.segment();
        let whom = match (module, request) {
            (None, None) => {
                let (header, word) = (segment.header(), log::level_word(level));
                header.set_log_level_until(until.map_or(0, |until| until.0));
                header.set_log_level(word);
                if until.is_none() {
                    header.set_log_level_base(word);
                }
                None
            }
            (Some(text), None) => Some((Whom::Module, text)),
            (None, Some(text)) => Some((Whom::Request, text)),
            (Some(_), Some(_)) => return Err("a module or a request, not both".into()),
        };
        let mut told = millis.map_or_else(
            || "until the next reload".to_owned(),
            |millis| format!("for {}", Time(Duration::from_millis(millis))),
        );
        if let Some((whom, text)) = whom {
            told = format!("{told}, {} {text}", of(whom));
            levels::set(segment, &Wish { whom, level, until, text })?;
        }
        self.report(&Event::LogLevel { level, until: told });
        Ok(in_force(self.log.segment()))
    }

    /// Levels whose time is over end.
    pub(crate) fn expire_log_level(&mut self, now: Mono) {
        let header = self.log.segment().header();
        let until = header.log_level_until();
        let is_over = until != 0 && now.0 >= until;
        if is_over {
            header.set_log_level(header.log_level_base());
            header.set_log_level_until(0);
        }
        let over = levels::expire(self.log.segment());
        let level = log::current_level(self.log.segment());
        if is_over {
            self.report(&Event::LogLevel { level, until: "again".into() });
        }
        for whom in over {
            self.report(&Event::LogLevel { level, until: format!("again, {} too", of(whom)) });
        }
    }
}

/// As lines of the log say it.
fn of(whom: Whom) -> &'static str {
    match whom {
        Whom::Module => "of module",
        Whom::Request => "of request",
    }
}

/// What is in force. Times are seconds; none stands for the next reload.
pub(super) fn in_force(segment: &Segment) -> Value {
    let now = clock::mono();
    let header = segment.header();
    let rest = |until: Option<Mono>| until.map(|until| until.since(now).as_secs_f64());
    let until = Some(Mono(header.log_level_until())).filter(|until| *until > now);
    let wishes = levels::wishes(segment).into_iter().map(|wish| {
        let whom = match wish.whom {
            Whom::Module => "module",
            Whom::Request => "request",
        };
        json!({ whom: wish.text, "level": wish.level.as_str(), "seconds": rest(wish.until) })
    });
    json!({
        "level": log::current_level(segment).as_str(),
        "seconds": rest(until),
        "base": log::level_from_word(header.log_level_base()).as_str(),
        "only": wishes.collect::<Vec<_>>(),
    })
}

/// The same for people, as the answer to a command.
pub(super) fn answer(data: &Value) -> String {
    format!("log level is {}", text(data))
}

/// The same for people.
pub(super) fn text(data: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let rest = |value: &Value| match value.as_f64() {
        Some(seconds) => format!("for {seconds:.0} s more"),
        None => "until the next reload".to_owned(),
    };
    let mut out = word(&data["level"]);
    if data["seconds"].is_number() {
        out = format!("{out} {}, then {}", rest(&data["seconds"]), word(&data["base"]));
    }
    out.push('\n');
    for wish in data["only"].as_array().into_iter().flatten() {
        let (level, rest) = (word(&wish["level"]), rest(&wish["seconds"]));
        for whom in ["module", "request"] {
            if let Some(text) = wish[whom].as_str() {
                out = format!("{out}  {level} of {whom} {text} {rest}\n");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_os::segment::Layout;

    #[test]
    fn what_is_in_force_is_told_with_its_end() {
        let layout = Layout::small(0);
        let segment = Segment::on_heap(layout);
        let header = segment.header();
        header.set_log_level(log::level_word(Level::Info));
        header.set_log_level_base(log::level_word(Level::Info));
        assert_eq!(text(&in_force(&segment)), "info\n");

        let soon = clock::mono() + Duration::from_millis(600_400);
        header.set_log_level(log::level_word(Level::Warning));
        header.set_log_level_until(soon.0);
        for (whom, until, text) in
            [(Whom::Module, Some(soon), "shop::orders"), (Whom::Request, None, "abc")]
        {
            let wish = Wish { whom, level: Level::Debug, until, text: text.into() };
            levels::set(&segment, &wish).unwrap();
        }
        let expected = "warning for 600 s more, then info\n  \
            debug of module shop::orders for 600 s more\n  \
            debug of request abc until the next reload\n";
        assert_eq!(text(&in_force(&segment)), expected);

        header.set_log_level_until(1);
        levels::clear(&segment);
        assert_eq!(text(&in_force(&segment)), "info\n");
    }
}
