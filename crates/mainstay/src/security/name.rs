//! Names of users and of roles: what may be one, and which are the same.

/// Longest name of a user, and of a role, bytes.
const LONGEST: usize = 64;
const LONGEST_ROLE: usize = 32;

/// The form in which names are kept and compared: without blanks around it, in lower case.
pub(super) fn folded(name: &str) -> String {
    // Longer ones are nobody's: only their beginning need be told from other ones.
    let end = name.floor_char_boundary(4 * LONGEST);
    name[..end].trim().to_lowercase()
}

/// A name as it is kept.
///
/// # Errors
/// What a name may be.
pub(super) fn accepted(name: &str) -> Result<String, &'static str> {
    let name = folded(name);
    match is_one(&name, LONGEST) {
        true => Ok(name),
        false => Err("A name has 1 to 64 letters a-z, digits, and . _ - + @ within it."),
    }
}

/// A role as it is kept.
///
/// # Errors
/// What a role may be.
pub(super) fn role(role: &str) -> Result<String, &'static str> {
    let role = folded(role);
    match is_one(&role, LONGEST_ROLE) {
        true => Ok(role),
        false => Err("A role has 1 to 32 letters a-z, digits, and . _ - + @ within it."),
    }
}

/// Characters that no collation of any database takes for other ones, and that are quiet in a log, a
/// path and a command line.
fn is_one(text: &str, longest: usize) -> bool {
    let may = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let within = |byte: u8| may(byte) || b"._-+@".contains(&byte);
    text.len() <= longest && text.bytes().next().is_some_and(may) && text.bytes().all(within)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_quiet_everywhere_and_its_case_does_not_matter() {
        assert_eq!(accepted(" Alice ").as_deref(), Ok("alice"));
        for good in ["a", "7of9", "bob.b+x@example.org", &"a".repeat(64)] {
            assert_eq!(accepted(good).as_deref(), Ok(good));
        }
        for bad in ["", " ", "-rf", "@a", "a b", "a\nb", "é", "a'b", "a/b", &"a".repeat(65)] {
            assert!(accepted(bad).is_err(), "{bad:?}");
        }
        assert!(role(&"a".repeat(33)).is_err() && role("admin").is_ok());
        assert!(folded(&"é".repeat(1_000)).len() <= 256);
    }
}
