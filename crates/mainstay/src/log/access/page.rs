//! docs/access-log.md, made from the table of atoms. Only a test makes it: the program has no use for
//! it.

use super::atoms::{ATOMS, Atom, Is, Row};

/// The whole page.
fn markdown() -> String {
    let mut page = String::from(PREFACE);
    page.push_str("| Gunicorn | Apache | shows | known at | `-` when |\n|---|---|---|---|---|\n");
    for row in ATOMS {
        let name = match row.name {
            "" => String::new(),
            name => format!("`%({name})s`"),
        };
        let apache: Vec<_> = row.apache.iter().map(|name| directive(row, name)).collect();
        let (apache, what, known, missing) = (apache.join(" "), row.what, known(row), row.missing);
        page.push_str(&format!("| {name} | {apache} | {what} | {known} | {missing} |\n"));
    }
    page.push_str(REST);
    page
}

fn directive(row: &Row, name: &str) -> String {
    match row.is {
        Is::Family(_) => format!("`%{}`", name.replacen("{}", "{name}", 1)),
        _ => format!("`%{name}`"),
    }
}

fn known(row: &Row) -> &'static str {
    use super::atoms::Family;
    match (row.is, row.is.atom()) {
        (_, Some(Atom::Dash)) => "",
        (_, Some(Atom::Request(_)))
        | (Is::Family(Family::RequestHeader | Family::Environ | Family::Cookie), _) => "begin",
        (_, Some(Atom::Answer(_))) | (Is::Family(Family::ResponseHeader), _) => "answer",
        _ => "end",
    }
}

const PREFACE: &str = "\
<!-- Made from crates/mainstay/src/log/access/atoms.rs and page.rs. Change it there and run
     MAINSTAY_BLESS=1 cargo test -p mainstay access_page -->
# The access log

Each request has one line, whatever became of it. Its format is one of three:

- **Gunicorn's atoms**, `%(name)s`: any format with a `%(` in it. The default is
  `%(h)s %(l)s %(u)s %(t)s \"%(r)s\" %(s)s %(b)s \"%(f)s\" \"%(a)s\" %(D)s`.
- **Apache's directives**, `%name`: any other format with a `%`.
- **`ecs`**: one JSON object, see below.

A format is checked when the service starts; a mistake is told with its column and the nearest right
atom. `%%` is a percent sign.

## Atoms

";

const REST: &str = r##"
- `{name}` is a header, a variable or a cookie; letters of either case, cookies as they are. Headers that
  are secrets as a whole (Authorization, Proxy-Authorization, Cookie, Set-Cookie) are refused.
- Variables (`{name}e`) are `request_method`, `path_info`, `query_string`, `raw_uri`, `server_protocol`,
  `remote_addr`, `remote_port`, `server_name`, `server_port`, `wsgi.url_scheme`, `content_type`,
  `content_length` and `http_*` (all headers of that name, with commas). Others show `-`.
- With Gunicorn's atoms, Python's conversions work: `s`, and `d`, `i` and `f` for numbers, with the flags
  `-`, `0`, `+` and blank, a width and a precision up to 200: `%(D)09d`, `%(L).3f`, `%(a)-40.40s`.
- In Apache's spelling `%>s` and `%<s` are `%s`; `%!200,304{Referer}i` shows the atom for all but these
  statuses, `%400,501{User-Agent}i` for these only; every atom with a longer name is a note, `%{id}n`;
  `\"`, `\\` and `\t` mean what they mean in Apache's configuration files.
- `%{format}t` is strftime's with `a b d D e f F H I j m M p R s S T y Y z %`, or one of `sec`, `msec`,
  `usec`, `msec_frac`, `usec_frac`, each after `begin:` (the default) or `end:`.

## What cannot be forged

What came from a peer never ends its line, and never ends its field either:

- Control characters, U+0085, U+2028, U+2029 and characters that reorder text are `\xhh` for each byte; so
  is what is not UTF-8. A tab stays, as with Gunicorn, unless it is what ends the field.
