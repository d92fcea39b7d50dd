//! The value of a tree.

use std::collections::BTreeMap;

use super::functions::{Function, Value};
use super::parser::{Command, Kind, Node, Operand, Pipeline};
use super::template::TemplateError;

/// What the dot stands for: the root, or the value of the innermost `with`.
struct Dot<'a> {
    fields: &'a BTreeMap<&'a str, &'a str>,
    value: Option<&'a Value>,
}

pub(super) fn render(nodes: &[Node], fields: &BTreeMap<&str, &str>) -> Result<String, TemplateError> {
    let mut text = String::new();
    write(nodes, &Dot { fields, value: None }, &mut text)?;
    Ok(text)
}

fn write(nodes: &[Node], dot: &Dot<'_>, text: &mut String) -> Result<(), TemplateError> {
    for node in nodes {
        match node {
            Node::Text(plain) => text.push_str(plain),
            Node::Print(pipeline) => text.push_str(&value_of(pipeline, dot)?.to_string()),
            Node::Choice {
                kind,
                condition,
                then,
                otherwise,
            } => {
                let value = value_of(condition, dot)?;
                if !value.is_true() {
                    write(otherwise, dot, text)?;
                    continue;
                }
                let inner = Dot {
                    fields: dot.fields,
                    value: if *kind == Kind::With {
                        Some(&value)
                    } else {
                        dot.value
                    },
                };
                write(then, &inner, text)?;
            }
        }
    }
    Ok(())
}

fn value_of(pipeline: &Pipeline, dot: &Dot<'_>) -> Result<Value, TemplateError> {
    let mut value = None;
    for command in &pipeline.0 {
        value = Some(match command {
            Command::Value(operand) => operand_value(operand, dot)?,
            Command::Call(function, arguments) => call(*function, arguments, value, dot)?,
        });
    }
    value.ok_or(TemplateError::Missing)
}

fn call(
    function: Function,
    arguments: &[Operand],
    last: Option<Value>,
    dot: &Dot<'_>,
) -> Result<Value, TemplateError> {
    if matches!(function, Function::And | Function::Or) {
        return logic(function, arguments, last, dot);
    }
    let mut values = arguments
        .iter()
        .map(|argument| operand_value(argument, dot))
        .collect::<Result<Vec<_>, _>>()?;
    values.extend(last);
    function.call(&values)
}

/// The first argument that decides, else the last one; later arguments are not evaluated.
fn logic(
    function: Function,
    arguments: &[Operand],
    last: Option<Value>,
    dot: &Dot<'_>,
) -> Result<Value, TemplateError> {
    let mut value = None;
    for argument in arguments {
        let next = operand_value(argument, dot)?;
        if next.is_true() == (function == Function::Or) {
            return Ok(next);
        }
        value = Some(next);
    }
    match last.or(value) {
        Some(value) => Ok(value),
        None => function.call(&[]),
    }
}

fn operand_value(operand: &Operand, dot: &Dot<'_>) -> Result<Value, TemplateError> {
    match operand {
        Operand::Dot => dot.value.cloned().ok_or(TemplateError::Root),
        Operand::Field(name) => match (dot.value, dot.fields.get(name.as_str())) {
            (None, Some(text)) => Ok(Value::Text((*text).to_owned())),
            _ => Err(TemplateError::Field(name.clone())),
        },
        Operand::Text(text) => Ok(Value::Text(text.clone())),
        Operand::Integer(number) => Ok(Value::Integer(*number)),
        Operand::Boolean(value) => Ok(Value::Boolean(*value)),
        Operand::Call(function) => call(*function, &[], None, dot),
        Operand::Nested(pipeline) => value_of(pipeline, dot),
    }
}
