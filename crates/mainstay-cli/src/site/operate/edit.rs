//! Incidents and maintenance, from draft to their end.

use super::super::Site;
use super::super::auth::Operator;
use super::super::form::{Form, Wrong};
use super::super::markdown;
use super::super::state::Impact;
use super::super::store::component;
use super::super::store::incident::{self, Incident, Kind, Phase, Update, new_id};
use super::super::time;
use super::super::view::{IncidentView, names};
use super::done;
use axum::extract::{OriginalUri, Path, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use mainstay::Failure;
use mainstay::db::Tx;
use serde_json::{Value, json};

const MOST_TITLE: usize = 160;

const MEANWHILE: &str = "Somebody else has changed this meanwhile. What you wrote is still here: look at \
                         theirs in another tab, then save again.";

fn no_such() -> Failure {
    Failure::new(StatusCode::NOT_FOUND, "There is no such incident.")
}

/// The form as it is shown: what it holds, what is wrong with it.
struct Draft<'a> {
    incident: &'a Incident,
    /// The first message, which is the draft's; later ones have forms of their own.
    body: String,
    status: String,
    wrong: Wrong,
    is_preview: bool,
    done: Option<&'static str>,
    /// Whether the draft is not in the database yet.
    is_new: bool,
}

impl<'a> Draft<'a> {
    /// What was sent, shown again: with what is wrong with it, or as it will look.
    fn again(
        incident: &'a Incident,
        update: Update,
        wrong: Wrong,
        is_preview: bool,
        is_new: bool,
    ) -> (StatusCode, Draft<'a>) {
        let is_good = wrong.is_empty();
        let status = if is_good { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
        let Update { body, status: said, .. } = update;
        (status, Draft { incident, body, status: said, wrong, is_preview, done: None, is_new })
    }
}

async fn show(
    site: &Site,
    operator: &Operator,
    status: StatusCode,
    draft: Draft<'_>,
) -> Result<Response, Failure> {
    let all = component::all(&site.db).await?;
    let now = time::now();
    let view = IncidentView::of(draft.incident, &names(&all), now);
    let visible = all.iter().filter(|it| !it.hidden);
    let components: Vec<Value> = visible
        .map(|it| {
            json!({ "id": it.id, "name": it.name, "checked": draft.incident.affected.contains(&it.id) })
        })
        .collect();
    let kind = draft.incident.kind;
    let statuses: Vec<Value> = kind
        .statuses()
        .iter()
        .map(|(word, text, _)| json!({ "word": word, "text": text, "chosen": draft.status == *word }))
        .collect();
    let impacts: Vec<Value> = Impact::ALL
        .iter()
        .map(|it| json!({ "word": it.word(), "text": it.text(), "chosen": draft.incident.impact == *it }))
        .collect();
    let context = json!({
        "incident": view,
        "is_new": draft.is_new,
        "is_draft": draft.incident.phase(now) == Phase::Draft,
        "components": components,
        "statuses": statuses,
        "impacts": impacts,
        "body": draft.body,
        "wrong": draft.wrong.by_field(),
        "preview": draft.is_preview.then(|| markdown::render(&draft.body)),
        "done": draft.done,
        "limit": site.uploads.limit() >> 20,
    });
    Ok(site.page(status, "edit.html", Some(&operator.0), context))
}

/// `GET /operate/incidents/new?kind=maintenance&component=database`
pub(super) async fn new(
    State(site): State<Site>,
    operator: Operator,
    OriginalUri(uri): OriginalUri,
) -> Result<Response, Failure> {
    let query = uri.query().unwrap_or_default();
    let pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
    let value = |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| &**value);
    let kind = value("kind").and_then(Kind::from_word).unwrap_or(Kind::Incident);
    let mut incident = blank(kind, operator.name(), time::now());
    incident.affected.extend(value("component").map(str::to_owned));
    let status = kind.statuses()[0].0.to_owned();
    let draft = Draft {
        incident: &incident,
        body: String::new(),
        status,
        wrong: Wrong::default(),
        is_preview: false,
        done: None,
        is_new: true,
    };
    show(&site, &operator, StatusCode::OK, draft).await
}

fn blank(kind: Kind, author: &str, now: i64) -> Incident {
    // The next whole hour is a good guess for planned work.
    let hour = (now / time::HOUR + 1) * time::HOUR;
    let (begins, ends) = match kind {
        Kind::Incident => (now, 0),
        Kind::Maintenance => (hour + 24 * time::HOUR, hour + 25 * time::HOUR),
    };
    Incident {
        id: new_id(),
        kind,
        title: String::new(),
        impact: Impact::Minor,
        created: now,
        published: 0,
        begins,
        ends,
        closed: 0,
        author: author.to_owned(),
        revision: 0,
        affected: Vec::new(),
        updates: Vec::new(),
        attachments: Vec::new(),
    }
}

