//! What a record or a span tells, rendered: keys and values in one text.
//!
//! Rendering runs the application's own code, which may make records itself. So nothing is locked or
//! borrowed meanwhile: each record renders into a buffer that it has taken from its thread's pool, and
//! one that is made within another is a record like any other.

use crate::telemetry::Shape;
use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt::{self, Write};
use std::ops::Range;

/// Longest text of a record, bytes; no line is longer.
const LONGEST: usize = 65_536;
/// Buffers that a thread keeps, and the longest text whose memory is kept with them.
const KEPT: usize = 8;
const KEPT_TEXT: usize = 8_192;
/// Records within records. Beyond, an application's value would tell of its own telling for ever.
const DEEPEST: u32 = 8;
/// Causes of an error that are told.
const CAUSES: usize = 32;

thread_local! {
    static POOL: RefCell<Vec<Fields>> = const { RefCell::new(Vec::new()) };
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Facts: keys with their values, in the order in which they were told.
#[derive(Debug, Default)]
pub(super) struct Fields {
    text: String,
    facts: Vec<(Range<usize>, Range<usize>, Shape)>,
}

impl Fields {
    /// An empty buffer, with the memory of an earlier one.
    pub(super) fn take() -> Fields {
        POOL.try_with(|pool| pool.try_borrow_mut().ok()?.pop()).ok().flatten().unwrap_or_default()
    }

    /// Keeps the buffer's memory for the next one.
    pub(super) fn give(mut self) {
        self.clear();
        self.text.shrink_to(KEPT_TEXT);
        let keep = |pool: &RefCell<Vec<Fields>>| match pool.try_borrow_mut() {
            Ok(mut pool) if pool.len() < KEPT => pool.push(self),
            _ => {}
        };
        // A thread that ends keeps nothing.
        POOL.try_with(keep).ok();
    }

    fn clear(&mut self) {
        self.text.clear();
        self.facts.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.facts.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.facts.len()
    }

    /// The facts.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.shaped().map(|(key, value, _)| (key, value))
    }

    /// The facts, and what their values were before they were rendered.
    pub(super) fn shaped(&self) -> impl Iterator<Item = (&str, &str, Shape)> + Clone {
        let facts = self.facts.iter();
        facts.map(|(key, value, shape)| (self.text(key), self.text(value), *shape))
    }

    /// A part of the text, as [`Fields::aside`] gives it.
    pub(super) fn text(&self, range: &Range<usize>) -> &str {
        self.text.get(range.clone()).unwrap_or_default()
    }

    /// Adds a fact, as far as there is room for it.
    pub(super) fn add(&mut self, key: &str, write: impl FnOnce(&mut Capped<'_>) -> fmt::Result) {
        self.add_as(Shape::Text, key, write);
    }

    /// Adds a fact whose value is no text.
    pub(super) fn add_as(
        &mut self,
        shape: Shape,
        key: &str,
        write: impl FnOnce(&mut Capped<'_>) -> fmt::Result,
    ) {
        if self.text.len() < LONGEST {
            let key = self.write(LONGEST, |out| out.write_str(key));
            let value = self.write(LONGEST, write);
            self.facts.push((key, value, shape));
        }
    }

    /// Adds a text of our own that is no fact.
    pub(super) fn aside(&mut self, value: &dyn fmt::Display) -> Range<usize> {
        self.write(usize::MAX, |out| write!(out, "{value}"))
    }

    fn write(
        &mut self,
        end: usize,
        write: impl FnOnce(&mut Capped<'_>) -> fmt::Result,
    ) -> Range<usize> {
        let from = self.text.len();
        // What fails has written what it could.
        write(&mut Capped { text: &mut self.text, end }).ok();
        from..self.text.len()
    }

    /// Adds those facts of `other` whose keys are not there yet.
    pub(super) fn inherit(&mut self, other: &Fields) {
        for (key, value, shape) in other.shaped() {
            if !self.iter().any(|(known, _)| known == key) {
                self.add_as(shape, key, |out| out.write_str(value));
            }
        }
    }
}

/// Text up to where it must end; what is cut has a mark behind it.
#[derive(Debug)]
pub(super) struct Capped<'a> {
    text: &'a mut String,
    end: usize,
}

impl Write for Capped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.end.saturating_sub(self.text.len());
        if text.len() <= room {
            self.text.push_str(text);
            return Ok(());
        }
        if room > 0 {
            self.text.push_str(text.get(..text.floor_char_boundary(room)).unwrap_or_default());
            self.text.push_str("...");
        }
        // Whoever writes may stop; whoever does not is not heard any more.
        self.end = 0;
        Err(fmt::Error)
    }
}

/// Writes an error and its causes, outermost first.
pub(super) fn chain(out: &mut Capped<'_>, error: &(dyn Error + 'static)) -> fmt::Result {
    write!(out, "{error}")?;
    let mut cause = error.source();
    for _ in 0..CAUSES {
        let Some(error) = cause else { break };
        write!(out, ": {error}")?;
        cause = error.source();
    }
    Ok(())
}

/// Gives `render` a buffer for one record. For one that is made within too many others there is only
/// a text that says so.
pub(super) fn rendered(render: impl FnOnce(&mut Fields), tell: impl FnOnce(&mut Fields)) {
    struct Within;

    impl Drop for Within {
        fn drop(&mut self) {
            DEPTH.set(DEPTH.get().saturating_sub(1));
        }
    }

    let depth = DEPTH.get();
    DEPTH.set(depth + 1);
    let within = Within;
    let mut fields = Fields::take();
    if depth < DEEPEST {
        render(&mut fields);
    } else {
        fields.add("message", |out| out.write_str("a record within too many others, not rendered"));
    }
    drop(within);
    tell(&mut fields);
    fields.give();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_too_long_is_cut_between_two_characters() {
        let mut fields = Fields::take();
        fields.add("key", |out| {
            (0..30_000).map(|_| out.write_str("äöü")).fold(Ok(()), fmt::Result::and)
        });
        fields.add("next", |out| out.write_str("nothing"));
        assert_eq!(fields.aside(&"ours").len(), 4);
        let facts: Vec<_> = fields.iter().collect();
        assert_eq!(facts.len(), 1);
        let len = facts[0].1.len();
        assert!((LONGEST - 6..=LONGEST).contains(&len) && facts[0].1.ends_with("..."), "{len}");
    }

    #[test]
    fn the_first_of_two_facts_with_one_key_stands() {
        let (mut near, mut far) = (Fields::default(), Fields::default());
        near.add("a", |out| out.write_str("near"));
        far.add("a", |out| out.write_str("far"));
        far.add("b", |out| out.write_str("far"));
        near.inherit(&far);
        assert_eq!(near.iter().collect::<Vec<_>>(), [("a", "near"), ("b", "far")]);
    }
}
