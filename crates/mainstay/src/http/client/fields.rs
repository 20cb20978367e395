//! The `X-Forwarded-*` headers of a request, found in one pass.

use http::{HeaderMap, HeaderValue};

/// The beginning that all of them share.
const FAMILY: &[u8] = b"x-forwarded-";

/// The headers of the family that are there.
#[derive(Debug, Default)]
pub(super) struct Fields<'a> {
    pub(super) client: Field<'a>,
    pub(super) proto: Field<'a>,
    pub(super) host: Field<'a>,
    pub(super) port: Field<'a>,
    pub(super) prefix: Field<'a>,
    /// `on` when the client speaks TLS.
    pub(super) ssl: Field<'a>,
    /// `ssl` when the client speaks TLS.
    pub(super) protocol: Field<'a>,
}

/// All lines of one header.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Field<'a> {
    /// The only line; `None` when there are none or several.
    line: Option<&'a HeaderValue>,
    /// Where the lines are, when there are several.
    several: Option<(&'a HeaderMap, &'static str)>,
}

impl<'a> Fields<'a> {
    /// Whether any header of the family is there. A look at each name is cheaper than to hash the
    /// seven names that it might be.
    #[inline]
    pub(super) fn any(headers: &HeaderMap) -> bool {
        headers.keys().any(|name| name.as_str().as_bytes().starts_with(FAMILY))
    }

    pub(super) fn gather(headers: &'a HeaderMap) -> Fields<'a> {
        let mut fields = Fields::default();
        for (name, value) in headers {
            let Some(rest) = name.as_str().as_bytes().strip_prefix(FAMILY) else { continue };
            let (field, name) = match rest {
                b"for" => (&mut fields.client, "x-forwarded-for"),
                b"proto" => (&mut fields.proto, "x-forwarded-proto"),
                b"host" => (&mut fields.host, "x-forwarded-host"),
                b"port" => (&mut fields.port, "x-forwarded-port"),
                b"prefix" => (&mut fields.prefix, "x-forwarded-prefix"),
                b"ssl" => (&mut fields.ssl, "x-forwarded-ssl"),
                b"protocol" => (&mut fields.protocol, "x-forwarded-protocol"),
                _ => continue,
            };
            match field {
                Field { line: None, several: None } => field.line = Some(value),
                field => *field = Field { line: None, several: Some((headers, name)) },
            }
        }
        fields
    }
}

impl<'a> Field<'a> {
    /// The lines, the last first.
    pub(super) fn lines(self) -> impl Iterator<Item = &'a [u8]> {
        let several = self.several.map(|(headers, name)| headers.get_all(name).into_iter().rev());
        let lines = self.line.into_iter().chain(several.into_iter().flatten());
        lines.map(HeaderValue::as_bytes)
    }

    /// The elements of the list that all lines together are, from right to left, without blanks
    /// around them and without empty ones. A quotation mark is a character like any other: one that
    /// is never closed would otherwise hide what stands right of it.
    pub(super) fn elements(self) -> impl Iterator<Item = &'a [u8]> {
        let elements = self.lines().flat_map(|line| line.rsplit(|b| *b == b','));
        elements.map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
    }

    /// What hop `hop` from the right wrote (1 is the nearest). Of a list that is shorter the
    /// leftmost: proxies that replace a header instead of appending to it leave fewer elements.
    pub(super) fn of_hop(self, hop: usize) -> Option<&'a [u8]> {
        self.elements().take(hop).last()
    }

    /// Element `count` from the right; `None` when there are fewer, or when `count` is 0.
    pub(super) fn counted(self, count: u8) -> Option<&'a [u8]> {
        self.elements().nth(usize::from(count).checked_sub(1)?)
    }

    /// Whether there is any line.
    pub(super) fn is_there(self) -> bool {
        self.line.is_some() || self.several.is_some()
    }
}
