//! What happens, told in the log with whom it is about and the request that it is part of.

use super::Login;
use crate::event::Event;
use crate::http::context::{LoginSaid, RequestContext};
use crate::http::limit::ban;
use crate::limits::jails::Why;
use crate::log::RecordContext;

impl Login {
    /// Logs an event about `user`.
    pub(super) fn tell(&self, context: Option<&RequestContext>, user: &str, event: &Event) {
        let name = event.row().name;
        let client = context.and_then(RequestContext::client);
        let client = client.map(|client| client.to_string()).unwrap_or_default();
        let trace = context.map(RequestContext::trace).filter(|trace| trace.is_some());
        let (trace_id, span_id) =
            trace.map_or(([0; 32], [0; 16]), |it| (it.trace_hex(), it.span_hex()));
        let hex = |digits| trace.and(std::str::from_utf8(digits).ok()).unwrap_or_default();
        let record = RecordContext {
            user,
            rule: "",
            category: category(name),
            outcome: outcome(event),
            request_id: context.map_or("", |context| context.id().as_str()),
            trace_id: hex(&trace_id[..]),
            span_id: hex(&span_id[..]),
            route: context.and_then(RequestContext::route).unwrap_or_default(),
            client: &client,
            method: context.map_or("", RequestContext::method),
            path: context.map_or("", RequestContext::path),
        };
        self.inner.log.event_of(event, record);
        let why = match event {
            Event::LoginFail { .. } => Some(Why::Logins),
            Event::MaliciousCsrf { .. } => Some(Why::Csrf),
            _ => None,
        };
        if let Some(context) = context
            && (name.starts_with("authn_") || why.is_some())
        {
            // Whoever looks at the answer does not tell it again.
            context.context().login.set(LoginSaid::Kit).ok();
        }
        if let Some((why, context)) = why.zip(context) {
            ban::note(why, context.context());
        }
    }

    /// Tells of sessions that ended otherwise than by signing out, if there are any.
    pub(super) fn tell_ended(
        &self,
        context: Option<&RequestContext>,
        user: &str,
        reason: &'static str,
        sessions: u64,
    ) {
        if sessions > 0 {
            let event = Event::SessionExpired { user: user.to_owned(), reason, sessions };
            self.tell(context, user, &event);
        }
    }

    /// Tells of links that are void from now on, if there are any.
    pub(super) fn tell_voided(
        &self,
        context: Option<&RequestContext>,
        user: &str,
        why: &'static str,
        links: u64,
    ) {
        if links > 0 {
            let event = Event::TokenRevoked { user: user.to_owned(), links, why };
            self.tell(context, user, &event);
        }
    }
}

/// The category by ECS, of an event of the vocabulary.
fn category(name: &str) -> &'static str {
    match name.split_once('_').map(|(begin, _)| begin) {
        Some("authn") => "authentication",
        Some("session") => "session",
        Some("malicious") => "intrusion_detection",
        _ => "iam",
    }
}

fn outcome(event: &Event) -> &'static str {
    match event {
        Event::LoginFail { .. }
        | Event::LoginFailMax { .. }
        | Event::LoginLock { .. }
        | Event::PasswordChangeFail { .. }
        | Event::TokenReuse { .. }
        | Event::AuthzFail { .. }
        | Event::SessionUseAfterExpire { .. }
        | Event::MaliciousCsrf { .. } => "failure",
        _ => "success",
    }
}
