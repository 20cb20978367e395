//! Incidents as an Atom feed, RFC 4287: one entry for each, which changes with each of its updates.

use super::json::is_public;
use crate::site::view::{self, IncidentView};
use crate::site::{Site, time};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use mainstay::{Failure, RequestContext};
use serde_json::json;

/// Entries of the feed.
const MOST: usize = 30;

/// `GET /feed.atom`
pub(crate) async fn atom(
    State(site): State<Site>,
    request: RequestContext,
) -> Result<Response, Failure> {
    let shown = site.board.shown().await;
    let (now, snapshot) = (time::now(), &shown.snapshot);
    let names = view::names(&snapshot.components);
    let public = snapshot.incidents.iter().filter(|it| is_public(it.phase(now)));
    let mut incidents: Vec<_> = public.map(|it| IncidentView::of(it, &names, now)).collect();
    incidents.sort_by_key(|incident| std::cmp::Reverse(incident.at));
    incidents.truncate(MOST);
    let entry = |incident: &IncidentView| json!({ "incident": incident, "updated": time::machine(incident.at) });
    // Without an entry the feed is as old as the service.
    let started = (site.worker.status().started_unix_seconds * 1e3) as i64;
    let updated = incidents.first().map_or(started, |incident| incident.at);
    let context = json!({
        "title": &*site.title,
        "url": site.url(&request),
        "updated": time::machine(updated),
        "entries": incidents.iter().map(entry).collect::<Vec<_>>(),
    });
    let xml = site.pages.document("feed.xml", context)?;
    let headers = [
        (header::CONTENT_TYPE, "application/atom+xml; charset=utf-8"),
        (header::CACHE_CONTROL, "max-age=60"),
    ];
    Ok((headers, xml).into_response())
}
