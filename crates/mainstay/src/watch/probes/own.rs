//! The probes that a service has by itself: its health endpoints, through each of its listeners.
//!
//! They show that a listener is served. Whether the service is ready is asked of the segment, by the rule
//! `not_ready`: an answer of 503 is an answer.

use crate::config::Config;
use crate::config::probes::{Expect, OWN, Probe, Target, Url};
use std::time::Duration;

/// Most listeners that are asked.
const LISTENERS: usize = 4;
/// The time-out that probes of health usually have.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Those of these listeners, as they are shown.
pub(super) fn probes(config: &Config, serving: &[String]) -> Vec<Probe> {
    // Before a request the balancer's word is expected there, and only from whom it is.
    if !config.probing.own || config.proxy.protocol != "off" {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (listener, number) in serving.iter().take(LISTENERS).zip(1..) {
        let health = &config.health;
        for (name, path) in OWN.into_iter().zip([&health.live_path, &health.ready_path]) {
            let Some(target) = target(listener, path) else { continue };
            let name = if number == 1 { name.to_owned() } else { format!("{name}-{number}") };
            let expect = Expect { status: vec![(200, 200), (503, 503)], ..Expect::default() };
            found.push(Probe { timeout: TIMEOUT, expect, ..Probe::usual(&name, target) });
        }
    }
    found
}

/// The way to a path through a listener: `http://127.0.0.1:8000` or `unix:/run/app.sock`.
fn target(listener: &str, path: &str) -> Option<Target> {
    if let Some(socket) = listener.strip_prefix("unix:") {
        return Some(Target::Unix { socket: socket.into(), path: path.to_owned() });
    }
    let Ok(Target::Http(url)) = Target::parse(listener) else { return None };
    // Whoever listens everywhere is asked where nothing lies between.
    let host = match url.host.as_str() {
        "0.0.0.0" => "127.0.0.1".to_owned(),
        "::" => "::1".to_owned(),
        _ => url.host.clone(),
    };
    Some(Target::Http(Url { host, path: path.to_owned(), ..url }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    #[test]
    fn each_listener_is_asked_for_both_endpoints() {
        let mut config = Config::resolve(&Sources::default()).unwrap();
        let serving = ["http://0.0.0.0:8000", "http://[::]:8000", "unix:/run/x.sock", "fd"]
            .map(str::to_owned);
        let shown = |config: &Config| -> Vec<_> {
            let all = probes(config, &serving);
            all.iter().map(|it| format!("{} {}", it.name, it.target)).collect()
        };
        assert_eq!(
            shown(&config),
            [
                "healthz http://127.0.0.1:8000/healthz",
                "readyz http://127.0.0.1:8000/readyz",
                "healthz-2 http://[::1]:8000/healthz",
                "readyz-2 http://[::1]:8000/readyz",
                "healthz-3 unix:/run/x.sock:/healthz",
                "readyz-3 unix:/run/x.sock:/readyz",
            ]
        );
        config.proxy.protocol = "v2".to_owned();
        assert!(shown(&config).is_empty());
        config.proxy.protocol = "off".to_owned();
        config.probing.own = false;
        assert!(shown(&config).is_empty());
    }
}
