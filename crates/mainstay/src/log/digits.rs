//! Whole numbers as decimal digits, two at a time, without the machinery of `fmt`.

/// `00` to `99`.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let mut n = 0;
    while n < 100 {
        pairs[n] = [b'0' + (n / 10) as u8, b'0' + (n % 10) as u8];
        n += 1;
    }
    pairs
};

/// Most digits that a `u64` has.
pub(crate) const LONGEST: usize = 20;

/// The two digits of `n % 100`.
#[inline(always)]
pub(crate) fn two(n: u64) -> [u8; 2] {
    PAIRS[(n % 100) as usize]
}

/// The three digits of `n % 1000`.
#[inline(always)]
pub(crate) fn three(n: u64) -> [u8; 3] {
    let [high, low] = two(n);
    [b'0' + (n / 100 % 10) as u8, high, low]
}

/// Appends `n` without leading zeros.
#[inline]
pub(crate) fn push(out: &mut Vec<u8>, n: u64) {
    // Of known length, so that the copies are plain stores.
    match n {
        0..10 => out.push(b'0' + n as u8),
        10..100 => out.extend_from_slice(&two(n)),
        100..1_000 => out.extend_from_slice(&three(n)),
        1_000..10_000 => out.extend_from_slice(&four(n)),
        _ => push_long(out, n),
    }
}

/// The four digits of `n % 10000`.
#[inline(always)]
fn four(n: u64) -> [u8; 4] {
    let ([a, b], [c, d]) = (two(n / 100), two(n));
    [a, b, c, d]
}

#[inline(never)]
fn push_long(out: &mut Vec<u8>, n: u64) {
    if n >= EIGHT {
        push_long(out, n / EIGHT);
        return out.extend_from_slice(&(eight(n % EIGHT) | ZEROS).to_le_bytes());
    }
    let digits = eight(n);
    // Written as a whole word without its zeros in front, and shortened: less than copying a few bytes.
    let leading = digits.trailing_zeros() / 8 * 8;
    let end = out.len() + 8 - leading as usize / 8;
    out.extend_from_slice(&((digits | ZEROS) >> (leading % 64)).to_le_bytes());
    out.truncate(end);
}

/// The first number of nine digits.
const EIGHT: u64 = 100_000_000;
/// Eight times `0`.
const ZEROS: u64 = 0x3030_3030_3030_3030;

/// The eight digits of a number below [`EIGHT`] as a word, the first in its lowest byte.
#[inline(always)]
fn eight(n: u64) -> u64 {
    // Two numbers of four digits stand side by side in it, then four of two, then eight of one. The factors
    // are the reciprocals of 100 and 10, exact for numbers that small.
    let fours = (n / 10_000) | ((n % 10_000) << 32);
    let high = ((fours * 5_243) >> 19) & 0x7f_0000_007f;
    let twos = high | ((fours - high * 100) << 16);
    let tens = ((twos * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | ((twos - tens * 10) << 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_length_are_their_digits() {
        let around = |n: u64| [n - 1, n, n + 1];
        let powers = (1..20).flat_map(|exponent| around(10_u64.pow(exponent)));
        for n in powers.chain([0, 1, 42, 1_234_567, u64::MAX]) {
            let mut out = Vec::new();
            push(&mut out, n);
            assert_eq!(String::from_utf8(out).unwrap(), n.to_string());
        }
        // Each of the words that eight digits are made by.
        for n in (0..10_000).flat_map(|n| [n, n * 10_000, n * 10_001, 1_000_000_000 + n]) {
            let mut out = b"before".to_vec();
            push(&mut out, n);
            assert_eq!(String::from_utf8(out).unwrap(), format!("before{n}"));
        }
        assert_eq!((two(1_207), three(1_042)), (*b"07", *b"042"));
    }
}
