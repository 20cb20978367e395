//! A backtrace as Sentry takes it: the frames of std's text, the oldest first.

use serde_json::{Value, json};

/// Frames that are told.
const MOST: usize = 100;

/// What runs beneath any application: not where to look first.
const NOT_OURS: &[&str] = &[
    "__rust",
    "_start",
    "alloc::",
    "axum::",
    "axum_core::",
    "clone",
    "core::",
    "futures_util::",
    "hyper::",
    "hyper_util::",
    "main",
    "mainstay::",
    "std::",
    "tokio::",
    "tower::",
    "tower_http::",
    "tower_service::",
    "rust_",
    "__libc_start",
    "start_thread",
];

/// File, line and column.
type Place = (String, u32, u32);

/// A place in the source as the one frame that is known.
pub(super) fn of_place(file: &str, line: u32, column: u32) -> Value {
    let frame = json!({ "filename": file, "lineno": line, "colno": column, "in_app": true });
    json!({ "frames": [frame] })
}

/// The frames of a backtrace of std's, as its text tells them; none when it tells none. The frames of
/// the panic itself are left out.
pub(super) fn of_backtrace(text: &str) -> Option<Value> {
    let mut frames: Vec<(String, Option<Place>)> = Vec::new();
    for line in text.lines() {
        let line = line.trim();
        if let Some(place) = line.strip_prefix("at ") {
            if let Some((_, known)) = frames.last_mut() {
                *known = place_of(place);
            }
        } else if let Some((number, function)) = line.split_once(": ")
            && number.bytes().all(|byte| byte.is_ascii_digit())
        {
            frames.push((function.to_owned(), None));
        }
    }
    // std tells the newest first: the hook, then what began the panic, then who panicked.
    let begins_panic = |(function, _): &(String, _)| {
        ["core::panicking::", "std::panicking::", "core::result::unwrap_failed", "core::option::"]
            .iter()
            .any(|begin| function.starts_with(begin))
            || function.contains("begin_unwind")
            || function.contains("begin_panic")
    };
    let near = frames.iter().take(40).rposition(|frame| {
        // `catch_unwind` stands deep below, and is none of the panic.
        begins_panic(frame) && !frame.0.contains("catch_unwind") && !frame.0.contains("::try")
    });
    let told = frames.get(near.map_or(0, |at| at + 1)..).unwrap_or_default();
    let told: Vec<Value> = told.iter().take(MOST).rev().map(frame).collect();
    (!told.is_empty()).then(|| json!({ "frames": told }))
}

fn frame((function, place): &(String, Option<Place>)) -> Value {
    let plain = function.trim_start_matches('<');
    let ours = !NOT_OURS.iter().any(|begin| plain.starts_with(begin));
    match place {
        Some((file, line, column)) => json!({
            "function": function, "filename": file, "lineno": line, "colno": column, "in_app": ours,
        }),
        None => json!({ "function": function, "in_app": ours }),
    }
}

/// `file:line:column`.
fn place_of(text: &str) -> Option<Place> {
    let mut parts = text.rsplitn(3, ':');
    let column = parts.next()?.parse().ok()?;
    let line = parts.next()?.parse().ok()?;
    Some((parts.next()?.to_owned(), line, column))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_backtrace_becomes_frames_without_those_of_the_panic() {
        let text = "   0: mainstay::panics::install::{{closure}}
             at ./src/panics.rs:25:20
   1: std::panicking::rust_panic_with_hook
             at /rustc/abc/library/std/src/panicking.rs:842:13
   2: core::panicking::panic_fmt
             at /rustc/abc/library/core/src/panicking.rs:75:14
   3: shop::orders::place
             at ./src/orders.rs:17:9
   4: <F as axum::handler::Handler<_>>::call
   5: std::panicking::catch_unwind
   6: main
";
        let frames = of_backtrace(text).unwrap();
        let frames = frames["frames"].as_array().unwrap();
        let names: Vec<_> = frames.iter().map(|it| it["function"].as_str().unwrap()).collect();
        let expected = [
            "main",
            "std::panicking::catch_unwind",
            "<F as axum::handler::Handler<_>>::call",
            "shop::orders::place",
        ];
        assert_eq!(names, expected);
        assert_eq!(frames[3]["filename"], "./src/orders.rs");
        assert_eq!((&frames[3]["lineno"], &frames[3]["in_app"]), (&json!(17), &json!(true)));
        assert_eq!(frames[1]["in_app"], false);
        assert_eq!(of_backtrace("disabled backtrace"), None);
    }

    #[test]
    fn a_backtrace_of_this_very_process_is_understood() {
        let frames = of_backtrace(&std::backtrace::Backtrace::force_capture().to_string()).unwrap();
        let found = frames["frames"].as_array().unwrap().iter().any(|frame| {
            frame["function"].as_str().unwrap().contains("a_backtrace_of_this_very_process")
                && frame["filename"].as_str().is_some_and(|file| file.ends_with("frames.rs"))
        });
        assert!(found, "{frames}");
    }
}
