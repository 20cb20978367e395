//! Why the kit does not do what it was asked for.

use crate::Failure;
use crate::db::reason;
use crate::health::reason::Reason;
use http::StatusCode;
use std::fmt;

/// Why the kit did not do what it was asked for, in words for whoever asked.
///
/// `?` makes a [`Failure`] of it, with the same status and words.
#[derive(Debug)]
pub enum Refusal {
    /// Name or password is wrong; or the user is disabled, or there were too many failures. Which of
    /// them, only the log is told. 401.
    Wrong,
    /// More passwords are to be checked than can be. 503.
    Busy,
    /// The new password is not taken; why. 422.
    Weak(&'static str),
    /// There is a user of this name. 409.
    NameTaken,
    /// The name, or the role, cannot be one; why. 422.
    BadName(&'static str),
    /// There is no user of this name. 404.
    NoSuchUser,
    /// The link was used, has expired, was replaced by a newer one, or never was. 410.
    LinkVoid,
    /// It could not be found out: 503 when the database is away, else 500.
    Failed(Failure),
}

impl Refusal {
    /// The status of an answer that tells it.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Refusal::Wrong => StatusCode::UNAUTHORIZED,
            Refusal::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Refusal::Weak(_) | Refusal::BadName(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Refusal::NameTaken => StatusCode::CONFLICT,
            Refusal::NoSuchUser => StatusCode::NOT_FOUND,
            Refusal::LinkVoid => StatusCode::GONE,
            Refusal::Failed(failure) => failure.status_code(),
        }
    }

    /// A sentence for the user.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Refusal::Failed(failure) => failure.outside().unwrap_or("Something went wrong."),
            other => other.constant(),
        }
    }

    fn constant(&self) -> &'static str {
        match self {
            Refusal::Wrong => "Name or password is wrong.",
            Refusal::Busy => "Too many people are signing in. Please try again in a moment.",
            Refusal::Weak(why) | Refusal::BadName(why) => why,
            Refusal::NameTaken => "There is a user of this name.",
            Refusal::NoSuchUser => "There is no user of this name.",
            Refusal::LinkVoid => "This link was used, or it has expired. Please ask for a new one.",
            Refusal::Failed(_) => "Something went wrong.",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl From<Refusal> for Failure {
    #[track_caller]
    fn from(refusal: Refusal) -> Failure {
        match refusal {
            Refusal::Failed(failure) => failure,
            other => Failure::new(other.status(), other.constant()),
        }
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Refusal {
        Refusal::Failed(failure)
    }
}

impl From<sqlx::Error> for Refusal {
    #[track_caller]
    fn from(error: sqlx::Error) -> Refusal {
        Refusal::Failed(failed(error))
    }
}

impl From<std::io::Error> for Refusal {
    #[track_caller]
    fn from(error: std::io::Error) -> Refusal {
        Refusal::Failed(Failure::from(error))
    }
}

/// What a database's error is: 503 for what may pass by itself.
#[track_caller]
pub(super) fn failed(error: sqlx::Error) -> Failure {
    let away = match &error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolClosed
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::WorkerCrashed => true,
        error => !matches!(reason::finding(error).reason, Reason::Failed | Reason::Ok),
    };
    match away {
        true => {
            let words = "The service cannot reach its database at the moment. Please try again.";
            Failure::new(StatusCode::SERVICE_UNAVAILABLE, words).because(error)
        }
        false => Failure::from(error).status(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_its_status_and_a_failure_keeps_both() {
        for (refusal, status) in [
            (Refusal::Wrong, 401),
            (Refusal::Busy, 503),
            (Refusal::Weak("The password is too short."), 422),
            (Refusal::NameTaken, 409),
            (Refusal::BadName("No."), 422),
            (Refusal::NoSuchUser, 404),
            (Refusal::LinkVoid, 410),
            (Refusal::from(sqlx::Error::PoolTimedOut), 503),
            (Refusal::from(sqlx::Error::RowNotFound), 500),
        ] {
            assert_eq!(refusal.status(), status);
            let text = refusal.text().to_owned();
            let failure = Failure::from(refusal);
            assert_eq!(failure.status_code(), status);
            assert_eq!(failure.outside().unwrap_or("Something went wrong."), text);
        }
    }
}
