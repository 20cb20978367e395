//! Gunicorn's settings and hooks, and what became of each.

use super::python::Value as Python;
use toml::Value;

/// What becomes of a setting.
pub(crate) enum Way {
    /// A key, a remark that stands before it, and how its value is read.
    Key(&'static str, &'static str, fn(&Python) -> Result<Value, &'static str>),
    /// Nothing; why, and what to do.
    Gone(&'static str),
}

pub(crate) struct Row {
    name: &'static str,
    pub(crate) way: Way,
}

/// The row of a setting or a hook.
pub(crate) fn find(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|it| it.name == name)
}

const OTHER: &str = "its value is of another type than Gunicorn's";

fn count(value: &Python) -> Result<Value, &'static str> {
    match value {
        Python::Int(number) => Ok(Value::Integer(*number)),
        _ => Err(OTHER),
    }
}

fn workers(value: &Python) -> Result<Value, &'static str> {
    match value {
        Python::Cores => Ok(Value::String("auto".to_owned())),
        other => count(other),
    }
}

fn seconds(value: &Python) -> Result<Value, &'static str> {
    match value {
        Python::Int(number) => Ok(Value::String(format!("{number}s"))),
        Python::Float(number) => Ok(Value::String(format!("{:.0}ms", number * 1e3))),
        _ => Err(OTHER),
    }
}

fn text(value: &Python) -> Result<Value, &'static str> {
    match value {
        Python::Text(text) => Ok(Value::String(text.clone())),
        Python::None => Ok(Value::String(String::new())),
        _ => Err(OTHER),
    }
}

fn texts(value: &Python) -> Result<Value, &'static str> {
    match value {
        Python::List(items) => items.iter().map(text).collect::<Result<_, _>>().map(Value::Array),
        other => text(other),
    }
}

/// A list in one text, as Gunicorn itself has it.
fn joined(value: &Python) -> Result<Value, &'static str> {
    match text(value)? {
        Value::String(all) if all.trim() == "*" => Err(
            "* would let every client name any address its own; name your proxies in proxy.trusted",
        ),
        value => Ok(value),
    }
}

fn access(value: &Python) -> Result<Value, &'static str> {
    text(value)
        .map(|it| if it.as_str() == Some("-") { Value::String("stdout".to_owned()) } else { it })
}

fn error(value: &Python) -> Result<Value, &'static str> {
    text(value)
        .map(|it| if it.as_str() == Some("-") { Value::String("stderr".to_owned()) } else { it })
}

fn protocol(value: &Python) -> Result<Value, &'static str> {
    let protocol = match value {
        Python::Bool(true) => "auto",
        Python::Bool(false) | Python::None => "off",
        Python::Text(version) if version == "v1" || version == "v2" => version,
        Python::Text(_) => "auto",
        _ => return Err(OTHER),
    };
    Ok(Value::String(protocol.to_owned()))
}

const fn key(
    name: &'static str,
    path: &'static str,
    remark: &'static str,
    read: fn(&Python) -> Result<Value, &'static str>,
) -> Row {
    Row { name, way: Way::Key(path, remark, read) }
}

const fn gone(name: &'static str, why: &'static str) -> Row {
    Row { name, way: Way::Gone(why) }
}

const TLS: &str = "it speaks no TLS: put a proxy before it";
const ALWAYS: &str = "not needed: a reload boots new workers before old ones leave";
const BOOT: &str =
    "put it into the factory that mainstay::serve is given: it runs in each worker at its boot";
const WORKER: &str = "workers are asynchronous here; blocking work belongs into threads of its own";
const LOGGING: &str =
    "log.format and log.level take its place: text, gunicorn or ecs, of which levels";
const EVENT: &str =
    "each such event has a line in the error log and a count in mainstay_events_total";
const REQUEST: &str = "a layer of the application's router takes its place; access line, metrics and traces are there";

