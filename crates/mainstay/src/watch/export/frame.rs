//! A parcel as it stands in a spool: with its length, a checksum, and how far the ring that it came from
//! was read with it. Pure.

use flate2::Crc;

/// Bytes before the parcel.
const HEAD: usize = 32;
/// No parcel is longer; a length beyond that is none.
const MAX_PARCEL: usize = 64 << 20;

/// A parcel and where it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    /// The segment, by when its service started.
    pub(super) segment: u64,
    pub(super) slot: u32,
    /// The position behind it in the ring of that slot.
    pub(super) position: u64,
    /// Spans, log records or reports in it.
    pub(super) items: u32,
    pub(super) parcel: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Appends the frame.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let len = u32::try_from(self.parcel.len()).expect("a ring is shorter than 4 GiB");
        let begin = out.len();
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.segment.to_le_bytes());
        out.extend_from_slice(&self.position.to_le_bytes());
        out.extend_from_slice(&self.slot.to_le_bytes());
        out.extend_from_slice(&self.items.to_le_bytes());
        out.extend_from_slice(self.parcel);
        let sum = checksum(len, &out[begin + 8..]);
        out[begin + 4..begin + 8].copy_from_slice(&sum.to_le_bytes());
    }

    /// The frame that `bytes` begin with, and its length; none where they are not a whole one.
    pub(super) fn read(bytes: &'a [u8]) -> Option<(Frame<'a>, usize)> {
        let (head, rest) = bytes.split_at_checked(HEAD)?;
        let word = |at: usize| head[at..].first_chunk().map_or(0, |it| u32::from_le_bytes(*it));
        let long = |at: usize| head[at..].first_chunk().map_or(0, |it| u64::from_le_bytes(*it));
        let len = word(0) as usize;
        let parcel = rest.get(..len).filter(|_| len <= MAX_PARCEL)?;
        if checksum(word(0), &bytes[8..HEAD + len]) != word(4) {
            return None;
        }
        let frame =
            Frame { segment: long(8), position: long(16), slot: word(24), items: word(28), parcel };
        Some((frame, HEAD + len))
    }

    /// Bytes of the frame of so long a parcel.
    pub(super) fn len_of(parcel: usize) -> usize {
        HEAD + parcel
    }
}

/// The length of as many frames of ours as make up `most` bytes, and of one at least; what is none is taken whole.
pub(super) fn leading(bytes: &[u8], most: u64) -> usize {
    let mut len = 0;
    loop {
        let rest = bytes.get(len..).unwrap_or_default();
        let Some(parcel) = rest.first_chunk().map(|it| u32::from_le_bytes(*it)) else {
            return bytes.len();
        };
        len = len.saturating_add(Frame::len_of(parcel as usize)).min(bytes.len());
        if len as u64 >= most {
            return len;
        }
    }
}

fn checksum(len: u32, rest: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(&len.to_le_bytes());
    crc.update(rest);
    crc.sum()
}

/// The whole frames that `bytes` begin with.
pub(super) fn frames(bytes: &[u8]) -> impl Iterator<Item = (Frame<'_>, usize)> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (frame, len) = Frame::read(rest)?;
        rest = &rest[len..];
        Some((frame, len))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_up_to_where_they_are_torn_or_changed() {
        let mut bytes = Vec::new();
        let all: Vec<Frame<'_>> = [&b"first"[..], b"", b"third"]
            .into_iter()
            .zip(1..)
            .map(|(parcel, n)| Frame { segment: 9, slot: n, position: 7, items: n * 2, parcel })
            .collect();
        all.iter().for_each(|frame| frame.write(&mut bytes));
        let read = |bytes: &[u8]| frames(bytes).count();
        assert!(frames(&bytes).map(|(frame, _)| frame).eq(all.iter().copied()));
        assert_eq!(frames(&bytes).map(|(_, len)| len).sum::<usize>(), bytes.len());
        let ends = [0, 37, 69, 106];
        for cut in 0..=bytes.len() {
            let whole = ends.iter().filter(|end| **end <= cut).count() - 1;
            assert_eq!(read(&bytes[..cut]), whole, "cut at {cut}");
        }
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 0x40;
            let before = ends.iter().filter(|end| **end <= at).count() - 1;
            assert_eq!(read(&bad), before, "byte {at} is another");
        }
    }
}
