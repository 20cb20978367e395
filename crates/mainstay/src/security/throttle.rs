//! How often somebody may try. Counted in the database, so that all workers and hosts know, and before
//! the password is looked at, so that many tries at once are as many.
//!
//! Three counters: of the account; of the account from a client that signed in to it before, in place
//! of the former, so that a stranger who fails cannot keep the owner out; and of the client.

use super::Login;
use super::secret::{Key, client_of};
use crate::db::Transaction;
use sqlx::{Any, Error};
use std::net::IpAddr;

/// A counter that nobody counted on for so long begins anew, ms.
pub(super) const WINDOW: i64 = 60 * 60 * 1_000;

/// A counter's kind: its free failures and its statement, where the delays stand.
pub(super) struct Kind {
    pub(super) whose: &'static str,
    pub(super) free: i64,
    count: &'static str,
}

/// Counts a try, if the counter is not locked. The columns are set in this order since MySQL reads those
/// that it has set already.
macro_rules! count {
    ($free:literal $($fails:literal $delay:literal,)* else $most:literal) => {
        concat!(
            "UPDATE mainstay_throttle SET locked_until = ? + CASE WHEN seen < ? OR fails < ", $free,
            " THEN 0", $(" WHEN fails = ", $fails, " THEN ", $delay,)* " ELSE ", $most, " END, ",
            "fails = CASE WHEN seen < ? THEN 1 ELSE fails + 1 END, seen = ? ",
            "WHERE id = ? AND locked_until <= ?"
        )
    };
}

/// Of an account: three failures are free, the fourth costs a second, each further one twice as much,
/// at most a minute.
pub(super) const ACCOUNT: Kind = Kind {
    whose: "account",
    free: 3,
    count: count!(3 3 1_000, 4 2_000, 5 4_000, 6 8_000, 7 16_000, 8 32_000, else 60_000),
};

/// Of a client: twenty are free, then likewise up to a quarter of an hour.
pub(super) const CLIENT: Kind = Kind {
    whose: "client",
    free: 20,
    count: count!(20 20 1_000, 21 2_000, 22 4_000, 23 8_000, 24 16_000, 25 32_000, 26 64_000,
        27 128_000, 28 256_000, 29 512_000, else 900_000),
};

const INSERT: &str =
    "INSERT INTO mainstay_throttle (id, fails, locked_until, seen) VALUES (?, ?, 0, ?)";

/// A try that was counted, or that none is made of.
pub(super) struct Gate {
    pub(super) is_open: bool,
    /// What it was counted on, or is locked; of several, all but the last were counted.
    pub(super) counters: Vec<(String, &'static Kind)>,
    /// The counter of this account from this client.
    pair: Option<String>,
}

impl Login {
    /// Counts a try at the account `name`, as a failure until it is known to be none.
    pub(super) async fn gate(&self, client: Option<IpAddr>, name: &str) -> Result<Gate, Error> {
        let mut gate = self.unlocked(client, name);
        if let Some(client) = client {
            let id = format!("c:{}", self.inner.key.hash(&["client", &client_of(client)]));
            gate.is_open = self.count(&id, &CLIENT).await?;
            gate.counters.push((id, &CLIENT));
        }
        if gate.is_open { self.count_account(gate, name).await } else { Ok(gate) }
    }

    /// The same of somebody who has signed in, and whom failures of others at the same client are nothing to.
    pub(super) async fn gate_within(
        &self,
        client: Option<IpAddr>,
        name: &str,
    ) -> Result<Gate, Error> {
        self.count_account(self.unlocked(client, name), name).await
    }

    fn unlocked(&self, client: Option<IpAddr>, name: &str) -> Gate {
        let pair = client.map(|client| pair_of(&self.inner.key, name, &client_of(client)));
        Gate { is_open: true, counters: Vec::new(), pair }
    }

    async fn count_account(&self, mut gate: Gate, name: &str) -> Result<Gate, Error> {
        if let Some(pair) = gate.pair.clone()
            && let Some(is_open) = self.count_known(&pair).await?
        {
            gate.is_open = is_open;
            gate.counters.push((pair, &ACCOUNT));
            return Ok(gate);
        }
        let account = account_of(&self.inner.key, name);
        gate.is_open = self.count(&account, &ACCOUNT).await?;
        gate.counters.push((account, &ACCOUNT));
        Ok(gate)
    }

    /// Counts on a counter, which is made if it is not there. Whether it was not locked.
    async fn count(&self, id: &str, kind: &Kind) -> Result<bool, Error> {
        if self.count_there(id, kind).await? || self.make(id, 1).await? {
            return Ok(true);
        }
        // Locked, or somebody else made it meanwhile.
        self.count_there(id, kind).await
    }

