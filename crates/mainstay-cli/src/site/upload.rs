//! Attachments as files: received piece by piece, judged by what they hold, and visible only whole.
//!
//! A file is written into `.incoming` under a name of ours and locked meanwhile, synced, moved beside the
//! others, and only then the database is told. Whatever is neither locked nor known to the database is a
//! rest of a process that was killed, and goes at the next start.

use super::Site;
use super::public::Who;
use super::settings::Settings;
use super::store::attachment::{self, Attachment};
use super::store::incident::{self, Phase};
use super::store::{Db, is_id, random_id};
use super::time;
use axum::body::Body;
use axum::extract::multipart::Field;
use axum::extract::{Path as Segment, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use mainstay::{BoxError, Failure};
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use tokio::io::AsyncWriteExt;
use tokio_util::io::ReaderStream;

/// Where files are while they come.
const INCOMING: &str = ".incoming";
/// Bytes by which most kinds are known.
const HEAD: usize = 8_192;

/// What may be sent, by what it holds: media type, and whether a browser shows it within a page.
const KINDS: &[(&str, bool)] = &[
    ("image/png", true),
    ("image/jpeg", true),
    ("image/gif", true),
    ("image/webp", true),
    ("application/pdf", false),
    ("text/plain", false),
];

/// The directory of attachments.
#[derive(Debug)]
pub(crate) struct Uploads {
    directory: PathBuf,
    limit: u64,
    quota: u64,
}

/// A whole file in its place. Dropped before it is kept, it goes again.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) id: String,
    pub(crate) media: &'static str,
    pub(crate) size: u64,
    place: Option<PathBuf>,
    /// Its lock says that somebody knows of it.
    _file: File,
}

impl Received {
    /// The database knows of it.
    pub(crate) fn keep(mut self) {
        self.place = None;
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            // What cannot be removed now goes at the next start.
            std::fs::remove_file(place).ok();
        }
    }
}

fn refused(status: StatusCode, text: impl Into<String>) -> Failure {
    Failure::new(status, text.into())
}

impl Uploads {
    /// # Errors
    /// When the directory cannot be made or written.
    pub(crate) fn open(settings: &Settings) -> Result<Uploads, BoxError> {
        let directory = settings.uploads.clone();
        std::fs::create_dir_all(directory.join(INCOMING))
            .map_err(|error| format!("[app]: uploads is {}: {error}", directory.display()))?;
        let (limit, quota) = (settings.upload_limit(), settings.upload_quota());
        Ok(Uploads { directory, limit, quota })
    }

