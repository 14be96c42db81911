//! From when until when a certificate is good, read from its bytes: the verifier judges that, but tells nobody.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// The version of the certificate, which may be left out.
const VERSION: u8 = 0xa0;

/// Begin and end; `None` when the bytes (DER) are no certificate.
pub(super) fn validity(certificate: &[u8]) -> Option<(SystemTime, SystemTime)> {
    let (certificate, _) = field(certificate, SEQUENCE)?;
    let (mut signed, _) = field(certificate, SEQUENCE)?;
    if signed.first() == Some(&VERSION) {
        signed = any(signed)?.2;
    }
    // Serial number, algorithm, issuer.
    for _ in 0..3 {
        signed = any(signed)?.2;
    }
    let (validity, _) = field(signed, SEQUENCE)?;
    let (kind, begin, rest) = any(validity)?;
    let (end_kind, end, _) = any(rest)?;
    Some((time(kind, begin)?, time(end_kind, end)?))
}

fn field(bytes: &[u8], kind: u8) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = any(bytes)?;
    (found == kind).then_some((content, rest))
}

/// The first field: its kind, its content, and what follows it.
fn any(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&kind, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        // Certificates are shorter than 16 MiB.
        0x81..=0x83 => {
            let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (length.iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((kind, content, rest))
}

/// `YYMMDDhhmmssZ` (from 1950 to 2049) or `YYYYMMDDhhmmssZ`.
fn time(kind: u8, text: &[u8]) -> Option<SystemTime> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, rest) = match kind {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let year: i64 = year.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    if rest.len() != 10 || !rest.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part = |at: usize| rest[at..at + 2].parse::<i64>().ok();
    let (month, day) = (part(0)?, part(2)?);
    let seconds = part(4)? * 3600 + part(6)? * 60 + part(8)?;
    let since = days(year, month, day) * 86_400 + seconds;
    Some(UNIX_EPOCH + Duration::from_secs(u64::try_from(since).unwrap_or_default()))
}

/// Days from 1970-01-01; years are counted from March, so that the leap day is the last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let in_year = (153 * month + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + in_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Option<SystemTime> {
        Some(UNIX_EPOCH + Duration::from_secs(seconds))
    }

    #[test]
    fn times_are_read_as_they_are_meant() {
        assert_eq!(time(UTC_TIME, b"700101000000Z"), at(0));
        assert_eq!(time(UTC_TIME, b"240229235959Z"), at(1_709_251_199));
        assert_eq!(time(GENERALIZED_TIME, b"20500301000000Z"), at(2_529_705_600));
        for (kind, bad) in [
            (UTC_TIME, &b"7001010000Z"[..]),
            (UTC_TIME, b"700101000000"),
            (UTC_TIME, b"70010100000+Z"),
            (GENERALIZED_TIME, b"700101000000Z"),
            (SEQUENCE, b"700101000000Z"),
        ] {
            assert_eq!(time(kind, bad), None, "{bad:?}");
        }
    }

    #[test]
    fn what_is_cut_off_is_no_certificate() {
        let whole = rcgen::KeyPair::generate()
            .and_then(|key| rcgen::CertificateParams::default().self_signed(&key))
            .expect("a certificate");
        assert!(validity(whole.der()).is_some());
        for length in 0..whole.der().len() {
            assert_eq!(validity(&whole.der()[..length]), None, "{length} bytes");
        }
    }
}
