//! A Rust file without its words: comments, strings and characters blanked, so that what is found
//! in the rest is code.

/// One Rust file.
#[derive(Debug)]
pub(crate) struct Source {
    /// The text with everything blanked that is not code; its lines are those of the file.
    pub(crate) code: String,
    /// The line at which an inline test module begins; one behind the last when there is none.
    pub(crate) test_begin: usize,
}

impl Source {
    /// Takes a text apart.
    pub(crate) fn read(text: &str) -> Source {
        let code = blank(text);
        let lines: Vec<&str> = code.lines().collect();
        let begin = (0..lines.len()).find(|line| {
            is_test_attribute(lines[*line])
                && item_below(&lines, *line)
                    .is_some_and(|item| is_module(item) && item.contains('{'))
        });
        let test_begin = begin.unwrap_or(lines.len()) + 1;
        Source { code, test_begin }
    }
}

/// The modules that a blanked text declares for tests alone and keeps in files of their own.
pub(crate) fn test_modules(code: &str) -> impl Iterator<Item = String> {
    let lines: Vec<&str> = code.lines().collect();
    let mut found = Vec::new();
    for line in 0..lines.len() {
        let item = item_below(&lines, line).filter(|_| is_test_attribute(lines[line]));
        if let Some(item) = item.filter(|item| is_module(item) && item.ends_with(';')) {
            let name = item.trim_end_matches(';').rsplit(' ').next();
            found.extend(name.map(str::to_owned));
        }
    }
    found.into_iter()
}

fn is_test_attribute(line: &str) -> bool {
    let line = line.trim();
    ["#[cfg(test)]", "#[cfg(all(test"].iter().any(|start| line.starts_with(start))
}

fn is_module(item: &str) -> bool {
    item.split(' ').any(|word| word == "mod")
}

/// The first line of the item that the attribute in line `line` (from 0) belongs to.
pub(crate) fn item_below<'a>(lines: &[&'a str], line: usize) -> Option<&'a str> {
    let rest = lines.get(line + 1..)?;
    rest.iter().map(|line| line.trim()).find(|line| !line.is_empty() && !line.starts_with("#["))
}

/// Blanks comments, strings and characters; line feeds stay.
pub(crate) fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match word_end(&chars, at) {
            Some(end) => end.min(chars.len()),
            None => {
                out.push(chars[at]);
                at += 1;
                continue;
            }
        };
        out.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
        at = end;
    }
    out
}

/// Where the comment, string or character ends that begins at `at`, if one does.
fn word_end(chars: &[char], at: usize) -> Option<usize> {
    let next = |ahead: usize| chars.get(at + ahead).copied();
    match chars[at] {
        '/' if next(1) == Some('/') => {
            Some((at..chars.len()).find(|i| chars[*i] == '\n').unwrap_or(chars.len()))
        }
        '/' if next(1) == Some('*') => Some(block_comment_end(chars, at)),
        '"' => Some(quoted_end(chars, at, '"')),
        'r' if !at.checked_sub(1).is_some_and(|i| is_plain_name(chars, i)) => raw_end(chars, at),
        // A character; what has no second quote is a lifetime.
        '\'' if next(1) == Some('\\') || next(2) == Some('\'') => Some(quoted_end(chars, at, '\'')),
        _ => None,
    }
}

/// Whether the character at `i` belongs to a name that is not the `b` or `c` of a raw string.
fn is_plain_name(chars: &[char], i: usize) -> bool {
    let is_name = |i: usize| chars[i].is_alphanumeric() || chars[i] == '_';
    is_name(i) && !(matches!(chars[i], 'b' | 'c') && (i == 0 || !is_name(i - 1)))
}

fn quoted_end(chars: &[char], at: usize, quote: char) -> usize {
    let mut i = at + 1;
    while i < chars.len() && chars[i] != quote {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    i + 1
}

fn raw_end(chars: &[char], at: usize) -> Option<usize> {
    let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
    if chars.get(at + 1 + hashes) != Some(&'"') {
        return None;
    }
    let closes = |i: &usize| {
        chars[*i] == '"'
            && chars[*i + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes
    };
    let close = (at + hashes + 2..chars.len()).find(closes);
    Some(close.map_or(chars.len(), |close| close + 1 + hashes))
}

fn block_comment_end(chars: &[char], at: usize) -> usize {
    let (mut depth, mut i) = (0, at);
    while i < chars.len() {
        match (chars[i], chars.get(i + 1)) {
            ('/', Some('*')) => (depth, i) = (depth + 1, i + 2),
            ('*', Some('/')) => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            return i;
        }
    }
    i
}

#[test]
fn only_code_is_left_and_lines_stay() {
    let text =
        "a // b\nc /* d /* e */ f\n */ g \"h\\\" // i\" j 'k' 'l: m r#\"n\"o\"# p b'\\'' br\"q\" r";
    let code = blank(text);
    let left: String = code.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(left, "a c g j 'l: m p b b r");
    assert_eq!(code.matches('\n').count(), 2);
}

#[test]
fn what_is_test_code_begins_at_an_inline_test_module_only() {
    let begin = |text: &str| Source::read(text).test_begin;
    assert_eq!(begin("fn a() {}\n#[cfg(test)]\nmod tests {\n}\n"), 2);
    assert_eq!(begin("#[cfg(test)]\nmod simulation;\nfn a() {}\n"), 4);
    assert_eq!(begin("#[cfg(test)]\nfn markdown() {}\n"), 3);
    let modules: Vec<_> =
        test_modules("#[cfg(all(test, loom))]\npub(crate) mod loom;\nmod a;").collect();
    assert_eq!(modules, ["loom"]);
}
