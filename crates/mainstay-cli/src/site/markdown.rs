//! Markdown to HTML that is safe whatever was written: no HTML passes through, and links lead only where
//! links of a page should.

use pulldown_cmark::{CowStr, Event, LinkType, Options, Parser, Tag, TagEnd, html};

/// Longest text that is rendered, bytes; forms take no longer one.
pub(crate) const LONGEST: usize = 20_000;

/// The HTML of a text.
pub(crate) fn render(text: &str) -> String {
    let text = &text[..text.floor_char_boundary(LONGEST)];
    let options = Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TABLES;
    let events = Parser::new_ext(text, options).filter_map(|event| match event {
        // What somebody wrote as HTML is shown as what it is.
        Event::Html(text) | Event::InlineHtml(text) => Some(Event::Text(text)),
        Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
            let dest_url = safe(link_type, dest_url);
            Some(Event::Start(Tag::Link { link_type, dest_url, title, id }))
        }
        // Pictures are attachments; one from elsewhere would tell elsewhere who reads this.
        Event::Start(Tag::Image { .. }) | Event::End(TagEnd::Image) => None,
        // The page has its own first headings.
        Event::Start(Tag::Heading { .. }) => Some(Event::Start(Tag::Paragraph)),
        Event::End(TagEnd::Heading(_)) => Some(Event::End(TagEnd::Paragraph)),
        other => Some(other),
    });
    let mut out = String::with_capacity(text.len() * 3 / 2);
    html::push_html(&mut out, events);
    out
}

fn safe(link_type: LinkType, url: CowStr<'_>) -> CowStr<'_> {
    let lower = url.trim_start().to_ascii_lowercase();
    let fits = ["https://", "http://", "mailto:"].iter().any(|scheme| lower.starts_with(scheme));
    // Within the site; `//host` would lead away from it, and so would `/\host`.
    let within = lower
        .strip_prefix('/')
        .is_some_and(|rest| !rest.starts_with(['/', '\\', '\t', '\n', '\r']));
    let is_ours = within || lower.starts_with('#');
    if fits || is_ours || link_type == LinkType::Email { url } else { CowStr::Borrowed("#") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_marks_become_html() {
        let html = render("We **know**, see [the plan](https://example.com).\n\n- one\n- two\n");
        assert_eq!(
            html,
            "<p>We <strong>know</strong>, see <a href=\"https://example.com\">the plan</a>.</p>\n\
             <ul>\n<li>one</li>\n<li>two</li>\n</ul>\n"
        );
    }

    #[test]
    fn nothing_that_runs_or_loads_gets_through() {
        let texts = [
            "<script>alert(1)</script>",
            "a <img src=x onerror=alert(1)> b",
            "[x](javascript:alert(1))",
            "[x](JaVaScRiPt:alert(1))",
            "[x](data:text/html,<script>alert(1)</script>)",
            "[x](//elsewhere.example/)",
            "<javascript:alert(1)>",
            "![x](https://elsewhere.example/pixel.png)",
            "[x]( java\tscript:alert(1))",
            "<a href=\"javascript:alert(1)\">x</a>",
            "# <svg onload=alert(1)>",
            "[x]: javascript:alert(1)\n\n[x]",
            "`<b>`",
            "[x](/\\\\elsewhere.example)",
            "[x](</\\elsewhere.example>)",
            "[x](/&#9;/elsewhere.example)",
        ];
        const KNOWN: &[&str] =
            &["p", "/p", "a", "/a", "code", "/code", "h3", "/h3", "h1", "/h1", "br /"];
        for text in texts {
            let html = render(text);
            let tags = html.split('<').skip(1).filter_map(|rest| rest.split('>').next());
            for tag in tags {
                let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
                assert!(KNOWN.contains(&name) || KNOWN.contains(&tag), "{text} became {html}");
                let is_good = match name {
                    "a" => [
                        "href=\"#",
                        "href=\"https://",
                        "href=\"http://",
                        "href=\"mailto:",
                        "href=\"/",
                    ]
                    .iter()
                    .any(|begin| attributes.starts_with(begin) && !attributes.contains("\"//")),
                    _ => attributes.is_empty() || attributes == "/",
                };
                assert!(is_good, "{text} became {html}");
            }
        }
    }

    #[test]
    fn a_long_text_is_cut_between_two_characters() {
        let html = render(&"ä".repeat(LONGEST));
        assert!(html.len() <= LONGEST + 16 && html.contains('ä'));
    }
}
