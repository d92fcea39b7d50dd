//! `find` and `findAll`.

use cel::common::types::{CelInt, CelList, CelString};
use cel::{Env, ExecutionError, add_member_overload};
use regex::Regex;

use super::{Declared, error, texts};

pub(super) fn declare(env: &mut Env) -> Declared {
    add_member_overload!(env, fn find: (CelString, CelString) -> Result<CelString>)?;
    add_member_overload!(env, fn find_all: (CelString, CelString) -> Result<CelList>)?;
    add_member_overload!(env, fn find_some: (CelString, CelString, CelInt) -> Result<CelList>, name = "findAll")
}

fn pattern(text: &CelString<'_>) -> Result<Regex, ExecutionError> {
    Regex::new(text).map_err(|fault| error("find", format!("Illegal regex: {fault}")))
}

fn find(text: &CelString<'_>, regex: &CelString<'_>) -> Result<CelString<'static>, ExecutionError> {
    let regex = pattern(regex)?;
    let found = regex.find(text).map_or("", |found| found.as_str());
    Ok(found.to_owned().into())
}

fn find_all(text: &CelString<'_>, regex: &CelString<'_>) -> Result<CelList<'static>, ExecutionError> {
    find_some(text, regex, &CelInt::from(-1))
}

/// A number below zero means all.
fn find_some(
    text: &CelString<'_>,
    regex: &CelString<'_>,
    limit: &CelInt,
) -> Result<CelList<'static>, ExecutionError> {
    let regex = pattern(regex)?;
    let limit = usize::try_from(*limit.inner()).unwrap_or(usize::MAX);
    let found = regex.find_iter(text).take(limit);
    Ok(texts(found.map(|found| found.as_str().to_owned())))
}
