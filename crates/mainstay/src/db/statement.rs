//! A statement on its way: known before it is sent, observed until it has ended.

use super::book::Book;
use super::fingerprint::{Fingerprint, fingerprint};
use super::open::Echo;
use super::running::{self, Running};
use super::span::{self, Failed, Ran};
use crate::clock;
use crate::config::Level;
use crate::event::{Event, Time};
use crate::health::checks::Kind;
use crate::http::context::{Context, current, spans};
use crate::log::{Log, Record, RecordContext};
use crate::telemetry::{self, here, sentry};
use futures_util::Stream;
use sqlx::{AssertSqlSafe, Database, Either, Error, Execute, SqlSafeStr, SqlStr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll};
use std::time::Duration;

/// The logger of statements that are echoed.
const LOGGER: &str = "mainstay::sql";
/// What statements are called in reports of errors.
const CRUMB: &str = "query";
/// As many equal statements in one request are a loop over rows.
pub(super) const REPEATED: u32 = 10;

/// A statement of sqlx's taken apart, so that its text is known while it runs.
pub(super) struct Known<DB: Database> {
    sql: SqlStr,
    statement: Option<DB::Statement>,
    arguments: Option<Result<Option<DB::Arguments>, sqlx::error::BoxDynError>>,
    persistent: bool,
}

impl<DB: Database> Known<DB> {
    pub(super) fn new<'q, E: Execute<'q, DB>>(mut query: E) -> Known<DB> {
        let persistent = query.persistent();
        let statement = query.statement().cloned();
        let arguments = Some(query.take_arguments());
        Known { sql: query.sql(), statement, arguments, persistent }
    }

    /// Its text.
    pub(super) fn text(&self) -> &str {
        self.sql.as_str()
    }
}

impl<DB: Database> Execute<'_, DB> for Known<DB> {
    fn sql(self) -> SqlStr {
        self.sql
    }

    fn statement(&self) -> Option<&DB::Statement> {
        self.statement.as_ref()
    }

    fn take_arguments(&mut self) -> Result<Option<DB::Arguments>, sqlx::error::BoxDynError> {
        self.arguments.take().unwrap_or(Ok(None))
    }

    fn persistent(&self) -> bool {
        self.persistent
    }
}

/// A statement that runs. Dropped, it has ended: by itself, by an error, or because nobody wanted it
/// any more.
pub(super) struct Observed {
    book: Arc<Book>,
    request: Option<Arc<Context>>,
    fingerprint: Arc<Fingerprint>,
    waited: Duration,
    /// Time that the database took; what whoever reads the rows takes is theirs.
    run: Duration,
    rows: u64,
    affected: u64,
    failed: Option<Failed>,
    ended: bool,
    /// Its span, and when the database last answered.
    span: Option<(telemetry::Running, clock::Mono)>,
    _running: Running,
}

impl Observed {
    /// `waited` is how long there was no connection for it.
    pub(super) fn begin(book: &Arc<Book>, text: &str, waited: Duration) -> Observed {
        let request = current::current();
        let fingerprint = Arc::new(fingerprint(text));
        let running = running::enter(book, &fingerprint, request.clone());
        Observed {
            book: Arc::clone(book),
            request,
            fingerprint,
            waited,
            run: Duration::ZERO,
            rows: 0,
            affected: 0,
            failed: None,
            ended: false,
            span: spans::begin(book.log(), here).map(|span| (span, clock::mono())),
            _running: running,
        }
    }

    /// One look at the database's part of it, which begins at each poll and ends with an answer.
    fn took(&mut self, asked: clock::Mono) {
        let now = clock::mono();
        self.run += now.since(asked);
        if let Some((_, answered)) = &mut self.span {
            *answered = now;
        }
    }

    pub(super) fn failed(&mut self, error: &Error) {
        if !matches!(error, Error::RowNotFound) {
            self.failed = Some(Failed::new(error));
        }
    }

