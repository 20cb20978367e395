//! The HTTP stack inside of a server that is there already: here axum's own. `embedded PORT` serves.
//!
//! One process, no supervisor: for a program that is no service of its own and still wants ids, limits, error
//! pages, health and one line for each request.

use axum::extract::{ConnectInfo, Request};
use axum::middleware::{self, Next};
use axum::response::Response;
use embedded::router;
use mainstay::{BoxError, Embedded};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

/// What a `mainstay.toml` would say.
const SETTINGS: &str = r#"
limits.default = "100/minute"
limits.routes = ["/echo: 2/hour"]
log.format = "gunicorn"
"#;

/// The server knows who is connected; the stack looks for it as a plain address.
async fn name_peer(peer: ConnectInfo<SocketAddr>, mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(peer.0);
    next.run(request).await
}

/// Writes what the stack has to say, where this program writes. Who does not read it holds up this task alone: the
/// thread that requests run on never waits for it.
async fn write_lines(stack: Embedded) {
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    let mut out = tokio::io::stdout();
    loop {
        ticks.tick().await;
        let mut text = stack.take_lines().join("\n");
        if !text.is_empty() {
            text.push('\n');
            out.write_all(text.as_bytes()).await.ok();
            out.flush().await.ok();
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let port = std::env::args().nth(1).unwrap_or("8000".to_owned()).parse()?;
    let stack = Embedded::start("embedded", SETTINGS).await?;
    tokio::spawn(write_lines(stack.clone()));
    // The layer added last sees a request first.
    let app = router(&stack.worker())?.layer(stack).layer(middleware::from_fn(name_peer));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    Ok(axum::serve(listener, app).await?)
}
