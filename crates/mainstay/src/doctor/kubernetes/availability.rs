//! Whether enough pods are there: replicas, deployments, drained nodes, autoscaling.

use super::Workload;
use super::manifest::selects;
use crate::doctor::finding::Findings;
use crate::doctor::host::sqlite_file;
use serde_json::Value;

pub(super) fn judge(work: &Workload<'_>, found: &mut Findings) {
    let kind = work.object["kind"].as_str().unwrap_or_default();
    if !matches!(kind, "Deployment" | "StatefulSet") {
        return;
    }
    let replicas = replicas(work, found);
    if replicas < 2 {
        found.add("one-replica", &*work.subject, format!("There may be {replicas} pod"));
    }
    let url = work.config.database.url.as_ref().and_then(|it| sqlite_file(it.expose()));
    if let Some(file) = url.filter(|_| replicas > 1) {
        let what = format!("database.url is the file {file}, and there are {replicas} pods");
        found.add("sqlite-on-several-pods", &*work.subject, what);
    }
    if kind == "Deployment" {
        rollout(&work.object["spec"]["strategy"], replicas, &work.subject, found);
    }
    budget(work, replicas, found);
}

/// The least number of pods that there will be.
fn replicas(work: &Workload<'_>, found: &mut Findings) -> u64 {
    let given = work.object["spec"]["replicas"].as_u64();
    let (kind, name) = (&work.object["kind"], &work.object["metadata"]["name"]);
    let mut scalers = work.all.of(&["HorizontalPodAutoscaler"]);
    let scaler = scalers.find(|it| {
        let target = &it["spec"]["scaleTargetRef"];
        &target["kind"] == kind && &target["name"] == name
    });
    let Some(scaler) = scaler else { return given.unwrap_or(1) };
    if let Some(given) = given {
        let what = format!("replicas is {given}, and a HorizontalPodAutoscaler scales it");
        found.add("replicas-fight-autoscaler", &*work.subject, what);
    }
    scaler["spec"]["minReplicas"].as_u64().unwrap_or(1)
}

fn rollout(strategy: &Value, replicas: u64, subject: &str, found: &mut Findings) {
    if strategy["type"] == "Recreate" {
        return found.add("recreate", subject, "strategy.type is Recreate");
    }
    let given = &strategy["rollingUpdate"]["maxUnavailable"];
    // The default is 25 %, and parts of pods do not count.
    let missing = amount(given, replicas, false).unwrap_or(replicas / 4);
    if missing > 0 {
        let what = format!("Of {replicas} pods {missing} may be missing during a deployment");
        found.add("surge-is-needed", subject, what);
    }
}

/// A number of pods, or a part of them.
fn amount(value: &Value, of: u64, rounds_up: bool) -> Option<u64> {
    if let Some(number) = value.as_u64() {
        return Some(number);
    }
    let percent: u64 = value.as_str()?.strip_suffix('%')?.parse().ok()?;
    let hundredfold = percent * of;
    Some(if rounds_up { hundredfold.div_ceil(100) } else { hundredfold / 100 })
}

fn budget(work: &Workload<'_>, replicas: u64, found: &mut Findings) {
    let mut budgets = work.all.of(&["PodDisruptionBudget"]);
    let budget = budgets.find(|it| selects(&it["spec"]["selector"]["matchLabels"], work.labels()));
    let Some(budget) = budget else {
        if replicas > 1 {
            let what = "No PodDisruptionBudget selects its pods";
            found.add("no-disruption-budget", &*work.subject, what);
        }
        return;
    };
    let spec = &budget["spec"];
    let may_go = match (
        amount(&spec["maxUnavailable"], replicas, true),
        amount(&spec["minAvailable"], replicas, true),
    ) {
        (Some(most), _) => most,
        (None, Some(least)) => replicas.saturating_sub(least),
        (None, None) => replicas,
    };
    if may_go == 0 {
        let what = format!("Of {replicas} pods none may be evicted");
        found.add("budget-blocks-drains", &*work.subject, what);
    }
}
