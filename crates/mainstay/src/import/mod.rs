//! The command `import`: what a `gunicorn.conf.py` sets, as a `mainstay.toml`, and what of it could not be
//! carried over. The file is Python; it is read, never run, so only values that stand there are known.

mod python;
mod table;

use crate::config::{Config, Sources, keys};
use python::Statement;
use std::fmt::Write as _;
use std::path::Path;
use table::{Way, find};

/// Reads the file and gives what is printed.
///
/// # Errors
/// Text for standard error.
pub(crate) fn run(file: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(file);
    let text = text.map_err(|error| format!("error: {}: {error}", file.display()))?;
    let name = file.file_name().map(|it| it.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(convert(&name, &text))
}

/// A setting that was carried over.
struct Carried {
    path: &'static str,
    value: toml::Value,
    remark: &'static str,
}

fn convert(name: &str, text: &str) -> String {
    let (mut carried, mut left): (Vec<Carried>, Vec<String>) = (Vec::new(), Vec::new());
    for Statement { line, name, source, value } in python::statements(text) {
        let Some(row) = find(&name) else {
            // A variable of the file's own, or an import.
            continue;
        };
        let told = |why: &str| format!("line {line}: {source}: {why}");
        match (&row.way, value) {
            (Way::Gone(why), _) => left.push(told(why)),
            (_, None) => left.push(told("its value is known only to Python; set it by hand")),
            (Way::Key(path, remark, read), Some(value)) => match read(&value) {
                Ok(value) => {
                    // As in Python, the last one counts.
                    carried.retain(|it| it.path != *path);
                    match refused(path, &value) {
                        None => carried.push(Carried { path, value, remark }),
                        Some(why) => left.push(told(&why)),
                    }
                }
                Err(why) => left.push(told(why)),
            },
        }
    }
    if !carried.iter().any(|it| it.path == "log.access") && !text.contains("accesslog") {
        let value = toml::Value::String(String::new());
        carried.push(Carried { path: "log.access", value, remark: "Gunicorn's default is none" });
    }
    render(name, &carried, &left)
}

/// Why mainstay would not take a value.
fn refused(path: &str, value: &toml::Value) -> Option<String> {
    let (section, key) = path.split_once('.')?;
    let text = format!("[{section}]\n{key} = {value}\n");
    let file = Some((Path::new("imported").to_owned(), text));
    let error = Config::resolve(&Sources { file, ..Sources::default() }).err()?;
    let text = error.to_string();
    let text = text.trim().replace('\n', "; ");
    Some(text.trim_start_matches("error: imported:2: ").to_owned())
}

fn render(name: &str, carried: &[Carried], left: &[String]) -> String {
    let mut text = format!("# Made of {name} by `import`; `check -c FILE` judges it.\n");
    let mut section = "";
    for key in keys::all() {
        let Some(it) = carried.iter().find(|it| it.path == key.path) else { continue };
        if section != key.section() {
            section = key.section();
            // A String takes everything.
            writeln!(text, "\n[{section}]").ok();
        }
        if !it.remark.is_empty() {
            writeln!(text, "# {}", it.remark).ok();
        }
        writeln!(text, "{} = {}", key.name(), it.value).ok();
    }
    if !left.is_empty() {
        text.push_str("\n# Not carried over:\n");
        for it in left {
            writeln!(text, "# - {}", it.replace('\n', " ")).ok();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn each_file_of_the_corpus_becomes_what_stands_beside_it_and_is_good() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/import");
        let mut seen = 0;
        for entry in fs::read_dir(corpus).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|it| it != "py") {
                continue;
            }
            let made = run(&path).unwrap();
            let beside = path.with_extension("toml");
            if crate::config::env::blessed() {
                fs::write(&beside, &made).unwrap();
            }
            assert_eq!(made, fs::read_to_string(&beside).unwrap(), "{}", path.display());
            let file = Some((beside, made));
            let resolved = Config::resolve(&Sources { file, ..Sources::default() });
            assert!(resolved.is_ok(), "{}: {:?}", path.display(), resolved.err());
            seen += 1;
        }
        assert!(seen >= 4, "{seen} files");
    }

    #[test]
    fn a_file_that_is_not_there_is_told() {
        assert!(
            run(Path::new("none/gunicorn.conf.py")).unwrap_err().contains("none/gunicorn.conf.py")
        );
    }
}
