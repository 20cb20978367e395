//! Telemetry as it is in force: what follows from `[telemetry]` and from the variables of
//! OpenTelemetry, those that its SDK for Rust does not read included. Pure.

mod table;
mod text;

use super::Config;
use super::error::Problem;
use super::value::Secret;
use std::time::Duration;
pub(crate) use table::VARIABLES;
#[cfg(test)]
pub(crate) use table::Variable;
pub(crate) use text::{header_value, headers, http_url, ratio};

/// Where OTLP goes when its variables ask for it and name no place.
const LOCAL: &str = "http://localhost:4318";

/// Methods that spans name, by the conventions.
const METHODS: &str = "GET,HEAD,POST,PUT,DELETE,CONNECT,OPTIONS,TRACE,PATCH,QUERY";

/// What is sent, and how.
#[derive(Clone, Debug, Default)]
pub(crate) struct Otel {
    pub(crate) traces: Option<Route>,
    pub(crate) metrics: Option<Route>,
    pub(crate) logs: Option<Route>,
    /// The service's name, where telemetry has another one than the log.
    pub(crate) service_name: Option<String>,
    /// What is told of the service beside what is known.
    pub(crate) attributes: Vec<(String, String)>,
    /// Metrics are sent as differences.
    pub(crate) delta: bool,
    /// Buckets of histograms grow by a factor.
    pub(crate) exponential: bool,
    /// Between two exports of metrics.
    pub(crate) interval: Duration,
    pub(crate) sampler: Sampler,
    /// Methods that spans name.
    pub(crate) methods: Vec<String>,
    /// The traces of callers are taken up (W3C Trace Context).
    pub(crate) propagates: bool,
    /// The variables that were set, and their values as they may be shown.
    pub(crate) said: Vec<(&'static str, String)>,
}

/// The way of one kind of telemetry.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, Secret)>,
    pub(crate) gzip: bool,
    pub(crate) timeout: Duration,
    /// How long what came first waits for company.
    pub(crate) delay: Duration,
    /// Most parcels in one request.
    pub(crate) most: usize,
}

/// Which traces are kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sampler {
    /// Whoever calls with a trace has decided.
    pub(crate) parent_based: bool,
    /// Part of the traces that begin here.
    pub(crate) ratio: f64,
}

impl Default for Sampler {
    fn default() -> Sampler {
        Sampler { parent_based: true, ratio: 1.0 }
    }
}

/// What a preset says.
struct Preset {
    endpoint: Option<&'static str>,
    header: Option<&'static str>,
    /// What stands before the key.
    before: &'static str,
    delta: bool,
    metrics: bool,
}

fn preset(name: &str) -> Preset {
    let none = Preset { endpoint: None, header: None, before: "", delta: false, metrics: true };
    match name {
        "elastic" => Preset {
            endpoint: Some("http://localhost:8200"),
            header: Some("authorization"),
            before: "Bearer ",
            delta: true,
            ..none
        },
        "datadog-agent" => Preset { endpoint: Some(LOCAL), delta: true, ..none },
        "datadog" => Preset {
            endpoint: Some("https://otlp.datadoghq.com"),
            header: Some("dd-api-key"),
            delta: true,
            ..none
        },
        "newrelic" => Preset {
            endpoint: Some("https://otlp.nr-data.net"),
            header: Some("api-key"),
            delta: true,
            ..none
        },
        "sentry" => Preset {
            header: Some("x-sentry-auth"),
            before: "sentry sentry_key=",
            metrics: false,
            ..none
        },
        _ => none,
    }
}

