//! Errors for people: pages from minijinja templates, compiled and tried once, when a worker starts.
//!
//! A page that still fails when it is needed is replaced by one that cannot: an error page never
//! leads to another error.

use super::words::{Told, title};
use crate::panics;
use http::StatusCode;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

const GENERAL: &str = "error.html";
const BASE: &str = "base.html";
const ENDING: &str = ".html";

/// The templates of mainstay itself.
const BUILT_IN: &[(&str, &str)] = &[
    (BASE, include_str!("templates/base.html")),
    ("403.html", include_str!("templates/403.html")),
    ("404.html", include_str!("templates/404.html")),
    ("500.html", include_str!("templates/500.html")),
    (GENERAL, include_str!("templates/error.html")),
];

/// What the built-in pages may load: nothing but their own style. It stands in for a policy of the
/// application, which was made for its pages and would leave these bare.
pub(crate) const POLICY: &str = "default-src 'none'; \
     style-src 'sha256-55mS2ooHOf/OTCkixyCtFDeuyhNrhVjWXfGdKQTY3EQ='; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Instructions of a template, or 64-byte pieces of its output, until it is taken for endless.
const FUEL: u64 = 100_000;

/// A template of the application's: its name, such as `404.html`, and its text.
pub(crate) type OwnPage = (String, String);

/// All pages, compiled.
pub(crate) struct Pages {
    templates: Environment<'static>,
    by_status: Vec<(u16, Page)>,
    general: Page,
    /// The user has no base of their own, so that pages of ours look as we know.
    own_base: bool,
}

/// One page that can be served.
struct Page {
    name: String,
    built_in: bool,
    /// Its failure was reported.
    failed: AtomicBool,
}

/// A page as it goes out.
#[derive(Debug)]
pub(crate) struct Rendered {
    pub(crate) html: String,
    /// The page is one of ours: [`POLICY`] fits it.
    pub(crate) is_ours: bool,
    /// Why the page that should be here is not; told once for each page.
    pub(crate) failure: Option<PageFailure>,
}

/// A page that could not be made.
#[derive(Debug)]
pub(crate) struct PageFailure {
    pub(crate) page: String,
    pub(crate) reason: String,
}

/// A directory of pages that cannot be used: which file, which line, and why.
#[derive(Debug)]
pub(crate) struct PagesError {
    file: PathBuf,
    line: Option<usize>,
    reason: String,
}

impl fmt::Display for PagesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        write!(f, " {}", self.reason)
    }
}

impl std::error::Error for PagesError {}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let statuses: Vec<u16> = self.by_status.iter().map(|(status, _)| *status).collect();
        f.debug_struct("Pages").field("by_status", &statuses).finish_non_exhaustive()
    }
}

impl Pages {
    /// The built-in pages, over them the `own` ones of the application, and over both the files of `dir`
    /// that end in `.html`: `STATUS.html` for a status from 400 to 599, `error.html` for every other, and
    /// whatever else those use.
    ///
    /// # Errors
    /// When the directory or a file of it cannot be read, when it holds no page, and when a template
    /// is not valid or does not render with the facts of an ordinary error. Start-up stops then.
    pub(crate) fn load(dir: Option<&Path>, own: &[OwnPage]) -> Result<Pages, PagesError> {
        let mut files = dir.map(files_of).transpose()?.unwrap_or_default();
        let dir = dir.unwrap_or(Path::new("(built-in)"));
        for (name, text) in own {
            if !files.iter().any(|(file, _)| file == name) {
                files.push((name.clone(), text.clone()));
            }
        }
        files.sort_unstable();
        let mut templates = Environment::new();
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        templates.set_fuel(Some(FUEL));
        let texts = BUILT_IN.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        for (name, text) in texts.chain(files.iter().cloned()) {
            // The ending `.html` is what turns escaping on.
            templates.add_template_owned(name, text).map_err(|error| located(dir, &error))?;
        }
        let is_theirs = |name: &str| files.iter().any(|(file, _)| file == name);
        let page = |name: &str| Page {
            name: name.to_owned(),
            built_in: !is_theirs(name),
            failed: AtomicBool::new(false),
        };
        let mut by_status = Vec::new();
        for (name, _) in &files {
            if let Some(status) = status_of(dir, name)? {
                by_status.push((status, page(name)));
            }
        }
        // Who has a general page wants it for these too.
        for (name, _) in BUILT_IN.iter().filter(|_| !is_theirs(GENERAL)) {
            if let Some(status) = status_of(dir, name)?
                && !is_theirs(name)
            {
                by_status.push((status, page(name)));
            }
        }
        let own_base = !is_theirs(BASE);
        let pages = Pages { templates, by_status, general: page(GENERAL), own_base };
        pages.try_all(dir)?;
        Ok(pages)
    }

