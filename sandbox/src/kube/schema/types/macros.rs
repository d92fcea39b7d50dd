//! The types of macros: of what they are called, of their variables, and of what they make.

use cel::common::ast::{Expr, IdedExpr};

use super::Type;
use super::checker::{Checked, Checker, Fault, Told, no_overload, unwrapped};

/// Macros that declare variables: name, arguments, how many of them are variables.
const MACROS: [(&str, usize, usize); 19] = [
    ("all", 2, 1),
    ("all", 3, 2),
    ("exists", 2, 1),
    ("exists", 3, 2),
    ("exists_one", 2, 1),
    ("exists_one", 3, 2),
    ("existsOne", 3, 2),
    ("filter", 2, 1),
    ("map", 2, 1),
    ("map", 3, 1),
    ("optFlatMap", 2, 1),
    ("optMap", 2, 1),
    ("sortBy", 2, 1),
    ("transformList", 3, 2),
    ("transformList", 4, 2),
    ("transformMap", 3, 2),
    ("transformMap", 4, 2),
    ("transformMapEntry", 3, 2),
    ("transformMapEntry", 4, 2),
];

/// How many variables a macro of this name and this many arguments declares; none where there is no such macro.
pub(super) fn variables(name: &str, arguments: usize) -> Option<usize> {
    let found = MACROS
        .iter()
        .find(|(known, count, _)| *known == name && *count == arguments);
    found.map(|(_, _, variables)| *variables)
}

impl Checker<'_> {
    /// A macro: its variables, then a filter where there is one, then what is made or asked of each.
    pub(super) fn expanded(
        &mut self,
        name: &str,
        range: Type,
        args: &[IdedExpr],
        count: usize,
        at: u64,
    ) -> Checked {
        let fault = |detail| Fault { at, detail };
        let (key, value) = parts(name, &range).map_err(fault)?;
        let (names, bodies) = args.split_at(count);
        let types = if count == 2 {
            vec![key.clone(), value]
        } else {
            vec![one(&range, key.clone(), value)]
        };
        let before = self.variables.len();
        for (name, of) in names.iter().zip(types) {
            match &name.expr {
                Expr::Ident(name) => self.variables.push((name.clone(), of)),
                _ => return Err(fault("argument must be a simple name".to_owned())),
            }
        }
        let types = self.all(bodies);
        self.variables.truncate(before);
        let mut types = types?;
        let body = types.pop().unwrap_or(Type::Dyn);
        if let (Some(filter), Some(expression)) = (types.first(), bodies.first()) {
            is_bool(filter, expression)?;
        }
        if matches!(name, "all" | "exists" | "exists_one" | "existsOne" | "filter")
            && let Some(expression) = bodies.last()
        {
            is_bool(&body, expression)?;
        }
        made(name, range, key, body).map_err(fault)
    }
}

/// What a macro makes of a range.
fn made(name: &str, range: Type, key: Type, body: Type) -> Told {
    Ok(match name {
        "all" | "exists" | "exists_one" | "existsOne" => Type::BOOL,
        "filter" => Type::list(match range {
            Type::List(of) => *of,
            _ => key,
        }),
        "sortBy" => range,
        "optMap" => Type::optional(body),
        "optFlatMap" => unwrapped(body).map(Type::optional)?,
        "transformMap" => Type::map(key, body),
        "transformMapEntry" => match body {
            Type::Map(_) | Type::Dyn => body,
            other => return Err(format!("expected type 'map(dyn, dyn)' but found '{other}'")),
        },
        _ => Type::list(body),
    })
}

/// Index or key, and what is there.
fn parts(name: &str, range: &Type) -> Result<(Type, Type), String> {
    let is_optional = matches!(name, "optMap" | "optFlatMap");
    match range {
        Type::Dyn => Ok((Type::Dyn, Type::Dyn)),
        Type::Optional(of) if is_optional => Ok((Type::Dyn, (**of).clone())),
        Type::List(of) if !is_optional => Ok((Type::INT, (**of).clone())),
        Type::Map(parts) if !is_optional => Ok((parts[0].clone(), parts[1].clone())),
        other if is_optional => Err(no_overload("hasValue", true, std::slice::from_ref(other))),
        other => Err(format!(
            "expression of type '{other}' cannot be range of a comprehension (must be list, map, or dynamic)"
        )),
    }
}

/// What a single variable stands for: a key of a map, else what is there.
fn one(range: &Type, key: Type, value: Type) -> Type {
    match range {
        Type::Map(_) => key,
        _ => value,
    }
}

fn is_bool(of: &Type, expression: &IdedExpr) -> Result<(), Fault> {
    if of.is("bool") || matches!(of, Type::Dyn) {
        return Ok(());
    }
    Err(Fault {
        at: expression.id,
        detail: format!("expected type 'bool' but found '{of}'"),
    })
}
