//! The states of components: what live checks, incidents and maintenance say together. Pure.

use serde::Serialize;

/// How a component is, the worse the later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// Nobody has measured it.
    Unknown,
    /// As it should be.
    Operational,
    /// Announced work; what fails meanwhile is part of it.
    Maintenance,
    /// It works, but not as it should.
    Degraded,
    /// Some of it does not work.
    Partial,
    /// It does not work.
    Down,
}

impl State {
    pub(crate) const ALL: [State; 6] = [
        State::Unknown,
        State::Operational,
        State::Maintenance,
        State::Degraded,
        State::Partial,
        State::Down,
    ];

    /// The word in the database, in JSON and in style sheets.
    pub(crate) fn word(self) -> &'static str {
        match self {
            State::Unknown => "unknown",
            State::Operational => "operational",
            State::Maintenance => "maintenance",
            State::Degraded => "degraded",
            State::Partial => "partial",
            State::Down => "down",
        }
    }

    /// What people read.
    pub(crate) fn text(self) -> &'static str {
        match self {
            State::Unknown => "Not known",
            State::Operational => "Operational",
            State::Maintenance => "Maintenance",
            State::Degraded => "Degraded",
            State::Partial => "Partly down",
            State::Down => "Down",
        }
    }

    /// A shape of its own for each, for those who do not see colours.
    pub(crate) fn shape(self) -> &'static str {
        match self {
            State::Unknown => "○",
            State::Operational => "●",
            State::Maintenance => "◆",
            State::Degraded => "▲",
            State::Partial => "◧",
            State::Down => "■",
        }
    }

    pub(crate) fn from_word(word: &str) -> Option<State> {
        State::ALL.into_iter().find(|state| state.word() == word)
    }

    /// What an incident of this impact makes of a component that it affects.
    pub(crate) fn of_impact(impact: Impact) -> State {
        match impact {
            Impact::None => State::Operational,
            Impact::Minor => State::Degraded,
            Impact::Major => State::Partial,
            Impact::Critical => State::Down,
        }
    }
}

/// What an incident does to those who use the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Impact {
    None,
    Minor,
    Major,
    Critical,
}

impl Impact {
    pub(crate) const ALL: [Impact; 4] =
        [Impact::None, Impact::Minor, Impact::Major, Impact::Critical];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Impact::None => "none",
            Impact::Minor => "minor",
            Impact::Major => "major",
            Impact::Critical => "critical",
        }
    }

    pub(crate) fn text(self) -> &'static str {
        match self {
            Impact::None => "None: for information",
            Impact::Minor => "Minor: slower or less than usual",
            Impact::Major => "Major: parts do not work",
            Impact::Critical => "Critical: nothing works",
        }
    }

    pub(crate) fn from_word(word: &str) -> Option<Impact> {
        Impact::ALL.into_iter().find(|impact| impact.word() == word)
    }
}

/// One component's state, from what is measured and what was announced. Maintenance covers what is
/// measured; an incident can only make it look worse than it is measured, never better.
pub(crate) fn combined(measured: State, incident: Option<Impact>, in_maintenance: bool) -> State {
    if in_maintenance {
        return State::Maintenance;
    }
    match incident {
        Some(impact) => measured.max(State::of_impact(impact)),
        None => measured,
    }
}

/// The state of the whole, from those of its visible components.
pub(crate) fn overall(states: impl Iterator<Item = State> + Clone) -> State {
    let count = states.clone().filter(|state| *state != State::Unknown).count();
    let worst = states.clone().max().unwrap_or(State::Unknown);
    let down = states.filter(|state| *state == State::Down).count();
    match worst {
        // One of several that is down is not everything.
        State::Down if down < count => State::Partial,
        worst => worst,
    }
}

/// The sentence over the page.
pub(crate) fn sentence(state: State) -> &'static str {
    match state {
        State::Unknown => "Nothing is known yet",
        State::Operational => "All systems operational",
        State::Maintenance => "Maintenance under way",
        State::Degraded => "Some systems are degraded",
        State::Partial => "Some systems are down",
        State::Down => "All systems are down",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_lead_back_to_their_states() {
        for state in State::ALL {
            assert_eq!(State::from_word(state.word()), Some(state));
        }
        for impact in Impact::ALL {
            assert_eq!(Impact::from_word(impact.word()), Some(impact));
        }
        assert_eq!((State::from_word("up"), Impact::from_word("")), (None, None));
    }

    #[test]
    fn an_incident_never_hides_what_is_measured_and_maintenance_does() {
        assert_eq!(combined(State::Down, Some(Impact::Minor), false), State::Down);
        assert_eq!(combined(State::Operational, Some(Impact::Minor), false), State::Degraded);
        assert_eq!(combined(State::Operational, Some(Impact::None), false), State::Operational);
        assert_eq!(combined(State::Unknown, Some(Impact::Critical), false), State::Down);
        assert_eq!(combined(State::Down, None, true), State::Maintenance);
    }

    #[test]
    fn the_whole_is_down_only_when_everything_is() {
        let of = |states: &[State]| overall(states.iter().copied());
        assert_eq!(of(&[]), State::Unknown);
        assert_eq!(of(&[State::Operational, State::Unknown]), State::Operational);
        assert_eq!(of(&[State::Operational, State::Down]), State::Partial);
        assert_eq!(of(&[State::Down, State::Down]), State::Down);
        assert_eq!(of(&[State::Degraded, State::Maintenance]), State::Degraded);
    }
}
