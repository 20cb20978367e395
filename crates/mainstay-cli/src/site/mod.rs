//! The built-in status site, written on mainstay's public API alone: what it is made of, its routes, and
//! the headers every answer carries.
//!
//! | path | answer |
//! |---|---|
//! | `/`, `/history`, `/incidents/ID` | the public pages, complete without script |
//! | `/status.json`, `/feed.atom`, `/badge.svg`, `/badges/ID.svg` | the same for programs |
//! | `/attachments/ID` | files of published incidents |
//! | `/login`, `/logout`, `/setup/TOKEN` | the way in and out |
//! | `/operate/…` | pages of operators |
//! | `/assets/…` | style, script, icon: embedded, revalidated by entity tag |

mod asset;
mod auth;
mod board;
mod chart;
mod form;
mod format;
mod live;
mod markdown;
mod operate;
mod pages;
mod public;
mod sampler;
mod schema;
mod settings;
mod state;
mod store;
mod time;
mod upload;
mod view;

pub(crate) use pages::ERROR_PAGES;
pub(crate) use schema::MIGRATIONS;

use axum::extract::{FromRef, MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, map_response};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, extract::DefaultBodyLimit};
use board::Board;
use mainstay::security::{Login, Session};
use mainstay::{BoxError, Failure, RequestContext, Worker};
use pages::Pages;
use settings::Settings;
use std::sync::Arc;
use store::Db;
use upload::Uploads;

/// Nothing is loaded from elsewhere and nothing inline runs, so text that slipped past escaping
/// would still be inert.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; \
     connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Most bytes of a form.
const MOST_FORM: usize = 128 << 10;

/// What every handler shares.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    worker: Worker,
    db: Db,
    login: Login,
    board: Arc<Board>,
    pages: Arc<Pages>,
    uploads: Arc<Uploads>,
    settings: Arc<Settings>,
    title: Arc<str>,
}

impl FromRef<Site> for Db {
    fn from_ref(site: &Site) -> Db {
        site.db.clone()
    }
}

impl FromRef<Site> for Login {
    fn from_ref(site: &Site) -> Login {
        site.login.clone()
    }
}

/// Builds the site for one worker.
///
/// # Errors
/// When a setting, a template, the database or the directory of uploads cannot be used. The worker then
/// fails to boot, and a reload keeps the old generation.
pub(crate) async fn app(worker: Worker) -> Result<Router, BoxError> {
    let settings = worker.app_config::<Settings>()?.checked()?;
    let pages = Arc::new(Pages::new()?);
    let uploads = Arc::new(Uploads::open(&settings)?);
    worker.measure_directory(&settings.uploads)?;
    let db = worker.database().await?;
    let login = Login::open(&worker, &db).await?;
    let title = settings.title.clone().unwrap_or_else(|| worker.status().name);
    let site = Site {
        board: Arc::new(Board::new(db.clone())),
        settings: Arc::new(settings),
        title: title.into(),
        worker: worker.clone(),
        db: db.clone(),
        login: login.clone(),
        pages,
        uploads,
    };
    // A database that is away is met by the sampler when it is back.
    sampler::meet(&worker.status(), &db).await.ok();
    site.uploads.tidy(&db).await;
    operate::welcome(&site).await;
    tokio::spawn(sampler::run(worker, db));
    Ok(routes(site.clone()).layer(login.csrf()).layer(map_response(harden)).with_state(site))
}

fn routes(site: Site) -> Router<Site> {
    Router::new()
        .route("/", get(public::index))
        .route("/history", get(public::history))
        .route("/incidents/{id}", get(public::incident))
        .route("/status.json", get(public::json::status))
        .route("/feed.atom", get(public::feed::atom))
        .route("/badge.svg", get(public::badge::overall))
        .route("/badges/{id}", get(public::badge::component))
        .route("/attachments/{id}", get(upload::serve))
        .route("/login", get(auth::form).post(auth::sign_in))
        .route("/logout", post(auth::sign_out))
        .route("/setup/{token}", get(auth::setup_form).post(auth::set_up))
        .nest("/operate", operate::routes())
        .route("/assets/{name}", get(asset::serve))
        .route_layer(from_fn(name_route))
        .fallback(missing)
        .layer(DefaultBodyLimit::max(MOST_FORM))
        .with_state(site)
}

/// Names the route for metrics and logs: only the router knows it.
async fn name_route(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>();
    if let (Some(route), Some(context)) = (route, RequestContext::of(request.extensions())) {
        context.set_route(route.as_str());
    }
    next.run(request).await
}

async fn missing() -> Failure {
    Failure::new(StatusCode::NOT_FOUND, "There is no page here.")
}

const NEVER_CACHED: (HeaderName, &str) = (header::CACHE_CONTROL, "no-store");

impl Site {
    /// A page with what all of them have.
    fn page(
        &self,
        status: StatusCode,
        name: &str,
        session: Option<&Session>,
        context: serde_json::Value,
    ) -> Response {
        match self.pages.render(name, &self.title, session, context) {
            Ok(html) => (status, [NEVER_CACHED], Html(html)).into_response(),
            Err(error) => Failure::from(error).into_response(),
        }
    }

    /// Where the site is, for what is read elsewhere.
    fn url(&self, request: &RequestContext) -> String {
        self.settings.url.clone().unwrap_or_else(|| {
            let host = request.host().unwrap_or("localhost");
            format!("{}://{host}", request.scheme().as_str())
        })
    }
}

async fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let set = |headers: &mut HeaderMap, name: HeaderName, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    set(headers, header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY);
    set(headers, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(headers, header::REFERRER_POLICY, "same-origin");
    set(headers, HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    response
}
