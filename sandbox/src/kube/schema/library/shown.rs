//! How `format` shows lists and maps, and `string` numbers and moments.
//!
//! The crate `cel` shows them in its own way, so that `text.format(list)` becomes `text.format(@shown(list))` and
//! `string(value)` becomes `string(@text(value))`, which turn what it shows otherwise into texts.

use std::mem;

use cel::common::ast::{CallExpr, Expr};
use cel::common::types::{
    CelBool, CelBytes, CelDouble, CelDuration, CelInt, CelList, CelMap, CelNull, CelString, CelTimestamp,
    CelType, CelUInt, DYN_TYPE,
};
use cel::common::value::{CowVal, Val};
use cel::parser::Macro;
use cel::{Env, ExecutionError, IdedExpr};
use chrono::SecondsFormat;

use super::{Declared, error, single};

const SHOWN: &str = "@shown";
const TEXT: &str = "@text";

pub(super) fn declare(env: &mut Env) -> Declared {
    env.add_overload(SHOWN, SHOWN, vec![DYN_TYPE], all_shown)?;
    env.add_overload(TEXT, TEXT, vec![DYN_TYPE], text)?;
    env.add_macro(Macro::receiver("format", 1, |helper, target, args| {
        let shown = helper.next_expr(call(SHOWN, None, mem::take(args)));
        Ok(Some(helper.next_expr(call("format", target.take(), vec![shown]))))
    }))?;
    env.add_macro(Macro::global("string", 1, |helper, _, args| {
        let number = helper.next_expr(call(TEXT, None, mem::take(args)));
        Ok(Some(helper.next_expr(call("string", None, vec![number]))))
    }))
}

fn call(name: &str, target: Option<IdedExpr>, args: Vec<IdedExpr>) -> Expr {
    Expr::Call(CallExpr {
        func_name: name.to_owned(),
        target: target.map(Box::new),
        args,
    })
}

/// A number or a moment as a text; everything else as it is.
fn text<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let value = single(args)?;
    let number = value
        .downcast_ref::<CelDouble>()
        .map(|number| double(*number.inner()));
    let text = number.or_else(|| value.downcast_ref::<CelTimestamp>().map(moment));
    Ok(text.map_or(value, |text| CowVal::owned(CelString::from(text))))
}

/// At the offset that it was written with.
fn moment(moment: &CelTimestamp) -> String {
    moment.inner().to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// The shortest text of a number, as Go's `%g`: with an exponent where it is below -4 or above 5.
fn double(number: f64) -> String {
    let scientific = format!("{number:e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        // Infinite, or no number.
        return number.to_string().replace("inf", "+Inf").replace("-+", "-");
    };
    let power: i64 = exponent.parse().unwrap_or_default();
    if (-4..6).contains(&power) {
        return number.to_string();
    }
    let sign = if power < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", power.abs())
}

fn all_shown<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let list = args.first().and_then(|list| list.as_iterable());
    let mut items = list.ok_or_else(|| error("format", "no such overload"))?.iter();
    let mut shown_items: Vec<Box<dyn Val + 'v>> = Vec::new();
    while let Some(item) = items.next() {
        shown_items.push(if item.as_iterable().is_some() {
            Box::new(CelString::from(shown(item)))
        } else {
            item.clone_as_boxed()
        });
    }
    Ok(CowVal::owned(CelList::from(shown_items)))
}

fn shown(value: &dyn Val) -> String {
    if let Some(map) = value.downcast_ref::<CelMap>() {
        let entries = map.inner().iter();
        let mut entries: Vec<String> = entries
            .map(|(key, value)| format!("{}:{}", shown(key.inner()), shown(value.as_ref())))
            .collect();
        entries.sort();
        return format!("{{{}}}", entries.join(", "));
    }
    if let Some(list) = value.as_iterable() {
        let (mut items, mut listed) = (Vec::new(), list.iter());
        while let Some(item) = listed.next() {
            items.push(shown(item));
        }
        return format!("[{}]", items.join(", "));
    }
    scalar(value).unwrap_or_else(|| value.get_type().name().to_owned())
}

fn scalar(value: &dyn Val) -> Option<String> {
    value
        .downcast_ref::<CelString>()
        .map(|value| format!("{:?}", value.inner()))
        .or_else(|| {
            value
                .downcast_ref::<CelInt>()
                .map(|value| value.inner().to_string())
        })
        .or_else(|| {
            value
                .downcast_ref::<CelUInt>()
                .map(|value| value.inner().to_string())
        })
        .or_else(|| {
            value
                .downcast_ref::<CelBool>()
                .map(|value| value.inner().to_string())
        })
        .or_else(|| {
            value
                .downcast_ref::<CelDouble>()
                .map(|value| format!("{:.6}", value.inner()))
        })
        .or_else(|| value.downcast_ref::<CelNull>().map(|_| "null".to_owned()))
        .or_else(|| {
            value
                .downcast_ref::<CelType>()
                .map(|value| value.name().to_owned())
        })
        .or_else(|| {
            let bytes = value.downcast_ref::<CelBytes>()?;
            Some(format!("b{:?}", String::from_utf8_lossy(bytes.inner())))
        })
        .or_else(|| {
            let time = moment(value.downcast_ref::<CelTimestamp>()?);
            Some(format!("timestamp({time:?})"))
        })
        .or_else(|| {
            let duration = value.downcast_ref::<CelDuration>()?.inner();
            let seconds = duration.as_seconds_f64();
            Some(format!("duration(\"{seconds}s\")"))
        })
}
