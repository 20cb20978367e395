//! What a peer sent, written so that it can neither end its field nor its line.
//!
//! Three styles. *Text*, for the fields of access lines: `"` is `\"`; control characters, characters
//! that end lines or reorder text for some readers, and the byte that ends the field in the format are
//! `\xhh` for each byte, and so is what is not UTF-8. A tab stays, as Gunicorn has it, unless it ends
//! the field. A backslash stays too, as Gunicorn has it, except where what follows would give it
//! another meaning: there it is doubled. So `\"`, `\\` and `\xhh` mean one thing each, a backslash
//! before anything else is itself, and every line can be read back. *Message* is the same without
//! quotes. *JSON* is RFC 8259, with U+FFFD for what is not UTF-8.
//!
//! Nearly everything that is logged needs no escape at all: [`is_plain`] finds that out sixteen bytes at a
//! time, and then it is one copy.

use std::fmt;

/// Stands at the end of what was cut.
pub(crate) const CUT: &[u8; 3] = b"...";

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// A field of a text line that ends with this byte; 0 when no byte in particular ends it.
    Text(u8),
    /// The running text of a line.
    Message,
    /// Between the quotes of a JSON string.
    Json,
}

/// Whether neither [`Style::Json`] nor [`Style::Message`] would change any byte: then it may be
/// written with [`push_known`], whole and in parts.
#[inline]
pub(crate) fn is_clean(bytes: &[u8]) -> bool {
    is_plain(bytes)
}

/// [`push`] in JSON of bytes of which it is known whether they are clean.
#[inline(always)]
pub(crate) fn push_known(out: &mut Vec<u8>, bytes: &[u8], is_clean: bool, cap: usize) -> bool {
    if is_clean && bytes.len() <= cap {
        copy(out, bytes);
        return false;
    }
    push_slowly(out, bytes, Style::Json, cap, usize::MAX)
}

/// Whether no style but [`Style::Text`] with a delimiter of its own would change any byte.
#[inline(always)]
fn is_plain(bytes: &[u8]) -> bool {
    if bytes.len() < 16 {
        return match short(bytes) {
            Short::Eight(first, last) => is_plain_block(&joined(*first, *last)),
            Short::Four([a, b, c, d], [e, f, g, h]) => {
                is_plain_word([*a, *b, *c, *d, *e, *f, *g, *h])
            }
            Short::Few => bytes.iter().all(|byte| !is_marked(*byte)),
        };
    }
    // The last block overlaps the one before, which costs less than looking at single bytes.
    for block in bytes.as_chunks().0 {
        if !is_plain_block(block) {
            return false;
        }
    }
    bytes.last_chunk().is_none_or(is_plain_block)
}

#[inline(always)]
fn joined([a, b, c, d, e, f, g, h]: [u8; 8], [i, j, k, l, m, n, o, p]: [u8; 8]) -> [u8; 16] {
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
}

/// Without branches between the bytes, so that the compiler takes all sixteen as one. Two loops,
/// since two equalities in one make it something much slower.
#[inline(always)]
fn is_plain_block(block: &[u8; 16]) -> bool {
    // What is negative is not ASCII. Flipping 0x02 makes 0x20 of quotes and moves nothing else below
    // 0x21.
    let ends = |byte: u8| ((byte ^ 0x02).cast_signed() < 0x21) | (byte == 0x7f);
    !block.iter().fold(false, |found, byte| found | ends(*byte)) && !holds_in_block(block, b'\\')
}

#[inline(always)]
fn holds_in_block(block: &[u8; 16], wanted: u8) -> bool {
    block.iter().fold(false, |found, byte| found | (*byte == wanted))
}

/// Whether a text holds the byte that would end its field.
#[inline(always)]
fn holds(bytes: &[u8], wanted: u8) -> bool {
    match short(bytes) {
        Short::Eight(first, last) if bytes.len() < 16 => {
            holds_in_block(&joined(*first, *last), wanted)
        }
        _ => bytes.contains(&wanted),
    }
}

/// Fewer than 16 bytes as two words that overlap.
enum Short<'a> {
    Eight(&'a [u8; 8], &'a [u8; 8]),
    Four(&'a [u8; 4], &'a [u8; 4]),
    Few,
}

#[inline(always)]
fn short(bytes: &[u8]) -> Short<'_> {
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        return Short::Eight(first, last);
    }
    match (bytes.first_chunk(), bytes.last_chunk()) {
        (Some(first), Some(last)) => Short::Four(first, last),
        _ => Short::Few,
    }
}

