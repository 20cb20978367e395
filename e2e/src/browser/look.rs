//! What a person sees, and under which circumstances: size, colours, script; the console; a picture.

use super::{Browser, DESCRIBE, string};
use serde_json::json;
use std::path::Path;

/// The narrowest page that must do without scrolling sideways: the width of a small phone.
const NARROW: u32 = 360;

/// Gives what sticks out of the page to the right, outermost first.
const WIDE: &str = include_str!("wide.js");

impl Browser {
    /// Sets the size of the page in CSS pixels. It is set in the renderer, since a window cannot be as narrow
    /// as a phone.
    pub fn set_size(&self, width: u32, height: u32) {
        let metrics =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", &metrics);
        self.size.set((width, height));
    }

    /// Whether the person prefers a dark page.
    pub fn set_dark(&self, is_dark: bool) {
        let scheme = if is_dark { "dark" } else { "light" };
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.devtools("Emulation.setEmulatedMedia", &features);
    }

    /// Whether pages do without script, from the next one on.
    pub fn set_no_script(&self, is_without: bool) {
        self.devtools("Emulation.setScriptExecutionDisabled", &json!({ "value": is_without }));
        self.is_without_script.set(is_without);
    }

    /// Errors that the console got since the last call, on all pages since: uncaught exceptions, violations
    /// of a content security policy, and answers of 400 or more, that of the page itself included.
    #[must_use]
    pub fn console_errors(&self) -> Vec<String> {
        let lines = self.must(self.driver.post("/se/log", &json!({"type": "browser"})));
        let lines = lines.as_array().into_iter().flatten();
        // A policy that only reports makes no error, and is violated all the same.
        let errors = lines.filter(|it| it["level"] == "SEVERE" || it["source"] == "security");
        errors.map(|it| string(&it["message"])).collect()
    }

    /// Takes a picture (PNG) of the whole page, below the fold too.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn screenshot(&self, path: &Path) {
        let size = &self.devtools("Page.getLayoutMetrics", &json!({}))["cssContentSize"];
        let clip =
            json!({"x": 0, "y": 0, "scale": 1, "width": size["width"], "height": size["height"]});
        let how = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
        let picture = string(&self.devtools("Page.captureScreenshot", &how)["data"]);
        std::fs::write(path, base64(&picture)).expect("a picture can be written");
    }

    /// Whether the page, 360 px wide, needs no scrolling sideways.
    ///
    /// # Errors
    /// How wide it is, and what sticks out.
    pub fn no_horizontal_scroll(&self) -> Result<(), String> {
        let (width, height) = self.size.get();
        self.set_size(NARROW, height);
        let wide = self.run(&format!("{DESCRIBE}\n{WIDE}"), &[]);
        self.set_size(width, height);
        if wide.is_null() { Ok(()) } else { Err(string(&wide)) }
    }
}

/// Reads base64 that the browser wrote.
fn base64(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0);
    for letter in text.bytes().take_while(|letter| *letter != b'=') {
        let six = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            _ => 63,
        };
        bits = bits << 6 | u32::from(six);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count).expect("what is left has eight bits"));
            bits &= (1 << count) - 1;
        }
    }
    bytes
}
