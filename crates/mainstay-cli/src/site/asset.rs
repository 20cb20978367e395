//! The embedded files: style, script, icon.

use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// One embedded file with its media type and a strong entity tag.
#[derive(Debug)]
struct Asset {
    name: &'static str,
    text: &'static str,
    media_type: &'static str,
    tag: u64,
}

static ASSETS: [Asset; 3] = [
    Asset::new("site.css", include_str!("assets/site.css"), "text/css; charset=utf-8"),
    Asset::new("site.js", include_str!("assets/site.js"), "text/javascript; charset=utf-8"),
    Asset::new("icon.svg", include_str!("assets/icon.svg"), "image/svg+xml"),
];

/// `GET /assets/{name}`
pub(crate) async fn serve(Path(name): Path<String>, headers: HeaderMap) -> Response {
    match ASSETS.iter().find(|asset| asset.name == name) {
        Some(asset) => asset.answer(&headers),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

impl Asset {
    const fn new(name: &'static str, text: &'static str, media_type: &'static str) -> Asset {
        Asset { name, text, media_type, tag: fingerprint(text.as_bytes()) }
    }

    /// The file, or 304 when the browser already holds these bytes.
    ///
    /// Always revalidated: during a reload two generations answer side by side, and a page of the
    /// new one must never be left with a cached script of the old one.
    fn answer(&self, request: &HeaderMap) -> Response {
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
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn a_browser_that_holds_the_file_is_answered_without_a_body() {
        let first = ASSETS[0].answer(&HeaderMap::new());
        assert_eq!(first.status(), StatusCode::OK);
        let mut request = HeaderMap::new();
        request.insert(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone());
        assert_eq!(ASSETS[0].answer(&request).status(), StatusCode::NOT_MODIFIED);
        request.insert(header::IF_NONE_MATCH, HeaderValue::from_static("\"another\""));
        assert_eq!(ASSETS[0].answer(&request).status(), StatusCode::OK);
    }

    #[test]
    fn what_a_page_loads_stays_below_sixteen_kilobytes() {
        let bytes: usize = ASSETS.iter().map(|asset| asset.text.len()).sum();
        assert!(bytes < 16_000, "{bytes} bytes");
    }
}
