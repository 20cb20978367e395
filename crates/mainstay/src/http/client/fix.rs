//! Counting as Werkzeug's `ProxyFix` does it, for those who move a Flask application and know how
//! many proxies append to which header.

use super::fields::{Field, Fields};
use super::witness::{Sight, Witness};
use super::{Origin, Refused, Trust, address};
use http::HeaderMap;

/// How many trusted hops appended to each header: its value is the so-manieth from the right. 0:
/// the header is not read. The defaults are Werkzeug's.
///
/// What differs from Werkzeug 3.1: the peer must be trusted; addresses are read as such, without
/// their port; schemes are http or https; a quotation mark that is never closed does not hide the
/// rest; and what a header may not say is refused instead of taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProxyFix {
    /// `X-Forwarded-For`; 1 by default.
    pub(crate) x_for: u8,
    /// `X-Forwarded-Proto`; 1 by default.
    pub(crate) x_proto: u8,
    /// `X-Forwarded-Host`; 0 by default. Above 0 any valid host is taken while `Trust::hosts` is
    /// empty.
    pub(crate) x_host: u8,
    /// `X-Forwarded-Port`; 0 by default.
    pub(crate) x_port: u8,
    /// `X-Forwarded-Prefix`; 0 by default.
    pub(crate) x_prefix: u8,
}

impl Default for ProxyFix {
    fn default() -> ProxyFix {
        ProxyFix { x_for: 1, x_proto: 1, x_host: 0, x_port: 0, x_prefix: 0 }
    }
}

impl ProxyFix {
    /// Reads `x_for=2, x_host=1`; what is not named has its default, and an empty text is none.
    ///
    /// # Errors
    /// Names the entry that is not one of the five with a count of 0 to 255, or is there twice.
    pub(crate) fn parse(text: &str) -> Result<Option<ProxyFix>, String> {
        let mut fix = ProxyFix::default();
        let mut seen = Vec::new();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let wrong = || format!("{entry:?} is not a count such as x_for=1");
            let (name, count) = entry.split_once('=').ok_or_else(wrong)?;
            let (name, count) = (name.trim(), count.trim());
            if !count.bytes().all(|b| b.is_ascii_digit()) {
                return Err(wrong());
            }
            fix.set(name, count.parse().map_err(|_| wrong())?)?;
            if seen.contains(&name) {
                return Err(format!("{name} is given twice"));
            }
            seen.push(name);
        }
        Ok((!seen.is_empty()).then_some(fix))
    }

    /// Sets the count of that name.
    ///
    /// # Errors
    /// Names the five when it is none of them.
    fn set(&mut self, name: &str, count: u8) -> Result<(), String> {
        let field = match name {
            "x_for" => &mut self.x_for,
            "x_proto" => &mut self.x_proto,
            "x_host" => &mut self.x_host,
            "x_port" => &mut self.x_port,
            "x_prefix" => &mut self.x_prefix,
            _ => {
                let names = "x_for, x_proto, x_host, x_port, x_prefix";
                return Err(format!("{name:?} is none of {names}"));
            }
        };
        *field = count;
        Ok(())
    }
}

/// Reads the headers for a trusted peer, which `origin` names. Each count stands for itself.
pub(super) fn read(
    trust: &Trust,
    fix: ProxyFix,
    origin: &mut Origin,
    headers: &HeaderMap,
    witness: &mut impl Witness,
) {
    let fields = Fields::gather(headers);
    if let Some(element) = origin.counted(&fields, (Field::For, "client"), fix.x_for, witness) {
        match address::parse(unquoted(element)) {
            Some(ip) => {
                origin.client = Some(ip);
                witness.saw(Sight::Took { what: "client", value: element });
            }
            None => {
                origin.refuse(Refused::BadElement);
                let why = Refused::BadElement;
                witness.saw(Sight::Refused { what: "client", value: element, why });
            }
        }
    }
    if let Some(value) = origin.counted(&fields, (Field::Proto, "scheme"), fix.x_proto, witness) {
        origin.take_scheme(unquoted(value), witness);
    }
    if let Some(value) = origin.counted(&fields, (Field::Host, "host"), fix.x_host, witness) {
        origin.take_host(trust, unquoted(value), true, witness);
    }
    if let Some(value) = origin.counted(&fields, (Field::Port, "port"), fix.x_port, witness) {
        origin.take_port(unquoted(value), witness);
    }
    if let Some(value) = origin.counted(&fields, (Field::Prefix, "prefix"), fix.x_prefix, witness) {
        origin.take_prefix(unquoted(value), witness);
    }
}

impl Origin {
    fn counted<'a>(
        &mut self,
        fields: &Fields<'a>,
        (field, what): (Field, &'static str),
        count: u8,
        witness: &mut impl Witness,
    ) -> Option<&'a [u8]> {
        let value = fields.counted(field, count);
        if value.is_none() && fields.is_there(field) {
            let value = fields.elements(field).last().unwrap_or_default();
            if count == 0 {
                witness.saw(Sight::Unasked { what, value });
            } else {
                let why = Refused::TooFewElements;
                witness.saw(Sight::Refused { what, value, why });
                self.refuse(why);
            }
        }
        value
    }
}

/// The element without quotation marks around it, which Werkzeug takes off.
fn unquoted(element: &[u8]) -> &[u8] {
    let inside = element.strip_prefix(b"\"").and_then(|it| it.strip_suffix(b"\""));
    inside.unwrap_or(element)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_and_default_to_those_of_werkzeug() {
        let parse = |text| ProxyFix::parse(text).unwrap();
        assert_eq!(parse(""), None);
        assert_eq!(parse(" , "), None);
        assert_eq!(parse("x_for=1, x_proto=1"), Some(ProxyFix::default()));
        assert_eq!(parse("x_for = 2"), Some(ProxyFix { x_for: 2, ..ProxyFix::default() }));
        assert_eq!(
            parse("x_for=0,x_proto=0,x_host=3,x_port=4,x_prefix=5"),
            Some(ProxyFix { x_for: 0, x_proto: 0, x_host: 3, x_port: 4, x_prefix: 5 })
        );
    }

    #[test]
    fn what_is_no_count_is_named() {
        for entry in ["x_for", "x_for=", "x_for=-1", "x_for=+1", "x_for=256", "x_for=one", "1"] {
            let error = ProxyFix::parse(entry).unwrap_err();
            assert_eq!(error, format!("{entry:?} is not a count such as x_for=1"));
        }
        let names = "\"x_by\" is none of x_for, x_proto, x_host, x_port, x_prefix";
        assert_eq!(ProxyFix::parse("x_by=1").unwrap_err(), names);
        assert_eq!(ProxyFix::parse("x_for=1,x_for=1").unwrap_err(), "x_for is given twice");
    }
}
