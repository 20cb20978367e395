//! The header `tracestate`: what vendors keep with a trace, passed on as it came (W3C Trace Context).

/// Most members of the list.
const MEMBERS: usize = 32;
/// Bytes that are passed on; more may be cut, entry by entry.
const LONGEST: usize = 512;
/// An entry longer than this goes first.
const LONG: usize = 128;

/// What is passed on of a header's value: nothing of one that is invalid.
pub(crate) fn kept(value: &str) -> String {
    let all =
        || value.split(',').map(|it| it.trim_matches([' ', '\t'])).filter(|it| !it.is_empty());
    if all().count() > MEMBERS || !all().all(is_member) {
        return String::new();
    }
    let length =
        |least: usize| all().filter(|it| it.len() <= least).map(|it| it.len() + 1).sum::<usize>();
    let least = if length(usize::MAX) > LONGEST + 1 { LONG } else { usize::MAX };
    let mut out = String::new();
    for member in all().filter(|it| it.len() <= least) {
        let comma = usize::from(!out.is_empty());
        if out.len() + comma + member.len() > LONGEST {
            break;
        }
        out.push_str(&","[..comma]);
        out.push_str(member);
    }
    out
}

/// `key=value`, of the characters that may be in them.
fn is_member(member: &str) -> bool {
    let Some((key, value)) = member.split_once('=') else { return false };
    let is_key = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || b"_-*/@".contains(&it);
    (1..=256).contains(&key.len())
        && key.bytes().all(is_key)
        && (1..=256).contains(&value.len())
        && value.bytes().all(|it| matches!(it, 0x20..=0x7e) && it != b'=')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_passed_on_as_far_as_it_is_valid_and_short() {
        for (given, passed) in [
            ("", ""),
            ("a=1", "a=1"),
            ("a=1 , b@c=t61rcWkgMzE,", "a=1,b@c=t61rcWkgMzE"),
            ("a=1,B=2", ""),
            ("a", ""),
            ("a=b=c", ""),
            ("a=\r\nSet-Cookie: x", ""),
        ] {
            assert_eq!(kept(given), passed, "{given}");
        }
        let many = |count| (0..count).map(|it| format!("k{it}=1")).collect::<Vec<_>>().join(",");
        assert_eq!(kept(&many(32)), many(32));
        assert_eq!(kept(&many(33)), "");
    }

    #[test]
    fn what_is_too_long_loses_its_long_entries_first_and_then_its_last() {
        let long = format!("long={}", "x".repeat(200));
        let short = (0..20).map(|it| format!("k{it}={}", "y".repeat(20))).collect::<Vec<_>>();
        let found = kept(&format!("{long},{}", short.join(",")));
        assert!(found.len() <= LONGEST && !found.contains("long="));
        assert!(found.starts_with(&short[0]) && short.join(",").starts_with(&found));
    }
}
