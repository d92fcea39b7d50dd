//! Macros of two variables: an index or key, and what is there.
//!
//! The interpreter knows loops of one variable, so that `x.all(k, v, p)` becomes a loop over pairs in which `k` and `v`
//! are bound.

use std::collections::HashMap;
use std::mem;

use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, ListExpr, LiteralValue, operators};
use cel::common::types::{CelInt, CelList, CelMap, CelMapKey, CelString, DYN_TYPE};
use cel::common::value::{CowVal, Val};
use cel::parser::{Macro, MacroExprHelper};
use cel::{Env, ExecutionError, IdedExpr, ParseError};

use super::{Declared, boxed, error, single};

/// Names and functions that no rule can spell.
const PAIR: &str = "@pair";
const RESULT: &str = "@result";
const PAIRS: &str = "@pairs";
const TO_MAP: &str = "@toMap";
const MERGED: &str = "@merged";

type Answer<'b, 'v> = Result<CowVal<'b, 'v>, ExecutionError>;

pub(super) fn declare(env: &mut Env) -> Declared {
    env.add_overload(PAIRS, PAIRS, vec![DYN_TYPE], pairs)?;
    env.add_overload(TO_MAP, TO_MAP, vec![DYN_TYPE], to_map)?;
    env.add_overload(MERGED, MERGED, vec![DYN_TYPE], merged)?;
    for (name, shape, is_filtered) in [
        ("all", Shape::All, false),
        ("exists", Shape::Exists, false),
        ("exists_one", Shape::One, false),
        ("existsOne", Shape::One, false),
        ("transformList", Shape::List, false),
        ("transformList", Shape::List, true),
        ("transformMap", Shape::Map, false),
        ("transformMap", Shape::Map, true),
        ("transformMapEntry", Shape::Entries, false),
        ("transformMapEntry", Shape::Entries, true),
    ] {
        let arguments = 3 + usize::from(is_filtered);
        env.add_macro(Macro::receiver(name, arguments, move |helper, target, args| {
            expand(&mut Maker(helper), shape, target, args)
        }))?;
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Shape {
    All,
    Exists,
    One,
    List,
    Map,
    Entries,
}

/// What a loop begins with, while what it goes on, what it does, and what comes of it.
struct Loop {
    start: IdedExpr,
    condition: IdedExpr,
    step: IdedExpr,
    result: IdedExpr,
}

fn expand(
    make: &mut Maker<'_, '_>,
    shape: Shape,
    target: &mut Option<IdedExpr>,
    args: &mut Vec<IdedExpr>,
) -> Result<Option<IdedExpr>, ParseError> {
    let (Some(range), Some(body)) = (target.take(), args.pop()) else {
        return Ok(None);
    };
    let mut args = mem::take(args).into_iter();
    let (Some(key), Some(value)) = (args.next(), args.next()) else {
        return Ok(None);
    };
    let (key, value) = (make.name(key)?, make.name(value)?);
    let mut parts = make.shaped(shape, &key, body);
    if let Some(filter) = args.next() {
        let result = make.ident(RESULT);
        parts.step = make.call(operators::CONDITIONAL, vec![filter, parts.step, result]);
    }
    for (index, name) in [(1, value), (0, key)] {
        let pair = make.ident(PAIR);
        let index = make.integer(index);
        let part = make.call(operators::INDEX, vec![pair, index]);
        parts.step = make.bound(name, part, parts.step);
    }
    let range = make.call(PAIRS, vec![range]);
    Ok(Some(make.looped(range, PAIR, RESULT.to_owned(), parts)))
}

/// Makes expressions that stand where the macro stood.
struct Maker<'a, 'h>(&'a mut MacroExprHelper<'h>);

impl Maker<'_, '_> {
    fn call(&mut self, name: &str, args: Vec<IdedExpr>) -> IdedExpr {
        self.0.next_expr(Expr::Call(CallExpr {
            func_name: name.to_owned(),
            target: None,
            args,
        }))
    }

    fn ident(&mut self, name: &str) -> IdedExpr {
        self.0.next_expr(Expr::Ident(name.to_owned()))
    }

    fn boolean(&mut self, value: bool) -> IdedExpr {
        self.0
            .next_expr(Expr::Literal(LiteralValue::Boolean(value.into())))
    }

    fn integer(&mut self, value: i64) -> IdedExpr {
        self.0.next_expr(Expr::Literal(LiteralValue::Int(value.into())))
    }

    fn list(&mut self, items: Vec<IdedExpr>) -> IdedExpr {
        self.0.next_expr(Expr::List(ListExpr::new(items)))
    }

    fn name(&mut self, expression: IdedExpr) -> Result<String, ParseError> {
        match expression.expr {
            Expr::Ident(name) if !name.starts_with('.') => Ok(name),
            _ => Err(self.0.new_error(expression.id, "argument must be a simple name")),
        }
    }

    fn shaped(&mut self, shape: Shape, key: &str, body: IdedExpr) -> Loop {
        match shape {
            Shape::All | Shape::Exists => self.quantified(shape, body),
            Shape::One => self.counted(body),
            Shape::List => {
                let item = self.list(vec![body]);
                self.collected(item, None)
            }
            Shape::Map => {
                let key = self.ident(key);
                let entry = self.list(vec![key, body]);
                let item = self.list(vec![entry]);
                self.collected(item, Some(TO_MAP))
            }
            Shape::Entries => {
                let item = self.list(vec![body]);
                self.collected(item, Some(MERGED))
            }
        }
    }

    /// Ends at the first that decides; what fails before it does not count.
    fn quantified(&mut self, shape: Shape, body: IdedExpr) -> Loop {
        let is_all = matches!(shape, Shape::All);
        let operator = if is_all {
            operators::LOGICAL_AND
        } else {
            operators::LOGICAL_OR
        };
        let mut open = self.ident(RESULT);
        if !is_all {
            open = self.call(operators::LOGICAL_NOT, vec![open]);
        }
        let result = self.ident(RESULT);
        Loop {
            start: self.boolean(is_all),
            condition: self.call(operators::NOT_STRICTLY_FALSE, vec![open]),
            step: self.call(operator, vec![result, body]),
            result: self.ident(RESULT),
        }
    }

    fn counted(&mut self, body: IdedExpr) -> Loop {
        let (result, one) = (self.ident(RESULT), self.integer(1));
        let more = self.call(operators::ADD, vec![result, one]);
        let same = self.ident(RESULT);
        let (result, one) = (self.ident(RESULT), self.integer(1));
        Loop {
            start: self.integer(0),
            condition: self.boolean(true),
            step: self.call(operators::CONDITIONAL, vec![body, more, same]),
            result: self.call(operators::EQUALS, vec![result, one]),
        }
    }

    fn collected(&mut self, item: IdedExpr, finish: Option<&str>) -> Loop {
        let before = self.ident(RESULT);
        let result = self.ident(RESULT);
        Loop {
            start: self.list(Vec::new()),
            condition: self.boolean(true),
            step: self.call(operators::ADD, vec![before, item]),
            result: match finish {
                Some(function) => self.call(function, vec![result]),
                None => result,
            },
        }
    }

    /// A name with a value: a loop over nothing that begins with it.
    fn bound(&mut self, name: String, value: IdedExpr, within: IdedExpr) -> IdedExpr {
        let range = self.list(Vec::new());
        let parts = Loop {
            start: value,
            condition: self.boolean(false),
            step: self.ident(&name),
            result: within,
        };
        self.looped(range, "@unused", name, parts)
    }

    fn looped(&mut self, range: IdedExpr, variable: &str, sum: String, parts: Loop) -> IdedExpr {
        self.0.next_expr(Expr::Comprehension(Box::new(ComprehensionExpr {
            iter_range: range,
            iter_var: variable.to_owned(),
            iter_var2: None,
            accu_var: sum,
            accu_init: parts.start,
            loop_cond: parts.condition,
            loop_step: parts.step,
            result: parts.result,
        })))
    }
}

fn no_range() -> ExecutionError {
    error(
        "comprehension",
        "expression of type other than list or map cannot be range of a comprehension",
    )
}

/// Index and item of each of a list, key and value of each of a map.
fn pairs<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Answer<'b, 'v> {
    let range = single(args)?;
    let is_map = range.downcast_ref::<CelMap>().is_some();
    let mut items = range.as_iterable().ok_or_else(no_range)?.iter();
    let mut pairs: Vec<Box<dyn Val + 'v>> = Vec::new();
    while let Some(item) = items.next() {
        let pair: Vec<Box<dyn Val + 'v>> = if is_map {
            let value = range.as_indexer().ok_or_else(no_range)?.get(item)?;
            vec![item.clone_as_boxed(), value.into_owned()]
        } else {
            let index = i64::try_from(pairs.len()).unwrap_or(i64::MAX);
            vec![boxed(CelInt::from(index)), item.clone_as_boxed()]
        };
        pairs.push(Box::new(CelList::from(pair)));
    }
    Ok(CowVal::owned(CelList::from(pairs)))
}

/// A map of pairs of keys and values.
fn to_map<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Answer<'b, 'v> {
    let pairs = single(args)?;
    let mut map = HashMap::new();
    let mut items = pairs.as_iterable().ok_or_else(no_range)?.iter();
    while let Some(pair) = items.next() {
        if let Some([key, value]) = pair.downcast_ref::<CelList>().map(|pair| pair.inner()) {
            map.insert(CelMapKey::try_from(key.clone())?, value.clone());
        }
    }
    Ok(CowVal::owned(CelMap::from(map)))
}

/// One map of many that have no key in common.
fn merged<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Answer<'b, 'v> {
    let maps = single(args)?;
    let mut all = HashMap::new();
    let mut items = maps.as_iterable().ok_or_else(no_range)?.iter();
    while let Some(map) = items.next() {
        let map = map.downcast_ref::<CelMap>().ok_or_else(no_range)?;
        for (key, value) in map.inner() {
            if all.insert(key.clone(), value.clone()).is_some() {
                let key = match key.inner().downcast_ref::<CelString>() {
                    Some(text) => text.inner().to_owned(),
                    None => format!("{key:?}"),
                };
                return Err(error(
                    "transformMapEntry",
                    format!("insert failed: key {key} already exists"),
                ));
            }
        }
    }
    Ok(CowVal::owned(CelMap::from(all)))
}
