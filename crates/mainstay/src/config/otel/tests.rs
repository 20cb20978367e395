//! From variables to what is in force.

use crate::config::{Config, Sources};
use std::time::Duration;

fn resolve(keys: &str, env: &[(&str, &str)]) -> Result<Config, String> {
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let file = Some(("mainstay.toml".into(), format!("[telemetry]\n{keys}")));
    let sources = Sources { file, env, ..Sources::default() };
    Config::resolve(&sources).map_err(|error| error.to_string())
}

fn headers(route: &super::Route) -> Vec<(&str, &str)> {
    route.headers.iter().map(|(name, value)| (name.as_str(), value.expose())).collect()
}

#[test]
fn nothing_is_sent_that_nobody_asked_for() {
    let otel = resolve("", &[]).unwrap().otel;
    assert!(otel.traces.is_none() && otel.metrics.is_none() && otel.logs.is_none());
    let asked = resolve("", &[("OTEL_METRICS_EXPORTER", "otlp")]).unwrap().otel;
    assert!(asked.traces.is_none());
    assert_eq!(asked.metrics.unwrap().url, "http://localhost:4318/v1/metrics");
    let off = [("OTEL_SDK_DISABLED", "true"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://x")];
    assert!(resolve("", &off).unwrap().otel.traces.is_none());
}

#[test]
fn a_base_is_extended_and_an_endpoint_of_its_own_is_not() {
    let env = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:4318/otlp/"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://traces:1/as/it/is"),
        ("OTEL_LOGS_EXPORTER", "none"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "none"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
        ("OTEL_BSP_SCHEDULE_DELAY", "200"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=all"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "b=traces"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
    ];
    let otel = resolve("", &env).unwrap().otel;
    let (traces, metrics) = (otel.traces.unwrap(), otel.metrics.unwrap());
    assert_eq!(traces.url, "http://traces:1/as/it/is");
    assert_eq!(metrics.url, "http://all:4318/otlp/v1/metrics");
    assert!(otel.logs.is_none());
    assert_eq!((traces.gzip, metrics.gzip), (false, true));
    assert_eq!(traces.timeout, Duration::from_millis(2_500));
    assert_eq!((traces.delay, traces.most), (Duration::from_millis(200), 512));
    assert_eq!(headers(&traces), [("b", "traces")]);
    assert_eq!(headers(&metrics), [("a", "all")]);
}

#[test]
fn a_bad_value_is_one_error_with_its_variable_and_a_way_out() {
    let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://x");
    for (name, value, expected) in [
        (
            "OTEL_EXPORTER_OTLP_PROTOCOL",
            "grpc",
            "error: OTEL_EXPORTER_OTLP_PROTOCOL = \"grpc\" is not supported; use http/protobuf",
        ),
        (
            "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
            "10s",
            "error: OTEL_EXPORTER_OTLP_TRACES_TIMEOUT = \"10s\" is no such number; \
             use a whole number of 1 to 86400000",
        ),
        (
            "OTEL_TRACES_SAMPLER",
            "jaeger_remote",
            "error: OTEL_TRACES_SAMPLER = \"jaeger_remote\" is not supported; use always_on, \
             always_off, traceidratio, parentbased_always_on, parentbased_always_off, \
             parentbased_traceidratio",
        ),
        (
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
            "hunter2",
            "error: OTEL_EXPORTER_OTLP_TRACES_HEADERS = (hidden) has an item without =",
        ),
        (
            "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
            "collector:4318",
            "error: OTEL_EXPORTER_OTLP_LOGS_ENDPOINT = \"collector:4318\" does not begin with \
             http:// or https://",
        ),
    ] {
        assert_eq!(resolve("", &[base, (name, value)]).unwrap_err(), expected);
    }
    let shared = resolve("", &[("OTEL_EXPORTER_OTLP_HEADERS", "hunter2")]).unwrap_err();
    assert!(!shared.contains("hunter2") && shared.contains("telemetry.headers"), "{shared}");
    let with_password = "http://me:hunter2@x";
    for error in [
        resolve("", &[("OTEL_EXPORTER_OTLP_ENDPOINT", with_password)]),
        resolve("", &[("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", with_password)]),
        resolve(&format!("endpoint = {with_password:?}"), &[]),
    ] {
        let error = error.unwrap_err();
        assert!(error.contains("(hidden) holds a user or a password"), "{error}");
    }
}

#[test]
fn a_preset_knows_place_header_and_temporality() {
    let of = |keys: &str| resolve(keys, &[]).unwrap().otel;
    let elastic = of("preset = \"elastic\"\nkey = \"hunter2\"\nendpoint = \"http://apm:8200\"");
    let traces = elastic.traces.unwrap();
    assert_eq!(traces.url, "http://apm:8200/v1/traces");
    assert_eq!(headers(&traces), [("authorization", "Bearer hunter2")]);
    assert!(elastic.delta);
    let with_scheme = of("preset = \"elastic\"\nkey = \"ApiKey abc==\"").traces.unwrap();
    assert_eq!(headers(&with_scheme), [("authorization", "ApiKey abc==")]);
    let agent = of("preset = \"datadog-agent\"");
    assert_eq!(agent.metrics.unwrap().url, "http://localhost:4318/v1/metrics");
    assert!(agent.delta);
    let place = "endpoint = \"http://s/api/1/integration/otlp\"";
    let sentry = of(&format!("preset = \"sentry\"\nkey = \"abc\"\n{place}"));
    assert_eq!(headers(&sentry.logs.unwrap()), [("x-sentry-auth", "sentry sentry_key=abc")]);
    assert!(sentry.metrics.is_none() && !sentry.delta);
    let nowhere = resolve("preset = \"sentry\"", &[]).unwrap_err();
    assert!(nowhere.contains("does not say to which project"), "{nowhere}");
}

#[cfg(feature = "tls")]
#[test]
fn presets_of_clouds_go_there_over_tls() {
    let of = |keys: &str| resolve(keys, &[]).unwrap().otel;
    let relic = of("preset = \"newrelic\"\nkey = \"abc\"");
    let traces = relic.traces.unwrap();
    assert_eq!(traces.url, "https://otlp.nr-data.net/v1/traces");
    assert_eq!((headers(&traces), relic.delta), (vec![("api-key", "abc")], true));
    let datadog = of("preset = \"datadog\"\nkey = \"abc\"").metrics.unwrap();
    assert_eq!(datadog.url, "https://otlp.datadoghq.com/v1/metrics");
    assert_eq!(headers(&datadog), [("dd-api-key", "abc")]);
}

#[cfg(not(feature = "tls"))]
#[test]
fn without_tls_an_address_that_needs_it_names_the_feature() {
    let error = resolve("endpoint = \"https://x\"", &[]).unwrap_err();
    assert!(error.contains("needs the feature tls"), "{error}");
}

#[test]
fn the_sampler_is_the_keys_or_else_the_variables() {
    let of = |keys: &str, env: &[(&str, &str)]| {
        let sampler = resolve(keys, env).unwrap().otel.sampler;
        (sampler.parent_based, sampler.ratio)
    };
    assert_eq!(of("", &[]), (true, 1.0));
    let quarter = [("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0.25")];
    assert_eq!(of("", &quarter), (false, 0.25));
    assert_eq!(of("sample = 0.5", &quarter), (false, 0.5));
    assert_eq!(of("", &[("OTEL_TRACES_SAMPLER", "parentbased_always_off")]), (true, 0.0));
    let propagators = [("OTEL_PROPAGATORS", "b3,baggage")];
    let config = resolve("", &propagators).unwrap();
    assert!(!config.otel.propagates);
    assert_eq!(config.warnings.len(), 2);
}

#[test]
fn what_is_set_is_shown_without_secrets() {
    let env = [
        ("OTEL_SERVICE_NAME", "shop"),
        ("OTEL_EXPORTER_OTLP_LOGS_HEADERS", "api-key=hunter2"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=hunter2"),
        ("OTEL_RESOURCE_ATTRIBUTES", "team=a%20b,region=eu"),
    ];
    let config = resolve("", &env).unwrap();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(config.otel.attributes, [pair("team", "a b"), pair("region", "eu")]);
    let shown = crate::config::render::effective_toml(&config);
    assert!(shown.contains("# OTEL_SERVICE_NAME = \"shop\""), "{shown}");
    assert!(shown.contains("# OTEL_EXPORTER_OTLP_LOGS_HEADERS = \"(hidden)\""), "{shown}");
    let json = crate::config::render::effective_json(&config);
    for text in [shown, json, format!("{config:?}"), format!("{:?}", config.otel)] {
        assert!(!text.contains("hunter2"), "{text}");
    }
}
