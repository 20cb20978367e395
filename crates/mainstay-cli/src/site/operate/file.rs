//! Attachments of incidents.

use super::super::Site;
use super::super::auth::Operator;
use super::super::store::attachment::{self, Attachment};
use super::super::store::incident;
use super::super::{time, upload};
use axum::extract::{Multipart, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use mainstay::Failure;

/// `POST /operate/incidents/{id}/attachments`
pub(super) async fn add(
    State(site): State<Site>,
    operator: Operator,
    Path(id): Path<String>,
    mut form: Multipart,
) -> Result<Response, Failure> {
    let missing = || Failure::new(StatusCode::NOT_FOUND, "There is no such incident.");
    incident::find(&site.db, &id).await?.ok_or_else(missing)?;
    let used = attachment::total(&site.db).await?.unsigned_abs();
    let torn = |error: axum::extract::multipart::MultipartError| {
        Failure::new(error.status(), "The form did not arrive whole.").because(error)
    };
    while let Some(field) = form.next_field().await.map_err(torn)? {
        let Some(name) = field.file_name().filter(|it| !it.is_empty()) else { continue };
        let name = upload::clean_name(name);
        let received = site.uploads.receive(field, used).await?;
        let attachment = Attachment {
            id: received.id.clone(),
            incident: id.clone(),
            name,
            media: received.media.to_owned(),
            size: i64::try_from(received.size).unwrap_or(i64::MAX),
            at: time::now(),
            author: operator.name().to_owned(),
        };
        // Its own end, so that the file is kept exactly when the database knows of it.
        let mut transaction = site.db.begin().await?;
        attachment::add(&site.db, &mut transaction, &attachment).await?;
        transaction.commit().await?;
        received.keep();
        site.board.forget();
        return Ok(Redirect::to(&format!("/operate/incidents/{id}?done=attached")).into_response());
    }
    Err(Failure::new(StatusCode::UNPROCESSABLE_ENTITY, "Choose a file first."))
}

/// `POST /operate/attachments/{id}/remove`
pub(super) async fn remove(
    State(site): State<Site>,
    _: Operator,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let missing = || Failure::new(StatusCode::NOT_FOUND, "There is no such attachment.");
    let found = attachment::find(&site.db, &id).await?.ok_or_else(missing)?;
    let mut transaction = site.db.begin().await?;
    attachment::remove(&site.db, &mut transaction, &id).await?;
    transaction.commit().await?;
    site.uploads.remove(&id);
    site.board.forget();
    Ok(Redirect::to(&format!("/operate/incidents/{}?done=removed", found.incident)).into_response())
}