/// Reads the variables.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    env: &'a [(String, String)],
    pub(crate) problems: Vec<Problem>,
    pub(crate) warnings: Vec<String>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(env: &'a [(String, String)]) -> Reader<'a> {
        Reader { env, problems: Vec::new(), warnings: Vec::new() }
    }

    /// All of it. Values with a problem are as if they were not set.
    pub(crate) fn resolve(&mut self, config: &Config) -> Otel {
        let preset = preset(&config.telemetry.preset);
        let mut otel = Otel {
            service_name: self.value("OTEL_SERVICE_NAME").map(str::to_owned),
            attributes: self.read("OTEL_RESOURCE_ATTRIBUTES", text::attributes).unwrap_or_default(),
            delta: self.delta().unwrap_or(preset.delta),
            exponential: self.exponential(),
            interval: self.millis("OTEL_METRIC_EXPORT_INTERVAL").unwrap_or(Duration::from_secs(60)),
            sampler: self.sampler(config),
            methods: self.methods(),
            propagates: self.propagates(),
            said: self.said(),
            ..Otel::default()
        };
        let is_off = self.boolean("OTEL_SDK_DISABLED").unwrap_or(false);
        let is_nowhere = config.telemetry.endpoint.is_none() && preset.endpoint.is_none();
        if config.telemetry.preset == "sentry" && is_nowhere {
            let message = "does not say to which project".to_owned();
            let hint = "set telemetry.endpoint to https://HOST/api/PROJECT/integration/otlp";
            self.problems.push(super::check::about(config, "telemetry.preset", message, hint));
        }
        if config.telemetry.key.is_some() && preset.header.is_none() {
            self.warnings.push(format!(
                "telemetry.key does nothing while telemetry.preset is {}",
                config.telemetry.preset
            ));
        }
        let mut route = |signal| self.route(config, &preset, signal).filter(|_| !is_off);
        otel.traces = route(TRACES);
        otel.metrics = route(METRICS);
        otel.logs = route(LOGS);
        otel
    }

    fn route(&mut self, config: &Config, preset: &Preset, signal: Signal) -> Option<Route> {
        let Signal { name, path, batch } = signal;
        let exporter = self.word(&format!("OTEL_{name}_EXPORTER"), &["otlp", "none"]);
        let of = |what: &str| format!("OTEL_EXPORTER_OTLP_{name}_{what}");
        let base = |what: &str| format!("OTEL_EXPORTER_OTLP_{what}");
        for variable in [of("PROTOCOL"), base("PROTOCOL")] {
            self.word(&variable, &["http/protobuf"]);
        }
        let own = self.read(&of("ENDPOINT"), http_url);
        let shared = config.telemetry.endpoint.as_deref().or(preset.endpoint);
        let shared = shared.filter(|_| preset.metrics || name != METRICS.name);
        let shared = shared.or_else(|| (exporter.as_deref() == Some("otlp")).then_some(LOCAL));
        let below = shared.map(|it| format!("{}/v1/{path}", it.trim_end_matches('/')));
        let headers = self.read(&of("HEADERS"), headers).or_else(|| {
            let all = config.telemetry.headers.as_ref();
            all.and_then(|all| text::headers(all.expose()).ok())
        });
        let compression = [of("COMPRESSION"), base("COMPRESSION")]
            .map(|variable| self.word(&variable, &["gzip", "none"]));
        let timeout = [of("TIMEOUT"), base("TIMEOUT")].map(|variable| self.millis(&variable));
        let delay = batch.and_then(|batch| self.millis(&format!("OTEL_{batch}_SCHEDULE_DELAY")));
        let most = batch
            .and_then(|batch| self.number(&format!("OTEL_{batch}_MAX_EXPORT_BATCH_SIZE"), 1, 512));
        let url = own.filter(|it| !it.is_empty()).or(below);
        let url = url.filter(|_| exporter.as_deref() != Some("none"))?;
        if url.starts_with("https:") && !cfg!(feature = "tls") {
            let key = "telemetry.endpoint".to_owned();
            let message = "needs the feature tls, which this program was built without".to_owned();
            let hint = Some("build it with features = [\"tls\"], or use http://".to_owned());
            self.problems.push(Problem {
                origin: None,
                key,
                value: Some(url.clone()),
                message,
                hint,
            });
        }
        let mut headers = headers.unwrap_or_default();
        if let (Some(header), Some(key)) = (preset.header, &config.telemetry.key) {
            let known = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(header));
            // A key with its scheme, such as Elastic's `ApiKey …`, stands as it is.
            let before = if key.expose().contains(' ') { "" } else { preset.before };
            if !known {
                headers.push((header.to_owned(), format!("{before}{}", key.expose())));
            }
        }
        Some(Route {
            url,
            headers: headers.into_iter().map(|(name, value)| (name, Secret::new(value))).collect(),
            gzip: compression.into_iter().flatten().next().as_deref() == Some("gzip"),
            timeout: timeout.into_iter().flatten().next().unwrap_or(Duration::from_secs(10)),
            delay: delay.unwrap_or(Duration::from_secs(1)),
            most: most.map_or(512, |most| usize::try_from(most).unwrap_or(512)),
        })
    }

    fn delta(&mut self) -> Option<bool> {
        let variable = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
        let word = self.word(variable, &["cumulative", "delta", "lowmemory"])?;
        Some(word != "cumulative")
    }

    fn exponential(&mut self) -> bool {
        let variable = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION";
        let (plain, wanted) = ("explicit_bucket_histogram", "base2_exponential_bucket_histogram");
        self.word(variable, &[plain, wanted]).is_some_and(|word| word == wanted)
    }

    fn sampler(&mut self, config: &Config) -> Sampler {
        let key = super::check::origin(config, "telemetry.sample");
        let known = [
            "always_on",
            "always_off",
            "traceidratio",
            "parentbased_always_on",
            "parentbased_always_off",
            "parentbased_traceidratio",
        ];
        let arg = self.read("OTEL_TRACES_SAMPLER_ARG", ratio);
        let word = self.word("OTEL_TRACES_SAMPLER", &known);
        let word = word.as_deref().unwrap_or("parentbased_traceidratio");
        let kind = word.strip_prefix("parentbased_");
        let ratio = match kind.unwrap_or(word) {
            _ if key.is_operators() => config.telemetry.sample,
            "always_on" => 1.0,
            "always_off" => 0.0,
            _ => arg.unwrap_or(config.telemetry.sample),
        };
        Sampler { parent_based: kind.is_some(), ratio }
    }

    fn methods(&self) -> Vec<String> {
        let own = self.value("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS");
        own.unwrap_or(METHODS).split(',').map(|it| it.trim().to_owned()).collect()
    }

    fn propagates(&mut self) -> bool {
        let variable = "OTEL_PROPAGATORS";
        let Some(value) = self.value(variable) else { return true };
        let mut propagates = false;
        for word in value.split(',').map(str::trim).filter(|it| !it.is_empty()) {
            match word {
                "tracecontext" => propagates = true,
                "none" => {}
                other => self.warnings.push(format!(
                    "{variable} names {other:?}, which is not spoken here; tracecontext is"
                )),
            }
        }
        propagates
    }

    /// What was set, for whoever asks what is in force.
    fn said(&self) -> Vec<(&'static str, String)> {
        let set = VARIABLES.iter().filter_map(|it| Some((it, self.value(it.name)?)));
        set.map(|(it, value)| {
            (it.name, if it.secret { "(hidden)".to_owned() } else { value.to_owned() })
        })
        .collect()
    }

    /// What is empty counts as not set, as OpenTelemetry asks.
    fn value(&self, name: &str) -> Option<&'a str> {
        let found = self.env.iter().rev().find(|(it, _)| it == name);
        found.map(|(_, value)| value.trim()).filter(|it| !it.is_empty())
    }

    fn read<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, &'static str>,
    ) -> Option<T> {
        let value = self.value(name)?;
        match read(value) {
            Ok(value) => Some(value),
            Err(message) => {
                self.refuse(name, value, message, None);
                None
            }
        }
    }

    fn word(&mut self, name: &str, words: &[&str]) -> Option<String> {
        let value = self.value(name)?.to_ascii_lowercase();
        if words.contains(&value.as_str()) {
            return Some(value);
        }
        let hint = format!("use {}", words.join(", "));
        self.refuse(name, &value, "is not supported", Some(hint));
        None
    }

    fn boolean(&mut self, name: &str) -> Option<bool> {
        self.word(name, &["true", "false"]).map(|word| word == "true")
    }

    fn number(&mut self, name: &str, min: u64, max: u64) -> Option<u64> {
        let value = self.value(name)?;
        let number = value.parse().ok().filter(|number| (min..=max).contains(number));
        if number.is_none() {
            let hint = Some(format!("use a whole number of {min} to {max}"));
            self.refuse(name, value, "is no such number", hint);
        }
        number
    }

    fn millis(&mut self, name: &str) -> Option<Duration> {
        self.number(name, 1, 86_400_000).map(Duration::from_millis)
    }

    /// A mistake is told once, however many look.
    fn refuse(&mut self, name: &str, value: &str, message: &str, hint: Option<String>) {
        let is_secret = VARIABLES.iter().any(|it| it.name == name && it.secret);
        // An address may have been given with a password.
        let hides = is_secret || name.ends_with("_ENDPOINT") && value.contains('@');
        let shown = if hides { "(hidden)".to_owned() } else { format!("{value:?}") };
        let (key, message) = (name.to_owned(), message.to_owned());
        let problem = Problem { origin: None, key, value: Some(shown), message, hint };
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }
}

/// One of the three kinds.
#[derive(Clone, Copy)]
struct Signal {
    name: &'static str,
    path: &'static str,
    /// What its batches are called in variables.
    batch: Option<&'static str>,
}

const TRACES: Signal = Signal { name: "TRACES", path: "traces", batch: Some("BSP") };
const METRICS: Signal = Signal { name: "METRICS", path: "metrics", batch: None };
const LOGS: Signal = Signal { name: "LOGS", path: "logs", batch: Some("BLRP") };

#[cfg(test)]
mod tests;
