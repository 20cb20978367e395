//! The two spellings of a format, Gunicorn's `%(name)s` and Apache's `%name`, made into pieces.

use super::FormatError;
use super::atoms::{self, ATOMS, Atom, EndAtom, Family, Is, RequestAtom};
use super::conversion::{Conversion, Kind, WIDEST};
use super::environ;
use super::moment::Moment;
use http::HeaderName;

/// A part of a format.
#[derive(Debug, PartialEq)]
pub(super) enum Piece {
    Literal(String),
    Atom { atom: Atom, conversion: Conversion, when: Option<Condition> },
}

/// Apache's `%!200,304{…}i`: shown for some statuses only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    statuses: Vec<u16>,
    /// For all but these.
    negated: bool,
}

impl Condition {
    pub(super) fn holds(&self, status: u16) -> bool {
        self.statuses.contains(&status) != self.negated
    }
}

/// Headers that are secrets as a whole.
const SECRET: &[&str] = &["authorization", "proxy-authorization", "cookie", "set-cookie"];

/// Takes a format apart.
///
/// # Errors
/// The first mistake and its column.
pub(super) fn pieces(text: &str) -> Result<Vec<Piece>, FormatError> {
    let control = text.char_indices().find(|(_, character)| {
        let ends_a_line = character.is_control() || matches!(character, '\u{2028}' | '\u{2029}');
        ends_a_line && *character != '\t'
    });
    let mut reader = Reader { text, at: 0 };
    if let Some((at, _)) = control {
        return Err(reader.error(at, "a control character; the line's end is added by itself"));
    }
    let read = if is_gunicorn(text) { Reader::gunicorn } else { Reader::apache };
    let mut pieces: Vec<Piece> = Vec::new();
    while let Some(piece) = read(&mut reader)? {
        match (pieces.last_mut(), piece) {
            (Some(Piece::Literal(before)), Piece::Literal(text)) => before.push_str(&text),
            (_, piece) => pieces.push(piece),
        }
    }
    if pieces.iter().all(|piece| matches!(piece, Piece::Literal(_))) {
        let near = atoms::nearest(text, ["ecs"].into_iter()).map(|_| "; did you mean \"ecs\"?");
        return Err(reader.error(0, format!("no atom in it{}", near.unwrap_or_default())));
    }
    Ok(pieces)
}

/// Whether the format has a `%(`, which Apache's spelling never has.
fn is_gunicorn(text: &str) -> bool {
    text.replace("%%", "").contains("%(")
}

struct Reader<'a> {
    text: &'a str,
    /// Byte of the text that is next.
    at: usize,
}

