//! `semver`: semantic versions.

use std::cmp::Ordering;

use cel::common::types::{CelBool, CelInt, CelString};
use cel::common::value::Val as _;
use cel::{Env, ExecutionError, add_member_overload, add_overload};

use super::quantities::number;
use super::{Declared, error, opaque};

/// A version. What its build is called does not count.
#[derive(Clone, Debug)]
struct Semver(semver::Version);

impl Semver {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp_precedence(&other.0)
    }
}

impl PartialEq for Semver {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

opaque!(Semver, "kubernetes.Semver");

pub(super) fn declare(env: &mut Env) -> Declared {
    env.add_type(Semver::cel_type().to_owned())?;
    add_overload!(env, fn semver: (CelString) -> Result<Semver>)?;
    add_overload!(env, fn semver_of: (CelString, CelBool) -> Result<Semver>, name = "semver")?;
    add_overload!(env, fn is_semver: (CelString) -> CelBool)?;
    add_overload!(env, fn is_semver_of: (CelString, CelBool) -> CelBool, name = "isSemver")?;
    add_member_overload!(env, fn major: (Semver) -> CelInt)?;
    add_member_overload!(env, fn minor: (Semver) -> CelInt)?;
    add_member_overload!(env, fn patch: (Semver) -> CelInt)?;
    add_member_overload!(env, fn compare_to: (Semver, Semver) -> CelInt)?;
    add_member_overload!(env, fn is_less_than: (Semver, Semver) -> CelBool)?;
    add_member_overload!(env, fn is_greater_than: (Semver, Semver) -> CelBool)
}

fn read(text: &str, normalises: bool) -> Result<Semver, semver::Error> {
    let version = if normalises {
        semver::Version::parse(&normal(text))
    } else {
        semver::Version::parse(text)
    };
    version.map(Semver)
}

/// A version without its `v` and leading zeros, and with the parts that are missing.
fn normal(text: &str) -> String {
    let text = text.strip_prefix('v').unwrap_or(text);
    let end = text.find(['-', '+']).unwrap_or(text.len());
    let (numbers, rest) = text.split_at(end);
    let mut parts: Vec<&str> = numbers
        .split('.')
        .map(|part| match part.trim_start_matches('0') {
            "" if !part.is_empty() => "0",
            trimmed => trimmed,
        })
        .collect();
    // A version that is cut short has no more to say.
    while parts.len() < 3 && rest.is_empty() {
        parts.push("0");
    }
    format!("{}{rest}", parts.join("."))
}

fn semver(text: &CelString<'_>) -> Result<Semver, ExecutionError> {
    read(text, false).map_err(|fault| error("semver", fault))
}

fn semver_of(text: &CelString<'_>, normalises: &CelBool) -> Result<Semver, ExecutionError> {
    read(text, *normalises.inner()).map_err(|fault| error("semver", fault))
}

fn is_semver(text: &CelString<'_>) -> CelBool {
    read(text, false).is_ok().into()
}

fn is_semver_of(text: &CelString<'_>, normalises: &CelBool) -> CelBool {
    read(text, *normalises.inner()).is_ok().into()
}

fn part(number: u64) -> CelInt {
    i64::try_from(number).unwrap_or(i64::MAX).into()
}

fn major(version: &Semver) -> CelInt {
    part(version.0.major)
}

fn minor(version: &Semver) -> CelInt {
    part(version.0.minor)
}

fn patch(version: &Semver) -> CelInt {
    part(version.0.patch)
}

fn compare_to(one: &Semver, other: &Semver) -> CelInt {
    number(one.cmp(other))
}

fn is_less_than(one: &Semver, other: &Semver) -> CelBool {
    one.cmp(other).is_lt().into()
}

fn is_greater_than(one: &Semver, other: &Semver) -> CelBool {
    one.cmp(other).is_gt().into()
}
