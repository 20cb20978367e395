//! Passwords are hashed on threads of their own: each hash takes some 50 ms of a processor and 19 MiB,
//! and there may not be more of either than the machine has, however many people sign in.

use super::password::Password;
use super::refusal::Refusal;
use super::secret;
use crate::Failure;
use crate::clock::{self, Mono};
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use base64ct::{Base64Unpadded, Encoding};
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};

/// Memory of a hash, KiB, and passes over it: the least that OWASP asks for.
const MEMORY: u32 = 19_456;
const PASSES: u32 = 2;
/// Bytes of a hash and of its salt.
const HASH: usize = 32;
const SALT: usize = 16;
/// People, and jobs, that may wait for each thread: more would not be begun in time anyhow.
const QUEUED: usize = 8;
/// People at the door for each thread: one whose password is hashed, one whose name is looked up. All
/// others wait before anything is done for them, so that a thousand of them cost others little.
const TURNS: usize = 2;
/// Threads that hash give way to those that serve.
const NICE: i32 = 10;

/// A hash of no password, verified for users that there are not, so that it takes the same time.
pub(super) const DUMMY: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA\
$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// What was found of a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) is_right: bool,
    /// The hash was made with other parameters than hashes are now.
    pub(super) is_old: bool,
}

enum Work {
    Hash(Password),
    Verify(Password, String),
}

enum Done {
    Hash(String),
    Verdict(Verdict),
    TooLate,
    Failed(String),
}

struct Job {
    work: Work,
    since: Mono,
    answer: oneshot::Sender<Done>,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    is_closed: bool,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    came: Condvar,
    /// Hashes that were computed.
    computed: AtomicU64,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The threads. Dropped, they end with what they are at.
pub(super) struct Hashers {
    shared: Arc<Shared>,
    threads: usize,
    turns: Semaphore,
    waiting: AtomicUsize,
    patience: Duration,
}

impl Drop for Hashers {
    fn drop(&mut self) {
        self.shared.queue().is_closed = true;
        self.shared.came.notify_all();
    }
}

/// One of those who wait for their turn.
struct Waiting<'a>(&'a AtomicUsize);

impl Waiting<'_> {
    /// None if there are `most` already.
    fn among(count: &AtomicUsize, most: usize) -> Option<Waiting<'_>> {
        let waiting = Waiting(count);
        (count.fetch_add(1, Ordering::Relaxed) < most).then_some(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Hashers {
    /// So many threads; a job that waits longer than `patience` for one is not begun.
    ///
    /// # Errors
    /// When there can be no thread.
    pub(super) fn start(threads: usize, patience: Duration) -> io::Result<Hashers> {
        let turns = Semaphore::new(TURNS * threads);
        let hashers = Hashers {
            shared: Arc::default(),
            threads,
            turns,
            waiting: AtomicUsize::new(0),
            patience,
        };
        for number in 0..threads {
            let shared = Arc::clone(&hashers.shared);
            let thread = std::thread::Builder::new().name(format!("hasher-{number}"));
            thread.spawn(move || serve(&shared, patience))?;
        }
        Ok(hashers)
    }

    /// Somebody's turn, which he keeps until his password was looked at and written down what came of it.
    ///
    /// # Errors
    /// [`Refusal::Busy`] when it does not come in time.
    pub(super) async fn turn(&self) -> Result<SemaphorePermit<'_>, Refusal> {
        let _waiting = Waiting::among(&self.waiting, QUEUED * self.threads).ok_or(Refusal::Busy)?;
        let turn = tokio::time::timeout(self.patience, self.turns.acquire()).await;
        turn.ok().and_then(Result::ok).ok_or(Refusal::Busy)
    }

    /// The hash of a new password.
    pub(super) async fn hash(&self, password: &Password) -> Result<String, Refusal> {
        match self.run(Work::Hash(password.clone())).await? {
            Done::Hash(hash) => Ok(hash),
            other => Err(refused(&other)),
        }
    }

    /// Whether the password is the one of this hash.
    pub(super) async fn verify(&self, hash: &str, password: &Password) -> Result<Verdict, Refusal> {
        match self.run(Work::Verify(password.clone(), hash.to_owned())).await? {
            Done::Verdict(verdict) => Ok(verdict),
            other => Err(refused(&other)),
        }
    }

    async fn run(&self, work: Work) -> Result<Done, Refusal> {
        let (answer, done) = oneshot::channel();
        {
            let mut queue = self.shared.queue();
            if queue.jobs.len() >= QUEUED * self.threads {
                return Err(Refusal::Busy);
            }
            queue.jobs.push_back(Job { work, since: clock::mono(), answer });
        }
        self.shared.came.notify_one();
        done.await.map_err(|_| refused(&Done::Failed("the thread that hashes has ended".into())))
    }

    #[cfg(test)]
    pub(super) fn computed(&self) -> u64 {
        self.shared.computed.load(Ordering::Relaxed)
    }
}

fn refused(done: &Done) -> Refusal {
    match done {
        Done::TooLate => Refusal::Busy,
        Done::Failed(why) => {
            let status = http::StatusCode::INTERNAL_SERVER_ERROR;
            Refusal::Failed(Failure::new(status, "Something went wrong.").because(why.as_str()))
        }
        Done::Hash(_) | Done::Verdict(_) => refused(&Done::Failed("not what was asked".into())),
    }
}

/// The life of a thread.
fn serve(shared: &Shared, patience: Duration) {
    // Who may not be nicer hashes all the same.
    rustix::process::nice(NICE).ok();
    // Kept for all hashes: taking and giving back 19 MiB each time costs a third of the whole.
    let mut blocks = Vec::new();
    while let Some(job) = next(shared) {
        if job.answer.is_closed() {
            continue;
        }
        let done = match clock::mono().since(job.since) > patience {
            true => Done::TooLate,
            false => {
                shared.computed.fetch_add(1, Ordering::Relaxed);
                perform(job.work, &mut blocks)
            }
        };
        // Nobody waits for it any more.
        job.answer.send(done).ok();
    }
}

