//! Who may come in, and one's own password.

use super::super::Site;
use super::super::auth::{Admin, Operator, ROLES};
use super::super::form::{Form, Wrong};
use super::super::time;
use super::done;
use axum::extract::{OriginalUri, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use mainstay::security::{Link, Password, Refusal};
use mainstay::{Failure, RequestContext};
use serde_json::{Value, json};

/// What is shown beside the list.
#[derive(Default)]
struct Beside {
    wrong: Wrong,
    done: Option<&'static str>,
    /// A link that was just made, and for whom: it is shown this once.
    link: Option<(String, Link)>,
}

async fn show(
    site: &Site,
    admin: &Admin,
    request: &RequestContext,
    status: StatusCode,
    beside: Beside,
) -> Result<Response, Failure> {
    let users = site.login.users().await?;
    let view = |user: &mainstay::security::User| {
        json!({
            "name": user.name, "role": user.role, "disabled": user.disabled,
            "is_me": user.name == admin.0.user().name,
        })
    };
    let url = site.url(request);
    let link = beside.link.map(|(name, link)| {
        json!({
            "name": name,
            "url": format!("{url}/setup/{}", link.token()),
            "expires": time::text(link.expires_unix_ms()),
        })
    });
    let context = json!({
        "users": users.iter().map(view).collect::<Vec<Value>>(),
        "roles": ROLES,
        "wrong": beside.wrong.by_field(),
        "done": beside.done,
        "link": link,
    });
    Ok(site.page(status, "users.html", Some(&admin.0), context))
}

/// `GET /operate/users`
pub(super) async fn all(
    State(site): State<Site>,
    admin: Admin,
    request: RequestContext,
    OriginalUri(uri): OriginalUri,
) -> Result<Response, Failure> {
    let beside = Beside { done: done(uri.query()), ..Beside::default() };
    show(&site, &admin, &request, StatusCode::OK, beside).await
}

/// `POST /operate/users`
pub(super) async fn add(
    State(site): State<Site>,
    admin: Admin,
    request: RequestContext,
    form: Form,
) -> Result<Response, Failure> {
    let mut wrong = Wrong::default();
    let name = form.line("name", 64, &mut wrong);
    let role = form.get("role");
    if !ROLES.contains(&role.as_str()) {
        wrong.add("role", "Choose one of them.");
    }
    let mut link = None;
    if wrong.is_empty() {
        match site.login.add_user(&admin.0.user().name, &name, &role).await {
            Ok((user, made)) => link = Some((user.name, made)),
            Err(Refusal::Failed(failure)) => return Err(failure),
            Err(refusal) => wrong.add("name", refusal.text()),
        }
    }
    let status = if wrong.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    show(&site, &admin, &request, status, Beside { wrong, done: None, link }).await
}

/// `POST /operate/users/{name}/link`: for somebody who has forgotten the password.
pub(super) async fn link(
    State(site): State<Site>,
    admin: Admin,
    request: RequestContext,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    let link = site.login.renew_link(&admin.0.user().name, &name).await?;
    let beside = Beside { link: Some((name, link)), ..Beside::default() };
    show(&site, &admin, &request, StatusCode::OK, beside).await
}

/// `POST /operate/users/{name}/disable`
pub(super) async fn disable(
    State(site): State<Site>,
    admin: Admin,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    if name == admin.0.user().name {
        let text = "You cannot disable yourself: somebody has to be left.";
        return Err(Failure::new(StatusCode::CONFLICT, text));
    }
    site.login.disable_user(&admin.0.user().name, &name).await?;
    Ok(Redirect::to("/operate/users?done=disabled").into_response())
}

/// `POST /operate/users/{name}/enable`
pub(super) async fn enable(
    State(site): State<Site>,
    admin: Admin,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    site.login.enable_user(&admin.0.user().name, &name).await?;
    Ok(Redirect::to("/operate/users?done=enabled").into_response())
}

/// `GET /operate/account`
pub(super) async fn account(
    State(site): State<Site>,
    operator: Operator,
    OriginalUri(uri): OriginalUri,
) -> Response {
    let context = json!({ "error": null, "done": done(uri.query()) });
    site.page(StatusCode::OK, "account.html", Some(&operator.0), context)
}

/// `POST /operate/account`
pub(super) async fn change_password(
    State(site): State<Site>,
    operator: Operator,
    request: RequestContext,
    form: Form,
) -> Response {
    let refused = |status: StatusCode, error: &str| {
        let context = json!({ "error": error, "done": null });
        site.page(status, "account.html", Some(&operator.0), context)
    };
    if form.get("password") != form.get("again") {
        return refused(StatusCode::UNPROCESSABLE_ENTITY, "The two new passwords differ.");
    }
    let (old, new) = (Password::from(form.get("old")), Password::from(form.get("password")));
    match site.login.change_password(&request, &operator.0, &old, &new).await {
        Ok(signed_in) => {
            (signed_in, Redirect::to("/operate/account?done=password")).into_response()
        }
        Err(refusal) => refused(refusal.status(), refusal.text()),
    }
}