    /// Counts on the counter of an account from a client; none if there is no such one.
    async fn count_known(&self, id: &str) -> Result<Option<bool>, Error> {
        if self.count_there(id, &ACCOUNT).await? {
            return Ok(Some(true));
        }
        Ok(self.counter(id).await?.map(|_| false))
    }

    async fn count_there(&self, id: &str, kind: &Kind) -> Result<bool, Error> {
        let (pool, now) = (self.pool(), self.now());
        let counted = sqlx::query(pool.sql(kind.count))
            .bind(now)
            .bind(now - WINDOW)
            .bind(now - WINDOW)
            .bind(now)
            .bind(id)
            .bind(now)
            .execute(pool)
            .await?;
        Ok(counted.rows_affected() > 0)
    }

    async fn make(&self, id: &str, fails: i64) -> Result<bool, Error> {
        let (pool, now) = (self.pool(), self.now());
        let made = sqlx::query(pool.sql_if_new(INSERT))
            .bind(id)
            .bind(fails)
            .bind(now)
            .execute(pool)
            .await?;
        Ok(made.rows_affected() > 0)
    }

    /// Failures on a counter, until when it is locked, and when it was counted on last.
    pub(super) async fn counter(&self, id: &str) -> Result<Option<(i64, i64, i64)>, Error> {
        let pool = self.pool();
        let select = "SELECT fails, locked_until, seen FROM mainstay_throttle WHERE id = ?";
        sqlx::query_as(pool.sql(select)).bind(id).fetch_optional(pool).await
    }

    /// Takes back what was counted: the try came to no end.
    pub(super) async fn uncount(&self, gate: &Gate) {
        let statement = self.pool().sql(UNCOUNT);
        for (id, _) in gate.counted() {
            // What remains is forgotten within the window.
            sqlx::query(statement.clone()).bind(id).execute(self.pool()).await.ok();
        }
    }

    /// The try succeeded: its account begins anew, and the client is known from now on. Of the client's
    /// own counter this try alone is taken back, else one good account would buy tries at all others.
    pub(super) async fn forgive(
        &self,
        transaction: &mut Transaction<Any>,
        gate: &Gate,
    ) -> Result<(), Error> {
        let pool = self.pool();
        for (id, kind) in gate.counted() {
            let statement = match kind.whose {
                "client" => UNCOUNT,
                _ => RESET,
            };
            sqlx::query(pool.sql(statement)).bind(id).execute(&mut **transaction).await?;
        }
        let Some(pair) = &gate.pair else { return Ok(()) };
        let (statement, now) = ("UPDATE mainstay_throttle SET seen = ? WHERE id = ?", self.now());
        let seen = sqlx::query(pool.sql(statement)).bind(now).bind(pair);
        if seen.execute(&mut **transaction).await?.rows_affected() > 0 {
            return Ok(());
        }
        let statement = pool.sql_if_new(INSERT);
        sqlx::query(statement).bind(pair).bind(0_i64).bind(now).execute(&mut **transaction).await?;
        Ok(())
    }

    /// Lets an account begin anew for everybody: its user proved otherwise who he is.
    pub(super) async fn forget_failures(
        &self,
        transaction: &mut Transaction<Any>,
        name: &str,
    ) -> Result<(), Error> {
        let sql = self.pool().sql(RESET);
        let account = account_of(&self.inner.key, name);
        sqlx::query(sql).bind(account).execute(&mut **transaction).await?;
        Ok(())
    }
}

fn account_of(key: &Key, name: &str) -> String {
    format!("a:{}", key.hash(&["account", name]))
}

fn pair_of(key: &Key, name: &str, client: &str) -> String {
    format!("p:{}", key.hash(&["pair", name, client]))
}

const UNCOUNT: &str = "UPDATE mainstay_throttle \
     SET fails = CASE WHEN fails > 0 THEN fails - 1 ELSE 0 END, locked_until = 0 WHERE id = ?";

const RESET: &str = "UPDATE mainstay_throttle SET fails = 0, locked_until = 0 WHERE id = ?";

impl Gate {
    /// Of somebody who proved otherwise who he is: nothing was counted, and his client is known.
    pub(super) fn known(key: &Key, client: Option<IpAddr>, name: &str) -> Gate {
        let pair = client.map(|client| pair_of(key, name, &client_of(client)));
        Gate { is_open: true, counters: Vec::new(), pair }
    }

    fn counted(&self) -> impl Iterator<Item = &(String, &'static Kind)> {
        let locked = usize::from(!self.is_open);
        self.counters.iter().take(self.counters.len() - locked)
    }
}
