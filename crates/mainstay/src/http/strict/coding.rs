//! Transfer codings (RFC 9112 §6.1 and §7): nothing but one final `chunked` is let pass.

use super::class::{self, TOKEN};
use super::field::trim;
use super::reject::Fault;

const CHUNKED: u8 = 1;
const STACKED: u8 = 1 << 1;
const BEHIND_CHUNKED: u8 = 1 << 2;
/// A coding of the registry that is not undone here.
const KNOWN: u8 = 1 << 3;
const UNKNOWN: u8 = 1 << 4;
const INVALID: u8 = 1 << 5;

/// What the Transfer-Encoding lines of a head, one list all together, have said so far.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Codings(u8);

impl Codings {
    /// Adds the value of one line.
    pub(super) fn add(&mut self, value: &[u8]) {
        for coding in value.split(|byte| *byte == b',').map(trim) {
            let is = |name: &&[u8]| coding.eq_ignore_ascii_case(name);
            let known: [&[u8]; 6] =
                [b"gzip", b"x-gzip", b"deflate", b"compress", b"x-compress", b"identity"];
            self.0 |= if is(&&b"chunked"[..]) {
                if self.0 & CHUNKED != 0 { STACKED } else { CHUNKED }
            } else {
                let behind = if self.0 & CHUNKED != 0 { BEHIND_CHUNKED } else { 0 };
                behind
                    | match coding {
                        _ if known.iter().any(is) => KNOWN,
                        [_, ..] if class::all(coding, TOKEN) => UNKNOWN,
                        _ => INVALID,
                    }
            };
        }
    }

    /// What is wrong with them all together.
    pub(super) fn judge(self) -> Result<(), Fault> {
        let has = |said| self.0 & said != 0;
        let wrong = match () {
            () if has(INVALID) => Fault::TransferEncodingInvalid,
            () if has(STACKED) => Fault::TransferEncodingStacked,
            () if has(BEHIND_CHUNKED) => Fault::ChunkedNotLast,
            () if has(UNKNOWN) => Fault::TransferCodingUnsupported,
            () if !has(CHUNKED) => Fault::TransferEncodingNotChunked,
            () if has(KNOWN) => Fault::TransferCodingUnsupported,
            () => return Ok(()),
        };
        Err(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_final_chunked_passes() {
        let judged = |values: &[&str]| {
            let mut codings = Codings::default();
            values.iter().for_each(|value| codings.add(value.as_bytes()));
            codings.judge()
        };
        assert_eq!(judged(&["chunked"]), Ok(()));
        assert_eq!(judged(&["cHuNkEd"]), Ok(()));
        assert_eq!(judged(&["chunked, chunked"]), Err(Fault::TransferEncodingStacked));
        assert_eq!(judged(&["chunked", "chunked"]), Err(Fault::TransferEncodingStacked));
        assert_eq!(judged(&["chunked, gzip"]), Err(Fault::ChunkedNotLast));
        assert_eq!(judged(&["chunked", "what"]), Err(Fault::ChunkedNotLast));
        assert_eq!(judged(&["gzip"]), Err(Fault::TransferEncodingNotChunked));
        assert_eq!(judged(&["identity"]), Err(Fault::TransferEncodingNotChunked));
        assert_eq!(judged(&["gzip, chunked"]), Err(Fault::TransferCodingUnsupported));
        assert_eq!(judged(&["what"]), Err(Fault::TransferCodingUnsupported));
        for invalid in ["", "chunked,", ",chunked", "chunked;q=1", "\"chunked\"", "chu nked"] {
            assert_eq!(judged(&[invalid]), Err(Fault::TransferEncodingInvalid), "{invalid}");
        }
    }
}
