//! The table of rules. Each has samples that it must let pass and samples that it must catch.

use super::tree::{Finding, Tree};
use super::{documents, layers, shape};

/// A file of a made-up repository: its path and its text.
type Sample = (&'static str, &'static str);

/// One rule.
pub(crate) struct Rule {
    pub(crate) name: &'static str,
    /// Every place where it is broken.
    pub(crate) find: fn(&Tree) -> Vec<Finding>,
    pub(crate) good: &'static [Sample],
    pub(crate) bad: &'static [Sample],
}

const OS: &str = "crates/mainstay-os/src/a.rs";
const LIB: &str = "crates/mainstay/src/a.rs";
const MACHINE: &str = "crates/mainstay/src/supervisor/machine/mod.rs";
const SUPERVISOR: &str = "crates/mainstay/src/supervisor/run.rs";
const HTTP: &str = "crates/mainstay/src/http/guard.rs";
const WATCH: &str = "crates/mainstay/src/watch/run.rs";
const WORKER: &str = "crates/mainstay/src/worker/run.rs";
const TEST: &str = "e2e/tests/scenarios/a.rs";

/// A text of `$n` lines that stand between `$before` and `$after`.
macro_rules! long {
    ($before:literal, 81, $after:literal) => {
        concat!($before, long!(@80), "a();\n", $after)
    };
    ($before:literal, 80, $after:literal) => {
        concat!($before, long!(@80), $after)
    };
    ($before:literal, 600, $after:literal) => {
        concat!($before, long!(@80), long!(@80), long!(@80), long!(@80), long!(@80), long!(@80), long!(@80), long!(@40), $after)
    };
    (@80) => { concat!(long!(@40), long!(@40)) };
    (@40) => { concat!(long!(@8), long!(@8), long!(@8), long!(@8), long!(@8)) };
    (@8) => { "a();\nb();\n\nc();\n// d\ne();\nf();\ng();\n" };
}

