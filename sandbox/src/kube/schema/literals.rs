//! Calls of literals that can only fail: the API server finds them when it compiles a rule.

use std::sync::Arc;

use super::pattern;
use super::types::checker::Fault;
use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr};
use cel::{Context, Env, Value};

/// Functions that convert what they are given.
const CONVERSIONS: [&str; 6] = ["bool", "double", "duration", "int", "timestamp", "uint"];

/// Looks at every call of an expression.
///
/// # Errors
/// What the API server says of the first that fails.
pub(super) fn check(expression: &IdedExpr, env: &Arc<Env>) -> Result<(), Fault> {
    let all = |parts: &[IdedExpr]| parts.iter().try_for_each(|part| check(part, env));
    match &expression.expr {
        Expr::Call(call) => {
            if let Some(target) = &call.target {
                check(target, env)?;
            }
            all(&call.args)?;
            match fails(expression, call, env) {
                None => Ok(()),
                Some((at, detail)) => Err(Fault { at, detail }),
            }
        }
        Expr::List(list) => all(&list.elements),
        Expr::Map(map) => map.entries.iter().try_for_each(|entry| match &entry.expr {
            EntryExpr::MapEntry(entry) => check(&entry.key, env).and_then(|()| check(&entry.value, env)),
            EntryExpr::StructField(_) => Ok(()),
        }),
        Expr::Select(select) => check(&select.operand, env),
        Expr::Comprehension(_) | Expr::Ident(_) | Expr::Literal(_) | Expr::Struct(_) | Expr::Unspecified => {
            Ok(())
        }
    }
}

fn fails(expression: &IdedExpr, call: &CallExpr, env: &Arc<Env>) -> Option<(u64, String)> {
    let argument = call
        .args
        .last()
        .filter(|argument| matches!(argument.expr, Expr::Literal(_)))?;
    let name = call.func_name.as_str();
    if name == "matches" {
        let context = Context::with_env(Arc::clone(env));
        let Ok(Value::String(pattern)) = Value::resolve(argument, &context) else {
            return None;
        };
        return pattern::compiled(&pattern)
            .is_err()
            .then(|| (argument.id, "invalid matches argument".to_owned()));
    }
    let converts = call.target.is_none() && CONVERSIONS.contains(&name);
    let context = Context::with_env(Arc::clone(env));
    let failed = converts && Value::resolve_val(expression, &context).is_err();
    failed.then(|| (argument.id, format!("invalid {name} argument")))
}
