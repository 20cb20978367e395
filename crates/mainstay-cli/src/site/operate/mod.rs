//! The pages of operators.

mod component;
mod edit;
mod file;
mod user;

use super::Site;
use super::auth::Operator;
use super::store::incident::{self, Incident, Phase};
use super::store::{attachment, component as components};
use super::view::{self, IncidentView};
use super::{chart, format, time};
use axum::Router;
use axum::extract::{DefaultBodyLimit, OriginalUri, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use mainstay::Failure;
use serde_json::json;

/// What may be said after something was done; only these words are shown.
const DONE: &[(&str, &str)] = &[
    ("saved", "Saved."),
    ("published", "Published: everybody sees it now."),
    ("updated", "The update is published."),
    ("removed", "Removed."),
    ("attached", "The file is attached."),
    ("password", "Your password is changed. All other sessions have ended."),
    ("disabled", "Disabled. All sessions of theirs have ended."),
    ("enabled", "Enabled."),
];

pub(crate) fn routes() -> Router<Site> {
    // Room for the largest attachment and what a form has around it.
    let files = DefaultBodyLimit::disable();
    Router::new()
        .route("/", get(overview))
        .route("/service", get(service))
        .route("/service.json", get(service_json))
        .route("/incidents/new", get(edit::new))
        .route("/incidents", post(edit::create))
        .route("/incidents/{id}", get(edit::form).post(edit::save))
        .route("/incidents/{id}/updates", post(edit::add_update))
        .route("/incidents/{id}/updates/{update}", post(edit::save_update))
        .route("/incidents/{id}/remove", post(edit::remove))
        .route("/incidents/{id}/attachments", post(file::add).layer(files))
        .route("/attachments/{id}/remove", post(file::remove))
        .route("/preview", post(edit::preview))
        .route("/components", get(component::all).post(component::add))
        .route("/components/{id}", post(component::save))
        .route("/components/{id}/remove", post(component::remove))
        .route("/users", get(user::all).post(user::add))
        .route("/users/{name}/disable", post(user::disable))
        .route("/users/{name}/enable", post(user::enable))
        .route("/users/{name}/link", post(user::link))
        .route("/account", get(user::account).post(user::change_password))
}

/// The sentence for `?done=WORD`.
fn done(query: Option<&str>) -> Option<&'static str> {
    let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let word = pairs.into_iter().find(|(key, _)| key == "done").map(|(_, value)| value)?;
    DONE.iter().find(|(known, _)| *known == word).map(|(_, text)| *text)
}

/// `GET /operate`
async fn overview(
    State(site): State<Site>,
    operator: Operator,
    OriginalUri(uri): OriginalUri,
) -> Result<Response, Failure> {
    let now = time::now();
    let shown = site.board.shown().await;
    let all = incident::since(&site.db, now - 30 * time::DAY).await?;
    let names = view::names(&components::all(&site.db).await?);
    let of = |phase: Phase| {
        let found = all.iter().filter(move |it: &&Incident| it.phase(now) == phase);
        found.map(|it| IncidentView::of(it, &names, now)).collect::<Vec<_>>()
    };
    let page = view::page(&site.title, &shown, &site.worker.status(), now);
    let used = attachment::total(&site.db).await?.unsigned_abs();
    let context = json!({
        "done": done(uri.query()),
        "page": page,
        "drafts": of(Phase::Draft),
        "ongoing": of(Phase::Ongoing),
        "scheduled": of(Phase::Scheduled),
        "closed": of(Phase::Closed),
        "used": if used == 0 { "nothing".to_owned() } else { format::size(used) },
    });
    Ok(site.page(StatusCode::OK, "operate.html", Some(&operator.0), context))
}

/// `GET /operate/service`: the processes of the service, live.
async fn service(State(site): State<Site>, operator: Operator) -> Response {
    let charts = chart::all(&site.worker, time::now() / 1_000).await;
    let context = json!({ "status": site.worker.status(), "charts": charts });
    site.page(StatusCode::OK, "service.html", Some(&operator.0), context)
}

/// `GET /operate/service.json`
async fn service_json(State(site): State<Site>, _: Operator) -> Response {
    use axum::response::IntoResponse;
    let body = format!("{:#}\n", json!(site.worker.status()));
    let kind = [(axum::http::header::CONTENT_TYPE, "application/json"), super::NEVER_CACHED];
    (kind, body).into_response()
}

/// Says on the console how the first user comes in, while there is none. There is no default password, and
/// the link is not written to any log.
pub(crate) async fn welcome(site: &Site) {
    let Ok(Some(link)) = site.login.first_link().await else { return };
    let url = site.settings.url.clone().unwrap_or_else(|| address(site));
    let text = format!(
        "\nThere is no user yet. Whoever opens this link first becomes the administrator; it is good until {}:\n\n    \
         {url}/setup/{}\n\n",
        time::text(link.expires_unix_ms()),
        link.token()
    );
    // The service's own standard error, past its logs.
    std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes()).ok();
}

/// Where the service listens, as somebody on this machine would write it.
fn address(site: &Site) -> String {
    let bind = site.worker.config().server.bind.first().map(ToString::to_string);
    match bind {
        Some(bind) if !bind.starts_with("unix:") && !bind.starts_with("fd:") => {
            format!("http://{}", bind.replace("0.0.0.0", "127.0.0.1").replace("[::]", "[::1]"))
        }
        _ => String::new(),
    }
}
