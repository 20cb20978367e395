//! Atoms that are known when a request has ended.

use super::atoms::{End, EndAtom};
use super::conversion::Conversion;
use super::template::Field;
use super::{Ended, Ending};
use crate::log::digits;
use crate::log::stamps::Stamps;

/// Bytes that a reason or the id of an error may have.
pub(super) const CODE: usize = 64;
/// `[22/Nov/2026:10:11:24 +0000]`.
const STAMP: usize = 28;

/// Bytes that an atom may have.
pub(super) fn longest(atom: &EndAtom, conversion: &Conversion) -> usize {
    match atom {
        EndAtom::Moment(moment) => moment.longest() + usize::from(conversion.width),
        EndAtom::Known(End::Reason | End::ErrorId) => CODE + usize::from(conversion.width),
        EndAtom::Known(End::Started | End::Ended) => STAMP + usize::from(conversion.width),
        // A decimal number has a point and six digits more.
        EndAtom::Known(_) => conversion.longest(digits::LONGEST + 7),
    }
}

/// Appends an atom; the request began at `started`, nanoseconds since the Unix epoch.
#[inline(always)]
pub(super) fn push(
    atom: &EndAtom,
    field: &Field,
    started: u64,
    ended: &Ended<'_>,
    stamps: &mut Stamps,
    out: &mut Vec<u8>,
) {
    match atom {
        EndAtom::Known(End::Ended) if field.is_plain => stamps.ended(ended.wall, out),
        EndAtom::Known(End::Status) => status(field, ended.status, out),
        EndAtom::Known(End::Bytes) => number(field, out, ended.body_bytes),
        EndAtom::Known(End::Micros) => number(field, out, ended.duration / 1_000),
        other => push_rarer(other, field, started, ended, stamps, out),
    }
}

/// Those of them that are not in the default format, which must not make it slower: the compiler
/// would prepare for all of them before it begins with the first.
#[inline(never)]
fn push_rarer(
    atom: &EndAtom,
    field: &Field,
    started: u64,
    ended: &Ended<'_>,
    stamps: &mut Stamps,
    out: &mut Vec<u8>,
) {
    let start = out.len();
    let known = match atom {
        EndAtom::Known(known) => known,
        EndAtom::Moment(moment) => {
            let wall = if moment.is_end { ended.wall } else { started };
            return moment.push(wall, stamps, out);
        }
    };
    match known {
        End::Status => return status(field, ended.status, out),
        End::BytesOrDash if ended.body_bytes == 0 => return field.missing(out),
        End::Bytes | End::BytesOrDash => return number(field, out, ended.body_bytes),
        End::RequestBytes => return number(field, out, ended.request_bytes),
        End::Micros => return number(field, out, ended.duration / 1_000),
        End::Millis => return number(field, out, ended.duration / 1_000_000),
        End::Seconds => return number(field, out, ended.duration / 1_000_000_000),
        End::DecimalSeconds => return field.conversion.seconds(out, ended.duration / 1_000),
        End::FirstByte => {
            return match ended.first_byte {
                Some(time) => number(field, out, time / 1_000),
                None => field.missing(out),
            };
        }
        End::Pid => return number(field, out, u64::from(ended.pid)),
        End::Worker => return number(field, out, ended.worker as u64),
        End::Generation => return number(field, out, ended.generation),
        End::Reason => return code(field, ended.reason, out),
        End::ErrorId => return code(field, ended.error_id, out),
        End::Ended => stamps.ended(ended.wall, out),
        End::Started => stamps.started(started, out),
        End::BracketedPid => {
            out.push(b'<');
            digits::push(out, u64::from(ended.pid));
            out.push(b'>');
        }
        End::Connection => out.push(match ended.connection {
            Ending::KeepAlive => b'+',
            Ending::Close => b'-',
            Ending::Aborted => b'X',
        }),
    }
    if !field.is_plain {
        out.truncate(start.saturating_add(field.conversion.characters()));
        field.conversion.pad_text(out, start);
    }
}

#[inline(always)]
fn number(field: &Field, out: &mut Vec<u8>, n: u64) {
    if field.is_plain { digits::push(out, n) } else { field.conversion.number(out, n) }
}

#[inline(always)]
fn status(field: &Field, status: u16, out: &mut Vec<u8>) {
    match status {
        100..1_000 if field.is_plain => {
            out.extend_from_slice(&digits::three(u64::from(status)));
        }
        0 => field.missing(out),
        _ => field.conversion.number(out, u64::from(status)),
    }
}

fn code(field: &Field, text: &str, out: &mut Vec<u8>) {
    if text.is_empty() {
        return field.missing(out);
    }
    field.text(out, text.as_bytes(), CODE);
}