    /// The page for what is told. Always one: a plain page stands in for one that fails.
    pub(crate) fn render(&self, told: &Told<'_>) -> Rendered {
        let pages = self.by_status.iter();
        let page = pages.clone().find(|(status, _)| *status == told.status);
        let page = page.map_or(&self.general, |(_, page)| page);
        let made = panics::caught(|| self.make(page, told));
        let reason = match made {
            Ok(Ok(html)) => {
                let is_ours = page.built_in && self.own_base;
                return Rendered { html, is_ours, failure: None };
            }
            Ok(Err(error)) => reason(&error),
            Err(panic) => panic.to_string(),
        };
        let first = !page.failed.swap(true, Relaxed);
        let failure = first.then(|| PageFailure { page: page.name.clone(), reason });
        Rendered { html: plain(told), is_ours: true, failure }
    }

    fn make(&self, page: &Page, told: &Told<'_>) -> Result<String, minijinja::Error> {
        self.templates.get_template(&page.name)?.render(Serde(told))
    }

    /// Makes each page once with and once without what may be missing.
    fn try_all(&self, dir: &Path) -> Result<(), PagesError> {
        let of_status = self.by_status.iter().map(|(status, page)| (*status, page));
        let of_others = [400, 429, 503].map(|status| (status, &self.general));
        for (status, page) in of_status.chain(of_others) {
            let phrase = StatusCode::from_u16(status).map_or("Error", title);
            let id = "0190163d-8694-739b-aea5-966c26f8ad91";
            for id in [Some(id), None] {
                let told = Told {
                    status,
                    title: phrase,
                    message: "A sentence.",
                    request_id: id,
                    error_id: id.filter(|_| status >= 500),
                    trace_id: id,
                    service: "service",
                };
                self.make(page, &told).map_err(|error| located(dir, &error))?;
            }
        }
        Ok(())
    }
}

/// Names and texts of the templates in a directory, by name.
fn files_of(dir: &Path) -> Result<Vec<(String, String)>, PagesError> {
    let unreadable = |file: &Path, error: &io::Error| PagesError {
        file: file.to_owned(),
        line: None,
        reason: format!("cannot be read: {error}"),
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(|error| unreadable(dir, &error))? {
        let path = entry.map_err(|error| unreadable(dir, &error))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !name.ends_with(ENDING) || name.starts_with('.') {
            continue;
        }
        let bytes = fs::read(&path).map_err(|error| unreadable(&path, &error))?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let good = error.as_bytes().iter().take(error.utf8_error().valid_up_to());
            let line = Some(1 + good.filter(|byte| **byte == b'\n').count());
            PagesError { file: path.clone(), line, reason: "is not UTF-8".to_owned() }
        })?;
        files.push((name.to_owned(), text));
    }
    if files.is_empty() {
        let reason = format!("holds no page: {GENERAL}, or a status such as 404{ENDING}");
        return Err(PagesError { file: dir.to_owned(), line: None, reason });
    }
    files.sort_unstable();
    Ok(files)
}

/// The status that a template is for by its name; `None` for one without a number.
fn status_of(dir: &Path, name: &str) -> Result<Option<u16>, PagesError> {
    let stem = name.strip_suffix(ENDING).unwrap_or(name);
    if stem.is_empty() || !stem.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    match stem.parse() {
        Ok(status @ 400..600) => Ok(Some(status)),
        _ => {
            let reason = "is no page: errors have statuses from 400 to 599".to_owned();
            Err(PagesError { file: dir.join(name), line: None, reason })
        }
    }
}

/// Where in the user's files an error of a template is.
fn located(dir: &Path, error: &minijinja::Error) -> PagesError {
    let innermost = innermost(error);
    let file = innermost.name().map_or_else(|| dir.to_owned(), |name| dir.join(name));
    PagesError { file, line: innermost.line(), reason: what(innermost) }
}

fn reason(error: &minijinja::Error) -> String {
    let error = innermost(error);
    let (file, line) = (error.name().unwrap_or("?"), error.line().unwrap_or(0));
    format!("{file}:{line}: {}", what(error))
}

/// The error that others of the template engine were made of: an include that fails for its file.
fn innermost(error: &minijinja::Error) -> &minijinja::Error {
    let causes = std::iter::successors(Some(error), |&error| {
        std::error::Error::source(error)?.downcast_ref::<minijinja::Error>()
    });
    causes.filter(|error| error.name().is_some()).last().unwrap_or(error)
}

fn what(error: &minijinja::Error) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    }
}

