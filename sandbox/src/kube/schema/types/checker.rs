//! The type of an expression, before its macros are expanded.

use cel::common::ast::{
    CallExpr, EntryExpr, Expr, IdedExpr, ListExpr, LiteralValue, MapExpr, SelectExpr, operators,
};
use cel::common::types::CelString;

use super::signatures::{Found, Signatures};
use super::{Bindings, Type, macros};

/// Names of types.
const TYPES: [&str; 11] = [
    "bool",
    "bytes",
    "double",
    "dyn",
    "int",
    "list",
    "map",
    "null_type",
    "string",
    "type",
    "uint",
];

/// Knows the functions, and the variables where it is.
pub(in super::super) struct Checker<'a> {
    signatures: &'a Signatures,
    pub(super) variables: Vec<(String, Type)>,
    /// Lists may mix types, as those that are given to `format`.
    mixes: bool,
}

pub(super) type Checked = Result<Type, Fault>;

/// A type, or what is wrong, of the part that is looked at.
pub(super) type Told = Result<Type, String>;

/// Why an expression has no type.
#[derive(Debug)]
pub(in super::super) struct Fault {
    /// The part of the expression that has none.
    pub(in super::super) at: u64,
    pub(in super::super) detail: String,
}

impl<'a> Checker<'a> {
    pub(in super::super) fn new(signatures: &'a Signatures, variables: Vec<(String, Type)>) -> Self {
        Self {
            signatures,
            variables,
            mixes: false,
        }
    }

    /// The type of the expression.
    ///
    /// # Errors
    /// What the API server says of an expression that has none.
    pub(in super::super) fn check(&mut self, expression: &IdedExpr) -> Checked {
        let fault = |detail| Fault {
            at: expression.id,
            detail,
        };
        match &expression.expr {
            Expr::Literal(literal) => Ok(literal_type(literal)),
            Expr::Ident(name) => self.named(name).map_err(fault),
            Expr::Select(select) => self.select(select, expression.id),
            Expr::List(list) => self.list(list),
            Expr::Map(map) => self.map(map),
            Expr::Call(call) => self.call(call, expression.id),
            Expr::Struct(object) => Err(fault(undeclared(&object.type_name))),
            Expr::Comprehension(_) | Expr::Unspecified => Ok(Type::Dyn),
        }
    }

    fn named(&self, name: &str) -> Told {
        let name = name.trim_start_matches('.');
        let found = self.variables.iter().rev().find(|(own, _)| own == name);
        if let Some((_, of)) = found {
            return Ok(of.clone());
        }
        if TYPES.contains(&name) {
            Ok(Type::TYPE)
        } else {
            Err(undeclared(name))
        }
    }

    fn is_variable(&self, name: &str) -> bool {
        self.variables.iter().any(|(own, _)| own == name)
    }

    fn select(&mut self, select: &SelectExpr, at: u64) -> Checked {
        if qualified(select).is_some_and(|name| name.starts_with("google.protobuf.")) {
            return Ok(Type::TYPE);
        }
        let operand = self.check(&select.operand)?;
        field(&operand, &select.field).map_err(|detail| Fault { at, detail })
    }

    fn list(&mut self, list: &ListExpr) -> Checked {
        let mut items = Joined::new(self.mixes);
        for (index, item) in list.elements.iter().enumerate() {
            let is_optional = list.optional_indices.contains(&index);
            items.add(self.part(item, is_optional)?, item.id)?;
        }
        Ok(Type::list(items.of()))
    }

    fn map(&mut self, map: &MapExpr) -> Checked {
        let (mut keys, mut values) = (Joined::new(self.mixes), Joined::new(self.mixes));
        for entry in &map.entries {
            if let EntryExpr::MapEntry(entry) = &entry.expr {
                keys.add(self.check(&entry.key)?, entry.key.id)?;
                values.add(self.part(&entry.value, entry.optional)?, entry.value.id)?;
            }
        }
        Ok(Type::map(keys.of(), values.of()))
    }

    /// A part of a list or map, which may be there only where an optional has a value.
    fn part(&mut self, expression: &IdedExpr, is_optional: bool) -> Checked {
        let of = self.check(expression)?;
        if !is_optional {
            return Ok(of);
        }
        unwrapped(of).map_err(|detail| Fault {
            at: expression.id,
            detail,
        })
    }

    fn call(&mut self, call: &CallExpr, at: u64) -> Checked {
        let name = call.func_name.as_str();
        let Some(target) = &call.target else {
            return self.function(call, at);
        };
        if let Expr::Ident(group) = &target.expr
            && !self.is_variable(group)
        {
            let full = format!("{group}.{name}");
            if self.signatures.has(&full, false) {
                let arguments = self.all(&call.args)?;
                return self.result(&full, false, &arguments, at);
            }
        }
        let receiver = self.check(target)?;
        if let Some(variables) = macros::variables(name, call.args.len()) {
            return self.expanded(name, receiver, &call.args, variables, at);
        }
        let mut arguments = vec![receiver];
        match &call.args[..] {
            // A list of anything.
            [
                IdedExpr {
                    expr: Expr::List(list),
                    ..
                },
            ] if name == "format" => {
                let mixes = std::mem::replace(&mut self.mixes, true);
                let checked = self.all(&list.elements);
                self.mixes = mixes;
                checked?;
                arguments.push(Type::list(Type::Dyn));
            }
            args => arguments.extend(self.all(args)?),
        }
        self.result(name, true, &arguments, at)
    }