/// Takes an incident's own facts from a form.
async fn take_facts(
    site: &Site,
    form: &Form,
    incident: &mut Incident,
    wrong: &mut Wrong,
) -> Result<(), Failure> {
    incident.title = form.line("title", MOST_TITLE, wrong);
    match Impact::from_word(&form.get("impact")) {
        Some(impact) => incident.impact = impact,
        None if incident.kind == Kind::Maintenance => incident.impact = Impact::None,
        None => wrong.add("impact", "Choose one of them."),
    }
    match time::from_field(&form.get("begins")) {
        Some(begins) => incident.begins = begins,
        None => wrong.add("begins", "This is no date and time."),
    }
    if incident.kind == Kind::Maintenance {
        match time::from_field(&form.get("ends")) {
            Some(ends) if ends > incident.begins => incident.ends = ends,
            Some(_) => wrong.add("ends", "It has to end after it begins."),
            None => wrong.add("ends", "This is no date and time."),
        }
    } else if incident.begins > time::now() + time::HOUR {
        wrong.add("begins", "An incident has begun. Announce what is to come as maintenance.");
    }
    let known = component::all(&site.db).await?;
    let chosen = form.all("component");
    let mut affected: Vec<String> =
        known.into_iter().map(|it| it.id).filter(|id| chosen.contains(id)).collect();
    affected.dedup();
    incident.affected = affected;
    Ok(())
}

/// The first message of a draft, or the message of an update.
fn take_update(form: &Form, kind: Kind, author: &str, now: i64, wrong: &mut Wrong) -> Update {
    let body = form.text("body", markdown::LONGEST, wrong);
    let status = form.get("status");
    if kind.status(&status).is_none() {
        wrong.add("status", "Choose one of them.");
    }
    Update { id: new_id(), at: now, edited: 0, status, body, author: author.to_owned() }
}

/// `POST /operate/incidents`: a new one, as a draft or for everybody.
pub(super) async fn create(
    State(site): State<Site>,
    operator: Operator,
    form: Form,
) -> Result<Response, Failure> {
    let now = time::now();
    let kind = Kind::from_word(&form.get("kind")).unwrap_or(Kind::Incident);
    let mut incident = blank(kind, operator.name(), now);
    let mut wrong = Wrong::default();
    take_facts(&site, &form, &mut incident, &mut wrong).await?;
    let update = take_update(&form, kind, operator.name(), now, &mut wrong);
    let is_preview = form.has("preview");
    if !wrong.is_empty() || is_preview {
        let (status, draft) = Draft::again(&incident, update, wrong, is_preview, true);
        return show(&site, &operator, status, draft).await;
    }
    let is_published = form.has("publish");
    if is_published {
        publish(&mut incident, &update, now);
    }
    // The answer ends it: kept when it is a good one.
    let mut tx = Tx::begin(&site.db).await?;
    incident::add(&site.db, &mut tx, &incident).await?;
    incident::add_update(&site.db, &mut tx, &incident.id, &update).await?;
    site.board.forget();
    let word = if is_published { "published" } else { "saved" };
    Ok(Redirect::to(&format!("/operate/incidents/{}?done={word}", incident.id)).into_response())
}

fn publish(incident: &mut Incident, update: &Update, now: i64) {
    incident.published = now;
    if incident.kind.status(&update.status).is_some_and(|(_, ends)| ends) {
        incident.closed = now;
    }
}

async fn find(site: &Site, id: &str) -> Result<Incident, Failure> {
    incident::find(&site.db, id).await?.ok_or_else(no_such)
}

/// `GET /operate/incidents/{id}`
pub(super) async fn form(
    State(site): State<Site>,
    operator: Operator,
    Path(id): Path<String>,
    OriginalUri(uri): OriginalUri,
) -> Result<Response, Failure> {
    let incident = find(&site, &id).await?;
    let is_draft = incident.phase(time::now()) == Phase::Draft;
    let first = incident.updates.last().filter(|_| is_draft);
    let body = first.map_or_else(String::new, |it| it.body.clone());
    let status =
        first.map_or_else(|| incident.status(time::now()).to_owned(), |it| it.status.clone());
    let done = done(uri.query());
    let wrong = Wrong::default();
    let draft =
        Draft { incident: &incident, body, status, wrong, is_preview: false, done, is_new: false };
    show(&site, &operator, StatusCode::OK, draft).await
}

/// `POST /operate/incidents/{id}`: its facts, and while it is a draft its message.
pub(super) async fn save(
    State(site): State<Site>,
    operator: Operator,
    Path(id): Path<String>,
    form: Form,
) -> Result<Response, Failure> {
    let now = time::now();
    let mut incident = find(&site, &id).await?;
    let is_draft = incident.phase(now) == Phase::Draft;
    let mut wrong = Wrong::default();
    // What the form was made from may not be what stands there now. The next save is on top of that.
    let is_behind = form.get("revision") != incident.revision.to_string();
    take_facts(&site, &form, &mut incident, &mut wrong).await?;
    let mut update = incident.updates.last().cloned();
    if is_draft {
        let said = take_update(&form, incident.kind, operator.name(), now, &mut wrong);
        let old = update.as_ref().map(|it| it.id.clone());
        update = Some(Update { id: old.unwrap_or_else(new_id), ..said });
    }
    let is_preview = form.has("preview");
    if wrong.is_empty() && !is_preview && !is_behind {
        let is_published = is_draft && form.has("publish");
        if let Some(update) = update.as_ref().filter(|_| is_published) {
            publish(&mut incident, update, now);
        }
        return keep(&site, &incident, update.as_ref().filter(|_| is_draft), is_published).await;
    }
    let outcome = match (wrong.is_empty(), is_preview) {
        (false, _) => StatusCode::UNPROCESSABLE_ENTITY,
        (true, true) => StatusCode::OK,
        (true, false) => StatusCode::CONFLICT,
    };
    if is_behind && !is_preview {
        wrong.add("form", MEANWHILE);
    }
    let (body, status) = match update.filter(|_| is_draft) {
        Some(update) => (update.body, update.status),
        None => (String::new(), incident.status(now).to_owned()),
    };
    let draft =
        Draft { incident: &incident, body, status, wrong, is_preview, done: None, is_new: false };
    show(&site, &operator, outcome, draft).await
}

