//! Python's %-conversions: what stands between `%(name)` and the letter, and what it does.

use crate::log::digits;

/// Widest field and finest precision that a format may ask for.
pub(super) const WIDEST: u8 = 200;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// `s`.
    #[default]
    Text,
    /// `d` and `i`.
    Integer,
    /// `f`.
    Fixed,
}

/// How a value is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Conversion {
    pub(super) kind: Kind,
    pub(super) flags: Flags,
    /// Characters at least, at most [`WIDEST`].
    pub(super) width: u8,
    /// Characters of text at most, digits of an integer at least, decimals; at most [`WIDEST`].
    pub(super) precision: Option<u8>,
}

/// `-`, `0`, `+` and blank.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags {
    pub(super) left: bool,
    pub(super) zero: bool,
    pub(super) plus: bool,
    pub(super) blank: bool,
}

impl Conversion {
    /// `%s` and nothing else.
    pub(super) const PLAIN: Conversion = Conversion {
        kind: Kind::Text,
        flags: Flags { left: false, zero: false, plus: false, blank: false },
        width: 0,
        precision: None,
    };

    pub(super) fn is_plain(&self) -> bool {
        *self == Conversion::PLAIN
    }

    /// Characters of text that may be shown.
    pub(super) fn characters(&self) -> usize {
        self.precision.map_or(usize::MAX, usize::from)
    }

    /// Most bytes that a number of `digits` digits, or a text of so many bytes, becomes.
    pub(super) fn longest(&self, digits: usize) -> usize {
        let precision = usize::from(self.precision.unwrap_or(6));
        let shown = match self.kind {
            Kind::Text => digits,
            Kind::Integer => digits.max(precision) + 1,
            Kind::Fixed => digits + precision + 2,
        };
        shown.max(usize::from(self.width))
    }

    /// A whole number.
    pub(super) fn number(&self, out: &mut Vec<u8>, n: u64) {
        self.shown(out, |it, out| match it.kind {
            Kind::Text => digits::push(out, n),
            Kind::Integer => it.integer(out, n),
            Kind::Fixed => it.fixed(out, u128::from(n) * 1_000_000),
        });
    }

    /// Seconds, given in millionths: six decimals as text.
    pub(super) fn seconds(&self, out: &mut Vec<u8>, micros: u64) {
        self.shown(out, |it, out| match it.kind {
            Kind::Text => {
                digits::push(out, micros / 1_000_000);
                let ([a, b, c], [d, e, f]) = (digits::three(micros / 1_000), digits::three(micros));
                out.extend_from_slice(&[b'.', a, b, c, d, e, f]);
            }
            Kind::Integer => it.integer(out, micros / 1_000_000),
            Kind::Fixed => it.fixed(out, u128::from(micros)),
        });
    }

    /// Pads what stands behind `start` as text.
    pub(super) fn pad_text(&self, out: &mut Vec<u8>, start: usize) {
        // Continuation bytes of UTF-8 are no characters of their own.
        let characters = out.iter().skip(start).filter(|byte| **byte & 0xc0 != 0x80).count();
        let missing = usize::from(self.width).saturating_sub(characters);
        out.resize(out.len() + missing, b' ');
        if !self.flags.left
            && let Some(field) = out.get_mut(start..)
        {
            field.rotate_right(missing);
        }
    }

    fn shown(&self, out: &mut Vec<u8>, write: impl FnOnce(&Conversion, &mut Vec<u8>)) {
        let start = out.len();
        if self.kind == Kind::Text {
            write(self, out);
            out.truncate(start.saturating_add(self.characters()));
            return self.pad_text(out, start);
        }
        match self.flags {
            Flags { plus: true, .. } => out.push(b'+'),
            Flags { blank: true, .. } => out.push(b' '),
            _ => {}
        }
        let digits = out.len();
        write(self, out);
        let missing = usize::from(self.width).saturating_sub(out.len() - start);
        let zeros = self.flags.zero && !self.flags.left;
        if !zeros {
            return self.pad_text(out, start);
        }
        out.resize(out.len() + missing, b'0');
        out[digits..].rotate_right(missing);
    }

    fn integer(&self, out: &mut Vec<u8>, n: u64) {
        let start = out.len();
        digits::push(out, n);
        let missing = usize::from(self.precision.unwrap_or(0)).saturating_sub(out.len() - start);
        out.resize(out.len() + missing, b'0');
        out[start..].rotate_right(missing);
    }

    /// Millionths, rounded half up to the decimals that are wanted.
    fn fixed(&self, out: &mut Vec<u8>, micros: u128) {
        let decimals = u32::from(self.precision.unwrap_or(6));
        let step = 10_u128.pow(6_u32.saturating_sub(decimals));
        let rounded = (micros + step / 2) / step * step;
        digits::push(out, u64::try_from(rounded / 1_000_000).unwrap_or(u64::MAX));
        if decimals == 0 {
            return;
        }
        let fraction = (rounded % 1_000_000) as u64;
        let ([a, b, c], [d, e, f]) = (digits::three(fraction / 1_000), digits::three(fraction));
        let end = out.len() + 1 + decimals as usize;
        out.extend_from_slice(&[b'.', a, b, c, d, e, f]);
        out.resize(end, b'0');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(flags: &str, width: u8, precision: Option<u8>, kind: Kind, n: u64) -> String {
        let has = |flag| flags.contains(flag);
        let flags = Flags { left: has('-'), zero: has('0'), plus: has('+'), blank: has(' ') };
        let mut out = b"|".to_vec();
        Conversion { kind, flags, width, precision }.number(&mut out, n);
        String::from_utf8(out).unwrap().split_off(1)
    }

    #[test]
    fn numbers_are_shown_as_python_shows_them() {
        use Kind::{Fixed, Integer, Text};
        for (flags, width, precision, kind, n, shown) in [
            ("0", 9, None, Integer, 8_171, "000008171"),
            ("0", 5, Some(1), Fixed, 1, "001.0"),
            ("", 0, None, Fixed, 1, "1.000000"),
            ("", 0, Some(0), Fixed, 7, "7"),
            ("", 0, Some(8), Fixed, 7, "7.00000000"),
            ("+", 0, None, Integer, 5, "+5"),
            (" ", 0, None, Integer, 5, " 5"),
            ("+0", 6, None, Integer, 5, "+00005"),
            ("-0", 6, None, Integer, 5, "5     "),
            ("", 6, Some(3), Integer, 5, "   005"),
            ("0+", 5, None, Text, 42, "   42"),
            ("-", 5, None, Text, 42, "42   "),
            ("", 0, Some(1), Text, 42, "4"),
        ] {
            assert_eq!(number(flags, width, precision, kind, n), shown, "%{flags}{width}");
        }
    }

    #[test]
    fn seconds_have_six_decimals_unless_told_otherwise() {
        let shown = |conversion: Conversion, micros| {
            let mut out = Vec::new();
            conversion.seconds(&mut out, micros);
            String::from_utf8(out).unwrap()
        };
        let fixed = |decimals| Conversion {
            kind: Kind::Fixed,
            precision: Some(decimals),
            ..Conversion::PLAIN
        };
        assert_eq!(shown(Conversion::PLAIN, 1_234_905), "1.234905");
        assert_eq!(shown(Conversion::PLAIN, 8), "0.000008");
        assert_eq!(shown(fixed(3), 1_234_905), "1.235");
        assert_eq!(shown(fixed(2), 999_999), "1.00");
        assert_eq!(shown(fixed(0), 1_500_000), "2");
    }
}
