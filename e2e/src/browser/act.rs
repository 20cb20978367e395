//! What a person does: finds things, reads them, clicks, writes, presses keys.

use super::driver::Refusal;
use super::{Browser, INTERVAL, PATIENCE, string};
use crate::harness::poll_every;
use serde_json::{Value, json};
use std::path::Path;

/// The protocol's name of an element in JSON.
pub(super) const REFERENCE: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Keys that are no characters, by the names that DOM events give them, and the protocol's code for each.
const KEYS: &[(&str, char)] = &[
    ("Alt", '\u{e00a}'),
    ("ArrowDown", '\u{e015}'),
    ("ArrowLeft", '\u{e012}'),
    ("ArrowRight", '\u{e014}'),
    ("ArrowUp", '\u{e013}'),
    ("Backspace", '\u{e003}'),
    ("Control", '\u{e009}'),
    ("Delete", '\u{e017}'),
    ("End", '\u{e010}'),
    ("Enter", '\u{e007}'),
    ("Escape", '\u{e00c}'),
    ("Home", '\u{e011}'),
    ("PageDown", '\u{e00f}'),
    ("PageUp", '\u{e00e}'),
    ("Shift", '\u{e008}'),
    ("Space", ' '),
    ("Tab", '\u{e004}'),
];

/// An element as it was found. It is gone with its document, or when a script replaces it.
#[derive(Debug)]
pub struct Element<'a> {
    browser: &'a Browser,
    id: String,
}

impl Element<'_> {
    /// An attribute as it is written in the document.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<String> {
        let value = self.eval(&format!("element.getAttribute({})", json!(name)));
        value.as_str().map(str::to_owned)
    }

    /// The value of an expression in which `element` is this element.
    ///
    /// # Panics
    /// When it throws, or when the element is gone.
    pub fn eval(&self, expression: &str) -> Value {
        let body = format!("const element = arguments[0]; return ({expression});");
        self.browser.run(&body, &[json!({ REFERENCE: self.id })])
    }
}

/// All of these panic when they find no such element, or not as they need it, within [`PATIENCE`].
impl Browser {
    /// The first element that fits the selector, once it is there and visible.
    pub fn find(&self, css: &str) -> Element<'_> {
        let id = self.act(css, true, |id| Ok(id.to_owned()));
        Element { browser: self, id }
    }

    /// Waits until no element fits the selector, or only hidden ones do.
    pub fn gone(&self, css: &str) {
        let visible = format!(
            "Array.from(document.querySelectorAll({})).some((it) => it.checkVisibility())",
            json!(css)
        );
        let what = format!("end of {css}");
        self.wait(&what, |it| (it.eval(&visible) == false).then_some(()));
    }

    /// Its text as it is seen.
    pub fn text(&self, css: &str) -> String {
        let path = |id: &str| format!("/element/{id}/text");
        string(&self.act(css, true, |id| self.driver.get(&path(id))))
    }

    /// Clicks it and, where that leads to another page, waits for that to be loaded.
    pub fn click(&self, css: &str) {
        let path = |id: &str| format!("/element/{id}/click");
        self.act(css, true, |id| self.driver.post(&path(id), &json!({})));
    }

    /// Writes into a field, in place of what is there.
    pub fn fill(&self, css: &str, text: &str) {
        self.act(css, true, |id| {
            self.driver.post(&format!("/element/{id}/clear"), &json!({}))?;
            self.driver.post(&format!("/element/{id}/value"), &json!({ "text": text }))
        });
    }

    /// Chooses a file in a file input, which need not be visible: often a label stands for it.
    pub fn choose_file(&self, css: &str, path: &Path) {
        let path = std::path::absolute(path).expect("a path that is not empty");
        self.act(css, false, |id| {
            self.driver.post(&format!("/element/{id}/value"), &json!({ "text": path }))
        });
    }

    /// Presses a key on what has the focus: a character, a name such as `Tab` or `ArrowDown`, or a
    /// combination such as `Shift+Tab`.
    pub fn press(&self, key: &str) {
        let keys: Vec<String> = key.split('+').map(code).collect();
        let step = |kind: &str, key: &String| json!({"type": kind, "value": key});
        let down = keys.iter().map(|key| step("keyDown", key));
        let up = keys.iter().rev().map(|key| step("keyUp", key));
        let steps: Vec<Value> = down.chain(up).collect();
        let keyboard = json!({"type": "key", "id": "keyboard", "actions": steps});
        self.must(self.driver.post("/actions", &json!({"actions": [keyboard]})));
    }

    /// Does something with an element, again while the page is not as far, until it succeeds.
    fn act<T>(
        &self,
        css: &str,
        must_be_visible: bool,
        what: impl Fn(&str) -> Result<T, Refusal>,
    ) -> T {
        let by = json!({"using": "css selector", "value": css});
        let once = || {
            let id = string(&self.driver.post("/element", &by)?[REFERENCE]);
            let is_visible = !must_be_visible
                || self.driver.get(&format!("/element/{id}/displayed"))? == Value::Bool(true);
            if is_visible { what(&id).map(Some) } else { Ok(None) }
        };
        let mut last = String::new();
        let done = poll_every(INTERVAL, PATIENCE, || match once() {
            Ok(Some(done)) => Some(done),
            Ok(None) => {
                last = "it is hidden".to_owned();
                None
            }
            Err(refusal) if refusal.is_of_the_moment() => {
                last = refusal.to_string();
                None
            }
            Err(refusal) => panic!("{css}: {refusal}\non {}", self.described()),
        });
        done.unwrap_or_else(|| {
            panic!("{css}: not within {PATIENCE:?}: {last}\non {}", self.described())
        })
    }
}

/// The protocol's code for a key.
fn code(name: &str) -> String {
    let special = KEYS.iter().find(|(known, _)| *known == name).map(|(_, code)| code.to_string());
    let code = special.unwrap_or_else(|| name.to_owned());
    assert_eq!(code.chars().count(), 1, "there is no key {name:?}");
    code
}
