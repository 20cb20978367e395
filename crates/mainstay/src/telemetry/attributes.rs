//! Attributes of spans and log records, bounded: what is too much is counted, what is too long is cut.

use super::proto::{PAIR, Proto};
use std::fmt::{self, Display, Write};

/// Most attributes of one span or record.
const MOST: u32 = 64;
/// Longest key and longest value, bytes: what New Relic takes, which takes least.
const LONGEST_KEY: usize = 255;
const LONGEST: usize = 4_095;
/// Bytes of all values, after which no more are taken.
const ROOM: usize = 12 << 10;

/// What a value is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Shape {
    #[default]
    Text,
    Integer,
    Real,
    Truth,
}

/// Writes attributes into a message whose field `field` they are.
#[derive(Debug)]
pub(crate) struct Attributes<'a, 'b> {
    proto: &'a mut Proto<'b>,
    field: u32,
    count: u32,
    room: usize,
    /// How many had no place.
    pub(super) dropped: u32,
}

impl<'a, 'b> Attributes<'a, 'b> {
    pub(super) fn new(proto: &'a mut Proto<'b>, field: u32) -> Attributes<'a, 'b> {
        Attributes { proto, field, count: 0, room: ROOM, dropped: 0 }
    }

    /// Takes the room for one more, or counts that there is none.
    fn has_room(&mut self, length: usize) -> bool {
        let has = self.count < MOST && self.room >= length;
        if has {
            self.count += 1;
            self.room -= length;
        } else {
            self.dropped += 1;
        }
        has
    }

    fn add(&mut self, key: &str, length: usize, value: impl FnOnce(&mut Proto<'_>)) {
        if !self.has_room(length) {
            return;
        }
        self.proto.message(self.field, |pair| {
            pair.bytes(1, cut(key, LONGEST_KEY).as_bytes());
            pair.message(2, value);
        });
    }

    /// A text; one that is empty is not known and left out.
    pub(crate) fn text(&mut self, key: &str, value: &str) {
        if !value.is_empty() {
            self.any_text(key, value);
        }
    }

    fn any_text(&mut self, key: &str, value: &str) {
        let value = cut(value, LONGEST);
        if !key.is_empty() && key.len() + value.len() <= PAIR {
            if self.has_room(value.len()) {
                self.proto.pair(self.field, key.as_bytes(), value.as_bytes());
            }
            return;
        }
        self.add(key, value.len(), |it| it.text(1, value.as_bytes()));
    }

    /// What has a text.
    pub(crate) fn shown(&mut self, key: &str, value: &dyn Display) {
        self.any_text(key, &capped(value));
    }

    pub(crate) fn integer(&mut self, key: &str, value: i64) {
        self.add(key, 8, |it| it.always(3, value as u64));
    }

    pub(crate) fn truth(&mut self, key: &str, value: bool) {
        self.add(key, 1, |it| it.always(2, u64::from(value)));
    }

    pub(crate) fn real(&mut self, key: &str, value: f64) {
        self.add(key, 8, |it| it.eight(4, value.to_bits()));
    }

    /// A value that was rendered: what it says it is, if it can be read as that.
    pub(crate) fn of_shape(&mut self, key: &str, value: &str, shape: Shape) {
        match shape {
            Shape::Integer if let Ok(value) = value.parse() => self.integer(key, value),
            Shape::Real if let Ok(value) = value.parse() => self.real(key, value),
            Shape::Truth => self.truth(key, value == "true"),
            _ => self.any_text(key, value),
        }
    }
}

/// The value's text, of which no more is rendered than is told.
pub(super) fn capped(value: &dyn Display) -> String {
    struct Capped(String);

    impl Write for Capped {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let room = LONGEST - self.0.len();
            self.0.push_str(cut(text, room));
            if text.len() > room { Err(fmt::Error) } else { Ok(()) }
        }
    }

    let mut text = Capped(String::new());
    // What fails has written what it could.
    write!(text, "{value}").ok();
    text.0
}

/// The text up to so many bytes.
pub(super) fn cut(text: &str, longest: usize) -> &str {
    text.get(..text.floor_char_boundary(longest)).unwrap_or_default()
}