type Read = Result<Option<Piece>, FormatError>;

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn takes(&mut self, wanted: char) -> bool {
        let is_next = self.peek() == Some(wanted);
        self.at += if is_next { wanted.len_utf8() } else { 0 };
        is_next
    }

    /// What stands before `end`, which is taken too.
    fn up_to(&mut self, end: char) -> Option<&'a str> {
        let (found, _) = self.rest().split_once(end)?;
        self.at += found.len() + end.len_utf8();
        Some(found)
    }

    /// A run of digits, if one is next.
    fn number<N: std::str::FromStr>(&mut self) -> Result<Option<N>, FormatError> {
        let digits = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        let Some(text) = self.rest().get(..digits).filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        let number =
            text.parse().map_err(|_| self.error(self.at, format!("{text} is too large")))?;
        self.at += digits;
        Ok(Some(number))
    }

    fn error(&self, at: usize, message: impl Into<String>) -> FormatError {
        let before = self.text.get(..at).unwrap_or_default();
        FormatError { column: before.chars().count() + 1, message: message.into() }
    }

    /// Text up to the next of `ends`.
    fn literal(&mut self, ends: &[char]) -> Option<Piece> {
        let end = self.rest().find(ends).unwrap_or(self.rest().len());
        let text = self.rest().get(..end).filter(|text| !text.is_empty())?;
        self.at += end;
        Some(Piece::Literal(text.to_owned()))
    }

    fn gunicorn(&mut self) -> Read {
        if let Some(literal) = self.literal(&['%']) {
            return Ok(Some(literal));
        }
        let begin = self.at;
        if !self.takes('%') {
            return Ok(None);
        }
        if self.takes('%') {
            return Ok(Some(Piece::Literal("%".into())));
        }
        if !self.takes('(') {
            return Err(self.error(begin, "a lone %: a percent sign is %%, an atom %(name)s"));
        }
        let name_at = self.at;
        let Some(name) = self.up_to(')') else {
            return Err(self.error(begin, "a %( without its )"));
        };
        let atom = named(name).map_err(|message| self.error(name_at, message))?;
        let conversion = self.conversion(name, &atom)?;
        Ok(Some(Piece::Atom { atom, conversion, when: None }))
    }

    /// What stands between the name and the letter, and the letter.
    fn conversion(&mut self, name: &str, atom: &Atom) -> Result<Conversion, FormatError> {
        let mut it = Conversion::PLAIN;
        loop {
            match self.peek() {
                Some('-') => it.flags.left = true,
                Some('0') => it.flags.zero = true,
                Some('+') => it.flags.plus = true,
                Some(' ') => it.flags.blank = true,
                _ => break,
            }
            self.next();
        }
        it.width = self.small()?.unwrap_or(0);
        if self.takes('.') {
            // Python reads a lone point as a zero.
            it.precision = Some(self.small()?.unwrap_or(0));
        }
        let letter_at = self.at;
        it.kind = match self.next() {
            Some('s') => Kind::Text,
            Some('d' | 'i') => Kind::Integer,
            Some('f') => Kind::Fixed,
            Some('*') => return Err(self.error(letter_at, "a width must be a number here")),
            Some(other) => {
                let message =
                    format!("{other} shows nothing: %({name})s, or d, i or f for numbers");
                return Err(self.error(letter_at, message));
            }
            None => return Err(self.error(letter_at, format!("no letter behind it: %({name})s"))),
        };
        if it.kind != Kind::Text && !atom.is_number() {
            let message = format!("{name} is no number: use %({name})s");
            return Err(self.error(letter_at, message));
        }
        Ok(it)
    }

    fn small(&mut self) -> Result<Option<u8>, FormatError> {
        let at = self.at;
        let number = self.number::<u8>()?;
        if number.is_some_and(|number| number > WIDEST) {
            return Err(self.error(at, format!("wider than {WIDEST}")));
        }
        Ok(number)
    }

    fn apache(&mut self) -> Read {
        if let Some(literal) = self.literal(&['%', '\\']) {
            return Ok(Some(literal));
        }
        let begin = self.at;
        if self.takes('\\') {
            return self.apache_escape(begin).map(Some);
        }
        if !self.takes('%') {
            return Ok(None);
        }
        if self.takes('%') {
            return Ok(Some(Piece::Literal("%".into())));
        }
        let (mut argument, mut negated, mut statuses) = (None, false, Vec::new());
        loop {
            match self.peek() {
                Some('{') => {
                    self.next();
                    let found = self.up_to('}');
                    argument = Some(found.ok_or_else(|| self.error(begin, "a { without its }"))?);
                }
                Some('!') => negated = self.takes('!'),
                Some('<' | '>' | ',') => drop(self.next()),
                Some('0'..='9') => statuses.extend(self.number::<u16>()?),
                _ => break,
            }
        }
        let letters = if self.peek() == Some('^') { 3 } else { 1 };
        let directive: String = self.rest().chars().take(letters).collect();
        self.at += directive.len();
        if directive.is_empty() {
            return Err(self.error(begin, "a lone %: a percent sign is %%"));
        }
        if negated && statuses.is_empty() {
            return Err(self.error(begin, "a ! without statuses"));
        }
        let atom = directed(argument, &directive).map_err(|message| self.error(begin, message))?;
        let when = (!statuses.is_empty()).then_some(Condition { statuses, negated });
        Ok(Some(Piece::Atom { atom, conversion: Conversion::PLAIN, when }))
    }

    /// Apache's own escapes, as they stand in its configuration files.
    fn apache_escape(&mut self, begin: usize) -> Result<Piece, FormatError> {
        let text = match self.peek() {
            Some('t') => "\t",
            Some(quoted @ ('"' | '\\')) => {
                if quoted == '"' {
                    "\""
                } else {
                    "\\"
                }
            }
            Some('n') => return Err(self.error(begin, "the line's end is added by itself")),
            _ => return Ok(Piece::Literal("\\".into())),
        };
        self.next();
        Ok(Piece::Literal(text.into()))
    }
}

