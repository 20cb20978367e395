//! docs/config.md, made from the key table. Only a test makes it: the program has no use for it.

use super::{
    Effective,
    keys::{SECTIONS, Section, TABLES},
    layers,
    otel::{VARIABLES, Variable},
    render::{defaults, line, takes, ways},
};

/// The whole page.
pub(crate) fn markdown() -> String {
    let mut text = String::from(PREFACE);
    let rows = defaults();
    for Section { name: section, about, .. } in SECTIONS {
        line(&mut text, &format!("\n## [{section}]\n\n{about}\n"));
        line(
            &mut text,
            "| key | default | takes | variables and flags | changes at | what it does |",
        );
        line(&mut text, "|---|---|---|---|---|---|");
        for Effective { key, value, .. } in rows.iter().filter(|it| it.key.section() == *section) {
            let takes = takes(key).replace('|', "\\|");
            let ways = ways(key).iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(" ");
            let (path, default, change) = (key.path, value.to_toml(), key.change.as_str());
            let row =
                format!("| `{path}` | `{default}` | {takes} | {ways} | {change} | {} |", key.doc);
            line(&mut text, &row);
        }
    }
    for Section { name, about, keys } in TABLES {
        line(&mut text, &format!("\n## [[{name}]]\n\n{about}\n"));
        line(&mut text, "| key | default | takes | what it does |");
        line(&mut text, "|---|---|---|---|");
        for Effective { key, value, .. } in keys.iter().map(layers::built_in) {
            let (takes, default) = (takes(key).replace('|', "\\|"), value.to_toml());
            line(&mut text, &format!("| `{}` | `{default}` | {takes} | {} |", key.name(), key.doc));
        }
    }
    text.push_str(OTEL_PART);
    for Variable { name, doc, .. } in VARIABLES {
        line(&mut text, &format!("| `{name}` | {} |", doc.trim()));
    }
    text.push_str(APP_PART);
    text
}

const PREFACE: &str = "\
<!-- Made from crates/mainstay/src/config/keys.rs. Change it there and run
     MAINSTAY_BLESS=1 cargo test -p mainstay config -->
# Configuration

Settings come from five layers; a later one replaces what an earlier one says:
built-in defaults, the application's defaults, the file, the environment, flags.
Lists are replaced, never joined.

- The file is `mainstay.toml` in the working directory, or the one named by `-c FILE` or
  `MAINSTAY_CONFIG`, which must then exist.
- Every key has a variable. Other variables that are listed beside it are aliases: they count
  when its own variable is not set. An alias that says otherwise than its stronger is reported.
- An unknown key, section or `MAINSTAY_*` variable is an error that names the nearest right one.
- Durations are a whole number with `ms`, `s`, `m`, `h` or `d`, at most 365 days; a plain number
  means seconds. Sizes are a whole number with `kB`, `MB`, `GB`, `TB` (steps of 1000) or `KiB`,
  `MiB`, `GiB`, `TiB` (steps of 1024); a plain number means bytes.
- `check` judges a configuration and ends; `config` prints the one in force with the origin of
  each value; `config --default` prints a file of all defaults.
- A mistake at start ends the program with exit code 78. A mistake at reload is reported, and the
  old configuration stays in force.
";

const OTEL_PART: &str = "
### Variables of OpenTelemetry

They count beside the keys of `[telemetry]`; what they mean is told in [telemetry.md](telemetry.md). One
that is empty is not set. `OTEL_EXPORTER_OTLP_ENDPOINT` and `OTEL_EXPORTER_OTLP_HEADERS` are aliases of keys.

| variable | what it says |
|---|---|
";

const APP_PART: &str = "
## [app]

The application's own table; any keys. A key that ends in `_file` names a file: `x_file` fills `x`
with the content of that file, blanks at both ends removed. Values of this table are never shown.
";
