//! Which form an error is told in, by the weights of the Accept header (RFC 9110, section 12.5.1).
//! Pure, and total: any bytes give an answer.
//!
//! A page is for whoever asked for one: HTML is chosen only if it is preferred to JSON. Everything
//! else (no header, `*/*`, a tie, nothing that could be served) gets problem+json, because programs
//! rarely say what they read and browsers always do. Headers of scripts (`HX-Request`,
//! `X-Requested-With`) have no say: what they want is in their Accept.

/// The two forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `text/html`.
    Html,
    /// `application/problem+json`.
    Problem,
}

/// A media range that names a type without further parameters; the ranks below are less specific.
const NAMED: u8 = 4;
/// With parameters that no representation here has.
const NAMED_WITH_PARAMETERS: u8 = 3;
/// `type/*`.
const TYPE: u8 = 2;
/// `*/*`.
const ANY: u8 = 1;

/// What the most specific range so far says of one media type: thousandths, 0 when none matched.
#[derive(Clone, Copy, Default)]
struct Weight {
    rank: u8,
    q: u16,
}

impl Weight {
    /// The more specific range counts, and of equal ones the heavier.
    fn hear(&mut self, rank: u8, q: u16) {
        if rank > self.rank || (rank == self.rank && q > self.q) {
            *self = Weight { rank, q };
        }
    }

    fn is_named(self) -> bool {
        self.rank >= NAMED_WITH_PARAMETERS
    }

    /// The weight of a form that goes by two names. A name that was said speaks for the other, so
    /// that `application/json;q=0, */*` excludes problem+json too.
    fn of_either(self, other: Weight) -> Weight {
        match (self.is_named(), other.is_named()) {
            (true, true) if other.q > self.q => other,
            (false, true) => other,
            _ => self,
        }
    }
}

/// The form for a client that sent this Accept header (several lines joined by commas), or none.
pub(crate) fn form(accept: Option<&[u8]>) -> Form {
    let [mut html, mut xhtml, mut json, mut problem] = [Weight::default(); 4];
    for range in split(accept.unwrap_or_default(), b',') {
        let mut parts = split(range, b';').map(<[u8]>::trim_ascii);
        let media = parts.next().unwrap_or_default();
        let Some((q, named)) = weigh(parts) else { continue };
        let is = |name: &[u8]| media.eq_ignore_ascii_case(name);
        if is(b"*/*") || is(b"*") {
            [&mut html, &mut json, &mut problem].into_iter().for_each(|weight| weight.hear(ANY, q));
        } else if is(b"text/*") {
            html.hear(TYPE, q);
        } else if is(b"application/*") {
            [&mut json, &mut problem].into_iter().for_each(|weight| weight.hear(TYPE, q));
        } else if is(b"text/html") {
            html.hear(named, q);
        } else if is(b"application/xhtml+xml") {
            xhtml.hear(named, q);
        } else if is(b"application/json") {
            json.hear(named, q);
        } else if is(b"application/problem+json") {
            problem.hear(named, q);
        }
    }
    if html.is_named() && html.q == 0 {
        return Form::Problem;
    }
    let (html, json) = (html.of_either(xhtml), json.of_either(problem));
    // Some browsers sent `text/html, */*`: of equal weights the one that was named is preferred.
    let preferred = html.q > json.q || (html.q == json.q && html.is_named() && !json.is_named());
    if html.q > 0 && preferred { Form::Html } else { Form::Problem }
}

/// Weight and rank that the parameters of a range give it; `None` when its weight is unreadable.
fn weigh<'a>(parameters: impl Iterator<Item = &'a [u8]>) -> Option<(u16, u8)> {
    let mut rank = NAMED;
    for parameter in parameters {
        let mut sides = parameter.splitn(2, |byte| *byte == b'=');
        let name = sides.next().unwrap_or_default();
        if name.eq_ignore_ascii_case(b"q") {
            // What follows the weight extends the header, not the media type.
            return thousandths(sides.next().unwrap_or_default()).map(|q| (q, rank));
        }
        if !name.is_empty() && !name.eq_ignore_ascii_case(b"charset") {
            rank = NAMED_WITH_PARAMETERS;
        }
    }
    Some((1_000, rank))
}