/// A control character, DEL, `"`, `\`, or not ASCII, which is negative here.
#[inline(always)]
fn is_marked(byte: u8) -> bool {
    (byte.cast_signed() < 0x20) | (byte == b'"') | (byte == b'\\') | (byte == 0x7f)
}

/// Whether none of eight bytes is marked.
#[inline(always)]
fn is_plain_word(word: [u8; 8]) -> bool {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES * 0x80;
    let word = u64::from_ne_bytes(word);
    // Each subtraction borrows into the high bit of a byte that is below what is taken from it. A
    // borrow goes on to the next byte only from one that is marked already. The first also finds
    // quotes: flipping 0x02 makes 0x20 of them, and moves nothing else below 0x21.
    let control_or_quote = (word ^ (ONES * 0x02)).wrapping_sub(ONES * 0x21);
    let backslash = (word ^ (ONES * 0x5c)).wrapping_sub(ONES);
    let delete = word.wrapping_add(ONES);
    (word | control_or_quote | backslash | delete) & HIGH == 0
}

/// Appends bytes as they are. A short text is copied by words of known length, which overlap: less
/// than a call.
#[inline(always)]
pub(crate) fn copy(out: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.len() >= 16 {
        return out.extend_from_slice(bytes);
    }
    let end = out.len() + bytes.len();
    match short(bytes) {
        Short::Eight(first, last) => {
            out.extend_from_slice(first);
            out.truncate(end - 8);
            out.extend_from_slice(last);
        }
        Short::Four(first, last) => {
            out.extend_from_slice(first);
            out.truncate(end - 4);
            out.extend_from_slice(last);
        }
        Short::Few => bytes.iter().for_each(|byte| out.push(*byte)),
    }
}

/// Appends `bytes` in this style, at most `cap` bytes of output, and says whether it was cut: then
/// the output ends with `...`, behind a whole character. A `cap` below three is three.
#[inline(always)]
pub(crate) fn push(out: &mut Vec<u8>, bytes: &[u8], style: Style, cap: usize) -> bool {
    let is_done = match style {
        _ if bytes.len() > cap => false,
        Style::Text(0 | b'"') | Style::Message | Style::Json => push_plain(out, bytes),
        Style::Text(delimiter) => !holds(bytes, delimiter) && push_plain(out, bytes),
    };
    if !is_done {
        return push_slowly(out, bytes, style, cap, usize::MAX);
    }
    false
}

/// Appends what needs no escape, and says whether that was so.
#[inline(never)]
fn push_plain(out: &mut Vec<u8>, bytes: &[u8]) -> bool {
    let is_plain = is_plain(bytes);
    if is_plain {
        copy(out, bytes);
    }
    is_plain
}

/// [`push`] of at most `characters` characters; an escape counts as one. What `characters` leaves out
/// is not marked and no cut.
#[cold]
#[inline(never)]
pub(crate) fn push_slowly(
    out: &mut Vec<u8>,
    bytes: &[u8],
    style: Style,
    cap: usize,
    characters: usize,
) -> bool {
    let mut escape = Escape::new(out, style, cap);
    escape.characters = characters;
    escape.bytes(bytes);
    escape.is_cut
}

/// Appends in one style what is written to it piece by piece, at most so many bytes.
pub(crate) struct Escape<'a> {
    out: &'a mut Vec<u8>,
    style: Style,
    /// Where the output must end.
    end: usize,
    /// The last place behind a whole character that leaves room for the mark of a cut.
    mark: usize,
    characters: usize,
    is_cut: bool,
}

impl<'a> Escape<'a> {
    /// A writer of at most `cap` bytes behind what `out` holds, and of three at least.
    pub(crate) fn new(out: &'a mut Vec<u8>, style: Style, cap: usize) -> Escape<'a> {
        let mark = out.len();
        let end = mark.saturating_add(cap.max(CUT.len()));
        Escape { out, style, end, mark, characters: usize::MAX, is_cut: false }
    }

    /// Whether something did not fit. From then on nothing is taken.
    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for chunk in bytes.utf8_chunks() {
            let mut characters = chunk.valid().chars();
            while let Some(character) = characters.next() {
                if !self.character(character, characters.clone().next()) {
                    return;
                }
            }
            if !self.invalid(chunk.invalid()) {
                return;
            }
        }
    }

