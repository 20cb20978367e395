//! The requests of which lines are made.

use mainstay::inside::Sample;

const AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0";

/// Four headers, as of a plain client behind a proxy.
const FEW: &[(&str, &str)] = &[
    ("host", "shop.example.com"),
    ("user-agent", "curl/8.17.0"),
    ("accept", "*/*"),
    ("x-forwarded-for", "203.0.113.9"),
];

/// What a browser sends.
const MANY: &[(&str, &str)] = &[
    ("host", "shop.example.com"),
    ("user-agent", AGENT),
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("accept-language", "en-US,en;q=0.5"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("referer", "https://shop.example.com/catalogue/lamps?page=2"),
    ("connection", "keep-alive"),
    ("cookie", "session=5d41402abc4b2a76b9719d911017c592"),
];

/// A line of about 570 bytes in ECS: without service, trace and browser.
pub(crate) const PLAIN: Sample<'static> = Sample {
    target: "/",
    headers: &[
        ("host", "a.example"),
        ("accept", "*/*"),
        ("accept-encoding", "gzip"),
        ("x-forwarded-for", "203.0.113.9"),
    ],
    peer: "",
    host: "",
    trace: ("", ""),
    id: "",
    service: ["", "", "", "", ""],
};

/// The same request with all that is known of it and of the service, four headers.
pub(crate) const USUAL: Sample<'static> = Sample {
    target: "/catalogue/lamps/1042?color=red&page=2",
    headers: FEW,
    peer: "203.0.113.9",
    host: "shop.example.com",
    trace: ("", ""),
    id: "019aa8b4-3f5c-7d2e-9a1b-6c7d8e9fa0b1",
    service: ["shop", "1.2.3", "", "", ""],
};

/// A browser's request within a trace, to a service of which everything is known.
pub(crate) const RICH: Sample<'static> = Sample {
    headers: MANY,
    trace: ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"),
    service: ["shop", "1.2.3", "production", "shop@web-1", "web-1"],
    ..USUAL
};
