//! The forms of texts in keys and variables of telemetry: addresses, headers, attributes, numbers.

use percent_encoding::percent_decode_str;

/// An address that begins with `http://` or `https://`, or nothing.
///
/// # Errors
/// The predicate of a sentence.
pub(crate) fn http_url(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(String::new());
    }
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let rest = rest.ok_or("does not begin with http:// or https://")?;
    if text.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return Err("is not a URL");
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        // It would end up in logs.
        return Err("holds a user or a password; give them as a header");
    }
    if rest.contains(['?', '#']) {
        return Err("holds a query or a fragment");
    }
    let port = authority.rsplit_once(':').filter(|(_, port)| !port.ends_with(']'));
    let host = port.map_or(authority, |(host, _)| host);
    if host.is_empty() {
        return Err("names no host");
    }
    if port.is_some_and(|(_, port)| port.parse::<u16>().is_err()) {
        return Err("has no valid port");
    }
    Ok(text.to_owned())
}

/// `name=value,…` with values that are percent-encoded: how OpenTelemetry writes lists.
fn pairs(text: &str) -> Result<Vec<(String, String)>, &'static str> {
    let all = text.split(',').map(str::trim).filter(|it| !it.is_empty());
    all.map(|pair| {
        let (name, value) = pair.split_once('=').ok_or("has an item without =")?;
        let name = name.trim();
        if name.is_empty() {
            return Err("has an item without a name");
        }
        let value = percent_decode_str(value.trim()).decode_utf8();
        Ok((name.to_owned(), value.map_err(|_| "is not UTF-8")?.into_owned()))
    })
    .collect()
}

/// Headers of requests.
///
/// # Errors
/// The predicate of a sentence; no value is told.
pub(crate) fn headers(text: &str) -> Result<Vec<(String, String)>, &'static str> {
    let all = pairs(text)?;
    for (name, value) in &all {
        if name
            .bytes()
            .any(|byte| !byte.is_ascii_alphanumeric() && !b"-_.!#$&'*+^`|~".contains(&byte))
        {
            return Err("has a name that no header can have");
        }
        fits_header(value)?;
    }
    Ok(all)
}

/// What can stand behind a header's name.
///
/// # Errors
/// The predicate of a sentence.
pub(crate) fn header_value(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    fits_header(text)?;
    Ok(text.to_owned())
}

fn fits_header(text: &str) -> Result<(), &'static str> {
    let fits = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    fits.then_some(()).ok_or("holds what cannot stand in a header")
}

/// What is told of a service.
///
/// # Errors
/// The predicate of a sentence.
pub(super) fn attributes(text: &str) -> Result<Vec<(String, String)>, &'static str> {
    pairs(text)
}

/// A number of 0 to 1.
///
/// # Errors
/// The predicate of a sentence.
pub(crate) fn ratio(text: &str) -> Result<f64, &'static str> {
    let number: f64 = text.trim().parse().map_err(|_| "is not a number")?;
    if (0.0..=1.0).contains(&number) { Ok(number) } else { Err("is out of range") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_of_http_without_a_secret_in_it() {
        for good in ["", "http://localhost:4318", "https://[::1]:80/x/", "https://otlp.nr-data.net"]
        {
            assert_eq!(http_url(good), Ok(good.to_owned()));
        }
        for bad in [
            "localhost:4318",
            "grpc://x",
            "http://",
            "http://:80",
            "http://x:99999",
            "http://me:hunter2@x",
            "http://x/?key=hunter2",
            "http://x y",
        ] {
            assert!(http_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn headers_are_read_as_opentelemetry_writes_them() {
        let read = headers(" api-key=abc==, authorization=Bearer%20x%2Cy ,").unwrap();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(read, [pair("api-key", "abc=="), pair("authorization", "Bearer x,y")]);
        for bad in ["abc", "=x", "a b=c", "a=%0d%0ax", "a=%ff"] {
            assert!(headers(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_ratio_is_a_number_of_0_to_1() {
        assert_eq!([ratio("0"), ratio(" 0.25"), ratio("1")], [Ok(0.0), Ok(0.25), Ok(1.0)]);
        for bad in ["1.1", "-0.1", "NaN", "inf", "", "x"] {
            assert!(ratio(bad).is_err(), "{bad}");
        }
    }
}