    /// Bytes of the largest attachment.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    fn path(&self, id: &str) -> PathBuf {
        self.directory.join(id)
    }

    /// A new file, locked: one that is found unlocked is nobody's.
    fn begin(&self) -> io::Result<(String, PathBuf, File)> {
        loop {
            let id = random_id(20);
            let path = self.directory.join(INCOMING).join(&id);
            let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
            file.lock()?;
            // Between the two somebody may have taken it for a rest.
            if file.metadata()?.nlink() > 0 {
                return Ok((id, path, file));
            }
        }
    }

    /// Receives a file, of which there are `used` bytes already.
    ///
    /// # Errors
    /// When it is too large, of no kind that may be sent, torn, or there is no room.
    pub(crate) async fn receive(
        &self,
        mut field: Field<'_>,
        used: u64,
    ) -> Result<Received, Failure> {
        let (id, path, file) = self.begin().map_err(no_room)?;
        let lock = file.try_clone().map_err(no_room)?;
        let mut received =
            Received { id, media: "", size: 0, place: Some(path.clone()), _file: lock };
        let mut file = tokio::fs::File::from_std(file);
        let (mut head, mut text) = (Vec::new(), TextCheck::default());
        loop {
            let chunk = field.chunk().await.map_err(|error| {
                refused(error.status(), "The file did not arrive whole.").because(error)
            })?;
            let Some(chunk) = chunk else { break };
            received.size += chunk.len() as u64;
            self.judge_size(received.size, used)?;
            let room = HEAD.saturating_sub(head.len()).min(chunk.len());
            head.extend_from_slice(&chunk[..room]);
            text.take(&chunk);
            file.write_all(&chunk).await.map_err(no_room)?;
        }
        received.media = media_of(&head, &text).ok_or_else(|| {
            let text = "This kind of file cannot be attached: pictures (PNG, JPEG, GIF, WebP), PDF and plain text can.";
            refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, text)
        })?;
        file.flush().await.map_err(no_room)?;
        file.sync_all().await.map_err(no_room)?;
        let place = self.path(&received.id);
        std::fs::rename(&path, &place).map_err(no_room)?;
        received.place = Some(place);
        let directory = tokio::fs::File::open(&self.directory).await.map_err(no_room)?;
        directory.sync_all().await.map_err(no_room)?;
        Ok(received)
    }

    fn judge_size(&self, size: u64, used: u64) -> Result<(), Failure> {
        if size > self.limit {
            let text = format!("The file is too large: at most {} MiB.", self.limit >> 20);
            return Err(refused(StatusCode::PAYLOAD_TOO_LARGE, text));
        }
        if used + size > self.quota {
            let text = format!(
                "There is no room: all attachments together may have {} MiB. Remove some first.",
                self.quota >> 20
            );
            return Err(refused(StatusCode::INSUFFICIENT_STORAGE, text));
        }
        Ok(())
    }

    /// Removes the file of an attachment that the database no longer knows.
    pub(crate) fn remove(&self, id: &str) {
        // What cannot be removed now goes at the next start.
        std::fs::remove_file(self.path(id)).ok();
    }

    /// Removes what processes that were killed have left.
    pub(crate) async fn tidy(&self, db: &Db) {
        let rests = self.rests(&self.directory.join(INCOMING)).into_iter();
        rests.for_each(|(path, _file)| drop(std::fs::remove_file(path)));
        for (path, _file) in self.rests(&self.directory) {
            let Some(id) = path.file_name().and_then(|it| it.to_str()) else { continue };
            // Asked while its lock is ours. Without an answer it stays.
            if is_id(id) && matches!(attachment::find(db, id).await, Ok(None)) {
                std::fs::remove_file(&path).ok();
            }
        }
    }

    /// Files that nobody has locked, locked.
    fn rests(&self, directory: &Path) -> Vec<(PathBuf, File)> {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        let files = entries.filter(|it| it.file_type().is_ok_and(|kind| kind.is_file()));
        files
            .filter_map(|entry| {
                let file = File::open(entry.path()).ok()?;
                match file.try_lock() {
                    Ok(()) => Some((entry.path(), file)),
                    Err(TryLockError::WouldBlock | TryLockError::Error(_)) => None,
                }
            })
            .collect()
    }
}

/// What the disk does not take.
fn no_room(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            refused(StatusCode::INSUFFICIENT_STORAGE, "The disk is full.").because(error)
        }
        _ => Failure::from(error),
    }
}

/// Whether what comes is text: UTF-8 without control characters but those of lines and columns.
#[derive(Debug, Default)]
struct TextCheck {
    is_none: bool,
    /// The beginning of a character that is not whole yet.
    rest: Vec<u8>,
    any: bool,
}

impl TextCheck {
    fn take(&mut self, chunk: &[u8]) {
        if self.is_none {
            return;
        }
        self.any |= !chunk.is_empty();
        self.rest.extend_from_slice(chunk);
        let good = match str::from_utf8(&self.rest) {
            Ok(text) => text.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => {
                self.is_none = true;
                return;
            }
        };
        let text = str::from_utf8(&self.rest[..good]).unwrap_or_default();
        self.is_none |= text.chars().any(|it| it.is_control() && !matches!(it, '\n' | '\r' | '\t'));
        self.rest.drain(..good);
    }

    fn is_text(&self) -> bool {
        self.any && !self.is_none && self.rest.is_empty()
    }
}

/// The media type of a file by what it holds; `None` for one that may not be sent.
fn media_of(head: &[u8], text: &TextCheck) -> Option<&'static str> {
    let found = infer::get(head).map(|kind| kind.mime_type());
    let found = found.or_else(|| text.is_text().then_some("text/plain"));
    KINDS.iter().map(|(media, _)| *media).find(|media| found == Some(*media))
}

/// What a file is called: the last part of what was sent, without what could be more than a name.
pub(crate) fn clean_name(sent: &str) -> String {
    let last = sent.rsplit(['/', '\\']).next().unwrap_or_default();
    let clean: String =
        last.chars().filter(|it| !it.is_control() && *it != '"').take(120).collect();
    let clean = clean.trim().trim_start_matches('.');
    if clean.is_empty() { "attachment".to_owned() } else { clean.to_owned() }
}

