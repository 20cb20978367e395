//! One line of the error log, in Gunicorn's form: `[2026-11-22 10:10:52 +0000] [pid] [LEVEL] text`.
//! Times are UTC. Control characters of the text are written as `\xhh`, so that nothing a peer sent
//! can begin a line of its own.

use crate::clock::Civil;
use crate::config::Level;
use std::fmt::{self, Display, Write};

/// Appends the line with its newline to `out`.
pub(crate) fn append(out: &mut Vec<u8>, wall: u64, pid: u32, level: Level, text: &dyn Display) {
    let mut line = Escaped { out };
    let c = Civil::from_unix(wall / 1_000_000_000);
    let (year, month, day) = (c.year, c.month, c.day);
    let (hour, minute, second) = (c.hour, c.minute, c.second);
    let level = label(level);
    let written = write!(
        line,
        "[{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} +0000] \
         [{pid}] [{level}] {text}"
    );
    debug_assert!(written.is_ok(), "writing to memory does not fail");
    out.push(b'\n');
}

fn label(level: Level) -> &'static str {
    match level {
        Level::Debug => "DEBUG",
        Level::Info => "INFO",
        Level::Warning => "WARNING",
        Level::Error => "ERROR",
        Level::Critical => "CRITICAL",
    }
}

struct Escaped<'a> {
    out: &'a mut Vec<u8>,
}

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            // U+0085, U+2028 and U+2029 end lines for some readers.
            if character.is_control() || matches!(character, '\u{2028}' | '\u{2029}') {
                let mut bytes = [0; 4];
                for byte in character.encode_utf8(&mut bytes).bytes() {
                    const HEX: &[u8; 16] = b"0123456789abcdef";
                    let [high, low] = [byte >> 4, byte & 15].map(|half| HEX[usize::from(half)]);
                    self.out.extend_from_slice(&[b'\\', b'x', high, low]);
                }
            } else {
                self.out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> String {
        let mut out = Vec::new();
        append(&mut out, 1_795_342_252_000_000_000, 42, Level::Warning, &text);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_has_gunicorns_form() {
        let expected = "[2026-11-22 10:10:52 +0000] [42] [WARNING] Handling signal: hup\n";
        assert_eq!(line("Handling signal: hup"), expected);
    }

    #[test]
    fn nothing_in_a_text_begins_a_line_of_its_own() {
        let forged = line("a\n[2026] [1] [INFO] b\r\u{1b}[31m\u{2028}c\u{85}é");
        assert_eq!(forged.matches('\n').count(), 1);
        let text = r"a\x0a[2026] [1] [INFO] b\x0d\x1b[31m\xe2\x80\xa8c\xc2\x85é";
        assert!(forged.trim_end().ends_with(text), "{forged}");
    }
}
