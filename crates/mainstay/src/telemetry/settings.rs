//! What is recorded, and of which requests.

use crate::config::Config;
use crate::config::otel::{Otel, Sampler};
use std::time::Duration;

/// What is recorded in this process.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    pub(crate) traces: bool,
    pub(crate) logs: bool,
    pub(crate) sampler: Sampler,
    /// Requests that took as long are kept, sampled or not; none for no such limit.
    pub(crate) keep_slow: Option<Duration>,
    /// Methods that spans name; others are `_OTHER`.
    pub(crate) methods: Vec<String>,
}

impl Settings {
    /// What the configuration and OpenTelemetry's variables ask for.
    pub(crate) fn of(config: &Config) -> Settings {
        let Otel { traces, logs, sampler, methods, .. } = &config.otel;
        // Who wants no trace at all does not want those of failures either.
        let records = sampler.parent_based || sampler.ratio > 0.0;
        Settings {
            traces: traces.is_some() && records,
            logs: logs.is_some(),
            sampler: *sampler,
            keep_slow: config.telemetry.keep_slow,
            methods: methods.clone(),
        }
    }

    /// The method as spans name it, if it is a known one.
    pub(crate) fn method<'a>(&self, method: &'a str) -> Option<&'a str> {
        self.methods.iter().any(|known| known == method).then_some(method)
    }

    /// Whether a request of this duration is slow.
    pub(crate) fn is_slow(&self, nanos: u64) -> bool {
        self.keep_slow.is_some_and(|limit| u128::from(nanos) >= limit.as_nanos())
    }
}

impl Sampler {
    /// Every trace, whatever its caller has decided.
    #[cfg(test)]
    pub(crate) const ALL: Sampler = Sampler { parent_based: false, ratio: 1.0 };

    /// Whether this trace is recorded from its beginning. `parent` is what its caller has decided, if it
    /// has one.
    pub(crate) fn samples(self, trace: &[u8; 16], parent: Option<bool>) -> bool {
        match parent {
            Some(decided) if self.parent_based => decided,
            _ => is_within(trace, self.ratio),
        }
    }
}

/// Whether the trace belongs to this part of all: by the low 63 bits of its id, as the other
/// implementations judge it, so that several services choose the same ones.
fn is_within(trace: &[u8; 16], ratio: f64) -> bool {
    let low = u64::from_be_bytes(*trace.last_chunk().expect("an id has 16 bytes"));
    ratio >= 1.0 || low >> 1 < (ratio * (1_u64 << 63) as f64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    fn read(variables: &[(&str, &str)]) -> Settings {
        let env = variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Settings::of(&Config::resolve(&Sources { env, ..Sources::default() }).unwrap())
    }

    #[test]
    fn each_signal_is_on_where_it_has_an_endpoint_and_is_not_switched_off() {
        const ALL: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:4318");
        for (variables, traces, logs) in [
            (&[][..], false, false),
            (&[ALL], true, true),
            (&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://a")], true, false),
            (&[("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://a")], false, true),
            (&[ALL, ("OTEL_TRACES_EXPORTER", "none")], false, true),
            (&[ALL, ("OTEL_LOGS_EXPORTER", "none")], true, false),
            (&[ALL, ("OTEL_SDK_DISABLED", "true")], false, false),
            (&[ALL, ("OTEL_TRACES_SAMPLER", "always_off")], false, true),
            (&[ALL, ("OTEL_TRACES_SAMPLER", "parentbased_always_off")], true, true),
        ] {
            let found = read(variables);
            assert_eq!((found.traces, found.logs), (traces, logs), "{variables:?}");
        }
    }

    #[test]
    fn samplers_decide_as_their_names_say() {
        let low = |half: u64| {
            let mut trace = [1; 16];
            trace[8..].copy_from_slice(&half.to_be_bytes());
            trace
        };
        let (small, large) = (low(1 << 60), low(u64::MAX));
        for (name, ratio, trace, parent, expected) in [
            ("parentbased_always_on", "", small, None, true),
            ("parentbased_always_on", "", small, Some(false), false),
            ("always_on", "", small, Some(false), true),
            ("parentbased_always_off", "", small, None, false),
            ("parentbased_always_off", "", small, Some(true), true),
            ("traceidratio", "0.5", small, None, true),
            ("traceidratio", "0.5", large, Some(true), false),
            ("traceidratio", "0", small, None, false),
            ("traceidratio", "1", large, None, true),
            ("parentbased_traceidratio", "0.5", large, None, false),
            ("parentbased_traceidratio", "0.5", large, Some(true), true),
        ] {
            let variables = [("OTEL_TRACES_SAMPLER", name), ("OTEL_TRACES_SAMPLER_ARG", ratio)];
            let found = read(&variables).sampler.samples(&trace, parent);
            assert_eq!(found, expected, "{name} {ratio} {parent:?}");
        }
    }

    #[test]
    fn a_ratio_takes_about_that_part_of_all_traces() {
        let mut dice = crate::testing::Dice(7);
        let mut trace = || {
            let mut trace = [0; 16];
            trace[8..].copy_from_slice(&dice.roll(u64::MAX).to_be_bytes());
            trace
        };
        let taken = (0..100_000).filter(|_| is_within(&trace(), 0.25)).count();
        assert!((24_000..26_000).contains(&taken), "{taken}");
    }

    #[test]
    fn only_known_methods_are_named() {
        assert_eq!(read(&[]).method("GET"), Some("GET"));
        assert_eq!(read(&[]).method("get"), None);
        let own = read(&[("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS", "GET, PROPFIND")]);
        assert_eq!((own.method("PROPFIND"), own.method("PUT")), (Some("PROPFIND"), None));
    }
}
