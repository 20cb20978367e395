//! A shop: users, orders, photos. SQLite, or PostgreSQL when `DATABASE_URL` names one.
//!
//! What mainstay has to do with it stands in this file; the others are an application of axum and sqlx.

mod orders;
mod photos;
mod users;

use axum::Router;
use axum::extract::FromRef;
use axum::routing::{get, post};
use mainstay::{BoxError, Counter, Worker, db::Pool, security::Login, sqlx::Any};

/// What handlers share.
#[derive(Clone)]
struct Shop {
    db: Pool<Any>,
    login: Login,
    placed: Counter,
}

impl FromRef<Shop> for Login {
    fn from_ref(shop: &Shop) -> Login {
        shop.login.clone()
    }
}

impl FromRef<Shop> for Pool<Any> {
    fn from_ref(shop: &Shop) -> Pool<Any> {
        shop.db.clone()
    }
}

fn main() -> std::process::ExitCode {
    mainstay::builder()
        .defaults("database = { url = \"sqlite:shop.db\", migrate = \"on-start\" }")
        .migrations(orders::MIGRATIONS)
        .error_page("404.html", include_str!("404.html"))
        .command("user", "Adds, lists and disables users", mainstay::security::command)
        .serve(shop)
}

async fn shop(worker: Worker) -> Result<Router, BoxError> {
    let db = worker.database().await?;
    let login = Login::open(&worker, &db).await?;
    if let Some(link) = login.first_link().await? {
        eprintln!("The first user: /setup/{}", link.token());
    }
    let placed = worker.counter("shop_orders_total", "Orders placed.")?;
    photos::prepare()?;
    worker.measure_directory(photos::DIRECTORY)?;
    worker.ready("photos", photos::are_writable)?;
    let router = Router::new()
        .route("/", get(orders::list).post(orders::place))
        .route("/setup/{token}", post(users::set_up))
        .route("/sign-in", post(users::sign_in))
        .route("/sign-out", post(users::sign_out))
        .route("/photos", post(photos::upload))
        .route("/photos/{name}", get(photos::show))
        .layer(login.csrf());
    Ok(router.with_state(Shop { db, login, placed }))
}