/// The atom of `%(name)s`.
fn named(name: &str) -> Result<Atom, String> {
    if let Some((inside, letter)) = name.strip_prefix('{').and_then(|rest| rest.rsplit_once('}')) {
        // Gunicorn looks both up in lower case.
        let family = match letter.to_ascii_lowercase().as_str() {
            "i" => Family::RequestHeader,
            "o" => Family::ResponseHeader,
            "e" => Family::Environ,
            "c" => Family::Cookie,
            _ => {
                let known = "{name}i, {name}o, {name}e and {name}c";
                return Err(format!("no atom %({name})s; with braces there are {known}"));
            }
        };
        return of_family(family, inside);
    }
    if let Some(atom) = atoms::by_name(name).and_then(|row| row.is.atom()) {
        return Ok(atom);
    }
    let near = atoms::nearest(name, ATOMS.iter().map(|row| row.name));
    Err(match near {
        Some(near) => format!("no atom %({name})s; did you mean %({near})s?"),
        None => format!("no atom %({name})s; docs/access-log.md has them all"),
    })
}

/// The atom of `%{argument}directive`.
fn directed(argument: Option<&str>, directive: &str) -> Result<Atom, String> {
    let written =
        argument.map_or_else(|| directive.to_owned(), |it| format!("{{{it}}}{directive}"));
    if let Some(atom) = atoms::by_apache(&written).and_then(|row| row.is.atom()) {
        return Ok(atom);
    }
    if let Some(inside) = argument {
        if let Some(Is::Family(family)) =
            atoms::by_apache(&format!("{{}}{directive}")).map(|row| row.is)
        {
            return of_family(family, inside);
        }
        // Notes are what modules know, and mainstay's own atoms are that.
        if let ("n", Some(row)) = (directive, atoms::by_name(inside).filter(|_| inside.len() > 1)) {
            return row.is.atom().ok_or_else(|| format!("no note {inside}"));
        }
    }
    Err(match directive {
        "I" | "O" | "S" => format!("%{written}: bytes of heads are not counted; %B is the body"),
        "f" => "%f: files are not known here; the Referer is %{Referer}i".into(),
        "e" => format!("%{written}: the environment is not for a log"),
        _ => {
            let mut names = ATOMS.iter().flat_map(|row| row.apache.iter().copied());
            let near = names.rfind(|near| near.eq_ignore_ascii_case(&written));
            let near = near.map_or("docs/access-log.md has them all".into(), |near| {
                format!("did you mean %{near}?")
            });
            format!("no directive %{written}; {near}")
        }
    })
}

fn of_family(family: Family, name: &str) -> Result<Atom, String> {
    let header = || {
        let header = HeaderName::from_bytes(name.as_bytes());
        let header = header.map_err(|_| format!("{name:?} is not a header's name"))?;
        match SECRET.contains(&header.as_str()) {
            true => Err(format!("{header} is a secret, which no log may hold{}", instead(&header))),
            false => Ok(header),
        }
    };
    Ok(match family {
        Family::RequestHeader => Atom::Request(RequestAtom::Header(header()?)),
        Family::ResponseHeader => Atom::Answer(header()?),
        Family::Environ => environ::atom(&name.to_ascii_lowercase(), SECRET)?,
        Family::Cookie if name.is_empty() => return Err("a cookie without a name".into()),
        Family::Cookie => Atom::Request(RequestAtom::Cookie(name.into())),
        Family::Time => Atom::End(EndAtom::Moment(Box::new(Moment::parse(name)?))),
    })
}

fn instead(header: &HeaderName) -> &'static str {
    match header.as_str() {
        "authorization" => "; the user is atom u",
        "cookie" => "; one cookie is {name}c, or %{name}C in Apache's spelling",
        _ => "",
    }
}
