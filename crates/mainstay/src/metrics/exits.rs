//! Why workers end: the closed set behind `mainstay_worker_exits_total`. Pure.

/// A row of the table.
#[derive(Debug)]
pub(crate) struct Row {
    /// The value of the label.
    pub(crate) name: &'static str,
    /// The worker was told to leave, and left in time.
    pub(crate) planned: bool,
    /// What it means, for the page.
    #[cfg(test)]
    pub(crate) doc: &'static str,
}

macro_rules! exits {
    ($($(#[doc = $doc:literal])+ $variant:ident $name:literal $planned:literal;)*) => {
        /// Why a worker has ended. The row's place is its cell: rows are appended, never reordered.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        pub(crate) enum Exit {
            $($(#[doc = $doc])+ $variant),*
        }

        /// All rows, by [`Exit`].
        pub(crate) const TABLE: &[Row] = &[$(Row {
            name: $name,
            planned: $planned,
            #[cfg(test)]
            doc: concat!($($doc),+),
        }),*];
    };
}

exits! {
    /// It had served `workers.max_requests`.
    MaxRequests "max_requests" true;
    /// It had lived for `workers.lifetime`.
    MaxLifetime "max_lifetime" true;
    /// Its memory had reached `workers.max_rss`.
    MemoryLimit "memory_limit" true;
    /// Another generation took its place.
    Reload "reload" true;
    /// Somebody asked for another in its place.
    Operator "operator" true;
    /// Fewer workers were wanted.
    ScaleDown "scale_down" true;
    /// The service ended.
    Shutdown "shutdown" true;
    /// It asked to be replaced: a pool of it gave nobody a connection.
    PoolWedged "pool_wedged" false;
    /// It made no progress for `workers.timeout`.
    Timeout "timeout" false;
    /// It was told to leave and had not done so when its grace was over.
    GraceExceeded "grace_exceeded" false;
    /// The kernel killed it for want of memory.
    OutOfMemory "oom" false;
    /// It could not become ready: an error, a panic or an end before it was.
    BootFailed "boot_failed" false;
    /// It was not ready in time.
    BootTimeout "boot_timeout" false;
    /// It left with the code of a panic.
    Panic "panic" false;
    /// It left with code 0 without having been told to.
    CodeZero "exit_0" false;
    /// It left with another code.
    OtherCode "exit_code" false;
    /// Somebody killed it.
    SigKill "sigkill" false;
    /// It ended itself, or somebody else did.
    SigAbrt "sigabrt" false;
    /// It reached for memory that it has not.
    SigSegv "sigsegv" false;
    /// The same; also a mapped file that became shorter.
    SigBus "sigbus" false;
    /// It met an instruction that there is not.
    SigIll "sigill" false;
    /// A calculation that has no result.
    SigFpe "sigfpe" false;
    /// A signal without a row of its own.
    Signal "signal" false;
}

impl Exit {
    /// Its row.
    pub(crate) fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_reason_has_a_name_of_its_own() {
        let names: BTreeSet<_> = TABLE.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), TABLE.len());
        assert!(TABLE.iter().all(|row| !row.doc.trim().is_empty()));
        assert_eq!(Exit::Signal.row().name, TABLE[TABLE.len() - 1].name);
    }
}
