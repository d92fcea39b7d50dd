//! Making a pair: an authority of its own for each serving certificate.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

use super::plan::{LIFE, Pair};
use crate::webhook::NAME;

/// Clocks of API servers may be behind.
const SKEW: SignedDuration = SignedDuration::from_hours(24);

/// No pair can be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make a certificate: {0}")]
pub struct IssueError(#[from] rcgen::Error);

/// A new pair for these names. Keys come from the system's random numbers, never from a seed.
pub(super) fn pair(names: &[String], now: Timestamp) -> Result<Pair, IssueError> {
    let begin = date(now.checked_sub(SKEW).unwrap_or(now));
    let end = date(now.checked_add(LIFE).unwrap_or(now));
    let limited = |mut parameters: CertificateParams, title: String| {
        for (limit, date) in [
            (&mut parameters.not_before, begin),
            (&mut parameters.not_after, end),
        ] {
            let [month, day] = [date.month(), date.day()].map(|part| u8::try_from(part).unwrap_or(1));
            *limit = date_time_ymd(i32::from(date.year()), month, day);
        }
        parameters.distinguished_name.push(DnType::CommonName, title);
        parameters
    };

    let key = KeyPair::generate()?;
    // Its name too tells it from the other authorities of a bundle.
    let mut authority = limited(CertificateParams::new(Vec::new())?, format!("{NAME} {now}"));
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let pem = authority.self_signed(&key)?.pem();
    let issuer = Issuer::new(authority, key);

    let key = KeyPair::generate()?;
    let mut server = limited(CertificateParams::new(names)?, NAME.to_owned());
    server.use_authority_key_identifier_extension = true;
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(Pair {
        authority: pem,
        certificate: server.signed_by(&key, &issuer)?.pem(),
        key: key.serialize_pem(),
        names: names.to_vec(),
        not_after: end.to_zoned(TimeZone::UTC).map_or(now, |end| end.timestamp()),
    })
}

fn date(time: Timestamp) -> Date {
    TimeZone::UTC.to_datetime(time).date()
}