/// All rules.
pub(crate) const RULES: &[Rule] = &[
    Rule {
        name: "a file begins with what it is",
        find: shape::heads,
        good: &[(LIB, "//! What it is.\n\nfn a() {}\n")],
        bad: &[(LIB, "fn a() {}\n"), (LIB, "// What it is.\n"), (LIB, "\n//! Late.\n")],
    },
    Rule {
        name: "a file is short",
        find: shape::lengths_of_files,
        good: &[
            (LIB, long!("", 600, "")),
            (LIB, long!("#[cfg(test)]\nmod tests {\n", 600, "}\n")),
            ("crates/mainstay/tests/a.rs", long!("//! A.\n", 600, "")),
        ],
        bad: &[
            (LIB, long!("//! A.\n", 600, "")),
            (LIB, long!("#[cfg(test)]\nmod simulation;\n", 600, "")),
        ],
    },
    Rule {
        name: "a function is short",
        find: shape::lengths_of_functions,
        good: &[
            (LIB, long!("fn a() {\n", 80, "}\n")),
            (LIB, long!("trait A { fn a(x: [u8; 2]); }\nfn b() { \"{\"; }\n/*", 81, "*/")),
            (LIB, long!("#[cfg(test)]\nmod tests {\nfn a() {\n", 81, "}\n}\n")),
        ],
        bad: &[
            (LIB, long!("fn a() {\n", 81, "}\n")),
            (LIB, long!("fn a(x: [u8; 2]) -> Option<()> where A: B {\nif a { '}'; }\n", 80, "}\n")),
        ],
    },
    Rule {
        name: "each part keeps to its layer",
        find: layers::breaches,
        good: &[
            (MACHINE, "use crate::clock::Mono;\nuse super::machine::Life;\n"),
            (
                MACHINE,
                "// std::fs::read\nfn a() { \"std::fs::read\"; }\n#[cfg(test)]\nmod tests { use std::fs; }",
            ),
            (SUPERVISOR, "use super::watch::Watch;\nuse super::machine::Input;\n"),
            (WATCH, "use http::Response;\nuse hyper::body::Incoming;\n"),
            (HTTP, "use http::Request;\nuse super::Body;\n"),
            ("crates/mainstay/src/config/file.rs", "use std::fs;\n"),
            ("crates/mainstay/src/config/value.rs", "use std::net::Ipv6Addr;\n"),
            ("crates/mainstay/src/serve.rs", "use crate::{voice, watch, worker};\n"),
            ("e2e/src/lib.rs", "use std::fs;\n"),
        ],
        bad: &[
            (MACHINE, "use std::fs;\n"),
            (MACHINE, "use std::{fmt, thread};\n"),
            (MACHINE, "use std::*;\n"),
            (MACHINE, "use crate::clock;\nfn a() { clock::mono(); }\n"),
            (MACHINE, "use super::super::run::Supervisor;\n"),
            (MACHINE, "fn a() { crate::log::current_level(); }\n"),
            (SUPERVISOR, "use crate::{clock, worker};\n"),
            (SUPERVISOR, "use crate::http::Body;\n"),
            (SUPERVISOR, "use super::super::watch;\n"),
            (SUPERVISOR, "fn a() { tokio::spawn(b); }\n"),
            (SUPERVISOR, "use hyper as h;\n"),
            (WORKER, "use crate::supervisor;\n"),
            (WORKER, "use super::super::watch::run;\n"),
            (WORKER, "use std::io;\nfn a() { io::stderr(); }\n"),
            (HTTP, "use crate::worker::Shared;\n"),
            (HTTP, "fn a() { std::process::id(); }\n"),
            (WATCH, "use crate::http::Body;\n"),
            (WATCH, "use crate::worker;\n"),
            ("crates/mainstay/src/health/state.rs", "use crate::clock::{mono, Mono};\n"),
            ("crates/mainstay/src/event/mod.rs", "use crate::log::Log;\n"),
            ("crates/mainstay/src/config/keys.rs", "fn a() { std::env::var(b); }\n"),
            ("crates/mainstay/src/something_new/mod.rs", "//! A part without a row.\n"),
            (OS, "#[derive(serde::Serialize)]\nstruct A;\n"),
        ],
    },
    Rule {
        name: "the floor depends on the system alone",
        find: documents::dependencies_of_the_floor,
        good: &[(
            "crates/mainstay-os/Cargo.toml",
            "[dependencies]\nlibc.workspace = true\n# why\n[dev-dependencies]\nserde = \"1\"\n",
        )],
        bad: &[
            ("crates/mainstay-os/Cargo.toml", "[dependencies]\nserde.workspace = true\n"),
            ("crates/mainstay-os/Cargo.toml", "[target.'cfg(a)'.dependencies]\ntokio = \"1\"\n"),
        ],
    },
    Rule {
        name: "unsafe code has one home",
        find: shape::unsafe_elsewhere,
        good: &[(OS, "unsafe { a() }\n"), (LIB, "#![forbid(unsafe_code)]\n// unsafe\n")],
        bad: &[(LIB, "fn a() { unsafe { b() } }\n"), (TEST, "unsafe impl Send for A {}\n")],
    },
    Rule {
        name: "unsafe code says why it is safe",
        find: shape::unsafe_without_reason,
        good: &[
            (OS, "// SAFETY: open.\nunsafe impl Send for A {}\n"),
            (OS, "// SAFETY: open,\n// and ours.\nlet a =\n    unsafe { b() };\n"),
            (OS, "#![deny(unsafe_op_in_unsafe_fn)]\n"),
        ],
        bad: &[
            (OS, "let a = unsafe { b() };\n"),
            (OS, "// It is.\nunsafe impl Send for A {}\n"),
            (OS, "// SAFETY: for the first.\nunsafe { a() };\nunsafe { b() };\n"),
        ],
    },
    Rule {
        name: "no test is switched off without a reason or expects any panic",
        find: shape::attributes_of_tests,
        good: &[
            (TEST, "#[ignore = \"needs a peer\"]\nfn a() {}\n"),
            (TEST, "// #[ignore]\n#[cfg_attr(miri, ignore = \"makes system calls\")]\n"),
        ],
        bad: &[(TEST, "#[test]\n#[ignore]\n"), (TEST, "#[should_panic(expected = \"a\")]\n")],
    },
    Rule {
        name: "a test is named by its sentence",
        find: shape::names_of_tests,
        good: &[(TEST, "#[test]\nfn a_test_has_a_name() {}\nfn test_modules() {}\n")],
        bad: &[(TEST, "#[test]\nfn test_name() {}\n")],
    },
    Rule {
        name: "tests wait for conditions",
        find: shape::sleeps_in_tests,
        good: &[
            ("e2e/src/harness/mod.rs", "fn a() { std::thread::sleep(b); }\n"),
            (TEST, "// thread::sleep\nfn a() { e2e::harness::poll(b, c); }\n"),
        ],
        bad: &[
            (TEST, "fn a() { std::thread::sleep(b); }\n"),
            (TEST, "use std::thread;\nfn a() { thread::sleep(b); }\n"),
            (TEST, "use tokio::time::{self, timeout};\nasync fn a() { time::sleep(b).await; }\n"),
            (LIB, "#[cfg(test)]\nmod tests { use std::thread::sleep; }\n"),
        ],
    },
    Rule {
        name: "nothing is left open in the tree",
        find: documents::open_ends,
        good: &[(LIB, "// What is to do is done.\n"), ("a.md", "To do: nothing.\n")],
        bad: &[
            (LIB, concat!("// TO", "DO: later\n")),
            (LIB, concat!("fn a() { to", "do!() }\n")),
            ("docs/a.md", concat!("FIX", "ME\n")),
        ],
    },
    Rule {
        name: "no path of one machine",
        find: documents::paths_of_a_machine,
        good: &[("docs/a.md", "/run/shop/control.sock and ./work/x and target/tmp/y\n")],
        bad: &[
            ("docs/a.md", concat!("see /wo", "rk/main/x\n")),
            (LIB, concat!("const A: &str = \"/tm", "p/x\";\n")),
        ],
    },
    Rule {
        name: "links between documents lead somewhere",
        find: documents::dead_links,
        good: &[
            (
                "docs/a.md",
                "[b](https://example.org) [c](#d) [e](a.md#f) [g](../docs/a.md) `[h](i)`\n",
            ),
            ("docs/a.md", "```\n[h](i)\n```\n"),
        ],
        bad: &[("docs/a.md", "[b](b.md)\n"), ("docs/a.md", "[c](a.md) and [a](/docs/c.md)\n")],
    },
    Rule {
        name: "each proof is a test that exists",
        find: documents::missing_proofs,
        good: &[
            ("docs/proofs.md", "| a | the test |\n|---|---|\n"),
            ("docs/proofs.md", "| what | [links](proofs.md) |\n\n#[test]\nfn links() {}\n"),
        ],
        bad: &[
            ("docs/proofs.md", "| what | nothing |\n"),
            ("docs/proofs.md", "| what | [links](proofs.md) |\n\n#[test]\nfn link() {}\n"),
            ("docs/proofs.md", "| what | [links](proofs.md) |\n\nfn links() {}\n"),
            ("docs/proofs.md", "| what | [links](other.rs) |\n\n#[test]\nfn links() {}\n"),
        ],
    },
    Rule {
        name: "each example of a page is compiled",
        find: documents::uncompiled_examples,
        good: &[("docs/a.md", "```toml\na = 1\n```\n")],
        bad: &[("docs/a.md", "```rust\nfn a() {}\n```\n"), ("README.md", "```rust,no_run\n```\n")],
    },
];
