//! The page for programs.

use crate::site::store::incident::Phase;
use crate::site::view::{self, ComponentView, IncidentView};
use crate::site::{NEVER_CACHED, Site, time};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use mainstay::RequestContext;
use serde_json::{Value, json};

/// `GET /status.json`
pub(crate) async fn status(State(site): State<Site>, request: RequestContext) -> Response {
    let shown = site.board.shown().await;
    let page = view::page(&site.title, &shown, &site.worker.status(), time::now());
    let url = site.url(&request);
    let incidents =
        |all: &[IncidentView]| all.iter().map(|it| incident(it, &url)).collect::<Vec<_>>();
    let body = json!({
        "name": page.title,
        "url": url,
        "state": page.state.word,
        "text": page.sentence,
        "at": page.now.machine,
        "incidents_as_of": page.old.map(|it| it.machine),
        "components": page.components.iter().map(component).collect::<Vec<_>>(),
        "incidents": incidents(&page.active),
        "scheduled": incidents(&page.scheduled),
        "past": incidents(&page.past),
    });
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        NEVER_CACHED,
        // Other pages may show it.
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    ];
    (headers, format!("{body:#}\n")).into_response()
}

fn component(component: &ComponentView) -> Value {
    json!({
        "id": component.id,
        "name": component.name,
        "state": component.state.word,
        "since": component.since.as_ref().map(|it| &it.machine),
        "uptime": component.uptime_ratio,
        "days": component.days,
    })
}

fn incident(incident: &IncidentView, url: &str) -> Value {
    let update = |update: &view::UpdateView| json!({ "at": update.at.machine, "status": update.status, "text": update.body });
    json!({
        "id": incident.id,
        "kind": incident.kind,
        "title": incident.title,
        "url": format!("{url}{}", incident.url),
        "impact": incident.impact,
        "status": incident.status,
        "begins": incident.begins.machine,
        "ends": incident.ends.as_ref().map(|it| &it.machine),
        "closed": incident.closed.as_ref().map(|it| &it.machine),
        "components": incident.affected_ids,
        "updates": incident.updates.iter().map(update).collect::<Vec<_>>(),
    })
}

/// Whether an incident is for everybody's eyes.
pub(crate) fn is_public(phase: Phase) -> bool {
    phase != Phase::Draft
}
