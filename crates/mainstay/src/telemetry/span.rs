//! OTLP's `Span`, as a field of `ScopeSpans`.

use super::attributes::{Attributes, capped, cut};
use super::proto::Proto;

/// The field `spans` of `ScopeSpans`.
const SPANS: u32 = 2;
/// Longest name, bytes.
const LONGEST_NAME: usize = 255;

/// What a span is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SpanKind {
    #[default]
    Internal = 1,
    Server = 2,
    Client = 3,
    Producer = 4,
    Consumer = 5,
}

/// How it ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Status<'a> {
    /// Nobody has said.
    #[default]
    Unset,
    Ok,
    /// It failed; why, if that is known.
    Error(&'a str),
}

/// An error that was told within a span.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exception<'a> {
    pub(crate) wall: u64,
    pub(crate) message: &'a str,
}

/// One span that has ended. What is empty is not known.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Span<'a> {
    pub(crate) trace: [u8; 16],
    pub(crate) id: [u8; 8],
    pub(crate) parent: Option<[u8; 8]>,
    /// The parent is another service's, or is not, or nobody knows whether there is one.
    pub(crate) remote: Option<bool>,
    pub(crate) state: &'a str,
    /// The trace's flags, as they were told to others.
    pub(crate) flags: u8,
    pub(crate) name: &'a str,
    pub(crate) kind: SpanKind,
    /// Nanoseconds since the Unix epoch.
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) status: Status<'a>,
    pub(crate) exception: Option<Exception<'a>>,
}

impl Span<'_> {
    /// Appends the span with what `attributes` gives it.
    pub(crate) fn write(
        &self,
        out: &mut Vec<u8>,
        attributes: impl FnOnce(&mut Attributes<'_, '_>),
    ) {
        Proto(out).message(SPANS, |span| {
            span.bytes(1, &self.trace);
            span.bytes(2, &self.id);
            span.bytes(3, self.state.as_bytes());
            if let Some(parent) = &self.parent {
                span.bytes(4, parent);
            }
            span.bytes(5, cut(self.name, LONGEST_NAME).as_bytes());
            span.varint(6, self.kind as u64);
            span.fixed64(7, self.start);
            span.fixed64(8, self.end);
            let mut writer = Attributes::new(span, 9);
            attributes(&mut writer);
            let dropped = writer.dropped;
            span.varint(10, dropped.into());
            if let Some(Exception { wall, message }) = self.exception {
                span.message(11, |event| {
                    event.fixed64(1, wall);
                    event.bytes(2, b"exception");
                    Attributes::new(event, 3).text("exception.message", message);
                });
            }
            match self.status {
                Status::Unset => {}
                Status::Ok => span.message(15, |status| status.varint(3, 1)),
                Status::Error(why) => span.message(15, |status| {
                    status.bytes(2, capped(&why).as_bytes());
                    status.varint(3, 2);
                }),
            }
            // Bit 8 says that bit 9 is known, which is whether the parent is remote.
            let remote = match self.remote {
                None => 0,
                Some(remote) => 0x100 | u32::from(remote) << 9,
            };
            span.fixed32(16, u32::from(self.flags) | remote);
        });
    }
}
