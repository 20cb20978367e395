//! Orders: listed for everybody, placed by users.

use super::Shop;
use axum::Form;
use axum::extract::State;
use axum::http::StatusCode;
use mainstay::db::{Migration, Tx};
use mainstay::security::Session;
use mainstay::sqlx::{self, Any};
use mainstay::{Failure, RequestId};

/// The schema, the same on SQLite and PostgreSQL.
pub(crate) const MIGRATIONS: &[Migration] = &[Migration::new(
    1,
    "orders",
    "CREATE TABLE orders (id VARCHAR(64) PRIMARY KEY, item VARCHAR(100) NOT NULL, buyer VARCHAR(64) NOT NULL)",
)
.down("DROP TABLE orders")];

#[derive(serde::Deserialize)]
pub(crate) struct Order {
    item: String,
}

/// Orders that a page has at most: it costs the same however well the shop does.
const SHOWN: i64 = 100;

/// The last orders, a line each, the newest first.
pub(crate) async fn list(State(shop): State<Shop>) -> Result<String, Failure> {
    let statement = shop.db.sql("SELECT item, buyer FROM orders ORDER BY id DESC LIMIT ?");
    let rows: Vec<(String, String)> =
        sqlx::query_as(statement).bind(SHOWN).fetch_all(&shop.db).await?;
    Ok(rows.into_iter().map(|(item, buyer)| format!("{item} for {buyer}\n")).collect())
}

/// Places an order within the request's transaction: it is there before the buyer is told.
pub(crate) async fn place(
    State(shop): State<Shop>,
    session: Session,
    id: RequestId,
    mut tx: Tx<Any>,
    Form(order): Form<Order>,
) -> Result<(StatusCode, String), Failure> {
    if order.item.is_empty() || order.item.len() > 100 {
        return Err(Failure::new(StatusCode::BAD_REQUEST, "An item has 1 to 100 letters."));
    }
    let statement = shop.db.sql("INSERT INTO orders (id, item, buyer) VALUES (?, ?, ?)");
    let insert = sqlx::query(statement).bind(id.to_string()).bind(&order.item);
    insert.bind(&session.user().name).execute(&mut *tx).await?;
    shop.placed.add(1);
    Ok((StatusCode::CREATED, format!("order {id}\n")))
}
