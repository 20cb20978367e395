//! One request to a receiver, and its answer. Blocks, so it has threads of its own.

use super::receiver::{Answer, Post};
use std::time::Duration;
use ureq::Agent;

/// Most of an answer that is read, bytes.
const ANSWER: u64 = 64 << 10;
const NAME: &str = concat!("mainstay/", env!("CARGO_PKG_VERSION"));

/// The way out, with one connection that is kept.
#[derive(Debug)]
pub(crate) struct Client {
    agent: Agent,
}

impl Client {
    /// A client whose requests take so long at most. The proxies of the environment count
    /// (`HTTPS_PROXY`, `NO_PROXY`).
    pub(crate) fn new(timeout: Duration) -> Client {
        let config = Agent::config_builder()
            .timeout_global(Some(timeout))
            // What is answered is judged by the receiver's rules.
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(NAME)
            .max_idle_connections(1)
            .build();
        Client { agent: config.new_agent() }
    }

    /// Sends; `judge` is shown the answer.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(crate) fn send<T>(
        &self,
        post: &Post,
        judge: impl FnOnce(&Answer<'_>) -> T,
    ) -> Result<T, String> {
        let mut request = self.agent.post(&post.url);
        for (name, value) in &post.headers {
            request = request.header(name, value);
        }
        let mut response = request.send(&post.body[..]).map_err(|error| told(&error))?;
        let headers: Vec<_> = response.headers().iter().map(pair).collect();
        let status = response.status().as_u16();
        // The status says what became of the request; the rest of an answer is for details.
        let body = response.body_mut().with_config().limit(ANSWER).read_to_vec();
        let body = body.unwrap_or_default();
        Ok(judge(&Answer { status, headers: &headers, body: &body }))
    }
}

impl Client {
    /// Asks for an address, and returns the status of the answer.
    ///
    /// # Errors
    /// Why there is none, without a word of the address.
    pub(crate) fn get(&self, url: &str) -> Result<u16, &'static str> {
        match self.agent.get(url).call() {
            Ok(response) => Ok(response.status().as_u16()),
            Err(ureq::Error::Timeout(_)) => Err("there is no answer in time"),
            Err(ureq::Error::HostNotFound) => Err("its host is not known"),
            Err(_) => Err("it cannot be reached"),
        }
    }
}

fn pair((name, value): (&http::HeaderName, &http::HeaderValue)) -> (String, String) {
    (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// The words for what went wrong; of what was sent nothing is shown.
fn told(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => "it did not answer in time".to_owned(),
        ureq::Error::HostNotFound => "its host is not known".to_owned(),
        ureq::Error::Io(error) => error.to_string(),
        ureq::Error::Http(_) => "a header of it cannot be sent".to_owned(),
        other => other.to_string(),
    }
}
