//! How much of what limits refuse is told: each breach of a client at first, then ever fewer, so that an
//! attack is seen in the log and does not fill it. Counting is not done here; metrics are exact.

use std::collections::HashMap;

/// Breaches of one client and limit that are told one by one: as many as tools like Fail2ban count.
const SINGLY: u64 = 5;
/// Clients and limits that are remembered at a time.
const REMEMBERED: usize = 1_024;
const MINUTE: u64 = 60_000_000_000;
/// Bytes that a line is thought to have beside a name, before one was written.
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
    /// The longest lines of the minute before and of this one.
    longest: [usize; 2],
    /// Lines that are being written.
    open: usize,
    /// Breaches of whom there was no room to remember, or to tell when their window had ended.
    strangers: u64,
}

impl Flood {
    /// So many bytes a minute are told at most.
    pub(crate) fn new(most: usize) -> Flood {
        let (known, minute, spent, longest) = (HashMap::new(), 0, 0, [0; 2]);
        Flood { known, most, minute, spent, longest, open: 0, strangers: 0 }
    }

    /// One more breach; the window is of the limit, nanoseconds. Whoever tells it says when it is
    /// [`written`](Flood::written).
    pub(crate) fn breach(&mut self, breach: &Breach, now: u64, window: u64) -> Tell {
        let has_room = self.has_room(breach.key.len(), 1, now);
        if !self.known.contains_key(breach) && self.known.len() < REMEMBERED {
            let fresh = Known { ends: now.saturating_add(window), count: 0, untold: 0 };
            self.known.insert(breach.clone(), fresh);
        }
        let Some(known) = self.known.get_mut(breach) else {
            self.strangers += 1;
            return Tell::Nothing;
        };
        known.count += 1;
        let is_round = known.count.ilog10() > 0 && known.count == 10_u64.pow(known.count.ilog10());
        if !has_room || (known.count > SINGLY && !is_round) {
            known.untold += 1;
            return Tell::Nothing;
        }
        self.open += 1;
        match std::mem::take(&mut known.untold) {
            0 => Tell::One,
            untold => Tell::Many { count: known.count, untold },
        }
    }

    /// A line of so many bytes is written.
    pub(crate) fn written(&mut self, bytes: usize) {
        self.open = self.open.saturating_sub(1);
        self.spent += bytes;
        self.longest[1] = self.longest[1].max(bytes);
    }

    /// A line of so many bytes is written, and one behind it that stands for so many breaches found no room.
    pub(crate) fn written_without(&mut self, bytes: usize, breaches: u64) {
        self.written(bytes);
        self.strangers += breaches;
    }

    /// The windows that have ended since, with what was not told of them, as far as there is room; and how many breaches
    /// are told by nothing else, unless there are none. Each is a line that will be [`written`](Flood::written).
    pub(crate) fn ended(&mut self, now: u64) -> (Vec<(Breach, u64, u64)>, u64) {
        let mut ended = Vec::new();
        self.known.retain(|breach, known| {
            if known.ends <= now && known.untold > 0 {
                ended.push((breach.clone(), known.count, known.untold));
            }
            known.ends > now
        });
        ended.retain(|(breach, _, untold)| {
            let has_room = self.has_room(breach.key.len(), 1, now);
            match has_room {
                true => self.open += 1,
                false => self.strangers += untold,
            }
            has_room
        });
        if self.strangers == 0 || !self.has_room(0, 0, now) {
            return (ended, 0);
        }
        self.open += 1;
        (ended, std::mem::take(&mut self.strangers))
    }

    /// As [`Flood::ended`], of all windows, since whoever knows of them ends. What there is no room for is in the sum,
    /// which is told however much has been written: nobody else would tell it.
    pub(crate) fn rest(&mut self, now: u64) -> (Vec<(Breach, u64, u64)>, u64) {
        self.known.values_mut().for_each(|known| known.ends = known.ends.min(now));
        let (ended, sum) = self.ended(now);
        if sum > 0 || self.strangers == 0 {
            return (ended, sum);
        }
        self.open += 1;
        (ended, std::mem::take(&mut self.strangers))
    }

    /// A line that stands for so many breaches found no room in the log.
    pub(crate) fn lost(&mut self, breaches: u64) {
        self.open = self.open.saturating_sub(1);
        self.strangers += breaches;
    }

