//! What is recorded, and of which requests.

use crate::config::{Config, variable};
use std::time::Duration;

/// Methods that a span may name, by the conventions.
const METHODS: &[&str] =
    &["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"];
/// A request that took longer is kept, sampled or not.
const SLOW: Duration = Duration::from_secs(1);

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

/// Which traces are recorded from their beginning.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Sampler {
    All,
    None,
    /// This part of them, judged by their ids.
    Ratio(f64),
    /// As the caller has decided; of those that begin here all, none, or a part.
    Parent(Root),
}

/// Which of the traces that begin here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Root {
    All,
    None,
    Ratio(f64),
}

impl Settings {
    /// What the configuration and OpenTelemetry's variables ask for.
    pub(crate) fn of(_: &Config) -> Settings {
        Settings::read(variable)
    }

    fn read(variable: impl Fn(&str) -> Option<String>) -> Settings {
        let is = |name: &str, value: &str| variable(name).is_some_and(|it| it.trim() == value);
        let is_on = |signal: &str| {
            let endpoints = ["", "TRACES_", "LOGS_"].into_iter();
            endpoints
                .filter(|it| it.is_empty() || it.starts_with(signal))
                .any(|it| variable(&format!("OTEL_EXPORTER_OTLP_{it}ENDPOINT")).is_some())
                && !is(&format!("OTEL_{signal}_EXPORTER"), "none")
                && !variable("OTEL_SDK_DISABLED").is_some_and(|it| it.eq_ignore_ascii_case("true"))
        };
        let name = variable("OTEL_TRACES_SAMPLER").unwrap_or_default();
        let argument = variable("OTEL_TRACES_SAMPLER_ARG").unwrap_or_default();
        let sampler = Sampler::named(name.trim(), argument.trim());
        let methods = variable("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS");
        let methods = methods.map(|list| list.split(',').map(|it| it.trim().to_owned()).collect());
        Settings {
            traces: is_on("TRACES") && sampler != Sampler::None,
            logs: is_on("LOGS"),
            sampler,
            keep_slow: Some(SLOW),
            methods: methods.unwrap_or_else(|| METHODS.iter().map(|&it| it.into()).collect()),
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
    /// The sampler of this name in OpenTelemetry's variables. What is not known is the default, and a
    /// part that cannot be read is all, as the specification has it.
    fn named(name: &str, argument: &str) -> Sampler {
        let ratio = argument.parse::<f64>().ok().filter(|it| (0.0..=1.0).contains(it));
        let ratio = ratio.unwrap_or(1.0);
        match name {
            "always_on" => Sampler::All,
            "always_off" => Sampler::None,
            "traceidratio" => Sampler::Ratio(ratio),
            "parentbased_always_off" => Sampler::Parent(Root::None),
            "parentbased_traceidratio" => Sampler::Parent(Root::Ratio(ratio)),
            _ => Sampler::Parent(Root::All),
        }
    }

    /// Whether this trace is recorded. `parent` is what its caller has decided, if it has one.
    pub(crate) fn samples(self, trace: &[u8; 16], parent: Option<bool>) -> bool {
        match (self, parent) {
            (Sampler::All, _) | (Sampler::Parent(Root::All), None) => true,
            (Sampler::None, _) | (Sampler::Parent(Root::None), None) => false,
            (Sampler::Parent(_), Some(decided)) => decided,
            (Sampler::Ratio(ratio) | Sampler::Parent(Root::Ratio(ratio)), _) => {
                is_within(trace, ratio)
            }
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

    fn read(variables: &[(&str, &str)]) -> Settings {
        Settings::read(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
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
            (&[ALL, ("OTEL_SDK_DISABLED", "True")], false, false),
            (&[ALL, ("OTEL_TRACES_SAMPLER", "always_off")], false, true),
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
            ("", "", small, None, true),
            ("", "", small, Some(false), false),
            ("always_on", "", small, Some(false), true),
            ("parentbased_always_off", "", small, None, false),
            ("parentbased_always_off", "", small, Some(true), true),
            ("traceidratio", "0.5", small, None, true),
            ("traceidratio", "0.5", large, Some(true), false),
            ("traceidratio", "0", small, None, false),
            ("traceidratio", "1", large, None, true),
            ("traceidratio", "much", large, None, true),
            ("parentbased_traceidratio", "0.5", large, None, false),
            ("parentbased_traceidratio", "0.5", large, Some(true), true),
        ] {
            let found = Sampler::named(name, ratio).samples(&trace, parent);
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
