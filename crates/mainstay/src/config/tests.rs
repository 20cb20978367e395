//! Tests of the whole configuration: the corpus in tests/config, the layers, what is printed.

use super::*;
use proptest::prelude::*;
use std::{collections::BTreeSet, fs, path::Path, time::Duration};

/// One file of the corpus: its text and what its head asks for.
struct Case {
    name: String,
    sources: Sources,
    expected: Vec<String>,
}

/// All files of the corpus with this ending, in the order of their names.
fn corpus(ending: &str) -> Vec<Case> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/config");
    let files = fs::read_dir(directory).expect("the corpus is part of the tree");
    let names: BTreeSet<String> = files
        .map(|it| it.expect("a readable directory").file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(ending))
        .collect();
    names.into_iter().map(|name| case(Path::new(directory), name)).collect()
}

fn case(directory: &Path, name: String) -> Case {
    let text = fs::read_to_string(directory.join(&name)).expect("a file of the corpus is text");
    let mut sources = Sources::default();
    let mut expected = Vec::new();
    for line in text.lines() {
        let pair = |it: &str| {
            let (name, value) = it.split_once('=').expect("NAME=value");
            (name.to_owned(), value.to_owned())
        };
        if let Some(it) = line.strip_prefix("# expect: ") {
            expected.push(it.to_owned());
        } else if let Some(it) = line.strip_prefix("# env: ") {
            sources.env.push(pair(it));
        } else if let Some(it) = line.strip_prefix("# flag: ") {
            let (path, value) = pair(it);
            sources.flags.push((keys::find(&path).expect("a flag of a known key").path, value));
        }
    }
    assert!(!expected.is_empty(), "{name} expects nothing");
    sources.file = Some((PathBuf::from("mainstay.toml"), text));
    Case { name, sources, expected }
}

/// Everything that a configuration says, in the form that the corpus expects.
fn told(config: &Config) -> Vec<String> {
    let mut lines: Vec<String> = config
        .effective()
        .iter()
        .map(|it| format!("{} = {} <- {}", it.key.path, it.shown(), it.origin))
        .collect();
    lines.extend(config.warnings.iter().map(|it| format!("warning: {it}")));
    if config.warnings.is_empty() {
        lines.push("no warning".to_owned());
    }
    lines
}

fn of_file(text: &str) -> Sources {
    Sources { file: Some((PathBuf::from("mainstay.toml"), text.to_owned())), ..Sources::default() }
}

#[test]
fn every_good_file_resolves_to_what_its_head_says() {
    let cases = corpus(".good.toml");
    assert!(cases.len() >= 12, "the corpus has shrunk to {}", cases.len());
    for case in cases {
        let config = Config::resolve(&case.sources);
        let config = config.unwrap_or_else(|error| panic!("{}:\n{error}", case.name));
        let told = told(&config);
        for line in &case.expected {
            let found = told.iter().any(|it| it.starts_with(line.as_str()));
            assert!(found, "{}: no line `{line}` in\n{}", case.name, told.join("\n"));
        }
    }
}

#[test]
fn every_bad_file_is_refused_with_exactly_the_problems_its_head_says() {
    let cases = corpus(".bad.toml");
    assert!(cases.len() >= 30, "the corpus has shrunk to {}", cases.len());
    for case in cases {
        let error = match Config::resolve(&case.sources) {
            Err(error) => error.to_string(),
            Ok(config) => panic!("{} is accepted:\n{}", case.name, told(&config).join("\n")),
        };
        let lines: Vec<&str> = error.lines().collect();
        assert_eq!(lines.len(), case.expected.len(), "{}:\n{error}", case.name);
        for (line, expected) in lines.iter().zip(&case.expected) {
            assert!(
                line.starts_with(expected.as_str()),
                "{}: `{expected}` is not\n{line}",
                case.name
            );
        }
        assert!(!error.contains("hunter2") && !error.contains("secret"), "a secret in {error}");
    }
}

#[test]
fn the_defaults_are_those_of_the_table() {
    let config = Config::resolve(&Sources::default()).unwrap();
    assert_eq!(config.server.bind, [Bind::Tcp { host: "127.0.0.1".to_owned(), port: 8000 }]);
    assert_eq!(config.server.name, None);
    assert_eq!(config.workers.count, Count::Auto);
    assert_eq!(config.workers.max_requests, None);
    assert_eq!(config.workers.timeout, Some(Duration::from_secs(30)));
    assert_eq!(config.health.drain_delay, AutoDuration::Auto);
    assert_eq!(config.log.level, Level::Info);
    assert!(config.http.h2);
}