static ROWS: &[Row] = &[
    key("bind", "server.bind", "", texts),
    key("backlog", "server.backlog", "", count),
    key(
        "workers",
        "workers.count",
        "Workers are asynchronous: one for each core is enough (\"auto\").",
        workers,
    ),
    key("worker_connections", "http.max_connections", "", count),
    key("max_requests", "workers.max_requests", "", count),
    key("max_requests_jitter", "workers.max_requests_jitter", "", count),
    key(
        "timeout",
        "workers.timeout",
        "A heartbeat, for every kind of worker; http.request_timeout limits requests.",
        seconds,
    ),
    key("graceful_timeout", "workers.grace", "", seconds),
    key(
        "keepalive",
        "http.keep_alive",
        "Keep it above what the proxy keeps its connections open for.",
        seconds,
    ),
    key("limit_request_line", "http.limit_request_line", "", count),
    key("limit_request_fields", "http.limit_request_fields", "", count),
    key("limit_request_field_size", "http.limit_request_field_size", "", count),
    key("pidfile", "server.pidfile", "", text),
    key("proc_name", "server.name", "", text),
    key("control_socket", "server.control", "", text),
    key("accesslog", "log.access", "", access),
    key("access_log_format", "log.access_format", "", text),
    key("errorlog", "log.error", "", error),
    key("loglevel", "log.level", "", text),
    key("statsd_host", "metrics.statsd", "", text),
    key("statsd_prefix", "metrics.statsd_prefix", "", text),
    key("dogstatsd_tags", "metrics.dogstatsd_tags", "", text),
    key(
        "forwarded_allow_ips",
        "proxy.trusted",
        "They also say who the client is, which Gunicorn left to the application.",
        joined,
    ),
    key("proxy_protocol", "proxy.protocol", "", protocol),
    gone("proxy_allow_ips", "proxies that speak the PROXY protocol are those of proxy.trusted"),
    gone("secure_scheme_headers", "X-Forwarded-Proto of a trusted proxy is read; others are not"),
    gone("forwarder_headers", "X-Forwarded-Prefix and its like reach the application as they are"),
    gone("header_map", "headers reach the application as they are"),
    gone(
        "threads",
        "workers.threads are threads of an asynchronous runtime, which serves many requests on each",
    ),
    gone("worker_class", WORKER),
    gone("worker_tmp_dir", "heartbeats are in shared memory"),
    gone("tmp_upload_dir", "bodies are streamed to the application"),
    gone("preload_app", ALWAYS),
    gone("reload", "use cargo watch, or the like"),
    gone("reload_engine", "see reload"),
    gone("reload_extra_files", "see reload"),
    gone(
        "reuse_port",
        "not needed: workers share one listener, which loses nothing when they are replaced",
    ),
    gone("sendfile", "it is the application's affair"),
    gone("daemon", "let systemd, a container or the like run it"),
    gone("user", "let systemd, a container or the like choose it"),
    gone("group", "let systemd, a container or the like choose it"),
    gone("initgroups", "let systemd, a container or the like choose them"),
    gone("umask", "let systemd, a container or the like choose it"),
    gone("chdir", "start it there, or set WorkingDirectory= of the unit"),
    gone("pythonpath", "there is no Python"),
    gone("paste", "there is no Python"),
    gone("wsgi_app", "the application is the program that calls mainstay::serve"),
    gone("raw_env", "set variables in the unit, the container or the shell"),
    gone("raw_paste_global_conf", "there is no Python"),
    gone("print_config", "use the command config"),
    gone("check_config", "use the command check"),
    gone("spew", "use log-level debug"),
    gone(
        "capture_output",
        "what the application writes itself goes where its standard output goes",
    ),
    gone("logger_class", LOGGING),
    gone("logconfig", LOGGING),
    gone("logconfig_dict", LOGGING),
    gone("logconfig_json", LOGGING),
    gone(
        "disable_redirect_access_to_syslog",
        "it does not write to syslog; contrib/rsyslog reads its files",
    ),
    gone("syslog", "it does not write to syslog; contrib/rsyslog reads its files"),
    gone("syslog_addr", "see syslog"),
    gone("syslog_prefix", "see syslog"),
    gone("syslog_facility", "see syslog"),
    gone("enable_stdio_inheritance", "not needed"),
    gone("certfile", TLS),
    gone("keyfile", TLS),
    gone("ca_certs", TLS),
    gone("cert_reqs", TLS),
    gone("ssl_version", TLS),
    gone("ssl_context", TLS),
    gone("ciphers", TLS),
    gone("do_handshake_on_connect", TLS),
    gone("suppress_ragged_eofs", TLS),
    gone("on_starting", EVENT),
    gone("on_reload", EVENT),
    gone("when_ready", "health.ready_path answers 200, and systemd is told READY"),
    gone("pre_fork", BOOT),
    gone("post_fork", BOOT),
    gone("post_worker_init", BOOT),
    gone("worker_int", EVENT),
    gone("worker_abort", EVENT),
    gone("pre_exec", EVENT),
    gone("pre_request", REQUEST),
    gone("post_request", REQUEST),
    gone(
        "child_exit",
        "not needed: metrics of all workers are in one place, and none is lost with a worker",
    ),
    gone("worker_exit", EVENT),
    gone("nworkers_changed", EVENT),
    gone("on_exit", EVENT),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys;

    #[test]
    fn each_row_leads_to_a_key_that_there_is_and_stands_once() {
        let mut names: Vec<_> = ROWS.iter().map(|it| it.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ROWS.len());
        for row in ROWS {
            if let Way::Key(path, ..) = row.way {
                assert!(keys::find(path).is_some(), "{path}");
            }
        }
    }
}
