//! docs/doctor.md, made from the tables of rules. Only a test makes it.

use super::kubernetes::rules::MANIFESTS;
use super::rules::{Rule, SERVICE};

const PREFACE: &str = "\
<!-- Made from crates/mainstay/src/doctor/rules.rs and kubernetes/rules.rs. Change it there and run
     MAINSTAY_BLESS=1 cargo test -p mainstay --all-features doctor_page -->
# Doctor

`check` says whether a configuration is valid. `doctor` says whether it is wise: it inspects the configuration in
force, this host and, if it runs, the service, and tells of each thing that is unsafe what it is, why it matters and
what to do.

```console
$ mainstay doctor -c mainstay.toml                       # this service, on this host, as this user
$ mainstay doctor --strict                               # ends with 1 for what is doubtful, too
$ mainstay doctor --json
$ kubectl kustomize overlays/production | mainstay doctor kubernetes -
$ mainstay doctor kubernetes deployment.yaml --container web
$ mainstay doctor client-ip --peer 10.0.0.1 -H 'X-Forwarded-For: 192.0.2.1'
```

Run it as the user and in the place that the service has: limits, permissions and the clock are those of the process
that asks. It changes nothing. The database is asked for its limit of connections, once; the running service for its
status, on `server.admin`.

| weight | means | exit code |
|---|---|---|
| unsafe | it loses requests or data, or lets somebody in | 1 |
| doubtful | it may be meant; if not, it costs something some day | 0, with `--strict` 1 |
| note | worth knowing | 0 |

What cannot be read is no finding: a file that is missing or no YAML ends with 1, a configuration that is not valid
with 78, a mistake on the command line with 64.
";

const MANIFESTS_PART: &str = "
## Manifests of Kubernetes

Each Deployment, StatefulSet, DaemonSet and Pod is judged against the configuration that its container will have: the
`mainstay.toml` of a mounted ConfigMap, else the file of `-c`; its variables (`env`, `envFrom`); the flags in its
`args`. Services, HorizontalPodAutoscalers and PodDisruptionBudgets in the same files count where they select its
pods. It needs the feature `kubernetes`, which the program `mainstay` has.

";

fn rows(text: &mut String, rules: &[Rule]) {
    text.push_str("| name | weight | why | what to do |\n|---|---|---|---|\n");
    for Rule { name, weight, why, todo } in rules {
        text.push_str(&format!("| `{name}` | {} | {why} | {todo} |\n", weight.as_str()));
    }
}

fn markdown() -> String {
    let mut text = PREFACE.to_owned();
    text.push_str("\n## The service\n\n");
    rows(&mut text, SERVICE);
    text.push_str(MANIFESTS_PART);
    rows(&mut text, MANIFESTS);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_doctor_page_is_made_from_the_tables() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/doctor.md");
        let made = markdown();
        if crate::config::env::blessed() {
            std::fs::write(&path, &made).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(path).unwrap(),
            made,
            "docs/doctor.md is not up to date"
        );
    }

    #[test]
    fn each_name_stands_once_in_its_table() {
        for table in [SERVICE, MANIFESTS] {
            let mut names: Vec<_> = table.iter().map(|it| it.name).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), table.len());
        }
    }
}
