//! Photos: files of users, whole or not there.

use axum::extract::{Multipart, Path};
use axum::http::StatusCode;
use mainstay::security::Session;
use mainstay::{BoxError, Failure, RequestId};
use std::io;

/// Where they are.
pub(crate) const DIRECTORY: &str = "uploads";

/// Makes the directory.
pub(crate) fn prepare() -> io::Result<()> {
    std::fs::create_dir_all(DIRECTORY)
}

/// Whether photos can be kept: a check of readiness.
pub(crate) async fn are_writable() -> Result<(), BoxError> {
    let probe = format!("{DIRECTORY}/.probe-{}", std::process::id());
    tokio::fs::write(&probe, "").await?;
    Ok(tokio::fs::remove_file(&probe).await?)
}

/// Keeps the first file of a form, under a name of ours.
pub(crate) async fn upload(
    _: Session,
    id: RequestId,
    mut form: Multipart,
) -> Result<(StatusCode, String), Failure> {
    let said = |error: axum::extract::multipart::MultipartError| {
        Failure::new(error.status(), "The upload cannot be read.").because(error)
    };
    let Some(field) = form.next_field().await.map_err(said)? else {
        return Err(Failure::new(StatusCode::BAD_REQUEST, "There is no file."));
    };
    let bytes = field.bytes().await.map_err(said)?;
    let (part, whole) = (format!("{DIRECTORY}/.{id}"), format!("{DIRECTORY}/{id}"));
    keep(&part, &whole, &bytes).await?;
    Ok((StatusCode::CREATED, format!("/photos/{id}\n")))
}

/// Writes a file whole or leaves nothing behind: on a full disk half a file would make it worse.
async fn keep(part: &str, whole: &str, bytes: &[u8]) -> io::Result<()> {
    let kept = match tokio::fs::write(part, bytes).await {
        Ok(()) => tokio::fs::rename(part, whole).await,
        failed => failed,
    };
    if kept.is_err() {
        tokio::fs::remove_file(part).await.ok();
    }
    kept
}

/// One of them.
pub(crate) async fn show(Path(name): Path<String>) -> Result<Vec<u8>, Failure> {
    let missing = || Failure::new(StatusCode::NOT_FOUND, "There is no such photo.");
    // Names are ours: letters, digits and hyphens.
    if name.is_empty() || !name.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-') {
        return Err(missing());
    }
    match tokio::fs::read(format!("{DIRECTORY}/{name}")).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(missing()),
        read => Ok(read?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_photo_that_cannot_be_kept_leaves_nothing_behind() {
        let place = std::env::temp_dir().join(format!("shop-photos-{}", std::process::id()));
        let (part, whole) = (place.join(".one"), place.join("one"));
        // Where the photo would be is a directory that holds something.
        std::fs::create_dir_all(whole.join("held")).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let name = |path: &std::path::Path| path.to_str().unwrap().to_owned();
        let kept = runtime.block_on(keep(&name(&part), &name(&whole), b"a hat"));
        assert!(kept.is_err());
        assert!(!part.exists());
        std::fs::remove_dir_all(place).unwrap();
    }
}
