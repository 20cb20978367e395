//! Why a check fails, or what it warns of: one table, from which detail, log and the guide are made.

/// How a result counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    /// It works.
    Good,
    /// It cannot be used at the moment, and that is normal for a while.
    Busy,
    /// It fails in a way that will not pass by itself.
    Hard,
    /// It did not answer in time.
    Slow,
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident $word:literal $weight:ident;)*) => {
        /// The result of a check.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub(crate) enum Reason {
            $($(#[doc = $doc])+ $name),*
        }

        impl Reason {
            /// All of them, each with what it means; the place is the number in the segment.
            pub(crate) const TABLE: &[(Reason, &str)] = &[$((Reason::$name, concat!($($doc),+))),*];

            /// The word that detail and log use.
            pub(crate) fn as_str(self) -> &'static str {
                match self {
                    $(Reason::$name => $word),*
                }
            }

            /// How it counts.
            pub(crate) fn weight(self) -> Weight {
                match self {
                    $(Reason::$name => Weight::$weight),*
                }
            }
        }
    };
}

reasons! {
    /// It works.
    Ok "ok" Good;
    /// Nobody listens at the address.
    Refused "refused" Hard;
    /// The address leads nowhere: no such host, no route.
    Unreachable "unreachable" Hard;
    /// The server does not accept user or password.
    Unauthorized "unauthorized" Hard;
    /// The server has no database of this name.
    NoDatabase "no_database" Hard;
    /// The server takes no more connections.
    TooManyConnections "too_many_connections" Hard;
    /// The server is starting up, or shutting down.
    Starting "starting" Hard;
    /// There was no answer within the check's deadline.
    Timeout "timeout" Slow;
    /// The database can be read but not written, and the application writes.
    ReadOnly "read_only" Hard;
    /// The database's file is gone.
    Missing "missing" Hard;
    /// Another file stands in the place of the database's.
    Replaced "replaced" Hard;
    /// The file is no database, or a damaged one.
    Corrupt "corrupt" Hard;
    /// Somebody holds the database locked; counts only when it lasts.
    Locked "locked" Busy;
    /// The file, its directory or its disk does not take any more.
    NotWritable "not_writable" Hard;
    /// The check itself says so.
    Failed "failed" Hard;
    /// The check panicked.
    Panicked "panicked" Hard;
}

impl Reason {
    /// Reads the number of the segment; one that this program does not know is a failure.
    pub(crate) fn from_number(number: u8) -> Reason {
        Reason::TABLE.get(usize::from(number)).map_or(Reason::Failed, |(reason, _)| *reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_read_back_from_its_number_and_has_a_word_of_its_own() {
        for (number, (reason, _)) in Reason::TABLE.iter().enumerate() {
            assert_eq!(Reason::from_number(number as u8), *reason);
        }
        let mut words: Vec<_> = Reason::TABLE.iter().map(|(reason, _)| reason.as_str()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Reason::TABLE.len());
        assert_eq!(Reason::from_number(u8::MAX), Reason::Failed);
    }

    #[test]
    fn the_guide_explains_every_reason() {
        let guide = include_str!("../../../../docs/readiness.md");
        for (reason, meaning) in Reason::TABLE.iter().filter(|(it, _)| *it != Reason::Ok) {
            let row = format!("| `{}` | {} |", reason.as_str(), meaning.trim());
            assert!(guide.contains(&row), "docs/readiness.md lacks the row\n{row}");
        }
    }
}
