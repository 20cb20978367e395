//! Who may come in: signing in and out, the set-up link of the first user and of new ones, and what pages
//! of operators ask for.

use super::Site;
use super::form::Form;
use axum::extract::{FromRequestParts, OriginalUri, Path, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Redirect, Response};
use mainstay::security::{Password, Refusal, Session};
use mainstay::{Failure, RequestContext};
use serde_json::json;

/// Roles of the site: what an administrator may do more is to manage users.
pub(crate) const ROLES: [&str; 2] = ["operator", "admin"];

/// Whether a session is of somebody who operates the site, and not of a user of another role.
pub(crate) fn operates(session: &Session) -> bool {
    ROLES.contains(&session.user().role.as_str())
}

/// Somebody who has signed in and operates the site.
#[derive(Debug)]
pub(crate) struct Operator(pub(crate) Session);

/// One who may manage others.
#[derive(Debug)]
pub(crate) struct Admin(pub(crate) Session);

impl Operator {
    /// The name, for what is written down.
    pub(crate) fn name(&self) -> &str {
        &self.0.user().name
    }
}

impl FromRequestParts<Site> for Operator {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, site: &Site) -> Result<Operator, Response> {
        let session = Option::<Session>::from_request_parts(parts, site).await;
        match session.map_err(IntoResponse::into_response)? {
            Some(session) if operates(&session) => Ok(Operator(session)),
            Some(session) => Err(forbidden(parts, site, &session, "Only operators may do this.")),
            // What was written in a form whose session has ended is lost otherwise: back leads to it.
            None if parts.method != Method::GET => {
                let text =
                    "You are no longer signed in. Sign in in another tab, then send this again.";
                Err(Failure::new(StatusCode::UNAUTHORIZED, text).into_response())
            }
            None => {
                let path = asked(parts).path_and_query().map_or("/operate", |it| it.as_str());
                let next: String = form_urlencoded::byte_serialize(path.as_bytes()).collect();
                Err(Redirect::to(&format!("/login?next={next}")).into_response())
            }
        }
    }
}

impl FromRequestParts<Site> for Admin {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, site: &Site) -> Result<Admin, Response> {
        let Operator(session) = Operator::from_request_parts(parts, site).await?;
        if session.user().role == "admin" {
            return Ok(Admin(session));
        }
        Err(forbidden(parts, site, &session, "Only administrators may do this."))
    }
}

/// What was asked for: within a nested router the address lacks its beginning.
fn asked(parts: &Parts) -> &Uri {
    parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |it| &it.0)
}

fn forbidden(parts: &Parts, site: &Site, session: &Session, text: &'static str) -> Response {
    site.login.refuse(session, asked(parts).path());
    Failure::new(StatusCode::FORBIDDEN, text).into_response()
}

/// Where to go after signing in: within the site, or to the first page of operators.
fn next_of(query: Option<&str>) -> String {
    let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let next =
        pairs.into_iter().find(|(key, _)| key == "next").map(|(_, value)| value.into_owned());
    next.filter(|it| is_ours(it)).unwrap_or_else(|| "/operate".to_owned())
}

/// Whether an address leads to a page of this site: `//host` and `/\host` lead away.
fn is_ours(address: &str) -> bool {
    address.starts_with('/')
        && !address.starts_with("//")
        && !address.contains('\\')
        && !address.chars().any(char::is_control)
}

/// `GET /login`
pub(crate) async fn form(
    State(site): State<Site>,
    session: Option<Session>,
    OriginalUri(uri): OriginalUri,
) -> Response {
    let next = next_of(uri.query());
    if session.is_some() {
        return Redirect::to(&next).into_response();
    }
    let context = json!({ "next": next, "name": "", "error": null });
    site.page(StatusCode::OK, "login.html", None, context)
}

/// `POST /login`
pub(crate) async fn sign_in(
    State(site): State<Site>,
    request: RequestContext,
    form: Form,
) -> Response {
    let (name, next) = (form.get("name"), form.get("next"));
    let next = if is_ours(&next) { next } else { "/operate".to_owned() };
    let password = Password::from(form.get("password"));
    match site.login.sign_in(&request, &name, &password).await {
        Ok(signed_in) => (signed_in, Redirect::to(&next)).into_response(),
        Err(refusal) => {
            let context = json!({ "next": next, "name": name, "error": refusal.text() });
            site.page(refusal.status(), "login.html", None, context)
        }
    }
}

/// `POST /logout`
pub(crate) async fn sign_out(
    State(site): State<Site>,
    session: Option<Session>,
) -> Result<Response, Failure> {
    match session {
        None => Ok(Redirect::to("/").into_response()),
        Some(session) => {
            let signed_out = site.login.sign_out(&session).await?;
            Ok((signed_out, Redirect::to("/")).into_response())
        }
    }
}

/// `GET /setup/{token}`
pub(crate) async fn setup_form(
    State(site): State<Site>,
    Path(token): Path<String>,
) -> Result<Response, Failure> {
    Ok(match site.login.link_of(&token).await? {
        None => void(&site),
        Some(link) => {
            let context = json!({ "user": link.user, "name": "", "error": null });
            site.page(StatusCode::OK, "setup.html", None, context)
        }
    })
}

/// `POST /setup/{token}`
pub(crate) async fn set_up(
    State(site): State<Site>,
    Path(token): Path<String>,
    request: RequestContext,
    form: Form,
) -> Result<Response, Failure> {
    let Some(link) = site.login.link_of(&token).await? else { return Ok(void(&site)) };
    let name = form.get("name");
    let password = form.get("password");
    let refused = |error: String, status: StatusCode| {
        let context = json!({ "user": link.user, "name": name, "error": error });
        Ok(site.page(status, "setup.html", None, context))
    };
    if password != form.get("again") {
        return refused("The two passwords differ.".to_owned(), StatusCode::UNPROCESSABLE_ENTITY);
    }
    drop(form);
    let password = Password::from(password);
    let named = link.user.is_none().then_some(name.as_str());
    match site.login.redeem(&request, &token, named, &password).await {
        Ok(signed_in) => Ok((signed_in, Redirect::to("/operate")).into_response()),
        Err(Refusal::LinkVoid) => Ok(void(&site)),
        Err(refusal) => refused(refusal.text().to_owned(), refusal.status()),
    }
}

fn void(site: &Site) -> Response {
    let context = json!({ "user": null, "name": "", "error": null, "is_void": true });
    site.page(StatusCode::GONE, "setup.html", None, context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_led_away_after_signing_in() {
        assert_eq!(next_of(Some("next=%2Foperate%2Fusers%3Fa%3D1")), "/operate/users?a=1");
        for away in [
            "//elsewhere.example",
            "https://elsewhere.example",
            "/\\elsewhere.example",
            "javascript:x",
            "/a\nb",
        ] {
            let query: String = form_urlencoded::byte_serialize(away.as_bytes()).collect();
            assert_eq!(next_of(Some(&format!("next={query}"))), "/operate", "{away}");
        }
        assert_eq!(next_of(None), "/operate");
    }
}
