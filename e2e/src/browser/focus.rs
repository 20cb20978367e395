//! The way through a page by Tab alone.

use super::act::REFERENCE;
use super::{Browser, DESCRIBE, string};
use serde_json::{Value, json};

/// A page with more than this is one that Tab does not come out of.
const MOST: usize = 1000;

/// A place where Tab stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// The element, as a selector would name it.
    pub element: String,
    /// Its label, or its text.
    pub name: String,
    /// Whether it shows that it has the focus: an outline or a shadow that it does not have otherwise.
    pub shows_focus: bool,
}

impl Browser {
    /// The elements that Tab leads to, in its order, from the top of the page to its end.
    ///
    /// # Panics
    /// When Tab never comes to the end.
    #[must_use]
    pub fn tab_order(&self) -> Vec<Stop> {
        // Tab goes on from where the focus last was; this is how a fresh page has it.
        self.run("document.body.tabIndex = -1; document.body.focus();", &[]);
        self.run("document.body.removeAttribute('tabindex'); window.scrollTo(0, 0);", &[]);
        let mut seen: Vec<(Value, Value)> = Vec::new();
        loop {
            self.press("Tab");
            let active = self.run("return document.activeElement;", &[]);
            let end = self.run("return document.activeElement === document.body;", &[]);
            if end == true || active.is_null() || seen.iter().any(|(it, _)| *it == active) {
                break;
            }
            assert!(seen.len() < MOST, "Tab has no end on {}", self.described());
            let looks = self.look(&active);
            seen.push((active, looks));
        }
        self.run("document.activeElement?.blur();", &[]);
        let stop = |(element, focused): &(Value, Value)| Stop {
            element: string(&focused["element"]),
            name: string(&focused["name"]),
            shows_focus: focused["look"] != "none; none"
                && focused["look"] != self.look(element)["look"],
        };
        seen.iter().map(stop).collect()
    }

    /// How an element looks at this moment.
    fn look(&self, element: &Value) -> Value {
        let element = json!({ REFERENCE: element[REFERENCE] });
        self.run(&format!("{DESCRIBE}\n{}", include_str!("focus.js")), &[element])
    }
}
