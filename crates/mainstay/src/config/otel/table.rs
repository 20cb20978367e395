//! The variables of OpenTelemetry that count beside the keys, as docs/config.md lists them.

/// A variable of OpenTelemetry.
#[derive(Debug)]
pub(crate) struct Variable {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its value is never shown.
    pub(crate) secret: bool,
    /// What it says.
    #[cfg(test)]
    pub(crate) doc: &'static str,
}

macro_rules! variables {
    ($($(#[doc = $doc:literal])+ $name:literal $($secret:ident)?;)*) => {
        /// All of them.
        pub(crate) static VARIABLES: &[Variable] = &[$(Variable {
            name: $name,
            secret: !concat!($(stringify!($secret))?).is_empty(),
            #[cfg(test)]
            doc: concat!($($doc),+),
        }),*];
    };
}

variables! {
    /// `true`: nothing is sent.
    "OTEL_SDK_DISABLED";
    /// Name of the service, in place of `server.name`.
    "OTEL_SERVICE_NAME";
    /// What is told of the service: `name=value`, joined by commas, percent-encoded.
    "OTEL_RESOURCE_ATTRIBUTES";
    /// `otlp` or `none`; `otlp` without an endpoint means `http://localhost:4318`.
    "OTEL_TRACES_EXPORTER";
    /// As for traces.
    "OTEL_METRICS_EXPORTER";
    /// As for traces.
    "OTEL_LOGS_EXPORTER";
    /// `http/protobuf`, which is the only one spoken.
    "OTEL_EXPORTER_OTLP_PROTOCOL";
    /// As above, for traces.
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL";
    /// As above, for metrics.
    "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL";
    /// As above, for logs.
    "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL";
    /// Where traces go, as it stands: nothing is put behind it.
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
    /// Where metrics go, as it stands.
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT";
    /// Where logs go, as it stands.
    "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT";
    /// Headers for traces, in place of `telemetry.headers`.
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS" secret;
    /// Headers for metrics, in place of `telemetry.headers`.
    "OTEL_EXPORTER_OTLP_METRICS_HEADERS" secret;
    /// Headers for logs, in place of `telemetry.headers`.
    "OTEL_EXPORTER_OTLP_LOGS_HEADERS" secret;
    /// `gzip` or `none`, which is the default.
    "OTEL_EXPORTER_OTLP_COMPRESSION";
    /// As above, for traces.
    "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION";
    /// As above, for metrics.
    "OTEL_EXPORTER_OTLP_METRICS_COMPRESSION";
    /// As above, for logs.
    "OTEL_EXPORTER_OTLP_LOGS_COMPRESSION";
    /// Milliseconds that an answer may take; 10000.
    "OTEL_EXPORTER_OTLP_TIMEOUT";
    /// As above, for traces.
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT";
    /// As above, for metrics.
    "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT";
    /// As above, for logs.
    "OTEL_EXPORTER_OTLP_LOGS_TIMEOUT";
    /// `cumulative`, `delta` or `lowmemory` (as delta, since nothing here is measured otherwise).
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
    /// `explicit_bucket_histogram`, which is the default, or `base2_exponential_bucket_histogram`.
    "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION";
    /// Milliseconds between two exports of metrics; 60000.
    "OTEL_METRIC_EXPORT_INTERVAL";
    /// `always_on`, `always_off`, `traceidratio`, or one of them with `parentbased_` before it;
    /// `telemetry.sample`, where it is set, is stronger.
    "OTEL_TRACES_SAMPLER";
    /// The ratio of the sampler.
    "OTEL_TRACES_SAMPLER_ARG";
    /// Milliseconds that spans wait for company; 1000.
    "OTEL_BSP_SCHEDULE_DELAY";
    /// Most hand-overs of spans in one request, 1 to 512.
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE";
    /// Milliseconds that log records wait for company; 1000.
    "OTEL_BLRP_SCHEDULE_DELAY";
    /// Most log records in one request, 1 to 512.
    "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE";
    /// Methods that spans name, joined by commas, in place of those that are known; others are
    /// `_OTHER`.
    "OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS";
    /// `tracecontext`, or `none`: callers' traces are not taken up. Others are not spoken, which is told.
    "OTEL_PROPAGATORS";
}
