//! `url`, read as Go reads a request's URI.

use std::collections::HashMap;

use cel::common::types::{CelBool, CelMap, CelMapKey, CelString};
use cel::common::value::Val;
use cel::{Env, ExecutionError, add_member_overload, add_overload};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::{Declared, boxed, error, opaque, texts};

/// A URL in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Url {
    scheme: String,
    /// With its port.
    host: String,
    /// Without its escapes, and as it was written.
    path: [String; 2],
    query: String,
}

opaque!(Url, "kubernetes.URL");

/// What a path need not escape when it is written anew.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b',')
    .remove(b'/')
    .remove(b':')
    .remove(b';')
    .remove(b'=')
    .remove(b'@');

pub(super) fn declare(env: &mut Env) -> Declared {
    env.add_type(Url::cel_type().to_owned())?;
    add_overload!(env, fn url: (CelString) -> Result<Url>)?;
    add_overload!(env, fn is_url: (CelString) -> CelBool, name = "isURL")?;
    add_member_overload!(env, fn get_scheme: (Url) -> CelString)?;
    add_member_overload!(env, fn get_host: (Url) -> CelString)?;
    add_member_overload!(env, fn get_hostname: (Url) -> CelString)?;
    add_member_overload!(env, fn get_port: (Url) -> CelString)?;
    add_member_overload!(env, fn get_escaped_path: (Url) -> CelString)?;
    add_member_overload!(env, fn get_query: (Url) -> CelMap)
}

/// The same as a text.
const PATH_PLAIN: &str = "-_.~$&+,/:;=@";

/// What a path may have besides where it was written so.
const WRITTEN: &str = "%!'()*[]";

/// An absolute URL, or a path that begins with `/`.
pub(super) fn read(text: &str) -> Result<Url, String> {
    let fault = |reason: &str| format!("parse {text:?}: {reason}");
    if text.is_empty() {
        return Err(fault("empty url"));
    }
    if text.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
        return Err(fault("net/url: invalid control character in URL"));
    }
    let (scheme, rest) = scheme(text).map_err(fault)?;
    let (rest, _) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    // Behind a scheme there may be anything, as in `mailto:a`, which has neither host nor path.
    let rest = match (rest.starts_with('/'), scheme) {
        (true, _) => rest,
        (false, "") => return Err(fault("invalid URI for request")),
        (false, _) => "",
    };
    let (host, path) = match rest.strip_prefix("//").filter(|_| !scheme.is_empty()) {
        None => ("", rest),
        Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
    };
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    if host.contains([' ', '<', '>', '"', '\\', '^', '`', '{', '|', '}']) {
        return Err(fault("invalid character in host name"));
    }
    if !port(host).is_none_or(|port| port.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err(fault("invalid port after host"));
    }
    Ok(Url {
        scheme: scheme.to_ascii_lowercase(),
        host: host.to_owned(),
        path: [
            decoded(path).ok_or_else(|| fault("invalid URL escape"))?,
            path.to_owned(),
        ],
        query: query.to_owned(),
    })
}

/// The scheme, and what follows its colon.
fn scheme(text: &str) -> Result<(&str, &str), &'static str> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    match text.find(|c| !allowed(c)) {
        Some(0) if text.starts_with(':') => Err("missing protocol scheme"),
        Some(end) if text[end..].starts_with(':') && text.starts_with(|c: char| c.is_ascii_alphabetic()) => {
            Ok((&text[..end], &text[end + 1..]))
        }
        _ => Ok(("", text)),
    }
}

/// A path without its escapes; none where one is malformed.
fn decoded(path: &str) -> Option<String> {
    let is_escape = |rest: &str| {
        let digits = rest.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    let good = path.split('%').skip(1).all(is_escape);
    good.then(|| percent_decode_str(path).decode_utf8_lossy().into_owned())
}

/// What follows the last colon that is no part of an IPv6 address.
fn port(host: &str) -> Option<&str> {
    let rest = host.rsplit_once(']').map_or(host, |(_, rest)| rest);
    rest.rsplit_once(':').map(|(_, port)| port)
}

fn url(text: &CelString<'_>) -> Result<Url, ExecutionError> {
    read(text).map_err(|fault| {
        error(
            "url",
            format!("URL parse error during conversion from string: {fault}"),
        )
    })
}

fn is_url(text: &CelString<'_>) -> CelBool {
    read(text).is_ok().into()
}

fn get_scheme(url: &Url) -> CelString<'static> {
    url.scheme.clone().into()
}

fn get_host(url: &Url) -> CelString<'static> {
    url.host.clone().into()
}

fn get_hostname(url: &Url) -> CelString<'static> {
    let end = port(&url.host).map_or(url.host.len(), |port| url.host.len() - port.len() - 1);
    let name = url.host.get(..end).unwrap_or_default();
    name.trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned()
        .into()
}

fn get_port(url: &Url) -> CelString<'static> {
    port(&url.host).unwrap_or_default().to_owned().into()
}

fn get_escaped_path(url: &Url) -> CelString<'static> {
    let [path, written] = &url.path;
    let is_escaped = |c: char| PATH_PLAIN.contains(c) || WRITTEN.contains(c) || c.is_ascii_alphanumeric();
    if written.chars().all(is_escaped) {
        return written.clone().into();
    }
    utf8_percent_encode(path, PATH).to_string().into()
}

fn get_query(url: &Url) -> CelMap<'static> {
    let mut values: HashMap<String, Vec<String>> = HashMap::new();
    for (name, value) in form_urlencoded::parse(url.query.as_bytes()) {
        values
            .entry(name.into_owned())
            .or_default()
            .push(value.into_owned());
    }
    let listed = values.into_iter().map(|(name, values)| {
        let values: Box<dyn Val> = boxed(texts(values));
        (CelMapKey::from(name), values)
    });
    CelMap::from(listed.collect::<HashMap<_, _>>())
}
