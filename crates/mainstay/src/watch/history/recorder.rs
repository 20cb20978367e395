//! The thread that writes and reads: it may wait for the disk, and nobody waits for it.

use super::file;
use super::read::{Answer, Question};
use super::roll::Kind;
use super::store::{Batch, Store};
use super::totals::Totals;
use crate::clock;
use crate::event::Event;
use crate::log::Log;
use crate::metrics::names;
use crate::panics;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// After so many failures in a row it is given up.
const MOST: u32 = 5;

/// What the thread is told.
#[derive(Debug)]
pub(super) enum Message {
    /// What there was in ten seconds, and the totals at their end.
    Batch(Box<(Batch, Totals)>),
    /// A question; nobody answers when the file cannot be read.
    Ask(Question, oneshot::Sender<Answer>),
    End,
}

/// The thread's own.
pub(super) struct Recorder {
    pub(super) log: Log,
    pub(super) directory: Option<PathBuf>,
    pub(super) most: u64,
    /// That nothing can be written was told.
    pub(super) is_told: bool,
    /// Its failures since the last batch.
    pub(super) failures: u32,
}

impl Recorder {
    /// Until it is told to end, or nobody can tell it anything. What fails by a fault of ours is told and begun anew:
    /// nobody else is to suffer from it. After a few failures without a batch between them it is left at that; then
    /// what is handed over is counted as lost.
    pub(super) fn run(mut self, told: &Receiver<Message>, runtime: &Runtime) {
        while self.failures < MOST {
            let reason = match panics::caught(|| self.live(told, runtime)) {
                Ok(Ok(())) => return,
                // There is not even memory, or sqlx's thread has failed.
                Ok(Err(error)) => error.to_string(),
                Err(panic) => panic.to_string(),
            };
            self.failures += 1;
            self.log.event(&Event::HistoryFailed { reason });
        }
    }

    fn live(&mut self, told: &Receiver<Message>, runtime: &Runtime) -> sqlx::Result<()> {
        let mut store = runtime.block_on(self.open())?;
        while let Ok(message) = told.recv() {
            match message {
                Message::Batch(batch) => {
                    let (batch, totals) = *batch;
                    store = runtime.block_on(self.take(store, batch, totals))?;
                    self.failures = 0;
                }
                // Who asked has left.
                Message::Ask(_, answer) if answer.is_closed() => {}
                Message::Ask(question, answer) => {
                    let now = (clock::wall() / 1_000_000_000) as i64;
                    if let Ok(found) = runtime.block_on(store.answer(question, now)) {
                        // Who asked may have left.
                        answer.send(found).ok();
                    }
                }
                Message::End => break,
            }
        }
        // What cannot be tidied up is in the log beside the file, and taken up from there.
        runtime.block_on(store.close()).ok();
        Ok(())
    }

    /// The file; memory when there is none, or it cannot be used.
    async fn open(&mut self) -> sqlx::Result<Store> {
        let Some(directory) = self.directory.clone() else {
            return Store::in_memory(self.most).await;
        };
        match Store::open(&directory, self.most).await {
            Ok((store, forgotten)) => {
                self.forgotten(forgotten);
                Ok(store)
            }
            Err(error) => {
                self.unsaved(&directory, &error);
                Store::in_memory(self.most).await
            }
        }
    }

    /// Who has a directory that cannot be used keeps what there is in memory from now on.
    fn unsaved(&mut self, directory: &Path, error: &sqlx::Error) {
        let reason = format!("{}: {error}", directory.join(file::FILE).display());
        self.log.event(&Event::HistoryUnsaved { reason });
        self.directory = None;
    }

    fn forgotten(&self, reason: Option<String>) {
        reason.into_iter().for_each(|reason| self.log.event(&Event::HistoryForgotten { reason }));
    }

    async fn take(&mut self, store: Store, batch: Batch, totals: Totals) -> sqlx::Result<Store> {
        let (lost, written, store) = put(store, batch, totals).await;
        self.log.slot().add(names::HISTORY_LOST, lost as u64);
        let Err(error) = written else {
            self.is_told = false;
            return Ok(store);
        };
        if let Some(directory) = self.directory.clone().filter(|_| file::is_damaged(&error)) {
            let (store, why) = store.renew(&directory, self.most).await?;
            self.forgotten(Some(error.to_string()));
            if let Some(error) = why {
                self.unsaved(&directory, &error);
            }
            return Ok(store);
        }
        // Nobody answers for the file any more.
        if matches!(error, sqlx::Error::WorkerCrashed) {
            return Err(error);
        }
        if !self.is_told {
            self.is_told = true;
            self.log.event(&Event::HistoryUnsaved { reason: error.to_string() });
        }
        Ok(store)
    }
}

/// Adds what was counted since the last batch.
pub(super) async fn put(
    mut store: Store,
    mut batch: Batch,
    totals: Totals,
) -> (usize, sqlx::Result<()>, Store) {
    let before = store.totals();
    let totals = totals.not_below(before);
    let [requests, times] = totals.requests_since(before, batch.at);
    batch.happenings.extend(totals.happenings_since(before, batch.at));
    batch.parts.push(("requests".to_owned(), Kind::Metric, requests));
    batch.parts.push(("request_seconds".to_owned(), Kind::Metric, times));
    let (lost, written) = store.take(batch, Some(totals)).await;
    (lost, written, store)
}
