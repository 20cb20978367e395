//! Protobuf as its makers read it: `protoc` of Debian, written in C++, with OpenTelemetry's own definitions.

use super::{find, missing};
use base64ct::{Base64, Encoding};
use serde_json::{Map, Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The crate that ships the definitions, and where in it they are.
const CRATE: &str = "opentelemetry-proto";
const DEFINITIONS: &str = "src/proto/opentelemetry-proto";

/// A message as `protoc` reads it, in the form of protobuf's JSON with the names of the definitions: what is
/// as it is by default is not there. `message` is its whole name, `file` the one that defines it. None where
/// the program is not installed.
///
/// # Panics
/// When the program cannot read it.
#[must_use]
pub fn protoc(file: &str, message: &str, bytes: &[u8]) -> Option<Value> {
    let Some(program) = find("protoc") else {
        missing("protoc");
        return None;
    };
    let definitions = definitions();
    let mut command = Command::new(program);
    command.arg(format!("--proto_path={}", definitions.display()));
    command.arg(format!("--decode={message}")).arg(file);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("a program that was found can be started");
    let mut stdin = child.stdin.take().expect("it is piped");
    let bytes = bytes.to_vec();
    let writing = std::thread::spawn(move || stdin.write_all(&bytes));
    let output = child.wait_with_output().expect("our own child");
    writing.join().expect("writing does not panic").expect("it reads to the end");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("it escapes what is no text");
    Some(message_of(&mut text.lines()))
}

/// Where the definitions are: in the sources of the crate that cargo has fetched to build this.
fn definitions() -> PathBuf {
    let tool = |name: &str| std::env::var_os(name).unwrap_or_else(|| name.to_lowercase().into());
    let rustc = Command::new(tool("RUSTC")).arg("-vV").output().expect("rustc");
    let rustc = String::from_utf8_lossy(&rustc.stdout).into_owned();
    let host = rustc.lines().find_map(|line| line.strip_prefix("host: ")).expect("it says so");
    let mut metadata = Command::new(tool("CARGO"));
    // Crates of other platforms need not be there.
    metadata.args(["metadata", "--format-version", "1", "--locked", "--offline"]);
    metadata.args(["--filter-platform", host]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = metadata.output().expect("cargo");
    let said: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let packages = said["packages"].as_array().expect("packages");
    let found = packages.iter().find(|it| it["name"] == CRATE);
    let manifest = found.and_then(|it| it["manifest_path"].as_str()).expect("a dependency");
    Path::new(manifest).parent().expect("it stands in a directory").join(DEFINITIONS)
}

/// Reads the lines of a message up to its end.
fn message_of(lines: &mut std::str::Lines<'_>) -> Value {
    let mut fields = Map::new();
    while let Some(line) = lines.next().map(str::trim) {
        if line == "}" {
            break;
        }
        let (name, value) = match line.strip_suffix(" {") {
            Some(name) => (name, message_of(lines)),
            None => {
                let (name, text) = line.split_once(": ").unwrap_or_else(|| panic!("{line}"));
                (name, scalar(name, text))
            }
        };
        match (is_repeated(name), fields.get_mut(name)) {
            (true, Some(Value::Array(all))) => all.push(value),
            (true, _) => _ = fields.insert(name.to_owned(), json!([value])),
            (false, before) => {
                assert!(before.is_none(), "{name} twice");
                fields.insert(name.to_owned(), value);
            }
        }
    }
    Value::Object(fields)
}

/// Text does not tell whether a field may come again.
fn is_repeated(name: &str) -> bool {
    const NAMES: [&str; 11] = [
        "resource_spans",
        "scope_spans",
        "spans",
        "attributes",
        "events",
        "links",
        "resource_metrics",
        "scope_metrics",
        "metrics",
        "data_points",
        "bucket_counts",
    ];
    NAMES.contains(&name)
}

/// Fields with whole numbers of 64 bits, and with real ones.
const LONG: [&str; 5] = ["int_value", "as_int", "count", "zero_count", "bucket_counts"];
const REAL: [&str; 4] = ["double_value", "as_double", "sum", "zero_threshold"];

/// A value as protobuf's JSON has it: bytes in base 64, and whole numbers of 64 bits as texts.
fn scalar(name: &str, text: &str) -> Value {
    if let Some(quoted) = text.strip_prefix('"').and_then(|it| it.strip_suffix('"')) {
        let bytes = unescaped(quoted);
        return match name {
            "trace_id" | "span_id" | "parent_span_id" => Base64::encode_string(&bytes).into(),
            _ => String::from_utf8(bytes).expect("a text").into(),
        };
    }
    match text {
        "true" | "false" => json!(text == "true"),
        _ if name.ends_with("_unix_nano") => json!(text),
        _ if LONG.contains(&name) => json!(text),
        _ if REAL.contains(&name) => json!(text.parse::<f64>().expect("a number")),
        _ => text.parse::<i64>().map_or_else(|_| json!(text), |number| json!(number)),
    }
}

/// The bytes of a text in C's escapes.
fn unescaped(text: &str) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first != b'\\' {
            out.push(*first);
            continue;
        }
        let (escape, behind) = rest.split_first().expect("an escape has an end");
        rest = behind;
        out.push(match escape {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'0'..=b'3' => {
                let (digits, behind) = rest.split_at(2);
                rest = behind;
                digits.iter().fold(escape - b'0', |sum, digit| sum * 8 + (digit - b'0'))
            }
            other => *other,
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_as_json_has_it() {
        let text = "resource_spans {\n  scope_spans {\n    spans {\n      trace_id: \"\\000a\\377\\\"\"\n      \
                    flags: 257\n      kind: SPAN_KIND_SERVER\n      attributes {\n        key: \"a\\\\b\"\n        \
                    value {\n          int_value: 7\n        }\n      }\n    }\n    spans {\n    }\n  }\n}\n";
        let expected = json!({ "resource_spans": [{ "scope_spans": [{ "spans": [
            {
                "trace_id": "AGH/Ig==",
                "flags": 257,
                "kind": "SPAN_KIND_SERVER",
                "attributes": [{ "key": "a\\b", "value": { "int_value": "7" } }],
            },
            {},
        ] }] }] });
        assert_eq!(message_of(&mut text.lines()), expected);
    }
}