    /// One character, and the one behind it in the same piece.
    fn character(&mut self, character: char, next: Option<char>) -> bool {
        let mut utf8 = [0; 4];
        let text = character.encode_utf8(&mut utf8).as_bytes();
        match (character, self.style) {
            ('"', Style::Text(_)) => self.unit(b"\\\""),
            ('\\', Style::Text(_) | Style::Message) => {
                // The last character that is wanted stands before whatever ends the field.
                let taken = self.characters == 1
                    || next.is_none_or(|next| {
                        matches!(next, '\\' | 'x' | '"') || self.is_escaped(next)
                    });
                self.unit(if taken { b"\\\\" } else { b"\\" })
            }
            ('"', Style::Json) => self.unit(b"\\\""),
            ('\\', Style::Json) => self.unit(b"\\\\"),
            _ if !self.is_escaped(character) => self.unit(text),
            (_, Style::Json) => self.unit(&unicode_escape(character)),
            _ => self.hex(text),
        }
    }

    fn is_escaped(&self, character: char) -> bool {
        // U+0085 is among the control characters.
        let ends_a_line = character.is_control() || matches!(character, '\u{2028}' | '\u{2029}');
        match self.style {
            Style::Json => ends_a_line,
            Style::Message | Style::Text(_) => {
                let reorders = matches!(
                    character,
                    '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'
                        ..='\u{202e}' | '\u{2066}'..='\u{2069}'
                );
                let ends_the_field = matches!(self.style, Style::Text(byte) if byte != 0 && character == char::from(byte));
                ends_the_field || reorders || (ends_a_line && character != '\t')
            }
        }
    }

    fn invalid(&mut self, bytes: &[u8]) -> bool {
        match self.style {
            _ if bytes.is_empty() => true,
            Style::Json => self.unit("\u{fffd}".as_bytes()),
            Style::Text(_) | Style::Message => bytes.iter().all(|byte| self.hex(&[*byte])),
        }
    }

    /// At most the four bytes of a character.
    fn hex(&mut self, bytes: &[u8]) -> bool {
        let mut unit = [0; 16];
        for (place, byte) in unit.chunks_exact_mut(4).zip(bytes) {
            place.copy_from_slice(&[b'\\', b'x', half(byte >> 4), half(*byte)]);
        }
        self.unit(unit.get(..4 * bytes.len()).unwrap_or(&unit))
    }

    /// Appends what must not be parted, and says whether more may come.
    fn unit(&mut self, unit: &[u8]) -> bool {
        if self.is_cut || self.characters == 0 {
            return false;
        }
        self.characters -= 1;
        if self.out.len() + unit.len() > self.end {
            self.out.truncate(self.mark);
            self.out.extend_from_slice(CUT);
            self.is_cut = true;
            return false;
        }
        self.out.extend_from_slice(unit);
        if self.out.len() + CUT.len() <= self.end {
            self.mark = self.out.len();
        }
        true
    }
}

impl fmt::Write for Escape<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes());
        Ok(())
    }
}

/// `\u0085`. Characters beyond U+FFFF need no escape.
fn unicode_escape(character: char) -> [u8; 6] {
    let code = u32::from(character).to_be_bytes();
    let [a, b] = [code[2], code[3]];
    [b'\\', b'u', half(a >> 4), half(a), half(b >> 4), half(b)]
}