/// Writes what was changed, and the message of a draft.
async fn keep(
    site: &Site,
    incident: &Incident,
    update: Option<&Update>,
    is_published: bool,
) -> Result<Response, Failure> {
    let mut tx = Tx::begin(&site.db).await?;
    if !incident::save(&site.db, &mut tx, incident).await? {
        return Err(Failure::new(StatusCode::CONFLICT, MEANWHILE));
    }
    if let Some(update) = update {
        incident::save_update(&site.db, &mut tx, &incident.id, update).await?;
    }
    site.board.forget();
    let word = if is_published { "published" } else { "saved" };
    Ok(Redirect::to(&format!("/operate/incidents/{}?done={word}", incident.id)).into_response())
}

/// `POST /operate/incidents/{id}/updates`
pub(super) async fn add_update(
    State(site): State<Site>,
    operator: Operator,
    Path(id): Path<String>,
    form: Form,
) -> Result<Response, Failure> {
    let now = time::now();
    let mut incident = find(&site, &id).await?;
    if incident.phase(now) == Phase::Draft {
        let text = "A draft has one message. Publish it first.";
        return Err(Failure::new(StatusCode::CONFLICT, text));
    }
    let mut wrong = Wrong::default();
    let update = take_update(&form, incident.kind, operator.name(), now, &mut wrong);
    let is_preview = form.has("preview");
    if !wrong.is_empty() || is_preview {
        let (status, draft) = Draft::again(&incident, update, wrong, is_preview, false);
        return show(&site, &operator, status, draft).await;
    }
    let ends = incident.kind.status(&update.status).is_some_and(|(_, ends)| ends);
    // Told again that it is over, it was over before; told otherwise, it is not.
    incident.closed = match (ends, incident.closed) {
        (true, 0) => now,
        (true, closed) => closed,
        (false, _) => 0,
    };
    let mut tx = Tx::begin(&site.db).await?;
    if !incident::save(&site.db, &mut tx, &incident).await? {
        return Err(Failure::new(StatusCode::CONFLICT, MEANWHILE));
    }
    incident::add_update(&site.db, &mut tx, &id, &update).await?;
    site.board.forget();
    Ok(Redirect::to(&format!("/operate/incidents/{id}?done=updated")).into_response())
}

/// `POST /operate/incidents/{id}/updates/{update}`: another text for what was said; the page says that it
/// was edited.
pub(super) async fn save_update(
    State(site): State<Site>,
    _: Operator,
    Path((id, update)): Path<(String, String)>,
    form: Form,
) -> Result<Response, Failure> {
    let incident = find(&site, &id).await?;
    let mut wrong = Wrong::default();
    let body = form.text("body", markdown::LONGEST, &mut wrong);
    let found = incident.updates.iter().find(|it| it.id == update).ok_or_else(no_such)?;
    if !wrong.is_empty() {
        let text = "An update needs a text, of at most 20,000 bytes.";
        return Err(Failure::new(StatusCode::UNPROCESSABLE_ENTITY, text));
    }
    let edited = Update { body, edited: time::now(), ..found.clone() };
    let mut tx = Tx::begin(&site.db).await?;
    incident::save_update(&site.db, &mut tx, &id, &edited).await?;
    site.board.forget();
    Ok(Redirect::to(&format!("/operate/incidents/{id}?done=saved")).into_response())
}

/// `POST /operate/incidents/{id}/remove`: of a draft; what was published stays on the record.
pub(super) async fn remove(
    State(site): State<Site>,
    _: Operator,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let incident = find(&site, &id).await?;
    let mut transaction = site.db.begin().await?;
    if !incident::remove_draft(&site.db, &mut transaction, &id).await? {
        let text = "What was published stays on the record. Close it with an update instead.";
        return Err(Failure::new(StatusCode::CONFLICT, text));
    }
    transaction.commit().await?;
    incident.attachments.iter().for_each(|it| site.uploads.remove(&it.id));
    Ok(Redirect::to("/operate?done=removed").into_response())
}

/// `POST /operate/preview`: how a text will look, for the script of the page.
pub(super) async fn preview(_: Operator, form: Form) -> Response {
    Html(markdown::render(&form.get("body"))).into_response()
}
