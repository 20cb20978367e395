//! The way in and out.

use axum::Form;
use axum::extract::{Path, State};
use mainstay::security::{Login, Password, Session, SignedIn, SignedOut};
use mainstay::{Failure, RequestContext};

#[derive(serde::Deserialize)]
pub(crate) struct Given {
    name: String,
    password: Password,
}

pub(crate) async fn sign_in(
    State(login): State<Login>,
    context: RequestContext,
    Form(given): Form<Given>,
) -> Result<(SignedIn, &'static str), Failure> {
    Ok((login.sign_in(&context, &given.name, &given.password).await?, "welcome\n"))
}

/// Sets a password by a link.
pub(crate) async fn set_up(
    State(login): State<Login>,
    context: RequestContext,
    Path(token): Path<String>,
    Form(given): Form<Given>,
) -> Result<(SignedIn, &'static str), Failure> {
    let signed_in = login.redeem(&context, &token, Some(&given.name), &given.password).await?;
    Ok((signed_in, "welcome\n"))
}

pub(crate) async fn sign_out(
    State(login): State<Login>,
    session: Session,
) -> Result<(SignedOut, &'static str), Failure> {
    Ok((login.sign_out(&session).await?, "see you\n"))
}
