//! What the answer to an admitted request tells of its limits.

use super::fields::{self, Item, Known};
use super::route::Noted;
use super::{Kept, Limiter, SECOND, TOLD, refusal};
use crate::limits::plan::Met;
use http::{HeaderMap, HeaderValue};
use mainstay_os::segment::Verdict;

/// What is to be told of limits that admitted a request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Admitted {
    pub(super) wall: u64,
    pub(super) count: usize,
    pub(super) shown: [Shown; TOLD],
    /// The group of the plan, where these are all its limits.
    pub(super) group: Option<usize>,
}

/// One of them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shown {
    pub(super) limit: u32,
    pub(super) remaining: u32,
    /// Nanoseconds until there is more.
    pub(super) reset: u64,
}

impl Shown {
    #[inline]
    pub(super) fn of(index: usize, verdict: &Verdict) -> Shown {
        Shown {
            limit: index as u32,
            remaining: u32::try_from(verdict.remaining).unwrap_or(u32::MAX),
            reset: verdict.reset_after_ns,
        }
    }
}

/// What is the same for all requests that meet the limits of a group of the plan.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// How many of them refuse, and so are told of.
    pub(super) enforced: usize,
    /// Some only try out.
    pub(super) tries: bool,
    /// The field that tells of them whatever is left of them.
    policy: HeaderValue,
}

impl Limiter {
    /// The group of this number.
    pub(super) fn group(&self, group: usize) -> Group {
        let met: Vec<&Met> =
            self.plan.application.iter().chain(self.plan.of_group(group)).collect();
        let enforced = met.iter().filter(|met| !met.dry_run);
        let whole = Shown::default();
        let items: Vec<_> = enforced.map(|met| self.kept[met.index].item(&whole)).collect();
        let policy = fields::policy(self.settings.fields, &items);
        let policy = policy.unwrap_or(HeaderValue::from_static(""));
        Group { enforced: items.len(), tries: items.len() < met.len(), policy }
    }

    #[inline]
    pub(super) fn add_fields(
        &self,
        admitted: &Admitted,
        noted: Option<&Noted>,
        headers: &mut HeaderMap,
    ) {
        let shown = &admitted.shown[..admitted.count];
        match noted {
            // Nearly always: there is room for them here.
            None => {
                let mut items = [Item::default(); TOLD];
                for (item, it) in items.iter_mut().zip(shown) {
                    *item = self.kept[it.limit as usize].item(it);
                }
                let policy = admitted.group.and_then(|group| self.groups.get(group));
                let policy = policy.map(|group| &group.policy);
                self.tell_of(shown, &items[..shown.len()], admitted.wall, policy, headers);
            }
            Some(noted) => self.add_fields_of_code(admitted, noted, headers),
        }
    }

    /// The same, where limits of the application's code were met, too.
    #[inline(never)]
    fn add_fields_of_code(&self, admitted: &Admitted, noted: &Noted, headers: &mut HeaderMap) {
        let own = self.own();
        let mut shown = admitted.shown[..admitted.count].to_vec();
        let mut items: Vec<_> =
            shown.iter().map(|it| self.kept[it.limit as usize].item(it)).collect();
        for it in &noted.shown {
            if let Some(kept) = own.get(it.limit as usize - self.kept.len()) {
                items.push(kept.item(it));
                shown.push(*it);
            }
        }
        let is_alone = noted.shown.is_empty();
        let policy = admitted.group.filter(|_| is_alone).and_then(|group| self.groups.get(group));
        let policy = policy.map(|group| &group.policy);
        let wall = if is_alone { admitted.wall } else { admitted.wall.max(crate::clock::wall()) };
        self.tell_of(&shown, &items, wall, policy, headers);
    }

    /// Tells of these limits, as items and as what they are made of.
    #[inline]
    fn tell_of(
        &self,
        shown: &[Shown],
        items: &[Item<'_>],
        wall: u64,
        policy: Option<&HeaderValue>,
        headers: &mut HeaderMap,
    ) {
        // Flask-Limiter shows the first limit that is not the whole application's.
        let is_applications =
            |it: &Item<'_>| self.plan.application.iter().any(|met| *met.name == *it.name);
        let numbered = || items.iter().enumerate();
        let first = if self.settings.flask {
            numbered().find(|(_, it)| !is_applications(it)).or(numbered().next())
        } else {
            numbered().min_by(|(_, one), (_, other)| one.part().total_cmp(&other.part()))
        };
        let Some((at, first)) = first else { return };
        let Some(Shown { limit, reset, .. }) = shown.get(at).copied() else { return };
        let reset_at = self.reset_at(wall, reset);
        let amount = self.kept.get(limit as usize).map(|kept| &kept.told);
        let known = Known { policy, amount };
        fields::write(headers, self.settings.fields, items, first, reset_at, known);
        if self.settings.flask {
            refusal::retry_later(headers, reset / SECOND + 1);
        }
    }

    /// When there is more, seconds since the epoch.
    pub(super) fn reset_at(&self, wall: u64, reset: u64) -> u64 {
        let at = wall.saturating_add(reset);
        if self.settings.flask { at / SECOND + 1 } else { at.div_ceil(SECOND) }
    }
}

impl Kept {
    #[inline]
    pub(super) fn item(&self, shown: &Shown) -> Item<'_> {
        let (amount, window, remaining) = (self.amount, self.window, shown.remaining.into());
        Item { name: &self.name, amount, window, remaining, reset: shown.reset.div_ceil(SECOND) }
    }
}
