//! Which records pass. The service's level holds for everybody; beside it, one module and one request
//! may be looked at more closely for a while. All of it stands in the segment, so that every process
//! asks the same words, and none has to be told.

use super::{current_level, level_from_word, level_word};
use crate::clock::{self, Mono};
use crate::config::Level;
use mainstay_os::segment::{NOTES, NoteRead, Segment};

/// The logger of what a request's headers said of its client, told only where it is asked for.
pub(crate) const CHAINS: &str = "mainstay::client";

/// Longest path of a module, bytes; as long as a note.
const MAX_MODULE: usize = mainstay_os::segment::MAX_NOTE;
/// Longest id of a request, bytes; the rule of `http::context` for ids.
const MAX_REQUEST: usize = 64;

/// Whose records a wish for a finer level is about: the note in which it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Whom {
    /// A module and those below it, by the target of their records.
    Module = 0,
    /// A request, by its id.
    Request = 1,
}

impl Whom {
    pub(crate) const ALL: [Whom; NOTES] = [Whom::Module, Whom::Request];
}

/// A wish for a finer level that is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) whom: Whom,
    pub(crate) level: Level,
    /// When it ends; none for the next reload.
    pub(crate) until: Option<Mono>,
    /// The module, or the id.
    pub(crate) text: String,
}

/// Whether a record passes: by the service's level, or because its module or its request is looked at
/// more closely. A wish adds records, it never takes any away.
///
/// `is_trace` marks records finer than any level of the log. They count as `debug`, but pass only for
/// a wish: libraries trace each byte, and a service on `debug` must stay readable.
pub(crate) fn passes(
    segment: &Segment,
    level: Level,
    is_trace: bool,
    logger: &str,
    is_request: impl FnOnce(&[u8]) -> bool,
) -> bool {
    (!is_trace && level >= current_level(segment))
        || wished(segment, Whom::Module, level, |module| is_within(logger.as_bytes(), module))
        || wished(segment, Whom::Request, level, is_request)
}

fn wished(segment: &Segment, whom: Whom, level: Level, fits: impl FnOnce(&[u8]) -> bool) -> bool {
    let note = segment.header().note(whom as usize);
    // One load where nobody wishes anything, which is nearly always.
    note.is_there()
        && note.read().is_some_and(|note| {
            level >= level_from_word(note.values[0]) && !is_over(&note) && fits(note.text())
        })
}

fn is_over(note: &NoteRead) -> bool {
    note.values[1] != 0 && clock::mono().0 >= note.values[1]
}

/// Whether the target `logger` is the module or below it: `shop::orders` has `shop::orders::pay`, but
/// not `shop::orders_old`.
fn is_within(logger: &[u8], module: &[u8]) -> bool {
    logger.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"::"))
}

/// The finest records that anything in force lets pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finest {
    /// Everything.
    Trace,
    /// This level and what is graver.
    Level(Level),
}

pub(crate) fn finest(segment: &Segment) -> Finest {
    let wished = wishes(segment).into_iter().map(|wish| wish.level).min();
    match wished {
        Some(Level::Debug) => Finest::Trace,
        wished => {
            let level = current_level(segment);
            Finest::Level(wished.map_or(level, |wished| wished.min(level)))
        }
    }
}

/// The wishes in force.
pub(crate) fn wishes(segment: &Segment) -> Vec<Wish> {
    let read = |whom: Whom| {
        let note = segment.header().note(whom as usize).read().filter(|note| !is_over(note))?;
        Some(Wish {
            whom,
            level: level_from_word(note.values[0]),
            until: Some(Mono(note.values[1])).filter(|until| until.0 != 0),
            text: String::from_utf8_lossy(note.text()).into_owned(),
        })
    };
    Whom::ALL.into_iter().filter_map(read).collect()
}

/// Puts a wish in force in place of the one for a module, or for a request, that was; for the
/// supervisor alone.
///
/// # Errors
/// When the text can be no module and no id.
pub(crate) fn set(segment: &Segment, wish: &Wish) -> Result<(), String> {
    let (what, most) = match wish.whom {
        Whom::Module => ("module", MAX_MODULE),
        Whom::Request => ("request id", MAX_REQUEST),
    };
    let text = wish.text.as_bytes();
    if !(1..=most).contains(&text.len()) || !text.iter().all(u8::is_ascii_graphic) {
        return Err(format!("a {what} has 1 to {most} visible characters of ASCII"));
    }
    let until = wish.until.map_or(0, |until| until.0);
    segment.header().note(wish.whom as usize).write([level_word(wish.level), until], text);
    Ok(())
}

