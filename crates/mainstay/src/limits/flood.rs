//! How much of what limits refuse is told: each breach of a client at first, then ever fewer, so that an
//! attack is seen in the log and does not fill it. Counting is not done here; metrics are exact.

use std::collections::HashMap;

/// Breaches of one client and limit that are told one by one: as many as tools like Fail2ban count.
const SINGLY: u64 = 5;
/// Clients and limits that are remembered at a time.
const REMEMBERED: usize = 1_024;
const MINUTE: u64 = 60_000_000_000;
/// Bytes of a line beside what it tells.
const AROUND: usize = 300;

/// Whose breach it was, of which limit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Breach {
    /// The limit's index.
    pub(crate) limit: usize,
    /// Whom the log names.
    pub(crate) key: Box<str>,
}

/// What is known of a breach in the present window.
#[derive(Clone, Copy, Debug)]
struct Known {
    ends: u64,
    count: u64,
    untold: u64,
}

/// What is to be told of a breach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tell {
    /// This one.
    One,
    /// So many in this window, of which so many before this one were not told.
    Many { count: u64, untold: u64 },
    /// Nothing now.
    Nothing,
}

/// What has been told.
#[derive(Debug)]
pub(crate) struct Flood {
    known: HashMap<Breach, Known>,
    /// Bytes of a minute.
    most: usize,
    minute: u64,
    spent: usize,
    /// Breaches of whom there was no room to remember.
    strangers: u64,
}

impl Flood {
    /// So many bytes a minute are told at most.
    pub(crate) fn new(most: usize) -> Flood {
        Flood { known: HashMap::new(), most, minute: 0, spent: 0, strangers: 0 }
    }

    /// One more breach; the window is of the limit, nanoseconds.
    pub(crate) fn breach(&mut self, breach: &Breach, now: u64, window: u64) -> Tell {
        let has_room = self.spend(breach, now);
        if !self.known.contains_key(breach) && self.known.len() >= REMEMBERED {
            self.strangers += 1;
            return Tell::Nothing;
        }
        let fresh = Known { ends: now.saturating_add(window), count: 0, untold: 0 };
        let known = self.known.entry(breach.clone()).or_insert(fresh);
        known.count += 1;
        let is_round = known.count.ilog10() > 0 && known.count == 10_u64.pow(known.count.ilog10());
        if !has_room || (known.count > SINGLY && !is_round) {
            known.untold += 1;
            return Tell::Nothing;
        }
        self.spent += AROUND + breach.key.len();
        match std::mem::take(&mut known.untold) {
            0 => Tell::One,
            untold => Tell::Many { count: known.count, untold },
        }
    }

    /// The windows that have ended since, with what was not told of them; and of how many breaches it
    /// is not known whose they were.
    pub(crate) fn ended(&mut self, now: u64) -> (Vec<(Breach, u64, u64)>, u64) {
        let mut ended = Vec::new();
        self.known.retain(|breach, known| {
            if known.ends <= now && known.untold > 0 {
                ended.push((breach.clone(), known.count, known.untold));
            }
            known.ends > now
        });
        ended.retain(|(breach, ..)| {
            let has_room = self.spend(breach, now);
            self.spent += AROUND + breach.key.len();
            has_room
        });
        (ended, std::mem::take(&mut self.strangers))
    }

    /// Whether this minute has room for a line.
    fn spend(&mut self, breach: &Breach, now: u64) -> bool {
        if now / MINUTE != self.minute {
            (self.minute, self.spent) = (now / MINUTE, 0);
        }
        self.spent + AROUND + breach.key.len() <= self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breach(key: &str) -> Breach {
        Breach { limit: 0, key: key.into() }
    }

    #[test]
    fn the_first_breaches_are_told_singly_and_then_each_power_of_ten() {
        let mut flood = Flood::new(1_000_000);
        let told: Vec<(u64, Tell)> = (1..=1_000)
            .map(|count| (count, flood.breach(&breach("a"), 0, MINUTE)))
            .filter(|(_, tell)| *tell != Tell::Nothing)
            .collect();
        let singly = (1..=5).map(|count| (count, Tell::One));
        let many = [(10, 4), (100, 89), (1_000, 899)];
        let many = many.map(|(count, untold)| (count, Tell::Many { count, untold }));
        assert_eq!(told, singly.chain(many).collect::<Vec<_>>());
        assert_eq!(flood.breach(&breach("b"), 0, MINUTE), Tell::One, "another client");
    }

    #[test]
    fn the_end_of_a_window_tells_what_was_not_told_and_begins_anew() {
        let mut flood = Flood::new(1_000_000);
        for _ in 0..12 {
            flood.breach(&breach("a"), 0, MINUTE);
        }
        assert_eq!(flood.ended(MINUTE - 1), (vec![], 0));
        assert_eq!(flood.ended(MINUTE), (vec![(breach("a"), 12, 2)], 0));
        assert_eq!(flood.ended(MINUTE), (vec![], 0));
        assert_eq!(flood.breach(&breach("a"), MINUTE, MINUTE), Tell::One);
    }

    #[test]
    fn any_number_of_clients_is_told_within_a_minutes_budget_and_none_is_lost_uncounted() {
        let mut flood = Flood::new(10_000);
        let mut lines = 0;
        for client in 0..50_000 {
            let tell = flood.breach(&breach(&client.to_string()), 0, MINUTE);
            lines += u64::from(tell != Tell::Nothing);
        }
        assert!((20..=33).contains(&lines), "{lines}");
        let (ended, strangers) = flood.ended(2 * MINUTE);
        assert!(ended.len() <= 33);
        assert_eq!(strangers, 50_000 - REMEMBERED as u64);
        assert_eq!(flood.breach(&breach("x"), 2 * MINUTE, MINUTE), Tell::Nothing);
        assert_eq!(
            flood.breach(&breach("x"), 3 * MINUTE, MINUTE),
            Tell::Many { count: 2, untold: 1 }
        );
    }
}
