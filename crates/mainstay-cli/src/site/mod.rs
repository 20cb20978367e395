//! The built-in status site, written on mainstay's public API alone: routes, and the headers every
//! answer carries.
//!
//! | path | answer |
//! |---|---|
//! | `/` | the page, complete without script |
//! | `/status.json` | the same figures for programs, never cached |
//! | `/assets/…` | style, script, icon: embedded, revalidated by entity tag |

mod asset;
mod format;
mod page;

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::map_response,
    response::{Html, IntoResponse, Response},
    routing::get,
};
use mainstay::{BoxError, Worker};

use self::page::Pages;

/// Nothing is loaded from elsewhere and nothing inline runs, so text that slipped past escaping
/// would still be inert.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; \
     connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What every handler shares: where the figures come from, and the compiled templates.
#[derive(Clone)]
struct Site {
    worker: Worker,
    pages: Arc<Pages>,
}

/// Builds the site for one worker.
///
/// # Errors
/// When an embedded template does not compile. The worker then fails to boot, and a reload keeps the
/// old generation.
pub(crate) async fn app(worker: Worker) -> Result<Router, BoxError> {
    let pages = Arc::new(Pages::new()?);
    Ok(Router::new()
        .route("/", get(index))
        .route("/status.json", get(status))
        .route(
            "/assets/site.css",
            get(|headers: HeaderMap| async move { asset::STYLE.answer(&headers) }),
        )
        .route(
            "/assets/site.js",
            get(|headers: HeaderMap| async move { asset::SCRIPT.answer(&headers) }),
        )
        .route(
            "/assets/icon.svg",
            get(|headers: HeaderMap| async move { asset::ICON.answer(&headers) }),
        )
        .fallback(missing)
        .with_state(Site { worker, pages })
        .layer(map_response(harden)))
}

async fn index(State(site): State<Site>) -> Response {
    shaped(StatusCode::OK, site.pages.index(&site.worker.status()))
}

async fn missing(State(site): State<Site>) -> Response {
    shaped(StatusCode::NOT_FOUND, site.pages.missing())
}

async fn status(State(site): State<Site>) -> Response {
    match serde_json::to_string(&site.worker.status()) {
        Ok(json) => {
            ([(header::CONTENT_TYPE, "application/json"), NEVER_CACHED], json).into_response()
        }
        Err(_) => failed(),
    }
}

const NEVER_CACHED: (header::HeaderName, &str) = (header::CACHE_CONTROL, "no-store");

fn shaped(status: StatusCode, page: Result<String, minijinja::Error>) -> Response {
    match page {
        Ok(html) => (status, [NEVER_CACHED], Html(html)).into_response(),
        Err(_) => failed(),
    }
}

/// A page that does not render is a fault of this program; whoever asked is told no more than that.
fn failed() -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, [NEVER_CACHED], "The page could not be made.\n")
        .into_response()
}

async fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers
        .insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