    /// Awaits an answer of which `rows` says how many rows it has.
    pub(super) async fn one<T>(
        mut self,
        answer: impl Future<Output = Result<T, Error>>,
        rows: impl FnOnce(&T) -> u64,
    ) -> Result<T, Error> {
        let began = clock::mono();
        let answer = answer.await;
        self.took(began);
        match &answer {
            Ok(answer) => self.rows = rows(answer),
            Err(error) => self.failed(error),
        }
        self.ended = true;
        answer
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        let slow = self.book.slow_query.is_some_and(|limit| self.run >= limit);
        self.book.ran(self.run, self.failed.is_some(), slow);
        self.end_span();
        let repeated = self
            .request
            .as_ref()
            .is_some_and(|request| request.count_query(self.fingerprint.hash) == REPEATED);
        if let Some(request) = self.request.as_deref()
            && self.book.log().makes_reports()
        {
            let (rows, failed) = (self.rows, self.failed.as_ref().map(|it| it.told.as_str()));
            remember(request, &self.book.name, &self.fingerprint.text, self.run, rows, failed);
        }
        let is_quiet = self.book.echo == Echo::Off && !slow && self.failed.is_none() && !repeated;
        if is_quiet {
            return;
        }
        self.tell(slow, repeated);
    }
}

impl Observed {
    #[inline]
    fn end_span(&self) {
        let Some((span, answered)) = &self.span else { return };
        let ran = Ran {
            system: span::system(self.book.kind),
            pool: &self.book.name,
            target: Some(&self.book.target),
            statement: &self.fingerprint,
            rows: self.rows,
            failed: self.failed.as_ref(),
        };
        span::end(span, *answered, &ran);
    }

    #[cold]
    fn tell(&mut self, slow: bool, repeated: bool) {
        let (pool, statement) = (self.book.name.clone(), self.fingerprint.text.clone());
        let request = of_request(self.request.as_deref());
        let log = self.book.log();
        if self.book.echo > Echo::Off {
            self.echo();
        }
        if let Some(Failed { told: error, .. }) = self.failed.take() {
            let (pool, statement, request) = (pool.clone(), statement.clone(), request.clone());
            log.event(&Event::QueryFailed { pool, error, statement, request });
        }
        if slow {
            let (took, rows) = (Time(self.run), self.rows);
            let (pool, statement, request) = (pool.clone(), statement.clone(), request.clone());
            let waited = Time(self.waited);
            log.event(&Event::QuerySlow { pool, took, waited, rows, statement, request });
        }
        if repeated {
            log.event(&Event::QueryRepeated { pool, times: REPEATED, statement, request });
        }
    }

    fn echo(&self) {
        let took = format!("{:.3}", self.run.as_secs_f64() * 1_000.0);
        let waited = format!("{:.3}", self.waited.as_secs_f64() * 1_000.0);
        let (rows, affected) = (self.rows.to_string(), self.affected.to_string());
        let mut fields = vec![("ms", took.as_str()), ("rows", &rows), ("affected", &affected)];
        if self.book.echo == Echo::Debug {
            fields.push(("wait_ms", &waited));
            fields.push(("pool", &self.book.name));
        }
        if !self.ended {
            fields.push(("ended", "early"));
        }
        record(self.book.log(), &self.fingerprint.text, &fields, self.request.as_deref());
    }
}

impl Book {
    /// Tells of what no statement of the application's is.
    pub(super) fn tell_transaction(&self, word: &str) {
        if self.echo == Echo::Debug {
            record(self.log(), word, &[("pool", &self.name)], current::current().as_deref());
        }
    }
}

/// Keeps a statement in mind, for the report of a failure of its request.
pub(super) fn remember(
    request: &Context,
    pool: &str,
    statement: &str,
    took: Duration,
    rows: u64,
    failed: Option<&str>,
) {
    let level = if failed.is_some() { Level::Error } else { Level::Info };
    let (took, rows) = (format!("{:.3}", took.as_secs_f64() * 1_000.0), rows.to_string());
    let mut facts = vec![("pool", pool), ("ms", took.as_str()), ("rows", &rows)];
    facts.extend(failed.map(|error| ("error", error)));
    sentry::remember(request, level, CRUMB, statement, &facts);
}

