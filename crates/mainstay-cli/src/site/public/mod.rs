//! What everybody may see.

pub(crate) mod badge;
pub(crate) mod feed;
pub(crate) mod json;

use super::Site;
use super::auth::operates;
use super::store::incident::{self, Incident, Phase};
use super::store::is_id;
use super::view::{self, IncidentView};
use super::{store::component, time};
use axum::extract::{OriginalUri, Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use jiff::civil::Date;
use mainstay::Failure;
use mainstay::security::Session;
use serde_json::json;

/// `GET /`
pub(crate) async fn index(State(site): State<Site>, who: Who) -> Response {
    let shown = site.board.shown().await;
    let page = view::page(&site.title, &shown, &site.worker.status(), time::now());
    site.page(StatusCode::OK, "index.html", who.session(), json!({ "page": page }))
}

/// Whoever looks: an operator or not. While the database is away nobody is.
#[derive(Debug)]
pub(crate) struct Who(Option<Session>);

impl Who {
    pub(crate) fn session(&self) -> Option<&Session> {
        self.0.as_ref()
    }
}

impl axum::extract::FromRequestParts<Site> for Who {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(
        parts: &mut axum::http::request::Parts,
        site: &Site,
    ) -> Result<Who, Self::Rejection> {
        let asked = Option::<Session>::from_request_parts(parts, site);
        let asked = tokio::time::timeout(std::time::Duration::from_millis(400), asked).await;
        Ok(Who(asked.ok().and_then(Result::ok).flatten().filter(operates)))
    }
}

fn not_found() -> Failure {
    Failure::new(StatusCode::NOT_FOUND, "There is no such incident.")
}

/// An incident that `who` may see: drafts are for operators.
async fn find(site: &Site, id: &str, who: &Who) -> Result<Incident, Failure> {
    if !is_id(id) {
        return Err(not_found());
    }
    let found = incident::find(&site.db, id).await?.ok_or_else(not_found)?;
    let is_draft = found.phase(time::now()) == Phase::Draft;
    if is_draft && who.session().is_none() { Err(not_found()) } else { Ok(found) }
}

/// `GET /incidents/{id}`
pub(crate) async fn incident(
    State(site): State<Site>,
    Path(id): Path<String>,
    who: Who,
) -> Result<Response, Failure> {
    let found = find(&site, &id, &who).await?;
    let names = view::names(&component::all(&site.db).await?);
    let incident = IncidentView::of(&found, &names, time::now());
    Ok(site.page(StatusCode::OK, "incident.html", who.session(), json!({ "incident": incident })))
}

/// A month of the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Month(Date);

impl Month {
    fn of(query: Option<&str>, now: i64) -> Option<Month> {
        let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        let said = pairs.into_iter().find(|(key, _)| key == "month").map(|(_, value)| value);
        let text = match said {
            Some(said) => format!("{said}-01"),
            None => format!("{}-01", &time::field(now)[..7]),
        };
        text.parse().ok().filter(|date: &Date| date.year() >= 2000).map(Month)
    }

    fn begin(self) -> i64 {
        time::from_field(&format!("{}T00:00", self.0)).unwrap_or(0)
    }

    fn text(self) -> String {
        self.0.strftime("%B %Y").to_string()
    }

    fn word(self) -> String {
        self.0.strftime("%Y-%m").to_string()
    }

    fn next(self) -> Option<Month> {
        self.0.checked_add(jiff::Span::new().months(1)).ok().map(Month)
    }

    fn last(self) -> Option<Month> {
        self.0.checked_sub(jiff::Span::new().months(1)).ok().map(Month)
    }
}

/// `GET /history?month=2026-11`
pub(crate) async fn history(
    State(site): State<Site>,
    OriginalUri(uri): OriginalUri,
    who: Who,
) -> Result<Response, Failure> {
    let now = time::now();
    let wrong = || Failure::new(StatusCode::BAD_REQUEST, "A month is written as 2026-11.");
    let month = Month::of(uri.query(), now).ok_or_else(wrong)?;
    let next = month.next().ok_or_else(wrong)?;
    let names = view::names(&component::all(&site.db).await?);
    let all = incident::since(&site.db, month.begin()).await?;
    let within = all.iter().filter(|it| {
        it.phase(now) != Phase::Draft && (month.begin()..next.begin()).contains(&it.begins)
    });
    let incidents: Vec<_> = within.map(|it| IncidentView::of(it, &names, now)).collect();
    let context = json!({
        "month": month.text(),
        "last": month.last().map(Month::word),
        "next": (next.begin() <= now).then(|| next.word()),
        "incidents": incidents,
    });
    Ok(site.page(StatusCode::OK, "history.html", who.session(), context))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_follow_each_other() {
        let month = Month::of(Some("month=2026-12"), 0).expect("a month");
        assert_eq!(
            (month.text(), month.next().expect("one").word()),
            ("December 2026".into(), "2027-01".into())
        );
        assert_eq!(month.last().expect("one").word(), "2026-11");
        assert_eq!(Month::of(None, 1_795_701_903_250).expect("now").word(), "2026-11");
        for wrong in ["month=", "month=2026", "month=2026-13", "month=1-1", "month=x"] {
            assert_eq!(Month::of(Some(wrong), 0), None, "{wrong}");
        }
    }
}
