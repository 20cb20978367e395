//! A real browser: Debian's Chromium without a window, driven over loopback by its `chromedriver`.
//!
//! A [`Browser`] is one page in a profile of its own, gone with it. What is asked of an element waits until
//! the element is there and visible; what cannot be had within [`PATIENCE`] is a panic that shows the
//! page. Where it is not installed, [`Browser::start`] says so and gives nothing.
//!
//! `act` does what a person does, `look` sees and sets what a person sees, `axe` judges accessibility,
//! `focus` goes through a page by Tab, `driver` speaks the protocol.

mod act;
mod axe;
mod driver;
mod focus;
mod look;

pub use act::Element;
pub use axe::Violation;
pub use focus::Stop;

use crate::harness::poll_every;
use driver::{Driver, Refusal};
use serde_json::{Value, json};
use std::cell::Cell;
use std::time::Duration;

/// Time that a page has to show what is waited for.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Each look is a round trip to the browser, which the page under test would feel.
const INTERVAL: Duration = Duration::from_millis(20);

/// Width and height of a page that nobody has resized.
const USUAL: (u32, u32) = (1280, 800);

/// Functions that tell an element and wait for the end of transitions, to stand before a script that does.
const DESCRIBE: &str = include_str!("describe.js");

/// A browser with one page.
#[derive(Debug)]
pub struct Browser {
    driver: Driver,
    size: Cell<(u32, u32)>,
    is_without_script: Cell<bool>,
}

impl Browser {
    /// Starts one, with a page of 1280 × 800; `None` where Chromium or its driver is not installed.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start() -> Option<Browser> {
        let (size, is_without_script) = (Cell::new(USUAL), Cell::new(false));
        let browser = Browser { driver: Driver::start()?, size, is_without_script };
        browser.set_size(USUAL.0, USUAL.1);
        Some(browser)
    }

    /// Opens a page and waits until it is loaded.
    ///
    /// # Panics
    /// When nobody answers, or not within 30 s. An answer of any status is a page.
    pub fn goto(&self, url: &str) {
        self.must(self.driver.post("/url", &json!({ "url": url })));
    }

    /// Where the page is.
    #[must_use]
    pub fn url(&self) -> String {
        string(&self.must(self.driver.get("/url")))
    }

    /// Its title.
    #[must_use]
    pub fn title(&self) -> String {
        string(&self.must(self.driver.get("/title")))
    }

    /// The value of an expression in the page, once it is there if it is a promise. Runs whatever
    /// the page's policy says, and also where [`Browser::set_no_script`] holds, but timers stand still there.
    ///
    /// # Panics
    /// When it throws, or has no value within 30 s.
    pub fn eval(&self, expression: &str) -> Value {
        self.run(&format!("return ({expression});"), &[])
    }

    /// Asks until there is something.
    ///
    /// # Panics
    /// When there is nothing within [`PATIENCE`]; `what` is then told, and what the page is.
    pub fn wait<T>(&self, what: &str, mut probe: impl FnMut(&Browser) -> Option<T>) -> T {
        let found = poll_every(INTERVAL, PATIENCE, || probe(self));
        found.unwrap_or_else(|| panic!("no {what} within {PATIENCE:?} on {}", self.described()))
    }

    /// Runs the body of a function with these arguments.
    fn run(&self, body: &str, arguments: &[Value]) -> Value {
        let script = json!({"script": body, "args": arguments});
        self.must(self.driver.post("/execute/sync", &script))
    }

    /// A command of the DevTools protocol.
    fn devtools(&self, command: &str, parameters: &Value) -> Value {
        let body = json!({"cmd": command, "params": parameters});
        self.must(self.driver.post("/goog/cdp/execute", &body))
    }

    fn must(&self, answer: Result<Value, Refusal>) -> Value {
        answer.unwrap_or_else(|refusal| panic!("{refusal}\non {}", self.described()))
    }

    /// What the page is, for a failure: nothing here may fail itself.
    fn described(&self) -> String {
        let body =
            "return `${location.href} \"${document.title}\":\\n${document.body?.innerText}`;";
        let script = json!({"script": body, "args": []});
        match self.driver.post("/execute/sync", &script) {
            Ok(text) => string(&text).chars().take(2000).collect(),
            Err(refusal) => format!("a page that cannot be read ({refusal})"),
        }
    }
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
