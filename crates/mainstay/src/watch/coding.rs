//! Answers in gzip, for whoever asks for it: RFC 9110, section 12.5.3.

use super::pace::Pace;
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, HeaderValue};
use std::io::Write;

/// So many bytes are compressed between two looks at the clock: some tens of microseconds.
const PART: usize = 16 * 1024;

/// Codes a body as the client likes it, and says so in the headers of the answer.
pub(super) fn code(
    body: String,
    asked: &HeaderMap,
    headers: &mut HeaderMap,
    pace: &mut Pace,
) -> Bytes {
    let values = asked.get_all(ACCEPT_ENCODING).iter();
    let accepts: Vec<_> = values.filter_map(|value| value.to_str().ok()).collect();
    match is_gzip(&accepts.join(",")).then(|| gzip(body.as_bytes(), pace)) {
        Some(coded) => {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            coded.into()
        }
        None => body.into(),
    }
}

/// Whether a client with this `Accept-Encoding` is sent gzip: it takes that, and likes nothing better that
/// there is.
fn is_gzip(accept: &str) -> bool {
    let (mut gzip, mut any, mut plain) = (None, None, 0.0);
    for range in accept.split(',') {
        let mut parts = range.split(';');
        let name = parts.next().unwrap_or_default().trim();
        let mut weights = parts.filter_map(|part| part.split_once('='));
        let weight = weights.find(|(key, _)| key.trim().eq_ignore_ascii_case("q"));
        let weight = weight.map_or(1.0, |(_, value)| value.trim().parse().unwrap_or(0.0));
        let weight = if (0.0..=1.0).contains(&weight) { weight } else { 0.0_f64 };
        if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") {
            gzip = Some(weight.max(gzip.unwrap_or(0.0)));
        } else if name == "*" {
            any = Some(weight);
        } else if name.eq_ignore_ascii_case("identity") {
            plain = weight;
        }
    }
    let gzip = gzip.or(any).unwrap_or(0.0);
    gzip > 0.0 && gzip >= plain
}

/// The fastest level: an exposition is nine tenths repetition, which any level finds.
fn gzip(bytes: &[u8], pace: &mut Pace) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 8), Compression::fast());
    for part in bytes.chunks(PART) {
        // Writing to memory does not fail.
        encoder.write_all(part).ok();
        pace.step();
    }
    encoder.finish().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn gzip_is_for_those_who_take_it_and_like_nothing_better() {
        for accept in [
            "gzip",
            "deflate, GZIP ;q=0.5",
            "x-gzip",
            "*",
            "br;q=1, *;q=0.1",
            "identity;q=0.5, gzip;q=1.0",
            "gzip;q=1, identity",
            "identity; q=0, *;q=0.3",
        ] {
            assert!(is_gzip(accept), "{accept}");
        }
        for accept in [
            "",
            "identity",
            "br, deflate",
            "gzip;q=0",
            "gzip;q=0.000",
            "*;q=1, gzip;q=0",
            "*;q=0",
            "gzip;q=0.5, identity;q=0.6",
            "gzip;q=x",
            "gzip;q=inf",
            "gzip;q=-1",
            "gzip;q=NaN",
            "gzipped",
        ] {
            assert!(!is_gzip(accept), "{accept}");
        }
    }

    #[test]
    fn what_is_coded_is_the_same_text() {
        let mut asked = HeaderMap::new();
        asked.append(ACCEPT_ENCODING, HeaderValue::from_static("br"));
        asked.append(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        let (text, mut headers) = ("x_total 1\n".repeat(10_000), HeaderMap::new());
        let coded = code(text.clone(), &asked, &mut headers, &mut Pace::easy());
        assert_eq!(headers.get(CONTENT_ENCODING).unwrap(), "gzip");
        assert!(coded.len() < text.len() / 50, "{}", coded.len());
        let mut read = String::new();
        flate2::read::GzDecoder::new(&*coded).read_to_string(&mut read).unwrap();
        assert!(read == text);
        let mut headers = HeaderMap::new();
        let pace = &mut Pace::hurried();
        assert_eq!(code("x".into(), &HeaderMap::new(), &mut headers, pace), "x");
        assert!(headers.is_empty());
    }
}
