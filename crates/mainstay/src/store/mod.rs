//! A Redis, one that sentinels watch or a cluster, that counts rate limits for several hosts: asked once for all limits of a request, never waited for
//! longer than configured, and left alone while it does not answer.
//!
//! Whether it answers is known to all processes of the service by the breaker in the segment: the first failure
//! opens it, one process at a time tries, by an act of the same kind, whether it can be closed.

mod client;
mod command;
mod nodes;
mod sentinel;
mod spread;

pub(crate) use command::{reach, told};

use crate::clock::{self, Mono};
use crate::event::{Event, Time};
use crate::limits::address::Address;
use crate::limits::question::{Question, Reply};
use crate::limits::settings::Settings;
use crate::log::Log;
use crate::metrics::names;
use client::{Client, Connection, Trouble};
use mainstay_os::segment::Turn;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::timeout;

/// How long a connection may take beside all requests.
const CONNECT: Duration = Duration::from_secs(1);
/// Whoever is woken so much later than he asked for has blocked his own thread.
const OWN_DELAY: Duration = Duration::from_millis(2);

/// What it says in the end; `None` where it did not.
pub(crate) type Asking = Pin<Box<dyn Future<Output = Option<Reply>> + Send>>;

/// The store, as one process asks it.
pub(crate) struct Store {
    client: Client,
    address: Address,
    timeout: Duration,
    log: Log,
    line: Mutex<Line>,
}

/// The connection that all requests share, and how many there were.
#[derive(Default)]
struct Line {
    number: u64,
    open: Option<Connection>,
}

impl Line {
    fn connection(&self) -> Option<(u64, Connection)> {
        Some((self.number, self.open.clone()?))
    }