fn half(byte: u8) -> u8 {
    b"0123456789abcdef"[usize::from(byte & 15)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn escaped(bytes: &[u8], style: Style, cap: usize) -> String {
        let mut out = Vec::new();
        push(&mut out, bytes, style, cap);
        String::from_utf8(out).unwrap()
    }

    /// What a reader makes of a field in text style.
    fn read_back(text: &str) -> Vec<u8> {
        let (bytes, mut out, mut at) = (text.as_bytes(), Vec::new(), 0);
        while at < bytes.len() {
            match &bytes[at..] {
                [b'\\', b'x', high, low, ..] => {
                    let hex = [*high, *low];
                    out.push(u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap());
                    at += 4;
                }
                [b'\\', quoted @ (b'"' | b'\\'), ..] => {
                    out.push(*quoted);
                    at += 2;
                }
                rest => {
                    out.push(rest[0]);
                    at += 1;
                }
            }
        }
        out
    }

    #[test]
    fn quotes_are_escaped_and_backslashes_only_where_they_would_mean_something() {
        for (raw, text) in [
            (r#"UA "quoted" \back"#, r#"UA \"quoted\" \back"#),
            (r#"a\"#, r#"a\\"#),
            (r#"a\"b"#, r#"a\\\"b"#),
            (r"a\\b", r"a\\\b"),
            (r"a\x41", r"a\\x41"),
            ("a\\\n", r"a\\\x0a"),
            ("a\tb", "a\tb"),
            ("é\u{85}\u{2028}\u{202e}", r"é\xc2\x85\xe2\x80\xa8\xe2\x80\xae"),
            ("\0\x1b[31m\r\n\x7f", r"\x00\x1b[31m\x0d\x0a\x7f"),
        ] {
            assert_eq!(escaped(raw.as_bytes(), Style::Text(b'"'), 1000), text);
        }
        assert_eq!(escaped(b"a\xffb\xe2\x80", Style::Text(b'"'), 1000), r"a\xffb\xe2\x80");
        assert_eq!(escaped(b"a b|c", Style::Text(b' '), 1000), r"a\x20b|c");
        assert_eq!(escaped(b"a b|c", Style::Text(b'|'), 1000), r"a b\x7cc");
        assert_eq!(escaped(b"say \"a\"\n", Style::Message, 1000), r#"say "a"\x0a"#);
    }

    #[test]
    fn json_is_valid_whatever_it_holds() {
        let text = escaped(b"\"\\\t\n\x7f\xc2\x85\xe2\x80\xa8\xff\xc3\xa9", Style::Json, 1000);
        assert_eq!(text, "\\\"\\\\\\u0009\\u000a\\u007f\\u0085\\u2028\u{fffd}é");
    }

    #[test]
    fn a_cut_comes_behind_a_whole_character_and_is_marked() {
        assert_eq!(escaped(b"abcdefgh", Style::Json, 8), "abcdefgh");
        assert_eq!(escaped(b"abcdefghi", Style::Json, 8), "abcde...");
        assert_eq!(escaped("abcdéfghi".as_bytes(), Style::Json, 8), "abcd...");
        assert_eq!(escaped(b"abc\n\nfghi", Style::Text(0), 9), "abc...");
        assert_eq!(escaped(b"abcdefghi", Style::Json, 0), "...");
    }

    proptest! {
        #[test]
        fn what_is_plain_is_what_no_style_changes(bytes in prop::collection::vec(
            prop_oneof![32_u8..127, 32_u8..127, 32_u8..127, any::<u8>()], 0..40))
        {
            let mut out = Vec::new();
            push_slowly(&mut out, &bytes, Style::Json, usize::MAX, usize::MAX);
            // The slow way knows valid UTF-8, which the quick one leaves to it.
            let plain = out == bytes && bytes.is_ascii();
            prop_assert_eq!(is_plain(&bytes), plain);
            for wanted in [b' ', b'a', 0xff] {
                prop_assert_eq!(holds(&bytes, wanted), bytes.contains(&wanted));
            }
        }

        #[test]
        fn a_text_field_reads_back_and_holds_nothing_that_ends_it(
            bytes in prop::collection::vec(prop_oneof![Just(b'\\'), Just(b'"'), Just(b'x'), any::<u8>()], 0..40),
            delimiter in prop_oneof![Just(b'"'), Just(b' '), Just(b'|'), Just(0)],
        ) {
            let text = escaped(&bytes, Style::Text(delimiter), usize::MAX);
            prop_assert_eq!(read_back(&text), bytes);
            let forges = |c: char| (c.is_control() && c != '\t') || c == '\u{2028}';
            prop_assert!(!text.contains(forges));
            let closed = text.bytes().fold((false, false), |(escaping, closed), byte| {
                (byte == b'\\' && !escaping, closed || (byte == delimiter && !escaping))
            });
            prop_assert!(!closed.1, "{}", text);
        }

        #[test]
        fn no_cap_is_exceeded_and_json_stays_json(
            bytes in prop::collection::vec(any::<u8>(), 0..60), cap in 3_usize..80,
        ) {
            for style in [Style::Json, Style::Message, Style::Text(b' ')] {
                prop_assert!(escaped(&bytes, style, cap).len() <= cap);
            }
            let json = format!("\"{}\"", escaped(&bytes, Style::Json, cap));
            prop_assert!(serde_json::from_str::<String>(&json).is_ok(), "{}", json);
        }
    }
}
