//! Mail: plain text, over TLS unless the server is on this host. All letters of an incident are one thread.

use super::super::letter::{Letter, Sender};
use super::super::pace::Verdict;
use super::{Outcome, PATIENCE};
use crate::config::receivers::{Mail, Receiver};
use lettre::address::Envelope;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::{Error, SmtpTransportBuilder};
use lettre::{Message, SmtpTransport, Transport};
use std::time::{Duration, UNIX_EPOCH};

/// Sends it.
///
/// # Errors
/// Why the server gave no answer.
pub(super) fn send(letter: &Letter, to: &Receiver, sender: &Sender) -> Result<Outcome, String> {
    let mail = Mail::parse(to.url.expose())?;
    let message = message(letter, &mail, sender)?;
    let host = mail.host.trim_matches(['[', ']']);
    let transport = SmtpTransport::builder_dangerous(host)
        .port(mail.port)
        .timeout(Some(PATIENCE))
        .hello_name(ClientId::Domain(domain(&sender.host)));
    let mut transport =
        if mail.is_plain() { transport } else { encrypted(transport, &mail, host)? };
    if let Some((user, password)) = &mail.login {
        transport =
            transport.credentials(Credentials::new(user.clone(), password.expose().to_owned()));
    }
    let (transport, text) = (transport.build(), message.formatted());
    let whole = attempt(&transport, message.envelope(), &text);
    match whole {
        // One of them may be why none is taken.
        Ok((Verdict::Refused | Verdict::Again(_), _)) if mail.to.len() > 1 => {
            singly(&transport, &message, &text)
        }
        whole => whole,
    }
}

/// To each recipient by itself, once: those who can be reached are.
fn singly(transport: &SmtpTransport, message: &Message, text: &[u8]) -> Result<Outcome, String> {
    let envelope = message.envelope();
    let (mut taken, mut may_come, mut left) = (0, false, Vec::new());
    for (to, number) in envelope.to().iter().zip(1..) {
        let one = Envelope::new(envelope.from().cloned(), vec![to.clone()]);
        let one = one.map_err(|_| "it has no valid mailbox".to_owned())?;
        match attempt(transport, &one, text) {
            Ok((Verdict::Taken, _)) => taken += 1,
            // An address is for nobody's log.
            Ok((verdict, how)) => {
                may_come |= matches!(verdict, Verdict::Again(_));
                left.push(format!("recipient {number} was refused with {how}"));
            }
            Err(why) => {
                may_come = true;
                left.push(format!("recipient {number}: {why}"));
            }
        }
    }
    let verdict = match (taken, left.len()) {
        // Who has it is not sent it again and again for the sake of one whose box is full.
        (1.., 1..) => Verdict::Partly,
        (_, 0) => Verdict::Taken,
        _ if may_come => Verdict::Again(None),
        _ => Verdict::Refused,
    };
    Ok((verdict, left.join(", ")))
}

/// What becomes of a message that is sent to these.
fn attempt(transport: &SmtpTransport, to: &Envelope, text: &[u8]) -> Result<Outcome, String> {
    let error = match transport.send_raw(to, text) {
        Ok(response) => return Ok((Verdict::Taken, format!("code {}", response.code()))),
        Err(error) => error,
    };
    match error.status().map(|code| format!("code {code}")) {
        Some(code) if error.is_permanent() => Ok((Verdict::Refused, code)),
        Some(code) => Ok((Verdict::Again(None), code)),
        // What the server has said is not shown: it may repeat what it was told.
        None if error.is_timeout() => Err("it did not answer in time".to_owned()),
        None if is_of_tls(&error) => Err("it cannot be reached over TLS".to_owned()),
        None if error.is_client() => Err("it does not take what is sent".to_owned()),
        None => Err("it cannot be reached".to_owned()),
    }
}

#[cfg(feature = "tls")]
fn encrypted(
    transport: SmtpTransportBuilder,
    mail: &Mail,
    host: &str,
) -> Result<SmtpTransportBuilder, String> {
    use lettre::transport::smtp::client::{Tls, TlsParameters};
    let parameters = TlsParameters::new(host.to_owned()).map_err(|_| "it has no name for TLS")?;
    let tls = if mail.is_implicit { Tls::Wrapper(parameters) } else { Tls::Required(parameters) };
    Ok(transport.tls(tls))
}

/// The configuration has refused what is not plain.
#[cfg(not(feature = "tls"))]
fn encrypted(_: SmtpTransportBuilder, _: &Mail, _: &str) -> Result<SmtpTransportBuilder, String> {
    Err("the program was built without the feature tls".to_owned())
}

#[cfg(feature = "tls")]
fn is_of_tls(error: &Error) -> bool {
    error.is_tls()
}

#[cfg(not(feature = "tls"))]
fn is_of_tls(_: &Error) -> bool {
    false
}

/// The message.
fn message(letter: &Letter, mail: &Mail, sender: &Sender) -> Result<Message, String> {
    let mailbox = |text: &String| text.parse().map_err(|_| "it has no valid mailbox".to_owned());
    let domain = domain(&sender.host);
    let mut message = Message::builder()
        .from(mailbox(&mail.from)?)
        .subject(letter.title(sender))
        .date(UNIX_EPOCH + Duration::from_nanos(letter.made))
        .message_id(Some(format!("<{}@{domain}>", letter.id)))
        .header(ContentType::TEXT_PLAIN);
    for to in &mail.to {
        message = message.to(mailbox(to)?);
    }
    if let [one] = letter.items.as_slice() {
        let root = format!("<{}-{:x}@{domain}>", one.fingerprint(), one.fired);
        message = message.in_reply_to(root.clone()).references(root);
    }
    let mut text = letter.paragraphs(sender).join("\r\n\r\n");
    text.push_str("\r\n");
    let mut message = message.body(text).map_err(|_| "it is no message".to_owned())?;
    // No holiday answers.
    let name = HeaderName::new_from_ascii_str("Auto-Submitted");
    message.headers_mut().insert_raw(HeaderValue::new(name, "auto-generated".to_owned()));
    Ok(message)
}

