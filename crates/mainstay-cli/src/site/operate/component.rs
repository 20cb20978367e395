//! The components: names, order, and what an operator says of those that nothing measures.

use super::super::Site;
use super::super::auth::Operator;
use super::super::form::{Form, Wrong};
use super::super::state::State as Condition;
use super::super::store::component::{self, Component, Source};
use super::super::store::{is_id, random_id};
use super::super::{sampler, time};
use super::done;
use axum::extract::{OriginalUri, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use mainstay::Failure;
use mainstay::db::Tx;
use serde_json::{Value, json};

/// States that an operator can say of a component that nothing measures.
const SAYABLE: [Condition; 5] = [
    Condition::Operational,
    Condition::Maintenance,
    Condition::Degraded,
    Condition::Partial,
    Condition::Down,
];

async fn show(
    site: &Site,
    operator: &Operator,
    status: StatusCode,
    wrong: &Wrong,
    done: Option<&'static str>,
) -> Result<Response, Failure> {
    let all = component::all(&site.db).await?;
    let shown = site.board.shown().await;
    let incidents = &shown.snapshot.incidents;
    let states = sampler::states(&all, incidents, &site.worker.status(), time::now());
    let view = |it: &Component| {
        let state = states.get(&it.id).copied().unwrap_or(Condition::Unknown);
        json!({
            "id": it.id, "name": it.name, "about": it.about, "place": it.place, "hidden": it.hidden,
            "is_own": it.source == Source::Nobody, "source": source(&it.source),
            "state": { "word": state.word(), "text": state.text(), "shape": state.shape() },
            "states": choices(it.set_state),
        })
    };
    let context = json!({
        "components": all.iter().map(view).collect::<Vec<Value>>(),
        "states": choices(Condition::Operational),
        "wrong": wrong.by_field(),
        "done": done,
    });
    Ok(site.page(status, "components.html", Some(&operator.0), context))
}

fn source(source: &Source) -> String {
    match source {
        Source::Service => "the service's workers".to_owned(),
        Source::Check(name) => format!("the check {name}"),
        Source::Probe(name) => format!("the probe {name}"),
        Source::Nobody => "nothing: you say how it is".to_owned(),
    }
}

fn choices(chosen: Condition) -> Vec<Value> {
    let choice =
        |it: &Condition| json!({ "word": it.word(), "text": it.text(), "chosen": *it == chosen });
    SAYABLE.iter().map(choice).collect()
}

/// `GET /operate/components`
pub(super) async fn all(
    State(site): State<Site>,
    operator: Operator,
    OriginalUri(uri): OriginalUri,
) -> Result<Response, Failure> {
    show(&site, &operator, StatusCode::OK, &Wrong::default(), done(uri.query())).await
}

/// Takes from a form what an operator may change.
fn take(form: &Form, component: &mut Component, wrong: &mut Wrong) {
    component.name = form.line("name", 80, wrong);
    component.about = form.optional_line("about", 200, wrong);
    component.hidden = !form.has("shown");
    match form.get("place").trim().parse::<i64>() {
        Ok(place @ 0..=10_000) => component.place = place,
        _ => wrong.add("place", "The place is a number from 0 to 10000."),
    }
    if component.source == Source::Nobody {
        let said = Condition::from_word(&form.get("state")).filter(|it| SAYABLE.contains(it));
        match said {
            Some(state) => component.set_state = state,
            None => wrong.add("state", "Choose one of them."),
        }
    }
}

/// `POST /operate/components`: one of the operators' own.
pub(super) async fn add(
    State(site): State<Site>,
    operator: Operator,
    form: Form,
) -> Result<Response, Failure> {
    let mut component = Component {
        id: random_id(10),
        name: String::new(),
        about: String::new(),
        source: Source::Nobody,
        place: 0,
        hidden: false,
        set_state: Condition::Operational,
    };
    let mut wrong = Wrong::default();
    take(&form, &mut component, &mut wrong);
    if !wrong.is_empty() {
        return show(&site, &operator, StatusCode::UNPROCESSABLE_ENTITY, &wrong, None).await;
    }
    let mut tx = Tx::begin(&site.db).await?;
    component::add(&site.db, &mut tx, &component).await?;
    site.board.forget();
    Ok(Redirect::to("/operate/components?done=saved").into_response())
}

fn no_such() -> Failure {
    Failure::new(StatusCode::NOT_FOUND, "There is no such component.")
}

/// `POST /operate/components/{id}`
pub(super) async fn save(
    State(site): State<Site>,
    operator: Operator,
    Path(id): Path<String>,
    form: Form,
) -> Result<Response, Failure> {
    let all = component::all(&site.db).await?;
    let found = all.into_iter().find(|it| is_id(&id) && it.id == id);
    let mut component = found.ok_or_else(no_such)?;
    let mut wrong = Wrong::default();
    take(&form, &mut component, &mut wrong);
    if !wrong.is_empty() {
        return show(&site, &operator, StatusCode::UNPROCESSABLE_ENTITY, &wrong, None).await;
    }
    let mut tx = Tx::begin(&site.db).await?;
    component::save(&site.db, &mut tx, &component).await?;
    site.board.forget();
    Ok(Redirect::to("/operate/components?done=saved").into_response())
}

/// `POST /operate/components/{id}/remove`: one of the operators' own; those of the service can be hidden.
pub(super) async fn remove(
    State(site): State<Site>,
    _: Operator,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let mut tx = Tx::begin(&site.db).await?;
    if !component::remove(&site.db, &mut tx, &id).await? {
        return Err(no_such());
    }
    site.board.forget();
    Ok(Redirect::to("/operate/components?done=removed").into_response())
}
