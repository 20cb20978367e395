//! Badges: small pictures of a state, for pages elsewhere.

use crate::site::state::State as Condition;
use crate::site::{NEVER_CACHED, Site, time, view};
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use mainstay::Failure;
use serde_json::json;

/// `GET /badge.svg`
pub(crate) async fn overall(State(site): State<Site>) -> Result<Response, Failure> {
    let shown = site.board.shown().await;
    let page = view::page(&site.title, &shown, &site.worker.status(), time::now());
    draw(&site, &site.title, page.state)
}

/// `GET /badges/{id}.svg`
pub(crate) async fn component(
    State(site): State<Site>,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let shown = site.board.shown().await;
    let all = view::components(&shown.snapshot, &site.worker.status(), time::now());
    let found = id.strip_suffix(".svg").and_then(|id| all.iter().find(|it| it.id == id));
    match found {
        Some(component) => draw(&site, &component.name, component.state),
        None => Err(Failure::new(StatusCode::NOT_FOUND, "There is no such component.")),
    }
}

fn draw(site: &Site, name: &str, state: view::StateView) -> Result<Response, Failure> {
    let name: String = name.chars().take(40).collect();
    let (left, right) = (width(&name), width(state.text));
    // White on each of these has a contrast of at least 4.5.
    let colour = match Condition::from_word(state.word) {
        Some(Condition::Operational) => "#1a7f4b",
        Some(Condition::Maintenance) => "#2d62b3",
        Some(Condition::Degraded) => "#8a5a00",
        Some(Condition::Partial) => "#a8480f",
        Some(Condition::Down) => "#b3261e",
        Some(Condition::Unknown) | None => "#5f6b66",
    };
    let context = json!({
        "name": name, "text": state.text, "left": left, "right": right, "colour": colour,
        "all": left + right, "name_x": left / 2, "text_x": left + right / 2,
    });
    let svg = site.pages.document("badge.svg.xml", context)?;
    let policy = "default-src 'none'; sandbox";
    let headers = [
        (header::CONTENT_TYPE, "image/svg+xml"),
        NEVER_CACHED,
        (header::CONTENT_SECURITY_POLICY, policy),
    ];
    Ok((headers, svg).into_response())
}

/// Width of a text in the badge's letters, pixels, by the usual widths of a sans serif of 11 pixels.
fn width(text: &str) -> usize {
    let letters = text.chars().map(|letter| match letter {
        'i' | 'j' | 'l' | '.' | ',' | '\'' | '|' | '!' | ':' => 35,
        'f' | 't' | 'r' | ' ' | '-' | 'I' => 42,
        'm' | 'w' | 'M' | 'W' | '@' => 100,
        'A'..='Z' => 75,
        _ => 66,
    });
    letters.sum::<usize>() / 10 + 14
}
