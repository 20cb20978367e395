//! The pages: compiled once when a worker boots, then only filled in.

use minijinja::{Environment, Error, UndefinedBehavior, value::Serde};
use serde::Serialize;

use super::format;

const INDEX: &str = "page.html";
const MISSING: &str = "missing.html";

/// The compiled templates with their filters.
#[derive(Debug)]
pub(super) struct Pages(Environment<'static>);

impl Pages {
    /// Compiles the embedded templates.
    ///
    /// # Errors
    /// When one of them is not valid.
    pub(super) fn new() -> Result<Pages, Error> {
        let mut templates = Environment::new();
        // A misspelt name shall fail a test rather than show an empty cell.
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        templates.add_filter("duration", format::duration);
        templates.add_filter("ago", format::ago);
        templates.add_filter("size", format::size);
        templates.add_filter("count", format::count);
        // The ending `.html` is what turns escaping on.
        templates.add_template(INDEX, include_str!("assets/page.html"))?;
        templates.add_template(MISSING, include_str!("assets/missing.html"))?;
        Ok(Pages(templates))
    }

    /// The page of figures for one `status`, of the shape that `/status.json` has.
    ///
    /// # Errors
    /// When `status` lacks a figure that the page shows.
    pub(super) fn index(&self, status: &impl Serialize) -> Result<String, Error> {
        self.0.get_template(INDEX)?.render(Serde(status))
    }

    /// The page for a path that is not there.
    ///
    /// # Errors
    /// None in practice: the template refers to nothing.
    pub(super) fn missing(&self) -> Result<String, Error> {
        self.0.get_template(MISSING)?.render(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn worker(slot: u32, pid: u32, state: &str) -> Value {
        json!({
            "slot": slot, "pid": pid, "generation": 3, "state": state, "age_seconds": 192.4, "requests": 1_234_567,
            "in_flight": 2, "connections": 17, "rss_bytes": 7_759_462, "heartbeat_age_seconds": 0.49,
        })
    }

    fn status() -> Value {
        json!({
            "name": "shop", "version": "1.4.2", "generation": 3, "state": "ready", "uptime_seconds": 187_200.0,
            "started_unix_seconds": 1.8e9, "supervisor_pid": 4100, "watch_pid": 4101, "requests": 2_469_134,
            "in_flight": 4, "workers": [worker(0, 4242, "ready"), worker(1, 4343, "draining")],
        })
    }

    fn index(status: &Value) -> String {
        Pages::new()
            .expect("the embedded templates compile")
            .index(status)
            .expect("the page renders")
    }

    #[test]
    fn the_page_shows_the_figures_of_the_service() {
        let html = index(&status());
        for figure in ["shop", "1.4.2", ">ready<", "2 d 4 h", "2,469,134", "4100", "4101"] {
            assert!(html.contains(figure), "{figure} is missing:\n{html}");
        }
    }

    #[test]
    fn the_page_shows_every_worker_with_all_its_figures() {
        let html = index(&status());
        // One row more than workers: the pattern that the script copies for workers to come.
        assert_eq!(html.matches("<tr role=\"row\" data-pid").count(), 3);
        for figure in [
            ">4242<",
            ">4343<",
            ">draining<",
            ">3 min 12 s<",
            ">1,234,567<",
            ">17<",
            ">7.3 MiB<",
            ">0.4 s ago<",
        ] {
            assert!(html.contains(figure), "{figure} is missing:\n{html}");
        }
    }

    #[test]
    fn a_service_without_workers_or_watch_still_has_its_page() {
        let mut status = status();
        status["workers"] = json!([]);
        status["watch_pid"] = Value::Null;
        status["state"] = json!("starting");
        let html = index(&status);
        assert!(html.contains(">starting<"));
        assert!(html.contains("not running"));
    }

    #[test]
    fn names_are_escaped() {
        let mut status = status();
        status["name"] = json!("<script>alert('\"&\")</script>");
        status["version"] = json!("\"><b>");
        let html = index(&status);
        assert!(!html.contains("<script>alert"));
        assert!(!html.contains("<b>"));
        assert!(html.contains("&lt;script&gt;alert"));
    }

    #[test]
    fn a_figure_that_is_absent_fails_instead_of_showing_an_empty_cell() {
        let mut status = status();
        status["workers"][0].as_object_mut().expect("a worker is an object").remove("rss_bytes");
        assert!(Pages::new().expect("the embedded templates compile").index(&status).is_err());
    }

    #[test]
    fn the_missing_page_leads_back() {
        let html = Pages::new()
            .expect("the embedded templates compile")
            .missing()
            .expect("the page renders");
        assert!(html.contains("href=\"/\""));
    }
}