fn next(shared: &Shared) -> Option<Job> {
    let mut queue = shared.queue();
    loop {
        if queue.is_closed {
            return None;
        }
        if let Some(job) = queue.jobs.pop_front() {
            return Some(job);
        }
        queue = shared.came.wait(queue).unwrap_or_else(PoisonError::into_inner);
    }
}

fn perform(work: Work, blocks: &mut Vec<Block>) -> Done {
    let done = match work {
        Work::Hash(password) => hash(&password, blocks).map(Done::Hash),
        Work::Verify(password, hash) => verify(&password, &hash, blocks).map(Done::Verdict),
    };
    done.unwrap_or_else(Done::Failed)
}

fn hash(password: &Password, blocks: &mut Vec<Block>) -> Result<String, String> {
    let salt = secret::random::<SALT>().map_err(|error| error.to_string())?;
    let params = Params::new(MEMORY, PASSES, 1, Some(HASH)).map_err(|error| error.to_string())?;
    let mut out = [0; HASH];
    compute(params, password, &salt, &mut out, blocks)?;
    let (salt, out) = (Base64Unpadded::encode_string(&salt), Base64Unpadded::encode_string(&out));
    Ok(format!("$argon2id$v=19$m={MEMORY},t={PASSES},p=1${salt}${out}"))
}

fn verify(password: &Password, hash: &str, blocks: &mut Vec<Block>) -> Result<Verdict, String> {
    let unreadable = || "a password's hash in mainstay_users cannot be read".to_owned();
    let hash = PasswordHash::new(hash).map_err(|_| unreadable())?;
    let is_ours = hash.algorithm.as_str() == "argon2id" && hash.version.is_none_or(|it| it == 19);
    let (Some(salt), Some(expected), true) = (hash.salt, hash.hash, is_ours) else {
        return Err(unreadable());
    };
    let params = Params::try_from(&hash).map_err(|_| unreadable())?;
    let is_old = (params.m_cost(), params.t_cost(), params.p_cost()) != (MEMORY, PASSES, 1);
    let mut out = vec![0; expected.len()];
    compute(params, password, &salt, &mut out, blocks)?;
    // Every byte is looked at, so that the time says nothing.
    let differ = out.iter().zip(expected.as_bytes()).fold(0, |all, (a, b)| all | (a ^ b));
    Ok(Verdict { is_right: differ == 0, is_old })
}

fn compute(
    params: Params,
    password: &Password,
    salt: &[u8],
    out: &mut [u8],
    blocks: &mut Vec<Block>,
) -> Result<(), String> {
    if blocks.len() < params.block_count() {
        blocks.resize(params.block_count(), Block::new());
    }
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let computed =
        argon2.hash_password_into_with_memory(password.bytes(), salt, out, &mut blocks[..]);
    computed.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use argon2::PasswordVerifier;

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap()
            .block_on(future)
    }

    #[test]
    fn a_hash_is_one_of_the_library_s_and_knows_its_password() {
        run(async {
            let hashers = Hashers::start(1, Duration::from_secs(60)).unwrap();
            let password = Password::from("correct horse");
            let hash = hashers.hash(&password).await.unwrap();
            let parsed = PasswordHash::new(&hash).unwrap();
            assert!(Argon2::default().verify_password(password.bytes(), &parsed).is_ok());
            let right = Verdict { is_right: true, is_old: false };
            assert_eq!(hashers.verify(&hash, &password).await.unwrap(), right);
            let other = Password::from("correct house");
            assert!(!hashers.verify(&hash, &other).await.unwrap().is_right);
            assert_eq!(hashers.computed(), 3);
        });
    }

    #[test]
    fn an_older_hash_is_told_from_the_present_ones_and_the_dummy_is_one_of_those() {
        run(async {
            let hashers = Hashers::start(1, Duration::from_secs(60)).unwrap();
            let mut out = [0; 32];
            let params = Params::new(64, 1, 1, Some(32)).unwrap();
            compute(params, &Password::from("a"), &[7; 16], &mut out, &mut Vec::new()).unwrap();
            let [salt, out] = [&[7; 16][..], &out].map(Base64Unpadded::encode_string);
            let old = format!("$argon2id$v=19$m=64,t=1,p=1${salt}${out}");
            let verdict = hashers.verify(&old, &Password::from("a")).await.unwrap();
            assert_eq!(verdict, Verdict { is_right: true, is_old: true });
            let verdict = hashers.verify(DUMMY, &Password::from("a")).await.unwrap();
            assert_eq!(verdict, Verdict { is_right: false, is_old: false });
            assert!(hashers.verify("!", &Password::from("a")).await.is_err());
        });
    }

    #[test]
    fn who_gets_no_turn_in_time_is_sent_away() {
        run(async {
            let hashers = Hashers::start(1, Duration::from_millis(20)).unwrap();
            let turns = [hashers.turn().await.unwrap(), hashers.turn().await.unwrap()];
            assert!(matches!(hashers.turn().await, Err(Refusal::Busy)));
            drop(turns);
            assert!(hashers.turn().await.is_ok());
        });
    }

    #[test]
    fn who_waits_too_long_is_sent_away() {
        run(async {
            let hashers = Hashers::start(1, Duration::ZERO).unwrap();
            let password = Password::from("correct horse");
            assert!(matches!(hashers.hash(&password).await, Err(Refusal::Busy)));
            assert_eq!(hashers.computed(), 0);
        });
    }
}