/// `GET /attachments/{id}`
pub(crate) async fn serve(
    State(site): State<Site>,
    Segment(id): Segment<String>,
    who: Who,
) -> Result<Response, Failure> {
    let missing = || refused(StatusCode::NOT_FOUND, "There is no such attachment.");
    let found = if is_id(&id) { attachment::find(&site.db, &id).await? } else { None };
    let found = found.ok_or_else(missing)?;
    let incident = incident::find(&site.db, &found.incident).await?.ok_or_else(missing)?;
    let is_draft = incident.phase(time::now()) == Phase::Draft;
    if is_draft && who.session().is_none() {
        return Err(missing());
    }
    let file = tokio::fs::File::open(site.uploads.path(&found.id)).await?;
    let body = Body::from_stream(ReaderStream::with_capacity(file, 64 << 10));
    let mut response = Response::new(body);
    describe(response.headers_mut(), &found, is_draft);
    Ok(response)
}

/// Headers by which a file is never more than a file.
fn describe(headers: &mut header::HeaderMap, found: &Attachment, is_draft: bool) {
    let kind = KINDS.iter().find(|(media, _)| *media == found.media);
    let (media, is_shown) = kind.copied().unwrap_or(("application/octet-stream", false));
    let media = if media == "text/plain" { "text/plain; charset=utf-8" } else { media };
    let way = if is_shown { "inline" } else { "attachment" };
    let name =
        percent_encoding::utf8_percent_encode(&found.name, percent_encoding::NON_ALPHANUMERIC);
    let disposition = format!("{way}; filename*=UTF-8''{name}");
    let caching = if is_draft { "no-store" } else { "public, max-age=86400, immutable" };
    let mut set = |name: header::HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    set(header::CONTENT_TYPE, media);
    set(header::CONTENT_LENGTH, &found.size.to_string());
    set(header::CONTENT_DISPOSITION, &disposition);
    set(header::CACHE_CONTROL, caching);
    set(header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox; frame-ancestors 'none'");
    set(header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn media(bytes: &[u8]) -> Option<&'static str> {
        let mut text = TextCheck::default();
        bytes.chunks(3).for_each(|chunk| text.take(chunk));
        media_of(&bytes[..bytes.len().min(HEAD)], &text)
    }

    #[test]
    fn files_are_what_they_hold_and_not_what_they_are_called() {
        assert_eq!(media(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), Some("image/png"));
        assert_eq!(media(b"\xff\xd8\xff\xe0\0\x10JFIF"), Some("image/jpeg"));
        assert_eq!(media(b"GIF89a\x01\0\x01\0"), Some("image/gif"));
        assert_eq!(media(b"%PDF-1.7\n%\xe2\xe3"), Some("application/pdf"));
        assert_eq!(media("Grüße\n\tan alle".as_bytes()), Some("text/plain"));
        for wrong in [
            &b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0"[..],
            b"PK\x03\x04zip",
            b"text\0with a null",
            b"torn \xc3",
            b"\x1b[31mred",
            b"",
        ] {
            assert_eq!(media(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn names_are_only_names() {
        for (sent, expected) in [
            ("../../etc/passwd", "passwd"),
            ("C:\\x\\shot.png", "shot.png"),
            (".htaccess", "htaccess"),
            ("a\r\nb\"c.txt", "abc.txt"),
            ("", "attachment"),
            ("...", "attachment"),
        ] {
            assert_eq!(clean_name(sent), expected);
        }
    }

    #[test]
    fn a_rest_of_a_killed_process_goes_and_what_somebody_writes_stays() {
        let place = tempfile::tempdir().expect("a directory");
        let mut settings = Settings::default();
        settings.uploads = place.path().join("uploads");
        let uploads = Uploads::open(&settings).expect("a directory");
        let (_, busy, _lock) = uploads.begin().expect("a file");
        let (_, left, lock) = uploads.begin().expect("a file");
        drop(lock);
        let rests = uploads.rests(&uploads.directory.join(INCOMING));
        let found: Vec<_> = rests.iter().map(|(path, _)| path.clone()).collect();
        assert_eq!(found, [left]);
        assert!(busy.exists());
    }
}