/// A page made without any template.
fn plain(told: &Told<'_>) -> String {
    let mut html = String::with_capacity(1_024);
    html.push_str(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>",
    );
    let status = told.status.to_string();
    push_all(&mut html, &[&status, " ", told.title]);
    html.push_str("</title>\n</head>\n<body>\n<main>\n<h1>");
    push_all(&mut html, &[&status, " ", told.title]);
    html.push_str("</h1>\n<p>");
    push_all(&mut html, &[told.message]);
    html.push_str("</p>\n");
    let ids = [("Error", told.error_id), ("Request", told.request_id), ("Trace", told.trace_id)];
    for (name, id) in ids {
        if let Some(id) = id {
            html.push_str("<p>");
            push_all(&mut html, &[name, ": ", id]);
            html.push_str("</p>\n");
        }
    }
    html.push_str("</main>\n</body>\n</html>\n");
    html
}

/// Appends texts so that nothing in them is markup.
fn push_all(html: &mut String, texts: &[&str]) {
    for character in texts.iter().flat_map(|text| text.chars()) {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    const ID: &str = "0190163d-8694-739b-aea5-966c26f8ad91";

    fn told(status: u16) -> Told<'static> {
        Told {
            status,
            title: title(StatusCode::from_u16(status).unwrap()),
            message: "<b>A sentence.",
            request_id: Some("request-7"),
            error_id: Some(ID).filter(|_| status >= 500),
            trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736"),
            service: "shop & co",
        }
    }

    fn dir(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        dir
    }

    fn refused(files: &[(&str, &str)]) -> String {
        let dir = dir(files);
        let error = Pages::load(Some(dir.path()), &[]).unwrap_err().to_string();
        let place = format!("{}/", dir.path().display());
        error.replace(&place, "")
    }

    fn base64(bytes: &[u8]) -> String {
        const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let groups = bytes.chunks(3).map(|chunk| {
            let word = (0..3)
                .fold(0_u32, |word, at| word << 8 | u32::from(chunk.get(at).copied().unwrap_or(0)));
            (0..4).map(move |at| match at <= chunk.len() {
                true => char::from(DIGITS[(word >> (18 - 6 * at) & 63) as usize]),
                false => '=',
            })
        });
        groups.flatten().collect()
    }

    #[test]
    fn the_policy_lets_the_style_of_the_built_in_pages_pass() {
        let pages = Pages::load(None, &[]).unwrap();
        for status in [403, 404, 418, 500, 503] {
            let html = pages.render(&told(status)).html;
            let style = html.split("<style>").nth(1).unwrap().split("</style>").next().unwrap();
            let hash = base64(&Sha256::digest(style.as_bytes()));
            assert!(POLICY.contains(&format!("'sha256-{hash}'")), "it has to be {hash}");
        }
    }

    #[test]
    fn built_in_pages_are_small_whole_and_load_nothing() {
        let pages = Pages::load(None, &[]).unwrap();
        for status in [400, 403, 404, 405, 413, 422, 429, 500, 503, 504] {
            let page = pages.render(&told(status));
            assert!(page.is_ours && page.failure.is_none());
            let html = page.html;
            assert!(html.len() < 4_096, "{status}: {}", html.len());
            assert!(html.starts_with("<!doctype html>\n<html lang=\"en\">"), "{html}");
            assert!(html.trim_end().ends_with("</html>"), "{html}");
            assert!(html.contains(&format!("<title>{status} ")), "{html}");
            assert!(html.contains("request-7") && html.contains("shop &amp; co"), "{html}");
            assert_eq!(html.contains(ID), status >= 500, "{html}");
            for loads in ["<script", "src=", "url(", "@import", "<link", "http:", "https:"] {
                assert!(!html.contains(loads), "{loads}: {html}");
            }
            assert_eq!(html.matches("<h1>").count(), 1);
        }
    }

    #[test]
    fn every_page_says_what_the_application_wants_said() {
        let pages = Pages::load(None, &[]).unwrap();
        for status in [400, 403, 404, 500, 503] {
            let html = pages.render(&Told { message: "Ask Ada.", ..told(status) }).html;
            assert!(html.contains("<p>Ask Ada.</p>"), "{status}: {html}");
        }
    }

    #[test]
    fn what_is_told_is_never_markup() {
        let pages = Pages::load(None, &[]).unwrap();
        let html = pages.render(&told(404)).html;
        assert!(html.contains("&lt;b&gt;A sentence.") && !html.contains("<b>"), "{html}");
        let html = plain(&Told { request_id: Some("\"'><script>"), ..told(404) });
        assert!(html.contains("&lt;b&gt;A sentence.") && !html.contains("<script"), "{html}");
    }

    #[test]
    fn a_file_of_the_status_wins_over_the_general_file_and_that_over_built_in_pages() {
        let files = [("410.html", "gone {{ status }}"), ("error.html", "other {{ status }}")];
        let dir = dir(&files);
        let pages = Pages::load(Some(dir.path()), &[]).unwrap();
        for (status, html) in [(410, "gone 410"), (404, "other 404"), (503, "other 503")] {
            let page = pages.render(&told(status));
            assert_eq!((page.html.as_str(), page.is_ours), (html, false));
        }
    }

    #[test]
    fn without_a_general_file_the_other_built_in_pages_stay() {
        let dir =
            dir(&[("404.html", "{% extends 'base.html' %}{% block content %}x{% endblock %}")]);
        let pages = Pages::load(Some(dir.path()), &[]).unwrap();
        let page = pages.render(&told(404));
        assert!(page.html.contains("<h1>Not Found</h1>\nx") && !page.is_ours, "{}", page.html);
        assert!(pages.render(&told(500)).html.contains("<h1>Something went wrong</h1>"));
        assert!(pages.render(&told(500)).is_ours);
    }

    #[test]
    fn pages_of_the_application_stand_between_the_built_in_ones_and_the_files() {
        let own = |name: &str| (name.to_owned(), format!("{name} of the application"));
        let own = [own("404.html"), own("error.html")];
        let dir = dir(&[("404.html", "404.html of the directory")]);
        let html = |pages: &Pages, status| pages.render(&told(status)).html;
        let pages = Pages::load(None, &own).unwrap();
        assert_eq!(html(&pages, 404), "404.html of the application");
        assert_eq!(html(&pages, 500), "error.html of the application");
        let pages = Pages::load(Some(dir.path()), &own).unwrap();
        assert_eq!(html(&pages, 404), "404.html of the directory");
        assert_eq!(html(&pages, 503), "error.html of the application");
    }

    #[test]
    fn a_base_of_the_user_dresses_the_built_in_pages_too() {
        let dir = dir(&[("base.html", "mine: {% block content %}{% endblock %}"), ("x.txt", "{%")]);
        let pages = Pages::load(Some(dir.path()), &[]).unwrap();
        let page = pages.render(&told(404));
        assert!(page.html.starts_with("mine: <p>") && !page.is_ours, "{}", page.html);
    }

    #[test]
    fn a_broken_template_is_told_with_file_line_and_reason() {
        for (files, told) in [
            (
                &[("404.html", "<p>\n\n{% if status %}<p>")][..],
                "404.html:3: syntax error: unexpected end of input",
            ),
            (&[("error.html", "<p>\n{{ mesage }}")], "error.html:2: undefined value"),
            (
                &[("404.html", "{% include 'part.html' %}"), ("part.html", "\n\n{{ 1 // 0 }}")],
                "part.html:3: invalid operation",
            ),
            (&[("404.html", "{% extends 'bass.html' %}")], "404.html:1: template not found"),
            (
                &[(
                    "500.html",
                    "\n{% for i in range(10000) %}{% for j in range(10000) %}x{% endfor %}{% endfor %}",
                )],
                "500.html:2: engine ran out of fuel",
            ),
            (&[("200.html", "fine")], "200.html: is no page: errors have statuses from 400 to 599"),
            (&[("4040.html", "")], "4040.html: is no page"),
        ] {
            let error = refused(files);
            assert!(error.starts_with(told), "{error}");
        }
    }

    #[test]
    fn a_directory_without_pages_is_refused() {
        assert!(
            refused(&[("x.txt", "")])
                .ends_with(": holds no page: error.html, or a status such as 404.html")
        );
        let error = Pages::load(Some(Path::new("nowhere/at-all")), &[]).unwrap_err().to_string();
        assert!(error.starts_with("nowhere/at-all: cannot be read: "), "{error}");
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("404.html"), b"a\nb\n\xff").unwrap();
        let error = Pages::load(Some(dir.path()), &[]).unwrap_err().to_string();
        assert!(error.ends_with("404.html:3: is not UTF-8"), "{error}");
    }

    #[test]
    fn a_template_that_fails_when_it_is_needed_gives_a_plain_page_and_is_told_once() {
        let dir = dir(&[("error.html", "\n{{ 10 // (status - 410) }}")]);
        let pages = Pages::load(Some(dir.path()), &[]).unwrap();
        let page = pages.render(&told(410));
        let failure = page.failure.unwrap();
        assert_eq!(failure.page, "error.html");
        assert!(failure.reason.starts_with("error.html:2: "), "{}", failure.reason);
        assert!(page.html.contains("<h1>410 Gone</h1>\n<p>&lt;b&gt;A sentence.</p>"));
        assert!(page.html.contains("<p>Request: request-7</p>"));
        let again = pages.render(&told(410));
        assert!(again.failure.is_none() && again.html == page.html);
        assert_eq!(pages.render(&told(420 + 2)).html, "\n0");
    }
}
