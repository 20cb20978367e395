//! Heads through the judge of their framing.

use crate::measure::Row;
use mainstay::inside::Heads;

const SHORT: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n";
const LONG: &[u8] = b"GET /catalogue/lamps/1042?color=red&page=2 HTTP/1.1\r\n\
    Host: shop.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
    Accept-Language: en-US,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Referer: https://shop.example.com/catalogue/lamps?page=2\r\n\
    Connection: keep-alive\r\n\
    Cookie: session=5d41402abc4b2a76b9719d911017c592\r\n\r\n";

/// A short head and a browser's.
pub(crate) fn rows() -> [Row<'static>; 2] {
    [
        ("head", "(head judged: GET / and Host)", SHORT),
        ("head-rich", "(head judged: browser)", LONG),
    ]
    .map(|(key, what, head)| {
        let mut heads = Heads::new();
        let once = move || {
            assert_eq!(heads.feed(std::hint::black_box(head)), head.len(), "a good head");
        };
        Row { key, what, bytes: head.len(), once: Box::new(once) }
    })
}
