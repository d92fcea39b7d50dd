//! `find`, `findAll` and `matches`.
//!
//! The crate `cel` reads patterns by the rules of `regex`, so that `text.matches(pattern)` and `matches(text, pattern)`
//! become `@matches(text, pattern)`.

use std::mem;

use cel::common::ast::{CallExpr, Expr};
use cel::common::types::{CelBool, CelInt, CelList, CelString};
use cel::parser::Macro;
use cel::{Env, ExecutionError, add_member_overload, add_overload};
use regex::Regex;

use super::super::pattern;
use super::{Declared, error, texts};

const MATCHES: &str = "@matches";

pub(super) fn declare(env: &mut Env) -> Declared {
    add_member_overload!(env, fn find: (CelString, CelString) -> Result<CelString>)?;
    add_member_overload!(env, fn find_all: (CelString, CelString) -> Result<CelList>)?;
    add_member_overload!(env, fn find_some: (CelString, CelString, CelInt) -> Result<CelList>, name = "findAll")?;
    add_overload!(env, fn matches: (CelString, CelString) -> Result<CelBool>, name = MATCHES)?;
    env.add_macro(Macro::receiver("matches", 1, |helper, target, args| {
        let args = target.take().into_iter().chain(mem::take(args)).collect();
        Ok(Some(helper.next_expr(call(args))))
    }))?;
    env.add_macro(Macro::global("matches", 2, |helper, _, args| {
        Ok(Some(helper.next_expr(call(mem::take(args)))))
    }))
}

fn call(args: Vec<cel::IdedExpr>) -> Expr {
    Expr::Call(CallExpr {
        func_name: MATCHES.to_owned(),
        target: None,
        args,
    })
}

fn compiled(text: &CelString<'_>) -> Result<Regex, ExecutionError> {
    pattern::compiled(text).map_err(|fault| error("find", format!("Illegal regex: {fault}")))
}

fn matches(text: &CelString<'_>, pattern: &CelString<'_>) -> Result<CelBool, ExecutionError> {
    let regex = pattern::compiled(pattern);
    let regex = regex.map_err(|fault| error("matches", format!("error parsing regexp: {fault}")))?;
    Ok(regex.is_match(text).into())
}

fn find(text: &CelString<'_>, regex: &CelString<'_>) -> Result<CelString<'static>, ExecutionError> {
    let regex = compiled(regex)?;
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
    let regex = compiled(regex)?;
    let limit = usize::try_from(*limit.inner()).unwrap_or(usize::MAX);
    let found = regex.find_iter(text).take(limit);
    Ok(texts(found.map(|found| found.as_str().to_owned())))
}