/// Writes the line of a statement.
pub(super) fn record(log: &Log, message: &str, fields: &[(&str, &str)], request: Option<&Context>) {
    let client = request.and_then(|request| request.client).map(|client| client.to_string());
    log.record(&Record {
        level: Level::Info,
        logger: LOGGER,
        message,
        fields,
        error: None,
        context: request.map(|request| RecordContext {
            request_id: request.id.as_str(),
            client: client.as_deref().unwrap_or_default(),
            route: request.route.get().map_or("", AsRef::as_ref),
            method: &request.method,
            path: &request.path,
            ..RecordContext::default()
        }),
    });
}

/// `GET /orders/{id} (0193…)`, or that there is none.
pub(super) fn of_request(request: Option<&Context>) -> String {
    match request {
        Some(request) => {
            let path = request.route.get().map_or(request.path.as_str(), AsRef::as_ref);
            format!("{} {path} ({})", request.method, request.id)
        }
        None => "no request".to_owned(),
    }
}

/// The rows of a statement, observed.
pub(super) struct Rows<S, A> {
    rows: S,
    observed: Observed,
    /// Rows that an outcome says were changed.
    affected: fn(&A) -> u64,
    /// When the database was asked for what it has not given yet.
    asked: Option<clock::Mono>,
}

impl<S, A> Rows<S, A> {
    pub(super) fn new(rows: S, observed: Observed, affected: fn(&A) -> u64) -> Rows<S, A> {
        Rows { rows, observed, affected, asked: None }
    }
}

impl<S, A, R> Stream for Rows<S, A>
where
    S: Stream<Item = Result<Either<A, R>, Error>> + Unpin,
{
    type Item = Result<Either<A, R>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Task<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let asked = *this.asked.get_or_insert_with(clock::mono);
        let Poll::Ready(item) = Pin::new(&mut this.rows).poll_next(cx) else {
            return Poll::Pending;
        };
        this.asked = None;
        this.observed.took(asked);
        match &item {
            Some(Ok(Either::Right(_))) => this.observed.rows += 1,
            Some(Ok(Either::Left(outcome))) => {
                this.observed.affected += (this.affected)(outcome);
            }
            Some(Err(error)) => this.observed.failed(error),
            None => this.observed.ended = true,
        }
        Poll::Ready(item)
    }
}

/// The statement with the placeholders of this kind of database.
pub(super) fn for_kind(statement: &'static str, kind: Kind) -> SqlStr {
    if kind != Kind::Postgres || !statement.contains('?') {
        return statement.into_sql_str();
    }
    AssertSqlSafe(numbered(statement)).into_sql_str()
}

/// An INSERT that does nothing where its row is.
pub(super) fn if_new(insert: &'static str, kind: Kind) -> SqlStr {
    let text = match kind {
        Kind::MySql => insert.replacen("INSERT INTO", "INSERT IGNORE INTO", 1),
        Kind::Postgres => format!("{} ON CONFLICT DO NOTHING", numbered(insert)),
        _ => format!("{insert} ON CONFLICT DO NOTHING"),
    };
    AssertSqlSafe(text).into_sql_str()
}

/// The statement with `$1`, `$2` in place of each `?`.
pub(super) fn numbered(statement: &str) -> String {
    let mut out = String::with_capacity(statement.len() + 16);
    let (mut number, mut quote) = (0, None);
    for character in statement.chars() {
        match (character, quote) {
            ('?', None) => {
                number += 1;
                out.push('$');
                out.push_str(&number.to_string());
                continue;
            }
            ('\'' | '"', None) => quote = Some(character),
            (close, Some(open)) if close == open => quote = None,
            _ => {}
        }
        out.push(character);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_those_of_the_database() {
        let statement = "SELECT a, '?' FROM b WHERE c = ? AND \"d?\" = ?";
        assert_eq!(for_kind(statement, Kind::Sqlite).as_str(), statement);
        let expected = "SELECT a, '?' FROM b WHERE c = $1 AND \"d?\" = $2";
        assert_eq!(for_kind(statement, Kind::Postgres).as_str(), expected);
    }
}
