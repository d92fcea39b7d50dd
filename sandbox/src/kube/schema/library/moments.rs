//! The parts of moments, which are those in UTC wherever a moment was written.
//!
//! The crate `cel` tells the parts at the offset that a moment was written with (`findings/cel-parts-of-moments.sh`),
//! so that `moment.getHours()` becomes `@utc(moment).getHours()`.

use cel::common::ast::{CallExpr, Expr};
use cel::common::types::{CelTimestamp, DYN_TYPE};
use cel::common::value::CowVal;
use cel::parser::Macro;
use cel::{Env, ExecutionError};

use super::Declared;

const UTC: &str = "@utc";
const PARTS: [&str; 10] = [
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getFullYear",
    "getHours",
    "getMilliseconds",
    "getMinutes",
    "getMonth",
    "getSeconds",
];

pub(super) fn declare(env: &mut Env) -> Declared {
    env.add_overload(UTC, UTC, vec![DYN_TYPE], utc)?;
    for part in PARTS {
        env.add_macro(Macro::receiver(part, 0, move |helper, target, _| {
            let moment = helper.next_expr(Expr::Call(CallExpr {
                func_name: UTC.to_owned(),
                target: None,
                args: target.take().into_iter().collect(),
            }));
            let call = CallExpr {
                func_name: part.to_owned(),
                target: Some(Box::new(moment)),
                args: Vec::new(),
            };
            Ok(Some(helper.next_expr(Expr::Call(call))))
        }))?;
    }
    Ok(())
}

/// The same moment in UTC; durations have the same parts and stay as they are.
fn utc<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let value = super::single(args)?;
    let Some(moment) = value.downcast_ref::<CelTimestamp>() else {
        return Ok(value);
    };
    let utc = moment.inner().to_utc().fixed_offset();
    Ok(CowVal::owned(CelTimestamp::from(utc)))
}
