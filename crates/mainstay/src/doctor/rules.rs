//! Everything that doctor can find: a name, how grave it is, why it matters and what to do. docs/doctor.md is
//! made from it. Of manifests it has a table of its own, in `kubernetes/rules.rs`.

/// How grave something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Weight {
    /// Worth knowing.
    Note,
    /// It may be meant; if not, it costs something some day.
    Doubtful,
    /// It loses requests or data, or lets somebody in.
    Unsafe,
}

impl Weight {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Doubtful => "doubtful",
            Self::Unsafe => "unsafe",
        }
    }
}

/// Something that can be found.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: &'static str,
    pub(crate) weight: Weight,
    pub(crate) why: &'static str,
    pub(crate) todo: &'static str,
}

use Weight::{Doubtful, Note, Unsafe};

const fn rule(name: &'static str, weight: Weight, why: &'static str, todo: &'static str) -> Rule {
    Rule { name, weight, why, todo }
}

/// What can be wrong with a service: its configuration, its host, and itself while it runs.
pub(crate) const SERVICE: &[Rule] = &[
    rule(
        "stop-budget",
        Note,
        "Whatever ends the service (systemd's TimeoutStopSec, Kubernetes' terminationGracePeriodSeconds, \
         10 s of docker stop) kills it, and what it still answers, when that is shorter.",
        "Let it wait longer than this.",
    ),
    rule(
        "requests-outlive-grace",
        Doubtful,
        "At a stop, a reload or a recycling, a request that takes longer than workers.grace is cut, though \
         http.request_timeout allows it.",
        "Raise workers.grace to http.request_timeout, or lower that; then the time that a stop may take.",
    ),
    rule(
        "hung-workers-stay",
        Doubtful,
        "A worker whose runtime is blocked takes connections for ever and answers none.",
        "Set workers.timeout to more than the longest that your code may block.",
    ),
    rule(
        "one-worker",
        Note,
        "When the only worker dies, nobody serves until the next one has booted.",
        "Set workers.count to 2 or more.",
    ),
    rule(
        "more-workers-than-cores",
        Note,
        "Workers are asynchronous: more of them than cores share the same time and cost memory each.",
        "Set workers.count = \"auto\", unless handlers block.",
    ),
    rule(
        "pools-exceed-database",
        Unsafe,
        "When all pools are full, the server refuses connections: to this service, to its migrations and to \
         whoever looks into it.",
        "Set database.pool = \"auto\", or lower it, workers.count or the number of hosts; or raise the server's limit.",
    ),
    rule(
        "database-not-asked",
        Note,
        "Without the server's limit it is not known whether the pools fit.",
        "Run doctor where the database can be reached.",
    ),
    rule(
        "sqlite-on-several-hosts",
        Unsafe,
        "Each host has a file of its own, so each user sees another truth; a file on a network file system breaks.",
        "Use PostgreSQL or MySQL, or one host.",
    ),
    rule(
        "trust-is-wide",
        Unsafe,
        "Everybody within proxy.trusted may say who a client is: to limits, bans, logs and the application.",
        "Name your proxies by address, or by the network that they alone are in.",
    ),
    rule(
        "trust-is-off",
        Note,
        "Behind a proxy every client has the proxy's address, and limits count all of them together.",
        "If a proxy stands before the service, name it in proxy.trusted.",
    ),
    rule(
        "admin-is-open",
        Doubtful,
        "Who reaches the admin listener reads states, metrics, routes and alerts, without a password.",
        "Bind server.admin to 127.0.0.1 or a UNIX socket, or keep others away by a firewall.",
    ),
    rule(
        "alerts-are-off",
        Doubtful,
        "Nobody is told when the service is ill.",
        "Set alerts.enabled = true.",
    ),
    rule(
        "nobody-is-told",
        Doubtful,
        "Alerts that fire stand in the log alone, where nobody looks at night.",
        "Set alerts.receivers and alerts.state, or let Prometheus evaluate `rules export --format prometheus`.",
    ),
    rule(
        "alerts-are-not-delivered",
        Doubtful,
        "alerts.dry_run delivers nothing.",
        "Set alerts.dry_run = false once receivers are tried with `notify test`.",
    ),
    rule(
        "death-is-silent",
        Note,
        "A host that is dead tells nobody, and neither does a service whose alerts have stopped.",
        "Set heartbeat.url to a check that tells when nothing comes any more, or let somebody outside ask /readyz.",
    ),
    rule(
        "log-goes-nowhere",
        Doubtful,
        "What happened cannot be looked up afterwards.",
        "Set log.access and log.error to stdout, stderr or a file.",
    ),
    rule(
        "kept-in-memory",
        Doubtful,
        "It lies on a file system in memory: the next boot of the host loses it.",
        "Put it on a disk.",
    ),
    rule(
        "disk-nearly-full",
        Doubtful,
        "A full disk stops logs, uploads, databases and the state of alerts.",
        "Make room, or put it elsewhere.",
    ),
    rule(
        "disk-full",
        Unsafe,
        "A full disk stops logs, uploads, databases and the state of alerts.",
        "Make room now.",
    ),
    rule(
        "directory-missing",
        Unsafe,
        "What is to be kept there cannot be.",
        "Make the directory, for the user of the service alone.",
    ),
    rule(
        "secret-is-readable",
        Unsafe,
        "Every user of this host may read the secret in it.",
        "chmod o= FILE, and change the secret if others were there.",
    ),
    rule(
        "secret-stands-in-the-file",
        Note,
        "A configuration file is copied, shown and put under version control.",
        "Use the key with _file and a mounted secret, or a variable.",
    ),
    rule(
        "control-socket-is-open",
        Unsafe,
        "Who may write to the directory may put a socket of his own there, and whoever stops or reloads the \
         service speaks to him.",
        "Set server.control to a directory that belongs to the service's user alone.",
    ),
    rule(
        "runs-as-root",
        Doubtful,
        "What goes wrong in the application goes wrong with all rights.",
        "Run it as a user of its own; sockets below 1024 come from a socket unit or a proxy.",
    ),
    rule(
        "clock-is-free",
        Doubtful,
        "Nothing keeps the clock in step: lines of logs, sessions and certificates are judged by it.",
        "Switch on systemd-timesyncd or chrony.",
    ),
    rule(
        "backlog-is-capped",
        Doubtful,
        "In a rush the kernel refuses connections earlier than server.backlog says.",
        "sysctl net.core.somaxconn=4096, or lower server.backlog.",
    ),
    rule(
        "files-run-out",
        Doubtful,
        "A worker that has no descriptor left accepts nobody, and opens no file and no connection to the database.",
        "Raise the limit of open files (LimitNOFILE=, ulimit -n), or lower http.max_connections.",
    ),
    rule(
        "memory-is-promised-twice",
        Doubtful,
        "Before workers reach workers.max_rss and are replaced gently, the kernel kills one of them.",
        "Lower workers.max_rss or workers.count, or raise the limit of the cgroup.",
    ),
    rule(
        "memory-is-short",
        Doubtful,
        "With so little for each worker, and twice the workers during a reload, the kernel kills some.",
        "Lower workers.count, or raise the limit of the cgroup.",
    ),
    rule(
        "configuration-warns",
        Note,
        "Something in the configuration does nothing, or is overruled.",
        "Read the warning.",
    ),
    rule(
        "not-ready",
        Unsafe,
        "The running service should be sent no requests now.",
        "Look at `status`, `alerts` and the log.",
    ),
    rule(
        "lines-were-dropped",
        Doubtful,
        "Nobody reads the log as fast as it is written, so lines are lost.",
        "Find out what blocks the reader, or raise log.buffer.",
    ),
    rule(
        "restart-is-due",
        Note,
        "The running service does not have the number of workers that the configuration asks for.",
        "Reload it, or look why workers are missing.",
    ),
];