#[test]
fn zero_means_off_where_the_table_says_so() {
    let text = "[workers]\nmax_requests = 0\nlifetime = 0\nmax_rss = 0\ntimeout = \"0s\"";
    let workers = Config::resolve(&of_file(text)).unwrap().workers;
    assert_eq!((workers.max_requests, workers.max_rss), (None, None));
    assert_eq!((workers.lifetime, workers.timeout), (None, None));
}

#[test]
fn the_application_stands_below_the_file() {
    let sources = Sources {
        app_defaults: Some(
            "[workers]\ncount = 3\nthreads = 3\n[app]\nx = 1\ny = { a = 1, b = 1 }".to_owned(),
        ),
        ..of_file("[workers]\ncount = 2\n[app]\ny.b = 2")
    };
    let config = Config::resolve(&sources).unwrap();
    assert_eq!((config.workers.count, config.workers.threads), (Count::Fixed(2), 3));
    assert_eq!(config.app["x"].as_integer(), Some(1));
    assert_eq!(config.app["y"]["a"].as_integer(), Some(1));
    assert_eq!(config.app["y"]["b"].as_integer(), Some(2));
    let told = told(&config).join("\n");
    assert!(told.contains("workers.threads = 3 <- application's defaults:3"), "{told}");
}

#[test]
fn a_mistake_in_the_application_names_the_application() {
    let sources = Sources { app_defaults: Some("\n[worker]".to_owned()), ..Sources::default() };
    let error = Config::resolve(&sources).unwrap_err().to_string();
    let expected =
        "error: application's defaults:2: unknown section \"worker\"; did you mean [workers]?";
    assert_eq!(error, expected);
}

#[test]
fn only_changed_keys_are_reported_as_changed() {
    let old = Config::resolve(&of_file("[workers]\ncount = 2\ntimeout = \"60s\"")).unwrap();
    let new =
        Config::resolve(&of_file("[server]\nbacklog = 9\n[workers]\ntimeout = \"1m\"\ncount = 3"));
    let changed: Vec<&str> = old.changed(&new.unwrap()).iter().map(|key| key.path).collect();
    assert_eq!(changed, ["server.backlog", "workers.count"]);
}

#[test]
fn the_application_s_values_are_shown_nowhere() {
    let text = "[app]\npassword = \"hunter2\"\n[app.mail]\ntoken = \"hunter2\"";
    let config = Config::resolve(&of_file(text)).unwrap();
    let all =
        [format!("{config:?}"), render::effective_toml(&config), render::effective_json(&config)];
    for text in all {
        assert!(!text.contains("hunter2"), "{text}");
    }
    assert!(render::effective_toml(&config).contains("# mail.token = …  # mainstay.toml:4"));
}

#[test]
fn files_named_by_the_application_fill_its_keys() {
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("secret");
    fs::write(&secret, " hunter2\n").unwrap();
    let text = format!(
        "[app]\nkey_file = {secret:?}\n[app.mail]\ntoken_file = {secret:?}\ncount_file = 1"
    );
    let mut config = Config::resolve(&of_file(&text)).unwrap();
    file::fill_app(&mut config.app, &config.app_origins).unwrap();
    assert_eq!(config.app["key"].as_str(), Some("hunter2"));
    assert_eq!(config.app["mail"]["token"].as_str(), Some("hunter2"));
    assert!(config.app["mail"].get("count").is_none());
}

#[test]
fn a_file_that_the_application_names_and_nobody_can_read_is_told_with_its_line() {
    let text = "[app]\nkey_file = \"/nowhere/secret\"\na = \"1\"\na_file = \"x\"";
    let mut config = Config::resolve(&of_file(text)).unwrap();
    let error = file::fill_app(&mut config.app, &config.app_origins).unwrap_err().to_string();
    assert!(error.contains("error: mainstay.toml:2: app.key_file = \"/nowhere/secret\" cannot be read: no such file"), "{error}");
    assert!(
        error.contains("error: mainstay.toml:4: app.a_file = \"x\" stands beside app.a"),
        "{error}"
    );
}

#[test]
fn an_upper_layer_s_file_replaces_a_lower_layer_s_value() {
    let sources = Sources {
        app_defaults: Some("[app]\nkey = \"development\"\nurl_file = \"u\"".to_owned()),
        ..of_file("[app]\nkey_file = \"k\"\nurl = \"v\"")
    };
    let config = Config::resolve(&sources).unwrap();
    let names: Vec<&String> = config.app.keys().collect();
    assert_eq!(names, ["key_file", "url"]);
    let origins: Vec<&str> = config.app_origins.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(origins, ["app.key_file", "app.url"]);
}