    fn take(&mut self, open: Connection) -> (u64, Connection) {
        self.number += 1;
        self.open = Some(open.clone());
        (self.number, open)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Store {
    /// The store of these settings, if there is one.
    ///
    /// # Errors
    /// Why it cannot be spoken to.
    pub(crate) fn of(settings: &Settings, log: &Log) -> Result<Option<Arc<Store>>, String> {
        let Some(address) = settings.storage.clone() else { return Ok(None) };
        let client = Client::new(&address)?;
        let (timeout, log) = (settings.timeout, log.clone());
        Ok(Some(Arc::new(Store { client, address, timeout, log, line: Mutex::default() })))
    }

    /// Connects before anybody has to wait for it. A store that is away is told of, and does not matter here.
    pub(crate) async fn meet(&self) {
        if !self.log.segment().limits().breaker().is_open()
            && let Err(trouble) = self.connect_fresh().await
        {
            self.failed(&trouble);
        }
    }

    /// Whether it is to be asked. When it is time to try whether it answers again, the caller's process tries.
    pub(crate) fn is_there(self: &Arc<Store>, now: Mono) -> bool {
        match self.log.segment().limits().breaker().turn(now.0) {
            Turn::Ask => true,
            Turn::Leave => false,
            Turn::Try => {
                tokio::spawn(Arc::clone(self).try_again());
                false
            }
        }
    }

    /// Asks about a request.
    pub(crate) fn ask(self: &Arc<Store>, question: Question) -> Asking {
        let store = Arc::clone(self);
        Box::pin(async move {
            let (counter, reply) = match store.put(&question).await {
                Ok(reply) => (names::STORE_TRIPS, Some(reply)),
                Err(Trouble::Connecting) => (names::STORE_TIMEOUTS, None),
                Err(trouble) => {
                    store.failed(&trouble);
                    store.hang_up(None);
                    let late = matches!(trouble, Trouble::Late(_));
                    (if late { names::STORE_TIMEOUTS } else { names::STORE_ERRORS }, None)
                }
            };
            store.log.slot().add(counter, 1);
            reply
        })
    }

    /// Puts a question. A connection that was closed meanwhile is made again, once.
    async fn put(self: &Arc<Store>, question: &Question) -> Result<Reply, Trouble> {
        let ends = clock::mono() + self.timeout;
        let said = match self.put_once(question, ends).await {
            Err((Trouble::Closed(_), Some(number))) => {
                self.hang_up(Some(number));
                self.put_once(question, ends).await
            }
            said => said,
        };
        said.map_err(|(trouble, _)| trouble)
    }

    /// Puts a question; what went wrong, with the number of the connection, where there was one.
    async fn put_once(
        self: &Arc<Store>,
        question: &Question,
        ends: Mono,
    ) -> Result<Reply, (Trouble, Option<u64>)> {
        let left = || ends.since(clock::mono());
        let connected = timeout(left(), self.connection()).await;
        // Who is connected late says nothing about how fast it decides.
        let connected = connected.unwrap_or(Err(Trouble::Connecting));
        let (number, open) = connected.map_err(|trouble| (trouble, None))?;
        let said = timeout(left(), open.decide(question)).await;
        // Who was woken late himself cannot say that it was.
        let is_own = clock::mono().since(ends) > OWN_DELAY;
        let late = if is_own { Trouble::Connecting } else { Trouble::Late(self.timeout) };
        let said = said.unwrap_or(Err(late));
        said.map_err(|trouble| (trouble, Some(number)))
    }

    async fn connection(self: &Arc<Store>) -> Result<(u64, Connection), Trouble> {
        if let Some(open) = self.line.lock().await.connection() {
            return Ok(open);
        }
        // It goes on when whoever waits for it has no time left.
        let store = Arc::clone(self);
        let connected = tokio::spawn(async move { store.connect().await }).await;
        connected.unwrap_or(Err(Trouble::Connecting))
    }

    /// Connects, unless somebody else does, or has found that nobody can.
    async fn connect(&self) -> Result<(u64, Connection), Trouble> {
        let mut line = self.line.lock().await;
        if let Some(open) = line.connection() {
            return Ok(open);
        }
        if self.log.segment().limits().breaker().is_open() {
            return Err(Trouble::Connecting);
        }
        let connected = timeout(CONNECT, self.client.connect()).await;
        match connected.unwrap_or(Err(Trouble::Late(CONNECT))) {
            Ok(open) => Ok(line.take(open)),
            Err(trouble) => {
                self.failed(&trouble);
                Err(trouble)
            }
        }
    }

    /// Gives up the connection of this number, or any. While one is being made there is none.
    fn hang_up(&self, number: Option<u64>) {
        if let Ok(mut line) = self.line.try_lock()
            && number.is_none_or(|number| number == line.number)
        {
            line.open = None;
        }
    }

    /// Makes a new connection, and sees whether the store can do what it is for in time.
    async fn connect_fresh(&self) -> Result<(), Trouble> {
        let connected = timeout(CONNECT, self.client.connect()).await;
        let mut open = connected.map_err(|_| Trouble::Late(CONNECT))??;
        // A cluster is asked three times in turn, where a decision takes two.
        let most = match &open {
            Connection::One(_) => self.timeout,
            Connection::Many(_) => self.timeout * 3 / 2,
        };
        timeout(most, open.try_out()).await.map_err(|_| Trouble::Late(most))??;
        self.line.lock().await.take(open);
        Ok(())
    }

    /// It has failed: told by the first who finds out, for all.
    fn failed(&self, trouble: &Trouble) {
        if self.log.segment().limits().breaker().failed(clock::mono().0) {
            let (store, reason) = (self.address.to_string(), trouble.to_string());
            self.log.event(&Event::LimitStoreAway { store, reason });
        }
    }

    async fn try_again(self: Arc<Store>) {
        let tried = self.connect_fresh().await;
        let (now, limits) = (clock::mono(), self.log.segment().limits());
        match tried {
            Ok(()) => {
                if let Some(away) = limits.breaker().answered(now.0) {
                    let (store, after) = (self.address.to_string(), Time(away));
                    self.log.event(&Event::LimitStoreBack { store, after });
                }
            }
            Err(_) => limits.breaker().failed_again(now.0),
        }
    }
}
