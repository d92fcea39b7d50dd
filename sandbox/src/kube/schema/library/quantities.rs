//! `quantity`: amounts like `5Gi`.

use std::cmp::Ordering;

use cel::common::types::{CelBool, CelDouble, CelInt, CelString};
use cel::{Env, ExecutionError, add_member_overload, add_overload};
use serde_json::Value;

use super::{Declared, error, opaque};
use crate::kube::validation::quantity::Quantity;

opaque!(Quantity, "kubernetes.Quantity");

pub(super) fn declare(env: &mut Env) -> Declared {
    env.add_type(<Quantity as cel::common::value::Val>::cel_type().to_owned())?;
    add_overload!(env, fn quantity: (CelString) -> Result<Quantity>)?;
    add_overload!(env, fn is_quantity: (CelString) -> CelBool)?;
    add_member_overload!(env, fn is_integer: (Quantity) -> CelBool)?;
    add_member_overload!(env, fn as_integer: (Quantity) -> Result<CelInt>)?;
    add_member_overload!(env, fn as_approximate_float: (Quantity) -> CelDouble)?;
    add_member_overload!(env, fn is_greater_than: (Quantity, Quantity) -> CelBool)?;
    add_member_overload!(env, fn is_less_than: (Quantity, Quantity) -> CelBool)?;
    add_member_overload!(env, fn compare_to: (Quantity, Quantity) -> CelInt)?;
    add_member_overload!(env, fn add: (Quantity, Quantity) -> Quantity)?;
    add_member_overload!(env, fn add_number: (Quantity, CelInt) -> Quantity, name = "add")?;
    add_member_overload!(env, fn sub: (Quantity, Quantity) -> Quantity)?;
    add_member_overload!(env, fn sub_number: (Quantity, CelInt) -> Quantity, name = "sub")
}

fn read(text: &str) -> Result<Quantity, &'static str> {
    // Spaces are no part of one here.
    if text.trim() != text {
        return Err(
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        );
    }
    Quantity::decode(&Value::from(text))
}

fn quantity(text: &CelString<'_>) -> Result<Quantity, ExecutionError> {
    read(text).map_err(|message| error("quantity", message))
}

fn is_quantity(text: &CelString<'_>) -> CelBool {
    read(text).is_ok().into()
}

fn is_integer(quantity: &Quantity) -> CelBool {
    quantity.integer().is_some().into()
}

fn as_integer(quantity: &Quantity) -> Result<CelInt, ExecutionError> {
    let integer = quantity.integer().map(CelInt::from);
    integer.ok_or_else(|| error("asInteger", "cannot convert value to integer"))
}

fn as_approximate_float(quantity: &Quantity) -> CelDouble {
    quantity.approximate().into()
}

fn is_greater_than(one: &Quantity, other: &Quantity) -> CelBool {
    (one > other).into()
}

fn is_less_than(one: &Quantity, other: &Quantity) -> CelBool {
    (one < other).into()
}

fn compare_to(one: &Quantity, other: &Quantity) -> CelInt {
    number(one.cmp(other))
}

/// -1, 0 or 1.
pub(super) fn number(ordering: Ordering) -> CelInt {
    (ordering as i64).into()
}

fn whole(number: &CelInt) -> Quantity {
    Quantity::whole(*number.inner())
}

fn add(one: &Quantity, other: &Quantity) -> Quantity {
    one.plus(other)
}

fn add_number(one: &Quantity, other: &CelInt) -> Quantity {
    one.plus(&whole(other))
}

fn sub(one: &Quantity, other: &Quantity) -> Quantity {
    one.plus(&other.negated())
}

fn sub_number(one: &Quantity, other: &CelInt) -> Quantity {
    one.plus(&whole(other).negated())
}
