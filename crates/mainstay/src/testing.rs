//! Helpers for tests.

use std::path::Path;

/// Compares a generated page with the one in the tree, or writes it when `MAINSTAY_BLESS=1`.
///
/// # Panics
/// When the page in the tree is not the generated one.
#[cfg(test)]
pub(crate) fn compare_page(path: &str, generated: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    #[expect(clippy::disallowed_methods, reason = "a switch of the tests, not of the program")]
    if std::env::var_os("MAINSTAY_BLESS").is_some() {
        std::fs::write(&path, generated).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    let name = path.display();
    assert!(found == generated, "{name} is not what the table says: run with MAINSTAY_BLESS=1");
}