/// The host's name where a domain must stand.
fn domain(host: &str) -> String {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    let is_one = !host.is_empty() && host.bytes().all(fits);
    if is_one { host.to_owned() } else { "localhost".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::super::super::super::rules::engine::Kind;
    use super::super::super::letter::tests::{letter, pair, sender};
    use super::super::tests::parse_one;
    use super::*;
    use std::io::{BufRead, BufReader, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
    use std::thread;

    fn mail() -> Mail {
        Mail::parse("smtp://127.0.0.1:25?from=shop@a.example&to=ops@b.example&to=c@d").unwrap()
    }

    fn written(letter: &Letter) -> String {
        String::from_utf8(message(letter, &mail(), &sender()).unwrap().formatted()).unwrap()
    }

    #[test]
    fn a_message_has_what_mail_needs_and_both_ends_are_one_thread() {
        let (firing, over) = (letter(Kind::Firing), letter(Kind::Resolved));
        let text = written(&firing);
        let root =
            format!("<{}-{:x}@host-1>", firing.items[0].fingerprint(), firing.items[0].fired);
        for line in [
            "From: shop@a.example".to_owned(),
            "To: ops@b.example, c@d".to_owned(),
            "Subject: [critical] shop: FIRING pool_exhausted{main} on host-1".to_owned(),
            format!("Message-ID: <{}@host-1>", firing.id),
            format!("References: {root}"),
            "Auto-Submitted: auto-generated".to_owned(),
            "7 wait, since 2026-11-22T10:10:52.125Z".to_owned(),
        ] {
            assert!(text.lines().any(|it| it == line), "{line} in {text}");
        }
        assert!(written(&over).contains(&root) && !written(&over).contains(&firing.id));
        assert!(!written(&pair()).contains("References"));
        let mut odd = firing;
        odd.items[0].subject = "a\r\nBcc: x@y\u{e4}".to_owned();
        assert!(!written(&odd).contains("\r\nBcc"));
    }

    /// A server that answers the command that begins with `at` with `answer`, and all others well; what comes of a
    /// letter to these.
    fn served(at: &str, answer: &str, to: &str) -> Result<Outcome, String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (place, is_over) = (listener.local_addr().unwrap(), AtomicBool::new(false));
        thread::scope(|scope| {
            scope.spawn(|| {
                while let Ok((mut stream, _)) = listener.accept()
                    && stream.write_all(b"220 x\r\n").is_ok()
                {
                    talk(stream, at, answer);
                    if is_over.load(SeqCst) {
                        return;
                    }
                }
            });
            let to = parse_one(&format!("smtp://{place}?from=shop@a.example&{to}"));
            let outcome = send(&letter(Kind::Firing), &to, &sender());
            is_over.store(true, SeqCst);
            // Whoever waits for a further one has it.
            TcpStream::connect(place).ok();
            outcome
        })
    }

    fn talk(mut stream: TcpStream, at: &str, answer: &str) {
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let mut is_data = false;
        while let Some(Ok(line)) = lines.next() {
            let said = match &*line {
                "." => {
                    is_data = false;
                    "250 taken"
                }
                _ if is_data => continue,
                it if it.starts_with(at) => answer,
                "DATA" => {
                    is_data = true;
                    "354 go on"
                }
                "QUIT" => "221 bye",
                _ => "250 well",
            };
            stream.write_all(format!("{said}\r\n").as_bytes()).ok();
        }
    }

    #[test]
    fn answers_of_a_server_are_for_now_or_for_good() {
        let one = "to=ops@b.example";
        assert_eq!(served("nothing", "", one).unwrap().0, Verdict::Taken);
        let refused = Ok((Verdict::Refused, "code 550".to_owned()));
        assert_eq!(served("RCPT", "550 no hunter2", one), refused);
        let later = Ok((Verdict::Again(None), "code 451".to_owned()));
        assert_eq!(served("RCPT", "451 later", one), later);
        let to = parse_one("smtp://127.0.0.1:1?from=a@b.example&to=c@d.example");
        assert!(send(&letter(Kind::Firing), &to, &sender()).is_err());
    }

    #[test]
    fn a_bad_recipient_keeps_a_letter_from_nobody_else_and_is_told_by_its_place() {
        let three = "to=ops@b.example&to=gone@b.example&to=c@b.example";
        let told = "recipient 2 was refused with code 550".to_owned();
        let found = served("RCPT TO:<gone@", "550 no gone@b.example", three);
        assert_eq!(found, Ok((Verdict::Partly, told)));
        assert_eq!(served("RCPT", "550 no", three).unwrap().0, Verdict::Refused);
        // One whose box is full holds it back from nobody; where nobody takes it now it comes again.
        assert_eq!(served("RCPT TO:<gone@", "452 full", three).unwrap().0, Verdict::Partly);
        assert_eq!(served("RCPT", "451 later", three).unwrap().0, Verdict::Again(None));
    }
}
