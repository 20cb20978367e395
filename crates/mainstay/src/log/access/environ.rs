//! `{name}e`: the variables of WSGI that a server in front of any application can know.

use super::atoms::{Atom, Request, RequestAtom};
use http::HeaderName;

/// The atom of a variable, whose name is in lower case. A variable that is not known shows `-`, as
/// with Gunicorn: a format may come from a server that had it.
///
/// # Errors
/// When it is one of the headers that are secrets.
pub(super) fn atom(name: &str, secret: &[&str]) -> Result<Atom, String> {
    let header = match name {
        "content_type" | "content_length" => Some(name),
        _ => name.strip_prefix("http_"),
    };
    if let Some(header) = header {
        let header = header.replace('_', "-");
        if secret.contains(&header.as_str()) {
            return Err(format!("{header} is a secret, which no log may hold"));
        }
        let header = HeaderName::from_bytes(header.as_bytes());
        return header
            .map(|header| Atom::Request(RequestAtom::Joined(header)))
            .map_err(|_| format!("{name:?} is not a header's name"));
    }
    let known = match name {
        "request_method" => Request::Method,
        "path_info" => Request::Path,
        "query_string" => Request::Query,
        "raw_uri" => Request::Target,
        "server_protocol" => Request::Protocol,
        "remote_addr" => Request::Peer,
        "remote_port" => Request::PeerPort,
        "server_name" => Request::LocalAddress,
        "server_port" => Request::LocalPort,
        "wsgi.url_scheme" => Request::Scheme,
        _ => return Ok(Atom::Dash),
    };
    Ok(Atom::Request(RequestAtom::Known(known)))
}