/// Takes all wishes back; for the supervisor alone.
pub(crate) fn clear(segment: &Segment) {
    Whom::ALL.into_iter().for_each(|whom| segment.header().note(whom as usize).write([0, 0], b""));
}

/// Takes back the wishes whose time is over, and gives them; for the supervisor alone.
pub(crate) fn expire(segment: &Segment) -> Vec<Whom> {
    let over = |whom: &Whom| {
        let note = segment.header().note(*whom as usize);
        let is_over = note.read().is_some_and(|note| is_over(&note));
        if is_over {
            note.write([0, 0], b"");
        }
        is_over
    };
    Whom::ALL.into_iter().filter(over).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_os::segment::Layout;

    /// A moment that is over, and one that is not.
    const PAST: Option<Mono> = Some(Mono(1));
    const LATER: Option<Mono> = Some(Mono(u64::MAX));

    fn segment() -> Segment {
        let layout = Layout::small(0);
        let segment = Segment::on_heap(layout);
        segment.header().set_log_level(level_word(Level::Info));
        segment.header().set_log_level_base(level_word(Level::Info));
        segment
    }

    fn wish(segment: &Segment, whom: Whom, level: Level, until: Option<Mono>, text: &str) {
        set(segment, &Wish { whom, level, until, text: text.into() }).unwrap();
    }

    fn debug_passes(segment: &Segment, logger: &str) -> bool {
        passes(segment, Level::Debug, false, logger, |_| false)
    }

    #[test]
    fn a_module_is_looked_at_with_what_is_below_it() {
        let segment = segment();
        assert!(!debug_passes(&segment, "shop::orders"));
        wish(&segment, Whom::Module, Level::Debug, LATER, "shop::orders");
        for (logger, is_in) in [
            ("shop::orders", true),
            ("shop::orders::pay", true),
            ("shop::orders_old", false),
            ("shop", false),
            ("", false),
        ] {
            assert_eq!(debug_passes(&segment, logger), is_in, "{logger}");
        }
        assert!(passes(&segment, Level::Info, false, "other", |_| false), "nothing is taken away");
    }

    #[test]
    fn a_request_is_looked_at_by_its_id() {
        let segment = segment();
        wish(&segment, Whom::Request, Level::Debug, None, "abc");
        assert!(passes(&segment, Level::Debug, false, "any", |id| id == b"abc"));
        assert!(!passes(&segment, Level::Debug, false, "any", |id| id == b"abcd"));
    }

    #[test]
    fn a_wish_ends_by_itself() {
        let segment = segment();
        wish(&segment, Whom::Module, Level::Debug, PAST, "shop");
        assert!(!debug_passes(&segment, "shop"));
        assert_eq!(finest(&segment), Finest::Level(Level::Info));
        assert_eq!(expire(&segment), [Whom::Module]);
        assert_eq!(expire(&segment), []);
        assert!(wishes(&segment).is_empty());
    }

    #[test]
    fn traces_pass_for_a_wish_alone() {
        let segment = segment();
        segment.header().set_log_level(level_word(Level::Debug));
        assert!(!passes(&segment, Level::Debug, true, "shop", |_| true));
        assert_eq!(finest(&segment), Finest::Level(Level::Debug));
        wish(&segment, Whom::Module, Level::Debug, LATER, "shop");
        assert!(passes(&segment, Level::Debug, true, "shop", |_| false));
        assert_eq!(finest(&segment), Finest::Trace);
        clear(&segment);
        assert_eq!(finest(&segment), Finest::Level(Level::Debug));
    }

    #[test]
    fn the_finest_level_is_that_of_the_service_or_of_a_wish() {
        let segment = segment();
        segment.header().set_log_level(level_word(Level::Error));
        wish(&segment, Whom::Module, Level::Warning, None, "shop");
        assert_eq!(finest(&segment), Finest::Level(Level::Warning));
        wish(&segment, Whom::Module, Level::Critical, None, "shop");
        assert_eq!(finest(&segment), Finest::Level(Level::Error));
    }

    #[test]
    fn what_can_be_no_module_and_no_id_is_refused() {
        let segment = segment();
        for (whom, text) in [
            (Whom::Module, String::new()),
            (Whom::Module, "a b".into()),
            (Whom::Module, "a".repeat(129)),
            (Whom::Request, "a".repeat(65)),
            (Whom::Request, "a\nb".into()),
            (Whom::Request, "é".into()),
        ] {
            let wish = Wish { whom, level: Level::Debug, until: None, text };
            assert!(set(&segment, &wish).is_err(), "{wish:?}");
        }
        assert!(wishes(&segment).is_empty());
    }
}