#[test]
fn a_named_file_must_exist_and_the_unnamed_one_need_not() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("none.toml");
    let found = |flag: Option<&Path>, variable| file::find(flag, variable);
    let error = found(Some(&missing), None).unwrap_err().to_string();
    assert_eq!(error, format!("error: --config: cannot read {}: no such file", missing.display()));
    let error = found(None, Some(&missing)).unwrap_err().to_string();
    assert!(error.starts_with("error: MAINSTAY_CONFIG: cannot read"), "{error}");
    let error = found(Some(directory.path()), None).unwrap_err().to_string();
    assert!(error.ends_with("it is a directory"), "{error}");
    fs::write(&missing, b"\xff").unwrap();
    let error = found(Some(&missing), None).unwrap_err().to_string();
    assert!(error.ends_with("it is not UTF-8"), "{error}");
    fs::write(&missing, "x = 1").unwrap();
    assert_eq!(found(Some(&missing), None).unwrap(), Some((missing.clone(), "x = 1".to_owned())));
}

#[test]
fn the_printed_defaults_and_the_effective_configuration_resolve_to_themselves() {
    let defaults = Config::resolve(&Sources::default()).unwrap();
    let again = Config::resolve(&of_file(&render::default_toml())).unwrap();
    assert!(defaults.changed(&again).is_empty());

    let every = corpus("every_key.good.toml").remove(0);
    let config = Config::resolve(&every.sources).unwrap();
    let printed = render::effective_toml(&config);
    assert!(!printed.contains("hunter2"));
    let secret = config.database.url.as_ref().unwrap().expose();
    // A secret is told by its key alone, and each key's has a form of its own.
    let printed = printed
        .replacen("url = \"(hidden)\"", &format!("url = {secret:?}"), 1)
        .replace("url = \"(hidden)\"", "url = \"http://checks.example/ping/hunter2\"")
        .replace("dsn = \"(hidden)\"", "dsn = \"http://hunter2@sentry.example/1\"")
        .replace("receivers = \"(hidden)\"", "receivers = \"ops=http://hooks.example/hunter2\"")
        .replace("storage = \"(hidden)\"", "storage = \"memory://\"")
        .replace("headers = \"(hidden)\"", "headers = \"api-key=hunter2\"")
        .replace("key = \"(hidden)\"", "key = \"hunter2\"");
    let again = Config::resolve(&of_file(&printed)).unwrap();
    assert!(config.changed(&again).is_empty());
    assert_eq!((config.probes.len(), &config.probes), (1, &again.probes));
    assert_eq!(config.changed(&defaults).len(), keys::all().count(), "every_key misses a key");
}

#[test]
fn the_query_of_what_a_probe_asks_is_printed_nowhere() {
    let text = "[[probes]]\nname = \"one\"\nurl = \"http://a.example/x?token=hunter2\"\n";
    let config = Config::resolve(&of_file(text)).unwrap();
    let printed = [render::effective_toml(&config), render::effective_json(&config)].concat();
    assert!(
        !printed.contains("hunter2") && !format!("{config:?}").contains("hunter2"),
        "{printed}"
    );
    assert_eq!(printed.matches("http://a.example/x?(hidden)").count(), 2, "{printed}");
}

#[test]
fn headers_of_a_probe_are_taken_from_the_file_that_its_own_table_names() {
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("headers");
    fs::write(&secret, "Authorization=Bearer%20hunter2\n").unwrap();
    let probe = |name: &str| format!("[[probes]]\nname = \"{name}\"\nurl = \"http://a/\"\n");
    let text = format!("{}{}headers_file = {secret:?}\n", probe("one"), probe("two"));
    let sources = of_file(&text);
    let found = file::secrets(&Config::resolve(&sources).unwrap()).unwrap();
    assert!(!format!("{found:?}").contains("hunter2"));
    let config = Config::resolve(&Sources { secrets: found, ..sources }).unwrap();
    let headers: Vec<_> = config.probes.iter().map(|it| &it.headers[..]).collect();
    let [[], [(name, value)]] = headers[..] else { panic!("{headers:?}") };
    assert_eq!((&**name, value.expose()), ("Authorization", "Bearer hunter2"));
    let shown = format!("{config:?}{}", render::effective_toml(&config));
    assert!(shown.contains("headers_file") && !shown.contains("hunter2"), "{shown}");
    let both = of_file(&format!("{text}headers = \"A=b\"\n"));
    let error = file::secrets(&Config::resolve(&both).unwrap()).unwrap_err().to_string();
    assert!(error.contains("stands beside probes.headers; give one of the two"), "{error}");
    fs::write(&secret, "hunter2").unwrap();
    let sources = of_file(&text);
    let found = file::secrets(&Config::resolve(&sources).unwrap()).unwrap();
    let error = Config::resolve(&Sources { secrets: found, ..sources }).unwrap_err().to_string();
    assert!(
        error.contains("mainstay.toml:7: probes.headers") && !error.contains("hunter2"),
        "{error}"
    );
}

