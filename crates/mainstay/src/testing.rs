//! For tests of applications: an application under the whole HTTP stack, in the test's own process, without a
//! port and without a file.
//!
//! ```
//! # mod axum { pub use ::axum::*; }
//! use axum::{Router, routing::get};
//!
//! /// What `main` gives to `mainstay::serve`.
//! async fn shop(_: mainstay::Worker) -> Result<Router, mainstay::BoxError> {
//!     Ok(Router::new().route("/", get(|| async { "hello" })))
//! }
//!
//! # async fn test() {
//! let shop = mainstay::testing::start("limits.default = \"1/hour\"", shop).await.unwrap();
//! assert_eq!(shop.get("/").await.status(), 200);
//! assert_eq!(shop.get("/").await.status(), 429);
//! assert!(shop.take_lines()[0].contains("\"GET / HTTP/1.1\" 200"));
//! # }
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
//! # runtime.unwrap().block_on(test());
//! ```

use crate::http::body::BoxError;
use crate::worker::{App, Embedded, Under, Worker};
use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body::Body as HttpBody;
use std::net::SocketAddr;
use std::pin::pin;
use tower_layer::Layer;
use tower_service::Service;

/// Who asks, unless the request says otherwise by an extension.
const PEER: ([u8; 4], u16) = ([127, 0, 0, 1], 50_000);

/// Starts an application as a worker does, with the settings of this TOML text. It must be called on
/// a runtime of tokio.
///
/// # Errors
/// What is wrong with the settings, and what the application says.
pub async fn start<F, Fut, A>(toml: &str, factory: F) -> Result<Tested<A>, BoxError>
where
    F: FnOnce(Worker) -> Fut,
    Fut: Future<Output = Result<A, BoxError>>,
    A: App,
{
    let stack = Embedded::start("tested", toml).await?;
    let app = stack.layer(factory(stack.worker()).await?);
    Ok(Tested { app, stack })
}

/// An application under test.
#[derive(Clone, Debug)]
pub struct Tested<A> {
    app: Under<A>,
    stack: Embedded,
}

impl<A: App> Tested<A> {
    /// The answer to a request, read to its end.
    ///
    /// # Panics
    /// When its body fails.
    pub async fn send<B: Into<Bytes>>(&self, request: Request<B>) -> Response<Bytes> {
        let mut request = request.map(|body| crate::Body::from(body.into()));
        if request.extensions().get::<SocketAddr>().is_none() {
            request.extensions_mut().insert(SocketAddr::from(PEER));
        }
        let Ok(answer) = self.app.clone().call(request).await;
        let (parts, body) = answer.into_parts();
        let mut body = pin!(body);
        let mut bytes = BytesMut::new();
        while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            let frame = frame.unwrap_or_else(|error| panic!("the body of the answer: {error}"));
            bytes.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        }
        Response::from_parts(parts, bytes.freeze())
    }

    /// The answer to a GET.
    ///
    /// # Panics
    /// When this is no path, and as [`Tested::send`].
    pub async fn get(&self, path: &str) -> Response<Bytes> {
        let request = Request::get(path).header(http::header::HOST, "tested.example");
        self.send(request.body(Bytes::new()).unwrap_or_else(|error| panic!("{path}: {error}")))
            .await
    }

    /// The lines of both logs since they were last taken; see [`Embedded::take_lines`].
    #[must_use]
    pub fn take_lines(&self) -> Vec<String> {
        self.stack.take_lines()
    }

    /// The application's worker.
    #[must_use]
    pub fn worker(&self) -> Worker {
        self.stack.worker()
    }
}

/// The guide's examples are compiled.
#[cfg(all(doctest, feature = "axum"))]
#[doc = include_str!("../../../docs/testing.md")]
struct Guide;

#[cfg(test)]
pub(crate) use helpers::{Dice, compare_page};

#[cfg(test)]
mod helpers {
    //! For the tests of this crate.

    use std::path::Path;
    use std::time::Duration;

    /// Compares a generated page with the one in the tree, or writes it when `MAINSTAY_BLESS=1`.
    ///
    /// # Panics
    /// When the page in the tree is not the generated one.
    pub(crate) fn compare_page(path: &str, generated: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
        #[expect(clippy::disallowed_methods, reason = "a switch of the tests, not of the program")]
        if std::env::var_os("MAINSTAY_BLESS").is_some() {
            std::fs::write(&path, generated).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        let name = path.display();
        assert!(found == generated, "{name} is not what the table says: run with MAINSTAY_BLESS=1");
    }

    /// splitmix64: small, good enough to shake a machine, the same everywhere.
    pub(crate) struct Dice(pub(crate) u64);

    impl Dice {
        /// A number below `sides`.
        pub(crate) fn roll(&mut self, sides: u64) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            (z ^ z >> 31) % sides
        }

        /// Up to so many milliseconds.
        pub(crate) fn millis(&mut self, most: u64) -> Duration {
            Duration::from_millis(self.roll(most + 1))
        }
    }
}