- `"` is `\"`. A backslash stays, as with Gunicorn, except before `"`, `\`, `x`, a character that is
  escaped, and at the end: there it is `\\`. So a reader takes `\"`, `\\` and `\xhh` for one character
  each, and a backslash before anything else for itself, and has what was sent.
- The separator that follows an atom in the format (a blank, `|`, `]`, …) is `\xhh` within the atom. With
  the default format, the user `eve x` is `eve\x20x`.
- A line has at most 8,000 bytes, or what is configured. If it would be longer, its texts are cut behind a
  whole character and end with `...`; ECS says `"labels.truncated":"true"`.

## Differences to Gunicorn

| | Gunicorn | here |
|---|---|---|
| lines | none for bad heads, WebSockets and requests of killed workers | one for each request |
| duration of failures | about 1 ms | the true one; it begins when the request's head has arrived |
| `T` of more than a day | without the days | all of it |
| `b`, `B` of files and error pages | 0 | the bytes that went out |
| `h` of a UNIX socket | empty | `-` |
| `U` of a failure, other unknown values | `None` | the path; `-` |
| `U` with UTF-8 | `Ã©` | `é` |
| `u` of Basic credentials without a colon, or without a user | the whole text, which may be a secret; empty | `-` |
| control characters, invalid UTF-8 | as they are | `\xhh` |
| backslashes that could be misread, separators in fields | as they are | `\\`, `\xhh` |
| precision (`%(a).40s`) | may part an escape | counts an escape as one character |
| wrong formats, unknown atoms | no line, a traceback for each request; `-` | refused at start |
| `%(name)r` and other conversions | Python's | refused at start |

Differences to Apache: `%h` is always an address, and `%a` and `%h` are the client as trusted proxies tell it;
`%v` and `%V` are the host that was asked for; `%b` is `-` for zero and `%t` the beginning, as there. Bytes of
heads (`%I`, `%O`, `%S`), files (`%f`), trailers and the environment (`%{name}e`) are not known and refused.

## ECS

One object a line, in the [Elastic Common Schema](https://www.elastic.co/docs/reference/ecs) 9.4. `@timestamp`
(the request's end, UTC, milliseconds), `log.level`, `message` (method, path, status) and `ecs.version` come
first. What is not known is left out.

| fields | of |
|---|---|
| `service.name` `service.version` `service.environment` `service.node.name` `host.hostname` `event.dataset` `log.logger` | the service |
| `process.pid` `labels.worker` `labels.generation` | the worker |
| `event.kind` `event.category` `event.action` | always `event`, `["web"]`, `http-request` |
| `event.type` | `["access"]`, with `"error"` for a status of 500 or more |
| `event.outcome` | `success` below 400, `failure` from there on, `unknown` when the worker was lost |
| `event.duration` | nanoseconds |
| `event.reason` | why the request did not end in the ordinary way |
| `error.id` `error.type` `error.code` | from status 500 on: the id that the client was told, the reason, the status |
| `http.request.method` `http.version` `http.request.id` `http.request.referrer` `http.request.body.bytes` | the request |
| `http.response.status_code` `http.response.body.bytes` | the answer |
| `url.original` `url.path` `url.query` `url.scheme` `url.domain` | the target, with percent-escapes as received |
| `client.ip` `source.ip` `source.port` `network.forwarded_ip` | the client as trusted proxies tell it; the connection's other end; the client again, when they are two |
| `user.name` `user_agent.original` | the user of Basic credentials; the header |
| `trace.id` `span.id` `transaction.id` | the W3C trace context; Elastic calls the request's span a transaction |
| `labels.truncated` | `"true"` when something was cut |

Elasticsearch does not index keywords beyond 1,024 characters (`ignore_above`): a longer query or user agent is
kept and shown, but not found.
"##;

#[test]
fn the_access_page_is_the_one_of_the_table() {
    crate::testing::compare_page("docs/access-log.md", &markdown());
}
