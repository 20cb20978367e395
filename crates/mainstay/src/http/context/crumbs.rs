//! What happened in a request before it failed: its last records and statements, for the report of the
//! failure. Kept where errors are reported, and forgotten with the request when it ends well.

use std::collections::VecDeque;

/// Crumbs that are kept; the last ones are.
const MOST: usize = 30;
/// Longest message, and longest value of a fact, bytes.
const MESSAGE: usize = 512;
const VALUE: usize = 128;
/// Facts of one crumb.
const FACTS: usize = 8;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Crumb {
    /// Wall time, nanoseconds.
    pub(crate) wall: u64,
    pub(crate) level: &'static str,
    /// Who speaks.
    pub(crate) category: Box<str>,
    pub(crate) message: Box<str>,
    pub(crate) facts: Vec<(Box<str>, Box<str>)>,
}

impl Crumb {
    /// One of these texts, as far as they are kept.
    pub(crate) fn new(
        wall: u64,
        level: &'static str,
        category: &str,
        message: &str,
        facts: &[(&str, &str)],
    ) -> Crumb {
        let facts = facts.iter().take(FACTS);
        Crumb {
            wall,
            level,
            category: cut(category, VALUE).into(),
            message: cut(message, MESSAGE).into(),
            facts: facts
                .map(|(name, value)| (cut(name, VALUE).into(), cut(value, VALUE).into()))
                .collect(),
        }
    }
}

/// The last crumbs of one request.
#[derive(Debug, Default)]
pub(super) struct Crumbs(VecDeque<Crumb>);

impl Crumbs {
    pub(super) fn add(&mut self, crumb: Crumb) {
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        self.0.push_back(crumb);
    }

    pub(super) fn copy(&self) -> Vec<Crumb> {
        self.0.iter().cloned().collect()
    }

    /// Ready for the next request.
    #[inline]
    pub(super) fn clear(&mut self) {
        if !self.0.is_empty() {
            self.0.clear();
        }
    }
}

fn cut(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_thirty_are_kept_each_of_bounded_size() {
        let mut crumbs = Crumbs::default();
        let long = "ä".repeat(10_000);
        let facts = [(&*long, &*long); 20];
        for wall in 0..100 {
            crumbs.add(Crumb::new(wall, "info", &long, &long, &facts));
        }
        let kept = crumbs.copy();
        assert_eq!((kept.len(), kept[0].wall, kept[29].wall), (30, 70, 99));
        let bytes = |crumb: &Crumb| {
            let facts: usize =
                crumb.facts.iter().map(|(name, value)| name.len() + value.len()).sum();
            crumb.category.len() + crumb.message.len() + facts
        };
        assert!(kept.iter().map(bytes).sum::<usize>() < 100_000);
        crumbs.clear();
        assert!(crumbs.copy().is_empty());
    }
}
