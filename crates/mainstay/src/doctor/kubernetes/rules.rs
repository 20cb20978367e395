//! What can be wrong with manifests.

use crate::doctor::rules::Rule;
use crate::doctor::rules::Weight::{self, Doubtful, Note, Unsafe};

const fn rule(name: &'static str, weight: Weight, why: &'static str, todo: &'static str) -> Rule {
    Rule { name, weight, why, todo }
}

pub(crate) const MANIFESTS: &[Rule] = &[
    rule(
        "grace-too-short",
        Unsafe,
        "The kubelet kills the pod, and what it still answers, before it has drained.",
        "Raise terminationGracePeriodSeconds, or lower health.drain_delay or workers.grace.",
    ),
    rule(
        "prestop-sleeps",
        Doubtful,
        "health.drain_delay is that sleep already, and /readyz says so meanwhile; the time of both adds up.",
        "Take the preStop hook away.",
    ),
    rule(
        "drain-too-short",
        Doubtful,
        "Nodes need some seconds to learn that a pod goes; whom they still send gets a refused connection.",
        "Set health.drain_delay to 5s or more.",
    ),
    rule(
        "no-readiness-probe",
        Unsafe,
        "A pod is sent requests as soon as its container runs, and while it drains.",
        "Add a readinessProbe for health.ready_path.",
    ),
    rule(
        "no-liveness-probe",
        Note,
        "A service whose every worker hangs beyond workers.timeout heals itself; nothing restarts a host process \
         that cannot.",
        "Add a livenessProbe for health.live_path on the admin listener.",
    ),
    rule(
        "probe-of-another-path",
        Unsafe,
        "The probe asks for what this service does not answer, or for the wrong question.",
        "Readiness asks for health.ready_path, liveness and startup for health.live_path.",
    ),
    rule(
        "probe-of-another-port",
        Unsafe,
        "Nobody listens there.",
        "Let the probe ask a port of server.bind or server.admin.",
    ),
    rule(
        "liveness-asks-for-readiness",
        Unsafe,
        "A database that is away makes every pod not ready: then all of them are restarted, again and again.",
        "Ask for health.live_path.",
    ),
    rule(
        "liveness-of-the-application",
        Doubtful,
        "On the application's listener a probe waits behind requests; under load the kubelet restarts what is merely \
         busy.",
        "Ask the admin listener.",
    ),
    rule(
        "liveness-too-quick",
        Doubtful,
        "The pod is restarted before workers.timeout replaces the one worker that hangs.",
        "Let failureThreshold times periodSeconds be more than workers.timeout.",
    ),
    rule(
        "startup-too-quick",
        Unsafe,
        "A start that is slow but good, such as with a migration, is killed, for ever.",
        "Add a startupProbe whose failureThreshold times periodSeconds is more than workers.boot_timeout.",
    ),
    rule(
        "probe-times-out-first",
        Doubtful,
        "The kubelet gives up before a check of readiness has its own deadline.",
        "Let timeoutSeconds be more than health.check_timeout.",
    ),
    rule(
        "loopback-bind",
        Unsafe,
        "Within the pod's loopback nobody reaches it: neither the Service nor the kubelet.",
        "Set server.bind = \"0.0.0.0:8000\" and server.admin = \"0.0.0.0:8001\", or PORT.",
    ),
    rule(
        "service-sends-elsewhere",
        Unsafe,
        "What a Service sends to arrives nowhere.",
        "Let its targetPort be a port of server.bind.",
    ),
    rule(
        "read-only-place",
        Unsafe,
        "The root is read-only, and nothing is mounted where the service writes: it does not start, or loses what \
         it should keep.",
        "Mount a volume there, or change the key.",
    ),
    rule(
        "writable-root",
        Doubtful,
        "Whoever gets into the container may change its programs.",
        "Set securityContext.readOnlyRootFilesystem: true.",
    ),
    rule(
        "runs-as-root",
        Doubtful,
        "What goes wrong in the application goes wrong as root of the container.",
        "Set securityContext.runAsNonRoot: true.",
    ),
    rule(
        "rights-to-spare",
        Doubtful,
        "The container keeps rights that it does not need.",
        "Set allowPrivilegeEscalation: false and capabilities.drop: [ALL].",
    ),
    rule(
        "one-replica",
        Doubtful,
        "A node that is drained or dies takes the service with it.",
        "Set replicas to 2 or more.",
    ),
    rule(
        "recreate",
        Unsafe,
        "Each deployment ends all pods before it starts new ones.",
        "Use RollingUpdate with maxUnavailable: 0.",
    ),
    rule(
        "surge-is-needed",
        Doubtful,
        "During a deployment there are fewer pods than the load may need.",
        "Set rollingUpdate.maxUnavailable: 0 and maxSurge: 1.",
    ),
    rule(
        "no-disruption-budget",
        Doubtful,
        "Whoever drains nodes may evict all pods at once.",
        "Add a PodDisruptionBudget with maxUnavailable: 1.",
    ),
    rule(
        "budget-blocks-drains",
        Unsafe,
        "No pod may ever be evicted, so no node can be drained.",
        "Use maxUnavailable: 1.",
    ),
    rule(
        "replicas-fight-autoscaler",
        Doubtful,
        "Each apply sets the number of pods back, which the autoscaler has chosen.",
        "Take replicas out of the manifest that is scaled.",
    ),
    rule(
        "no-memory-limit",
        Doubtful,
        "A pod that leaks takes memory from its neighbours before anybody notices.",
        "Set resources.requests.memory and resources.limits.memory.",
    ),
    rule(
        "memory-is-promised-twice",
        Doubtful,
        "Before workers reach workers.max_rss and are replaced gently, the kernel kills one of them.",
        "Raise the limit, or lower workers.max_rss or workers.count.",
    ),
    rule(
        "workers-by-the-node",
        Doubtful,
        "Without a limit of CPU, workers.count = \"auto\" is one worker for each core of the node.",
        "Set WEB_CONCURRENCY, or resources.limits.cpu.",
    ),
    rule(
        "sqlite-on-several-pods",
        Unsafe,
        "Each pod has a file of its own, so each user sees another truth.",
        "Use PostgreSQL or MySQL, or one replica with a volume of its own.",
    ),
    rule(
        "secret-in-the-manifest",
        Unsafe,
        "Manifests are kept in repositories and shown by kubectl.",
        "Use valueFrom.secretKeyRef, or a mounted Secret and the key with _file.",
    ),
    rule(
        "log-in-the-container",
        Doubtful,
        "A file within the container is rotated by nobody, collected by nobody, and gone with the pod.",
        "Leave log.access and log.error at stdout and stderr.",
    ),
    rule(
        "bad-configuration",
        Unsafe,
        "The pod ends with 78, again and again.",
        "Mend what is told; `check` judges it too.",
    ),
];