#[test]
fn a_secret_is_taken_from_the_file_that_is_named_and_shown_nowhere() {
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("url");
    fs::write(&secret, " postgres://shop:hunter2@db.example/shop\n").unwrap();
    let text = format!("[database]\nurl_file = {secret:?}");
    let sources = of_file(&text);
    let found = file::secrets(&Config::resolve(&sources).unwrap()).unwrap();
    let config = Config::resolve(&Sources { secrets: found, ..sources }).unwrap();
    let url = config.database.url.as_ref().unwrap();
    assert_eq!(url.expose(), "postgres://shop:hunter2@db.example/shop");
    let shown = format!("{config:?}{}{:?}", render::effective_toml(&config), config.effective());
    assert!(shown.contains("(hidden)"));
    assert!(
        !render::effective_toml(&config).contains("hunter2")
            && !format!("{config:?}").contains("hunter2")
    );

    let both = of_file(&format!("{text}\nurl = \"sqlite:a.db\""));
    let error = file::secrets(&Config::resolve(&both).unwrap()).unwrap_err().to_string();
    assert!(error.contains("stands beside database.url; give one of the two"), "{error}");
    let missing = of_file("[database]\nurl_file = \"/nowhere/secret\"");
    let error = file::secrets(&Config::resolve(&missing).unwrap()).unwrap_err().to_string();
    assert!(
        error.contains("database.url_file = \"/nowhere/secret\" cannot be read: no such file"),
        "{error}"
    );
    fs::write(&secret, "oracle://hunter2").unwrap();
    let sources = of_file(&text);
    let found = file::secrets(&Config::resolve(&sources).unwrap()).unwrap();
    let error = Config::resolve(&Sources { secrets: found, ..sources }).unwrap_err().to_string();
    assert!(
        error.contains("mainstay.toml:2: database.url = (hidden) is of no database"),
        "{error}"
    );
}

#[test]
fn the_reference_page_is_the_one_of_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/config.md");
    let page = page::markdown();
    if env::blessed() {
        fs::write(path, &page).expect("docs/ is writable where the page is blessed");
    }
    let written = fs::read_to_string(path).unwrap_or_default();
    assert!(written == page, "docs/config.md is stale: run the tests with MAINSTAY_BLESS=1");
}

fn binds() -> impl Strategy<Value = Bind> {
    let host = prop_oneof![
        "[a-z][a-z0-9.-]{0,20}",
        any::<std::net::Ipv4Addr>().prop_map(|it| it.to_string()),
        any::<std::net::Ipv6Addr>().prop_map(|it| it.to_string())
    ];
    prop_oneof![
        (host, any::<u16>()).prop_map(|(host, port)| Bind::Tcp { host, port }),
        "/?[a-z][a-z/._-]{0,20}".prop_map(|path| Bind::Unix(PathBuf::from(path))),
        (0..=i32::MAX).prop_map(Bind::Fd),
    ]
}

proptest! {
    #[test]
    fn an_address_written_is_read_back(bind in binds()) {
        prop_assert_eq!(Bind::parse(&bind.to_string(), 8000), Ok(bind));
    }

    #[test]
    fn no_text_makes_the_reader_of_addresses_panic(text in "(unix:|fd://|\\[)?\\PC{0,12}(\\]|:)?[0-9]{0,6}") {
        if let Ok(bind) = Bind::parse(&text, 8000) {
            prop_assert_eq!(Bind::parse(&bind.to_string(), 8000), Ok(bind));
        }
    }

    #[test]
    fn no_file_makes_the_resolver_panic(text in "(\\[(server|workers|app|x)\\]\n)?(bind|count|app|timeout|\\PC{0,3}) ?= ?\\PC{0,12}\n?") {
        if let Err(error) = Config::resolve(&of_file(&text)) {
            prop_assert!(error.to_string().starts_with("error: mainstay.toml:"));
        }
    }

    #[test]
    fn no_variable_makes_the_resolver_panic(value in "\\PC{0,12}") {
        let env = keys::all().map(|key| (key.variable(), value.clone())).collect();
        if let Err(error) = Config::resolve(&Sources { env, ..Sources::default() }) {
            prop_assert!(error.to_string().starts_with("error: MAINSTAY_"));
        }
    }
}

#[test]
#[cfg(not(feature = "tls"))]
fn a_dsn_of_https_names_the_feature_that_it_needs() {
    let error = Config::resolve(&of_file("[sentry]\ndsn = \"https://hunter2@a.example/1\"\n"));
    let error = error.unwrap_err().to_string();
    assert!(error.contains("sentry.dsn = (hidden) ") && error.contains("feature tls"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}
