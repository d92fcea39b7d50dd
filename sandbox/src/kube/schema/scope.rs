//! Names that a CEL expression uses without declaring them.

use std::collections::BTreeSet;

use kube_cel::cel::Program;
use kube_cel::cel::common::ast::{EntryExpr, Expr, IdedExpr};

/// Names that stand for values, types or groups of functions in every rule.
const KNOWN: [&str; 26] = [
    "self",
    "oldSelf",
    "bool",
    "bytes",
    "double",
    "duration",
    "dyn",
    "int",
    "list",
    "map",
    "null_type",
    "string",
    "timestamp",
    "type",
    "uint",
    "base64",
    "cel",
    "cidr",
    "format",
    "ip",
    "jsonpatch",
    "math",
    "optional",
    "regex",
    "semver",
    "sets",
];

/// The first name, in alphabetical order, that nothing declares. Loop variables count as declared in the
/// whole expression.
pub(super) fn undeclared(program: &Program) -> Option<String> {
    let mut declared: BTreeSet<&str> = KNOWN.into_iter().collect();
    loops(program.expression(), &mut declared);
    let references = program.references();
    let names: BTreeSet<&str> = references.variables().into_iter().collect();
    names
        .into_iter()
        .find(|name| !declared.contains(name) && !name.starts_with('@'))
        .map(str::to_owned)
}

fn loops<'a>(expression: &'a IdedExpr, declared: &mut BTreeSet<&'a str>) {
    match &expression.expr {
        Expr::Call(call) => {
            for part in call.target.iter().map(|target| &**target).chain(&call.args) {
                loops(part, declared);
            }
        }
        Expr::Comprehension(comprehension) => {
            declared.insert(&comprehension.iter_var);
            declared.insert(&comprehension.accu_var);
            declared.extend(comprehension.iter_var2.as_deref());
            for part in [
                &comprehension.iter_range,
                &comprehension.accu_init,
                &comprehension.loop_cond,
                &comprehension.loop_step,
                &comprehension.result,
            ] {
                loops(part, declared);
            }
        }
        Expr::List(list) => {
            for part in &list.elements {
                loops(part, declared);
            }
        }
        Expr::Map(map) => {
            for entry in &map.entries {
                if let EntryExpr::MapEntry(entry) = &entry.expr {
                    loops(&entry.key, declared);
                    loops(&entry.value, declared);
                }
            }
        }
        Expr::Select(select) => loops(&select.operand, declared),
        Expr::Ident(_) | Expr::Literal(_) | Expr::Struct(_) | Expr::Unspecified => {}
    }
}