/// A weight from 0 to 1 in thousandths; `.5` and further digits, which clients send, are let pass.
fn thousandths(text: &[u8]) -> Option<u16> {
    let mut sides = text.splitn(2, |byte| *byte == b'.');
    let (whole, fraction) = (sides.next()?, sides.next());
    let digits = fraction.unwrap_or_default();
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    match whole {
        b"1" => Some(1_000),
        b"0" | b"" if fraction.is_some() || !whole.is_empty() => {
            let three = digits.iter().chain(b"000").take(3);
            Some(three.fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0')))
        }
        _ => None,
    }
}

/// The parts between separators that stand outside of quoted strings.
fn split(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |byte| {
        if escaped {
            escaped = false;
            return false;
        }
        match byte {
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => return !quoted && *byte == separator,
        }
        false
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn expect(form: Form, headers: &[&str]) {
        for header in headers {
            assert_eq!(super::form(Some(header.as_bytes())), form, "{header}");
        }
    }

    #[test]
    fn browsers_get_pages() {
        expect(
            Form::Html,
            &[
                // Chromium, Firefox, Safari
                "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,\
                 image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7",
                "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,\
                 image/png,image/svg+xml,*/*;q=0.8",
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                // Internet Explorer 11 and the first Edge, lynx, w3m, the old Java client
                "text/html, application/xhtml+xml, */*",
                "text/html, application/xhtml+xml, image/jxr, */*",
                "text/html, text/plain, text/sgml, text/css, application/xhtml+xml, */*;q=0.01",
                "text/html, text/*;q=0.5, image/*, application/*",
                "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2",
            ],
        );
    }

    #[test]
    fn programs_get_problems() {
        expect(
            Form::Problem,
            &[
                "",
                "*/*",
                "application/json",
                "application/problem+json",
                // axios, jQuery, Angular, an image of a page
                "application/json, text/plain, */*",
                "application/json, text/javascript, */*; q=0.01",
                "application/json, text/plain, */*",
                "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8",
                "application/vnd.github+json",
                "text/event-stream",
                "text/plain",
            ],
        );
        assert_eq!(form(None), Form::Problem);
    }

    #[test]
    fn weights_decide_and_not_the_order() {
        expect(
            Form::Html,
            &[
                "application/json;q=0.8, text/html;q=0.9",
                "application/problem+json;q=0.2,*/*",
                "text/*",
                "TEXT/HTML",
                "text/html;q=0.001",
                "application/xhtml+xml",
                "text/html;Q=1.000 , application/json ; q=0.999",
                "text/html;charset=utf-8, application/*",
            ],
        );
        expect(
            Form::Problem,
            &[
                "text/html;q=0.8, application/json;q=0.9",
                "text/html, application/json",
                "text/html;q=0.5, */*",
                "text/*, application/*",
                "application/problem+json, text/html;q=0.99",
            ],
        );
    }

    #[test]
    fn the_specific_range_overrides_the_wildcard() {
        expect(
            Form::Html,
            &[
                "*/*;q=0.1, text/html",
                "*/*, application/json;q=0.5",
                "text/*;q=0.1, text/html;q=0.9, application/*;q=0.5",
            ],
        );
        expect(Form::Problem, &["text/*, text/html;q=0.2, */*;q=0.5"]);
        // Ours has no level, so the plain name is the one that fits.
        expect(Form::Problem, &["text/html;level=1, text/html;q=0.1, application/json;q=0.5"]);
        expect(Form::Html, &["text/html;level=1"]);
    }

    #[test]
    fn a_weight_of_zero_excludes() {
        expect(
            Form::Problem,
            &[
                "text/html;q=0",
                "text/html;q=0.000, */*",
                "text/html;q=0, application/xhtml+xml",
                "*/*;q=0",
                "text/*;q=0, */*;q=0.5",
            ],
        );
        expect(Form::Html, &["application/json;q=0, text/html;q=0.1", "application/json;q=0, */*"]);
    }

    #[test]
    fn a_range_that_cannot_be_read_is_passed_over() {
        expect(
            Form::Problem,
            &[
                "text/html;q=high",
                "text/html;q=2",
                "text/html;q=",
                "text/html;q=.",
                "text/html;q=-1",
                ",;,;=,\"",
                "x;y=\"text/html, text/html",
                "x;y=\"\\\", text/html;q=1",
            ],
        );
        expect(Form::Html, &["text/html;q=high, text/html;q=0.1", "x;y=\", ;q=0\", text/html"]);
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_form(accept: Vec<u8>) {
            form(Some(&accept));
        }

        #[test]
        fn anything_like_a_header_gives_a_form(
            accept in "((text|application|\\*)/(html|json|\\*)(;|,|=|q=[01.]{0,5}|\"|\\\\| )*){0,6}",
        ) {
            form(Some(accept.as_bytes()));
        }
    }
}
