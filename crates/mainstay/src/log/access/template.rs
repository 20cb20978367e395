//! A format as a program in three parts: what is written when a request begins, when its answer's head
//! is known, and when it has ended.

use super::atoms::{Atom, EndAtom, RequestAtom};
use super::conversion::Conversion;
use super::spelling::{Condition, Piece};
use super::{Draft, Ended, Facts, FormatError, request, response};
use crate::log::escape::{self, Style};
use crate::log::stamps::Stamps;
use http::{HeaderMap, HeaderName};

/// Least bytes that each text of a line must be able to have.
const LEAST_SHARE: usize = 16;

/// How an atom is shown in one place of a format.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    pub(super) conversion: Conversion,
    /// The conversion is `%s` and nothing else.
    pub(super) is_plain: bool,
    /// With the byte that ends the field, which it must not hold.
    pub(super) style: Style,
}

impl Field {
    /// Appends a text, of at most `cap` bytes, and says whether it was cut.
    #[inline(always)]
    pub(super) fn text(&self, out: &mut Vec<u8>, text: &[u8], cap: usize) -> bool {
        if self.is_plain {
            return escape::push(out, text, self.style, cap);
        }
        let start = out.len();
        let characters = self.conversion.characters();
        let is_cut = escape::push_slowly(out, text, self.style, cap, characters);
        self.conversion.pad_text(out, start);
        is_cut
    }

    /// Appends what stands for something missing.
    #[inline]
    pub(super) fn missing(&self, out: &mut Vec<u8>) {
        out.push(b'-');
        if !self.is_plain {
            self.conversion.pad_text(out, out.len() - 1);
        }
    }
}

#[derive(Debug)]
pub(super) struct Template {
    begin: Vec<AtBegin>,
    answers: Vec<(HeaderName, Field)>,
    end: Vec<AtEnd>,
    /// Bytes that a draft may have before the answer, and those that it may have after it.
    begun: usize,
    answered: usize,
    /// Bytes for each text, when they do not all fit.
    share: usize,
}

/// A step of the draft.
#[derive(Debug)]
struct AtBegin {
    before: Literal,
    atom: RequestAtom,
    field: Field,
    /// A piece of the draft ends here.
    cuts: bool,
}

/// A step of the line.
#[derive(Debug)]
struct AtEnd {
    /// The next piece of the draft comes first.
    has_piece: bool,
    before: Literal,
    when: Option<Condition>,
    what: What,
}

#[derive(Debug)]
enum What {
    Nothing,
    /// A piece of the draft, that of an atom with a condition.
    Piece,
    /// The next of the answer's headers.
    Answer(Field),
    Atom(EndAtom, Field),
}

/// A text of the format's own.
#[derive(Debug)]
enum Literal {
    /// Copied as a whole word and shortened, which costs less than copying a few bytes.
    Short([u8; 8], u8),
    Long(Box<[u8]>),
}

impl Literal {
    fn new(text: &[u8]) -> Literal {
        let mut word = [0; 8];
        match word.get_mut(..text.len()) {
            Some(place) => {
                place.copy_from_slice(text);
                Literal::Short(word, text.len() as u8)
            }
            None => Literal::Long(text.into()),
        }
    }

    #[inline(always)]
    fn push(&self, out: &mut Vec<u8>) {
        match self {
            Literal::Short(word, length) => {
                let end = out.len() + usize::from(*length);
                out.extend_from_slice(word);
                out.truncate(end);
            }
            Literal::Long(text) => out.extend_from_slice(text),
        }
    }
}

impl Template {
    /// Puts the pieces of a format in order.
    ///
    /// # Errors
    /// When a line has no room for all of them.
    pub(super) fn new(pieces: Vec<Piece>, max_line: usize) -> Result<Template, FormatError> {
        let mut builder = Builder::default();
        let ends: Vec<u8> = pieces.iter().skip(1).map(first_byte).chain([0]).collect();
        for (piece, end) in pieces.into_iter().zip(ends) {
            builder.add(piece, end);
        }
        builder.literal.push(b'\n');
        builder.at_end(None, What::Nothing);
        let Builder { begin, answers, end, at_begin, at_end, texts, .. } = builder;
        let shares = texts + answers.len();
        let room = max_line.saturating_sub(at_begin + at_end);
        let share = room.checked_div(shares).unwrap_or(usize::MAX);
        if at_begin + at_end > max_line || share < LEAST_SHARE {
            let least = at_begin + at_end + shares * LEAST_SHARE;
            let message = format!("lines of it may need {least} bytes and may have {max_line}");
            return Err(FormatError { column: 1, message });
        }
        let answered = max_line - at_end;
        let begun = answered - answers.len() * share.min(answered);
        Ok(Template { begin, answers, end, begun, answered, share })
    }

    pub(super) fn wants_answer(&self) -> bool {
        !self.answers.is_empty()
    }

    #[inline]
    pub(super) fn begin(&self, facts: &Facts<'_>, draft: &mut Draft) {
        self.render(facts, draft, usize::MAX);
        if draft.text.len() > self.begun {
            self.render(facts, draft, self.share);
        }
    }

    fn render(&self, facts: &Facts<'_>, draft: &mut Draft, cap: usize) {
        draft.clear();
        draft.started = facts.started_wall;
        for AtBegin { before, atom, field, cuts } in &self.begin {
            before.push(&mut draft.text);
            request::push(atom, field, facts, draft, cap);
            if *cuts {
                draft.cut();
            }
        }
    }

