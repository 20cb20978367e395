//! When a certificate ends. Of X.509 nothing else is read: whether it is good, rustls judges.

/// Seconds since the Unix epoch at which the first certificate of a chain ends; none where one cannot be read.
pub(crate) fn ends<'a>(chain: impl Iterator<Item = &'a [u8]>) -> Option<u64> {
    chain.map(not_after).try_fold(u64::MAX, |first, end| Some(first.min(end?)))
}

/// The end of one certificate's validity.
fn not_after(der: &[u8]) -> Option<u64> {
    let (certificate, _) = take(der, SEQUENCE)?;
    let (fields, _) = take(certificate, SEQUENCE)?;
    // The first version does not name itself.
    let mut fields = take(fields, VERSION).map_or(fields, |(_, rest)| rest);
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        fields = take(fields, tag)?.1;
    }
    let (validity, _) = take(fields, SEQUENCE)?;
    let (_, rest) = time(validity)?;
    time(rest).map(|(end, _)| end)
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// What the first value holds, if it has this tag, and what follows it.
fn take(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (_, rest) = der.split_first().filter(|(first, _)| **first == tag)?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match *length {
        short @ ..0x80 => (usize::from(short), rest),
        long => {
            let count = usize::from(long & 0x7f);
            let bytes = rest.get(..count).filter(|_| (1..=4).contains(&count))?;
            (bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), &rest[count..])
        }
    };
    Some((rest.get(..length)?, &rest[length..]))
}

/// A time, and what follows it.
fn time(der: &[u8]) -> Option<(u64, &[u8])> {
    let (text, rest, century) = match der.first()? {
        &UTC_TIME => {
            let (text, rest) = take(der, UTC_TIME)?;
            (text, rest, None)
        }
        _ => {
            let (text, rest) = take(der, GENERALIZED_TIME)?;
            (text.get(2..)?, rest, Some(number(text)?))
        }
    };
    let parts: Vec<u64> =
        (0..6).map(|part| number(text.get(part * 2..)?)).collect::<Option<_>>()?;
    let [short, month, day, hour, minute, second] = parts[..] else { return None };
    // RFC 5280: 50 and more is of the last century.
    let century = century.unwrap_or(if short >= 50 { 19 } else { 20 });
    let days = days(century * 100 + short, month, day)?;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second, rest))
}

/// The first two digits.
fn number(text: &[u8]) -> Option<u64> {
    let digits = text.get(..2).filter(|it| it.iter().all(u8::is_ascii_digit))?;
    Some(u64::from(digits[0] - b'0') * 10 + u64::from(digits[1] - b'0'))
}

/// Days since the Unix epoch of a day of the Gregorian calendar from 1970 on.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let fits = year >= 1970 && (1..=12).contains(&month) && (1..=31).contains(&day);
    // The year begins in March, so that a leap day is its last.
    let (year, month) =
        if month > 2 { (year, month - 3) } else { (year - u64::from(year > 0), month + 9) };
    let of_era = year % 400;
    let of_year = (153 * month + 2) / 5 + day.saturating_sub(1);
    let days = year / 400 * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    fits.then(|| days.checked_sub(719_468)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64ct::{Base64, Encoding};
    use proptest::prelude::*;

    /// Made by openssl; it ends on 2030-11-27 at 02:45:01.
    const SHORT: &str = "\
        MIIBbTCCAROgAwIBAgIUHlAbV8SiXIhSMc/VifNMS4okttEwCgYIKoZIzj0EAwIwDDEKMAgGA1UEAwwBYTAeFw0y\
        NjExMjcwMjQ1MDFaFw0zMDExMjcwMjQ1MDFaMAwxCjAIBgNVBAMMAWEwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC\
        AARGWXfOu2FyNL/xvcCmpCRxRmpGBRkP/5uTtiiArohp7Iq3DRCRNQ9OU19fzYWYEtiO6enM2ESl8NLiirRfpPgi\
        o1MwUTAdBgNVHQ4EFgQUovSJC4655TYnGCCJc6RaO/gWV40wHwYDVR0jBBgwFoAUovSJC4655TYnGCCJc6RaO/gW\
        V40wDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiB+wtxZPmop2mIXjQ/Jn4GvVrpT0uIpKvJR0GBw\
        9vkjngIhAOwWMCQ28mtoE7xc8su5cXvM1+cu98kDGDrCs913oo/1";
    /// The same for 2066, which is written in another way.
    const LONG: &str = "\
        MIIBcDCCARWgAwIBAgIUYNOoPZ2t5j4VPl/R9nfuzz452fUwCgYIKoZIzj0EAwIwDDEKMAgGA1UEAwwBYTAgFw0y\
        NjExMjcwMjQ1MDFaGA8yMDY2MTEyNzAyNDUwMVowDDEKMAgGA1UEAwwBYTBZMBMGByqGSM49AgEGCCqGSM49AwEH\
        A0IABL3s+HgFYfg81RrG6gp8kPfsfESTWnb5y2X5APqHn9QPdz+JQ9wWyIAX/qSFgVl4UZ7erFsV1TWrlX83AynD\
        3JijUzBRMB0GA1UdDgQWBBROzEWPoIXG3/hjQaFDIvjOjI7FPjAfBgNVHSMEGDAWgBROzEWPoIXG3/hjQaFDIvjO\
        jI7FPjAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0kAMEYCIQDlfjtdO0l2M7uFXepySfd0h4VfupLfzKf8\
        oSo3B6DiMgIhAOl6X7W7ggb4itBMQIOetp741YdIpXlNEtvdEwR32s3s";

    fn der(text: &str) -> Vec<u8> {
        Base64::decode_vec(text).unwrap()
    }

    #[test]
    fn a_certificate_ends_when_openssl_says_and_a_chain_with_its_first() {
        let (short, long) = (der(SHORT), der(LONG));
        assert_eq!(not_after(&short), Some(1_921_977_901));
        assert_eq!(not_after(&long), Some(3_058_051_501));
        assert_eq!(ends([&*long, &short].into_iter()), Some(1_921_977_901));
        assert_eq!(ends([&*long, b"x"].into_iter()), None);
    }

    proptest! {
        #[test]
        fn whatever_is_sent_in_its_place_is_read_or_not_and_nothing_else(
            at in 0_usize..300, byte: u8, cut in 0_usize..400
        ) {
            let mut text = der(SHORT);
            if let Some(place) = text.get_mut(at) {
                *place = byte;
            }
            text.truncate(cut);
            if let Some(end) = not_after(&text) {
                prop_assert!(end < 300_000_000_000);
            }
        }
    }
}