    /// Whether this minute has room for one line more, which may be as long as any so far, and beside it for `spare`: the
    /// sum of what is told by nothing else needs one, however much else there is.
    fn has_room(&mut self, key: usize, spare: usize, now: u64) -> bool {
        if now / MINUTE != self.minute {
            (self.minute, self.spent) = (now / MINUTE, 0);
            self.longest = [self.longest[1], 0];
        }
        // One that was very long does not silence all others.
        let longest = self.longest[0].max(self.longest[1]).min(self.most / 4);
        self.spent + (self.open + 1 + spare) * longest.max(AROUND + key) <= self.most
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
    fn whoever_ends_tells_of_all_that_is_untold_whatever_has_been_written() {
        let mut flood = Flood::new(10_000);
        for _ in 0..12 {
            flood.breach(&breach("a"), 0, MINUTE);
        }
        flood.breach(&breach("b"), 0, MINUTE);
        assert_eq!(flood.ended(1), (vec![], 0));
        assert_eq!(flood.rest(1), (vec![(breach("a"), 12, 2)], 0));
        assert_eq!(flood.rest(1), (vec![], 0));
        let mut told = 0;
        for client in 0..5_000 {
            if flood.breach(&breach(&client.to_string()), 0, MINUTE) != Tell::Nothing {
                told += 1;
                flood.written(10_000);
            }
        }
        let (ended, sum) = flood.rest(2);
        assert_eq!((ended, told + sum), (vec![], 5_000), "there is no room but for the sum");
    }

    #[test]
    fn any_number_of_clients_is_told_within_a_minutes_budget_and_none_is_lost_uncounted() {
        let mut flood = Flood::new(10_000);
        let mut lines = 0;
        for client in 0..50_000 {
            let tell = flood.breach(&breach(&client.to_string()), 0, MINUTE);
            if tell != Tell::Nothing {
                lines += 1;
                flood.written(350);
            }
        }
        assert!((20..=27).contains(&lines), "{lines}");
        let (ended, strangers) = flood.ended(2 * MINUTE);
        assert!((20..=27).contains(&ended.len()), "{}", ended.len());
        assert!(strangers > 40_000, "for the sum there is always room: {strangers}");
        flood.written(100);
        assert_eq!(flood.breach(&breach("x"), 2 * MINUTE, MINUTE), Tell::Nothing);
        ended.iter().for_each(|_| flood.written(350));
        assert_eq!(
            flood.breach(&breach("x"), 3 * MINUTE, MINUTE),
            Tell::Many { count: 2, untold: 1 }
        );
        let untold: u64 = ended.iter().map(|(.., untold)| untold).sum();
        assert_eq!(lines + untold + strangers, 50_000);
    }

    #[test]
    fn a_flood_without_end_is_told_in_a_sum_each_minute_and_what_the_log_lost_is_in_it() {
        const SECOND: u64 = MINUTE / 60;
        let mut flood = Flood::new(62_500);
        let (mut told, mut sums) = (0, [0; 4]);
        for turn in 0..4 * 60 * 300 {
            let now = turn * SECOND / 300;
            match flood.breach(&breach(&format!("client-{}", turn % 200)), now, SECOND) {
                Tell::Nothing => {}
                // Each tenth line finds no room.
                Tell::One if turn % 10 == 0 => flood.lost(1),
                Tell::Many { untold, .. } if turn % 10 == 0 => flood.lost(1 + untold),
                Tell::One => {
                    told += 1;
                    flood.written(500);
                }
                Tell::Many { untold, .. } => {
                    told += 1 + untold;
                    flood.written(500);
                }
            }
            // The beat comes late in its second, when the minute's budget is used up.
            if turn % 300 == 270 {
                let (ended, strangers) = flood.ended(now);
                told += ended.iter().map(|(.., untold)| untold).sum::<u64>() + strangers;
                ended.iter().for_each(|_| flood.written(500));
                if strangers > 0 {
                    flood.written(120);
                    sums[(now / MINUTE) as usize] += 1;
                }
            }
        }
        assert!(sums.iter().all(|it| *it > 0), "{sums:?}");
        let (ended, strangers) = flood.ended(10 * MINUTE);
        told += ended.iter().map(|(.., untold)| untold).sum::<u64>() + strangers;
        assert_eq!(told, 4 * 60 * 300, "each once");
    }

    #[test]
    fn fifty_thousand_breaches_a_second_make_a_megabyte_a_minute_and_are_told_to_the_last() {
        const MOST: usize = 1_000_000;
        let mut flood = Flood::new(MOST);
        let (rate, seconds) = (50_000, 60);
        let all = rate * seconds;
        let keys: Vec<_> = (0..20_000).map(|it| breach(&format!("client-{it}"))).collect();
        let (mut minutes, mut told, mut seed) = (vec![0; 4], 0, 7_u64);
        let tell = |flood: &mut Flood, minutes: &mut [usize], now: u64, count: u64| {
            // As long as their authors make them.
            let bytes = 200 + (count % 40) as usize * 100;
            minutes[(now / MINUTE) as usize] += bytes;
            flood.written(bytes);
        };
        // As often as it looks for windows that have ended.
        let end = |flood: &mut Flood, now| {
            let (ended, strangers) = flood.ended(now);
            let untold: u64 = ended.iter().map(|(.., untold)| untold).sum();
            (ended.len() + usize::from(strangers > 0), untold + strangers)
        };
        for turn in 0..all {
            let now = turn * (MINUTE / all);
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // Half of them are of a few.
            let key = (seed >> 33) as usize % if turn % 2 == 0 { keys.len() } else { 10 };
            match flood.breach(&keys[key], now, 10 * MINUTE / 60) {
                Tell::Nothing => {}
                Tell::One => {
                    told += 1;
                    tell(&mut flood, &mut minutes, now, seed >> 40);
                }
                Tell::Many { untold, .. } => {
                    told += 1 + untold;
                    tell(&mut flood, &mut minutes, now, seed >> 40);
                }
            }
            if turn % rate == 0 {
                let (lines, breaches) = end(&mut flood, now);
                told += breaches;
                (0..lines).for_each(|line| tell(&mut flood, &mut minutes, now, line as u64));
            }
        }
        // What is left is told when there is room again.
        for minute in 1..4 {
            let (lines, breaches) = end(&mut flood, minute * MINUTE);
            told += breaches;
            (0..lines).for_each(|_| tell(&mut flood, &mut minutes, minute * MINUTE, 0));
        }
        assert_eq!(told, all, "each is told, singly or in a sum");
        for bytes in &minutes {
            assert!(*bytes <= MOST, "{minutes:?}");
        }
        assert!(minutes[0] > MOST / 2, "{minutes:?}");
    }
}
