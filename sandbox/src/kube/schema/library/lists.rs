//! What Kubernetes adds to lists, and `sets`.

use std::cmp::Ordering;

use cel::common::types::{CelBool, CelInt, CelOptional, DYN_TYPE, LIST_TYPE};
use cel::common::value::{CowVal, Val};
use cel::{Env, ExecutionError};

use super::{Declared, error};

type Args<'b, 'v> = Vec<CowVal<'b, 'v>>;
type Answer<'b, 'v> = Result<CowVal<'b, 'v>, ExecutionError>;

pub(super) fn declare(env: &mut Env) -> Declared {
    let mut add = |name: &str, argument: bool, function| {
        let arguments = if argument { vec![DYN_TYPE] } else { Vec::new() };
        env.add_member_overload(name, &format!("list.{name}"), LIST_TYPE, arguments, function)
    };
    add("isSorted", false, is_sorted)?;
    add("sum", false, sum)?;
    add("min", false, |args| extreme(args, "min", Ordering::Less))?;
    add("max", false, |args| extreme(args, "max", Ordering::Greater))?;
    add("indexOf", true, |args| position(&args, false))?;
    add("lastIndexOf", true, |args| position(&args, true))?;
    add("first", false, |args| Ok(optional(items(&args, 0).first())))?;
    add("last", false, |args| Ok(optional(items(&args, 0).last())))
}

pub(super) fn declare_sets(env: &mut Env) -> Declared {
    let mut add = |name: &str, function| {
        let arguments = vec![LIST_TYPE, LIST_TYPE];
        env.add_overload(
            &format!("sets.{name}"),
            &format!("list.sets.{name}"),
            arguments,
            function,
        )
    };
    add("contains", |args| sets(&args, contains_all))?;
    add("equivalent", |args| {
        sets(&args, |one, other| {
            contains_all(one, other) && contains_all(other, one)
        })
    })?;
    add("intersects", |args| {
        sets(&args, |one, other| other.iter().any(|item| contains(one, *item)))
    })
}

/// The items of the argument at an index; none where there is no list.
fn items<'a, 'v>(args: &'a [CowVal<'_, 'v>], index: usize) -> Vec<&'a (dyn Val + 'v)> {
    let mut found = Vec::new();
    let list = args.get(index).and_then(|list| list.as_iterable());
    if let Some(mut items) = list.map(|list| list.iter()) {
        while let Some(item) = items.next() {
            found.push(item);
        }
    }
    found
}

fn compare(one: &dyn Val, other: &dyn Val) -> Result<Ordering, ExecutionError> {
    let comparer = one.as_comparer();
    comparer
        .ok_or_else(|| error("compare", "no such overload"))?
        .compare(other)
}

fn is_sorted<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
    let items = items(&args, 0);
    for pair in items.windows(2) {
        if compare(pair[0], pair[1])?.is_gt() {
            return Ok(CowVal::owned(CelBool::from(false)));
        }
    }
    Ok(CowVal::owned(CelBool::from(true)))
}

/// Nothing sums up to the zero of integers; of an empty list of other numbers too, which the type checker of the real
/// one would know.
fn sum<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
    let items = items(&args, 0);
    let Some((first, rest)) = items.split_first() else {
        return Ok(CowVal::owned(CelInt::from(0)));
    };
    let mut sum = first.clone_as_boxed();
    for item in rest {
        let adder = sum.as_adder().ok_or_else(|| error("sum", "no such overload"))?;
        sum = adder.add(*item)?.into_owned();
    }
    Ok(CowVal::Owned(sum))
}

fn extreme<'b, 'v>(args: Args<'b, 'v>, name: &str, wanted: Ordering) -> Answer<'b, 'v> {
    let items = items(&args, 0);
    let (first, rest) = items
        .split_first()
        .ok_or_else(|| error(name, format!("{name} called on empty list")))?;
    let mut best = *first;
    for item in rest {
        if compare(*item, best)? == wanted {
            best = *item;
        }
    }
    Ok(CowVal::Owned(best.clone_as_boxed()))
}

fn position<'b, 'v>(args: &[CowVal<'_, 'v>], last: bool) -> Answer<'b, 'v> {
    let items = items(args, 0);
    let wanted = args.get(1);
    let mut equal = items
        .iter()
        .enumerate()
        .filter(|(_, item)| wanted.is_some_and(|wanted| item.equals(wanted.as_ref())));
    let found = if last { equal.next_back() } else { equal.next() };
    let index = found.map_or(-1, |(index, _)| i64::try_from(index).unwrap_or(i64::MAX));
    Ok(CowVal::owned(CelInt::from(index)))
}

fn optional<'b, 'v>(item: Option<&&(dyn Val + 'v)>) -> CowVal<'b, 'v> {
    CowVal::owned(CelOptional::from(item.map(|item| item.clone_as_boxed())))
}

fn contains(list: &[&dyn Val], wanted: &dyn Val) -> bool {
    list.iter().any(|item| item.equals(wanted))
}

fn contains_all(list: &[&dyn Val], wanted: &[&dyn Val]) -> bool {
    wanted.iter().all(|item| contains(list, *item))
}

fn sets<'b, 'v>(args: &[CowVal<'_, 'v>], holds: fn(&[&dyn Val], &[&dyn Val]) -> bool) -> Answer<'b, 'v> {
    Ok(CowVal::owned(CelBool::from(holds(
        &items(args, 0),
        &items(args, 1),
    ))))
}
