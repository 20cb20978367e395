//! The corpus of manifests: a good one, each way to break it, and others that are good.

use super::rules::MANIFESTS;
use super::*;
use crate::cli::Inspection;
use std::collections::BTreeSet;
use std::fs;

fn corpus() -> impl Iterator<Item = (String, String)> {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/kubernetes");
    fs::read_dir(place).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, fs::read_to_string(path).unwrap())
    })
}

fn names(text: &str) -> BTreeSet<&'static str> {
    let mut all = Manifests::default();
    all.add(text).unwrap();
    let found = judge(&all, None, None, ("shop", None, &[])).unwrap();
    found.all.iter().map(|it| it.rule.name).collect()
}

/// Each bad file is the good one with one change, which stands in its first lines: `# RULE`, and then pairs of
/// lines, what is replaced behind `-` and by what behind `+`.
#[test]
fn each_change_that_breaks_a_rule_is_found_under_its_name_and_nothing_else_is() {
    let (_, good) = corpus().find(|(name, _)| name == "shop.good.yaml").unwrap();
    assert_eq!(names(&good), BTreeSet::new(), "the good one is good");
    let (_, changes) = corpus().find(|(name, _)| name == "changes.bad").unwrap();
    let mut seen = BTreeSet::new();
    for block in changes.split("\n# ").skip(1) {
        let (rule, change) = block.split_once('\n').unwrap();
        let mut text = good.clone();
        let mut lines = change.lines().filter(|it| !it.is_empty()).peekable();
        while let Some(line) = lines.next() {
            let taken = line.strip_prefix("- ").unwrap_or_else(|| panic!("{rule}: {line}"));
            assert!(text.contains(taken), "{rule}: {taken} is not in the good one");
            let mut put = Vec::new();
            while let Some(line) = lines.next_if(|it| it.starts_with('+')) {
                put.push(line[1..].strip_prefix(' ').unwrap_or(&line[1..]));
            }
            text = text.replacen(taken, &put.join("\n"), 1);
        }
        let rules: BTreeSet<_> = rule.split(' ').collect();
        assert_eq!(names(&text), rules, "{rule}:\n{text}");
        seen.extend(rules);
    }
    let all: BTreeSet<_> = MANIFESTS.iter().map(|it| it.name).collect();
    assert_eq!(
        all.difference(&seen).collect::<Vec<_>>(),
        Vec::<&&str>::new(),
        "each rule is tried"
    );
}

#[test]
fn other_good_manifests_have_nothing_unsafe() {
    let mut seen = 0;
    for (name, text) in corpus().filter(|(name, _)| name.ends_with(".good.yaml")) {
        let mut all = Manifests::default();
        all.add(&text).unwrap();
        let found = judge(&all, None, None, ("shop", None, &[])).unwrap();
        let how = Inspection { json: false, strict: false };
        let (code, told) = found.tell(&name, how);
        assert_eq!(code, 0, "{name}:\n{told}");
        seen += 1;
    }
    assert!(seen >= 3, "{seen} files");
}

#[test]
fn a_container_may_be_chosen_and_nothing_to_judge_is_an_error() {
    let (_, good) = corpus().find(|(name, _)| name == "shop.good.yaml").unwrap();
    let mut all = Manifests::default();
    all.add(&good).unwrap();
    let asked = ("shop", None, &[][..]);
    assert!(judge(&all, Some("shop"), None, asked).is_ok());
    assert!(judge(&all, Some("other"), None, asked).unwrap_err().contains("other"));
    assert!(judge(&Manifests::default(), None, None, asked).is_err());
}

#[test]
fn no_secret_of_a_manifest_is_shown() {
    let (_, good) = corpus().find(|(name, _)| name == "shop.good.yaml").unwrap();
    let text = good.replace(
        "- name: WEB_CONCURRENCY",
        "- { name: DATABASE_URL, value: \"postgres://shop:hunter2@db/shop\" }\n        - name: WEB_CONCURRENCY",
    );
    let mut all = Manifests::default();
    all.add(&text).unwrap();
    let found = judge(&all, None, None, ("shop", None, &[])).unwrap();
    let (code, told) = found.tell("manifests", Inspection { json: false, strict: false });
    assert!(code == 1 && told.contains("DATABASE_URL") && !told.contains("hunter2"), "{told}");
}