    pub(super) fn answered(&self, headers: &HeaderMap, draft: &mut Draft) {
        let begun = draft.cuts.last().map_or(0, |end| *end as usize);
        draft.text.truncate(begun);
        draft.answers.clear();
        let room = self.answered.saturating_sub(begun);
        let share = room.checked_div(self.answers.len()).unwrap_or(0);
        for (name, field) in &self.answers {
            let cap = share.saturating_sub(usize::from(field.conversion.width));
            match headers.get_all(name).iter().next_back() {
                Some(value) => {
                    field.text(&mut draft.text, value.as_bytes(), cap);
                }
                None => field.missing(&mut draft.text),
            }
            draft.answers.push(draft.text.len() as u32);
        }
    }

    #[inline]
    pub(super) fn end(
        &self,
        draft: &Draft,
        ended: &Ended<'_>,
        stamps: &mut Stamps,
        out: &mut Vec<u8>,
    ) {
        let (mut cuts, mut answers) = (draft.cuts.iter(), draft.answers.iter());
        let mut from = 0;
        let mut answers_from = draft.cuts.last().map_or(0, |end| *end as usize);
        for AtEnd { has_piece, before, when, what } in &self.end {
            if *has_piece {
                let piece = next(&draft.text, &mut cuts, &mut from);
                escape::copy(out, piece.unwrap_or_default());
            }
            before.push(out);
            let shows = when.as_ref().is_none_or(|when| when.holds(ended.status));
            match what {
                What::Atom(atom, field) if shows => {
                    response::push(atom, field, draft.started, ended, stamps, out);
                }
                What::Atom(_, field) => field.missing(out),
                What::Answer(field) => match next(&draft.text, &mut answers, &mut answers_from) {
                    Some(piece) if shows => out.extend_from_slice(piece),
                    _ => field.missing(out),
                },
                What::Piece => {
                    let piece = next(&draft.text, &mut cuts, &mut from).filter(|_| shows);
                    out.extend_from_slice(piece.unwrap_or(b"-"));
                }
                What::Nothing => {}
            }
        }
    }
}

/// The piece up to the next cut.
#[inline(always)]
fn next<'a>(
    text: &'a [u8],
    cuts: &mut std::slice::Iter<'_, u32>,
    from: &mut usize,
) -> Option<&'a [u8]> {
    let to = *cuts.next()? as usize;
    text.get(std::mem::replace(from, to)..to)
}

/// The byte that ends the field before this piece, when it is one that a reader would look for.
fn first_byte(piece: &Piece) -> u8 {
    let Piece::Literal(text) = piece else { return 0 };
    let byte = text.bytes().next().unwrap_or(0);
    // A backslash has a meaning of its own.
    let separates = (byte.is_ascii_punctuation() && byte != b'\\') || matches!(byte, b' ' | b'\t');
    if separates { byte } else { 0 }
}

#[derive(Default)]
struct Builder {
    begin: Vec<AtBegin>,
    answers: Vec<(HeaderName, Field)>,
    end: Vec<AtEnd>,
    /// The format's own text since the last atom.
    literal: Vec<u8>,
    /// Bytes besides texts of any length, in the draft and outside of it.
    at_begin: usize,
    at_end: usize,
    /// Texts of any length in the draft.
    texts: usize,
}

impl Builder {
    fn add(&mut self, piece: Piece, end: u8) {
        let (atom, conversion, when) = match piece {
            Piece::Literal(text) => return self.literal.extend_from_slice(text.as_bytes()),
            Piece::Atom { atom, conversion, when } => (atom, conversion, when),
        };
        let is_plain = conversion.is_plain();
        let field = Field { conversion, is_plain, style: Style::Text(end) };
        match atom {
            Atom::Dash => field.missing(&mut self.literal),
            Atom::Request(atom) => {
                let (bytes, texts) = request::longest(&atom, &conversion);
                self.at_begin += bytes;
                self.texts += texts;
                if when.is_some() {
                    // A piece of its own, behind one with all that stands before it.
                    self.at_end(when, What::Piece);
                    self.at_begin(atom, field, true);
                } else {
                    self.at_begin(atom, field, false);
                }
            }
            Atom::Answer(name) => {
                // Where there is no answer, its mark stands outside of the draft.
                self.at_end += conversion.longest(1);
                self.at_begin += usize::from(conversion.width);
                self.answers.push((name, field));
                self.at_end(when, What::Answer(field));
            }
            Atom::End(atom) => {
                self.at_end += response::longest(&atom, &conversion);
                self.at_end(when, What::Atom(atom, field));
            }
        }
    }

    fn at_begin(&mut self, atom: RequestAtom, field: Field, cuts: bool) {
        self.at_begin += self.literal.len();
        let before = Literal::new(&std::mem::take(&mut self.literal));
        self.begin.push(AtBegin { before, atom, field, cuts });
    }

    fn at_end(&mut self, when: Option<Condition>, what: What) {
        // What was written into the draft since the last step is a piece.
        let open = self.begin.last_mut().filter(|part| !part.cuts);
        let has_piece = open.is_some();
        open.into_iter().for_each(|part| part.cuts = true);
        self.at_end += self.literal.len();
        let before = Literal::new(&std::mem::take(&mut self.literal));
        self.end.push(AtEnd { has_piece, before, when, what });
    }
}