    fn function(&mut self, call: &CallExpr, at: u64) -> Checked {
        match (call.func_name.as_str(), &call.args[..]) {
            (operators::HAS, [argument]) => match &argument.expr {
                Expr::Select(select) => self.select(select, at).map(|_| Type::BOOL),
                _ => Err(Fault {
                    at: argument.id,
                    detail: "invalid argument to has() macro".to_owned(),
                }),
            },
            (operators::OPT_SELECT, [operand, name]) => {
                let operand = self.check(operand)?;
                let Expr::Literal(LiteralValue::String(name)) = &name.expr else {
                    return Ok(Type::Dyn);
                };
                let of = field(&operand, CelString::inner(name)).map_err(|detail| Fault { at, detail })?;
                Ok(match of {
                    Type::Optional(_) => of,
                    of => Type::optional(of),
                })
            }
            // The other comparisons are declared as this one is.
            (name @ (operators::LESS_EQUALS | operators::GREATER | operators::GREATER_EQUALS), [_, _]) => {
                let arguments = self.all(&call.args)?;
                let is_declared = matches!(
                    self.signatures.result(operators::LESS, false, &arguments),
                    Found::Result(_)
                );
                let detail = || no_overload(name, false, &arguments);
                is_declared
                    .then_some(Type::BOOL)
                    .ok_or_else(|| Fault { at, detail: detail() })
            }
            (name, arguments) => {
                let arguments = self.all(arguments)?;
                self.result(name, false, &arguments, at)
            }
        }
    }

    pub(super) fn all(&mut self, expressions: &[IdedExpr]) -> Result<Vec<Type>, Fault> {
        expressions.iter().map(|part| self.check(part)).collect()
    }

    fn result(&self, name: &str, is_member: bool, arguments: &[Type], at: u64) -> Checked {
        let detail = match self.signatures.result(name, is_member, arguments) {
            Found::Result(of) => return Ok(of),
            Found::Unknown if !self.signatures.has(name, !is_member) => undeclared(name),
            Found::NoOverload | Found::Unknown => no_overload(name, is_member, arguments),
        };
        Err(Fault { at, detail })
    }
}

pub(super) fn unwrapped(of: Type) -> Told {
    match of {
        Type::Optional(of) => Ok(*of),
        Type::Dyn => Ok(Type::Dyn),
        other => Err(format!(
            "expected type 'optional_type({other})' but found '{other}'"
        )),
    }
}

/// The type that all parts have; any where there is none.
struct Joined {
    bindings: Bindings,
    mixes: bool,
}

impl Joined {
    const PART: Type = Type::Parameter(0);

    fn new(mixes: bool) -> Self {
        Self {
            bindings: Bindings::default(),
            mixes,
        }
    }

    fn add(&mut self, of: Type, at: u64) -> Result<(), Fault> {
        let before = self.of();
        if self.mixes || self.bindings.accept(&Self::PART, &of) {
            return Ok(());
        }
        Err(Fault {
            at,
            detail: format!("expected type '{before}' but found '{of}'"),
        })
    }

    fn of(&self) -> Type {
        self.bindings.resolve(&Self::PART)
    }
}

fn field(operand: &Type, name: &str) -> Told {
    match operand {
        Type::Dyn | Type::Parameter(_) => Ok(Type::Dyn),
        Type::Object(fields) => {
            let found = fields.0.get(name).cloned();
            found.ok_or_else(|| format!("undefined field '{name}'"))
        }
        Type::Map(parts) => Ok(parts[1].clone()),
        Type::Optional(of) => Ok(match field(of, name)? {
            Type::Optional(of) => Type::Optional(of),
            of => Type::optional(of),
        }),
        other => Err(format!("type '{other}' does not support field selection")),
    }
}

/// A name of parts, like that of a type.
fn qualified(select: &SelectExpr) -> Option<String> {
    match &select.operand.expr {
        Expr::Ident(name) => Some(format!("{name}.{}", select.field)),
        Expr::Select(inner) => Some(format!("{}.{}", qualified(inner)?, select.field)),
        _ => None,
    }
}

fn literal_type(literal: &LiteralValue) -> Type {
    Type::Simple(match literal {
        LiteralValue::Boolean(_) => "bool",
        LiteralValue::Bytes(_) => "bytes",
        LiteralValue::Double(_) => "double",
        LiteralValue::Int(_) => "int",
        LiteralValue::Null => "null",
        LiteralValue::String(_) => "string",
        LiteralValue::UInt(_) => "uint",
    })
}

fn undeclared(name: &str) -> String {
    format!("undeclared reference to '{name}' (in container '')")
}

pub(super) fn no_overload(name: &str, is_member: bool, arguments: &[Type]) -> String {
    let mut shown: Vec<String> = arguments.iter().map(Type::to_string).collect();
    let receiver = if is_member && !shown.is_empty() {
        format!("{}.", shown.remove(0))
    } else {
        String::new()
    };
    format!(
        "found no matching overload for '{name}' applied to '{receiver}({})'",
        shown.join(", ")
    )
}
