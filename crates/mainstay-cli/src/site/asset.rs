//! The embedded files: style, script, icon.

use axum::{
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};

/// One embedded file with its media type and a strong entity tag.
#[derive(Debug)]
pub(super) struct Asset {
    text: &'static str,
    media_type: &'static str,
    tag: u64,
}

pub(super) static STYLE: Asset =
    Asset::new(include_str!("assets/site.css"), "text/css; charset=utf-8");
pub(super) static SCRIPT: Asset =
    Asset::new(include_str!("assets/site.js"), "text/javascript; charset=utf-8");
pub(super) static ICON: Asset = Asset::new(include_str!("assets/icon.svg"), "image/svg+xml");

impl Asset {
    const fn new(text: &'static str, media_type: &'static str) -> Asset {
        Asset { text, media_type, tag: fingerprint(text.as_bytes()) }
    }

    /// The file, or 304 when the browser already holds these bytes.
    ///
    /// Always revalidated: during a reload two generations answer side by side, and a page of the
    /// new one must never be left with a cached script of the old one.
    pub(super) fn answer(&self, request: &HeaderMap) -> Response {
        let tag = format!("\"{:016x}\"", self.tag);
        let held = request
            .get(header::IF_NONE_MATCH)
            .is_some_and(|value| value.as_bytes() == tag.as_bytes());
        let caching = [(header::ETAG, tag), (header::CACHE_CONTROL, "no-cache".to_owned())];
        if held {
            return (StatusCode::NOT_MODIFIED, caching).into_response();
        }
        (caching, [(header::CONTENT_TYPE, self.media_type)], self.text).into_response()
    }
}

/// FNV-1a: changes when the file changes, which is all that an entity tag needs, and is computed by
/// the compiler.
const fn fingerprint(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut at = 0;
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0100_0000_01b3);
        at += 1;
    }
    hash
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_browser_that_holds_the_file_is_answered_without_a_body() {
        let first = STYLE.answer(&HeaderMap::new());
        assert_eq!(first.status(), StatusCode::OK);
        let mut request = HeaderMap::new();
        request.insert(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone());
        assert_eq!(STYLE.answer(&request).status(), StatusCode::NOT_MODIFIED);
        request.insert(header::IF_NONE_MATCH, HeaderValue::from_static("\"another\""));
        assert_eq!(STYLE.answer(&request).status(), StatusCode::OK);
    }

    #[test]
    fn all_assets_together_stay_below_fifteen_kilobytes() {
        let templates = [include_str!("assets/page.html"), include_str!("assets/missing.html")];
        let embedded = [&STYLE, &SCRIPT, &ICON].map(|asset| asset.text);
        let bytes: usize = templates.iter().chain(&embedded).map(|text| text.len()).sum();
        assert!(bytes < 15_000, "{bytes} bytes");
    }
}
