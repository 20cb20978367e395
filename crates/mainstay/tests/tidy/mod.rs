//! Keeps the repository in the shape that DESIGN and ARCHITECTURE.md describe: reads the sources of
//! the whole workspace and the documents beside them, and holds them to the rules of [`rules`].
//!
//! Everything here reads text, roughly: it is a net for honest mistakes, not a proof.

mod documents;
mod layers;
mod paths;
mod rules;
mod shape;
mod source;
mod tree;

use rules::RULES;
use tree::Tree;

#[test]
fn the_repository_keeps_its_rules() {
    let tree = Tree::of_repository();
    let mut told = String::new();
    for rule in RULES {
        for finding in (rule.find)(&tree) {
            told.push_str(&format!("{finding} [{}]\n", rule.name));
        }
    }
    assert!(told.is_empty(), "the tree is not tidy:\n{told}");
}

#[test]
fn each_rule_lets_good_samples_pass_and_catches_every_bad_one() {
    for rule in RULES {
        assert!(!rule.bad.is_empty(), "{}: a rule without a bad sample may never fail", rule.name);
        for sample in rule.good {
            let found = (rule.find)(&Tree::of_samples(&[*sample]));
            assert!(found.is_empty(), "{}: good, but caught: {found:?}\n{}", rule.name, sample.1);
        }
        for sample in rule.bad {
            let found = (rule.find)(&Tree::of_samples(&[*sample]));
            assert!(!found.is_empty(), "{}: bad, but not caught:\n{}", rule.name, sample.1);
        }
    }
}

#[test]
fn the_promises_of_the_documents_are_kept() {
    let tree = Tree::of_repository();
    let broken = documents::broken_promises(&tree, documents::PROMISES);
    assert!(broken.is_empty(), "missing: {broken:#?}");
}

#[test]
fn a_file_or_a_phrase_that_is_missing_is_a_broken_promise() {
    let promises = [("README.md", ""), ("README.md", "cargo run"), ("LICENSE-MIT", "")];
    let broken = |files: &[(&str, &str)]| {
        documents::broken_promises(&Tree::of_samples(files), &promises).len()
    };
    assert_eq!(broken(&[("README.md", "cargo run"), ("LICENSE-MIT", "")]), 0);
    assert_eq!(broken(&[("README.md", "cargo"), ("LICENSE-MIT", "")]), 1);
    assert_eq!(broken(&[("LICENSE-MIT", "")]), 2);
}

#[test]
fn the_tree_is_read_at_all() {
    let tree = Tree::of_repository();
    for path in ["crates/mainstay/src/lib.rs", "crates/mainstay-os/src/lib.rs", "e2e/src/lib.rs"] {
        assert!(tree.sources().any(|file| file.path == path), "{path} was not read");
    }
    assert!(tree.sources().any(|file| file.is_test), "no test code was recognised");
    assert!(tree.sources().count() > 100, "only {} sources were read", tree.sources().count());
}
