//! Functions and operators with the types that they take and give.

use std::collections::BTreeMap;

use super::{Bindings, SIMPLE, Type};

/// One a line: `receiver.name(arguments) result` for a method, `name(arguments) result` for a function, and
/// `group::name(arguments) result` for one of a group. `A` and `B` stand for any type. Operators have the names that the
/// parser gives them.
const TABLE: &str = include_str!("signatures.txt");

/// One way to call a function.
#[derive(Debug)]
struct Overload {
    /// With the receiver at the front.
    arguments: Vec<Type>,
    is_member: bool,
    result: Type,
}

/// All functions.
#[derive(Debug)]
pub(in super::super) struct Signatures(BTreeMap<String, Vec<Overload>>);

/// What a call came to.
pub(super) enum Found {
    /// Its type.
    Result(Type),
    /// There is no such function.
    Unknown,
    /// There is one, but not of these arguments.
    NoOverload,
}

impl Signatures {
    /// # Errors
    /// The line that is malformed: a fault of the table, which every test meets.
    pub(in super::super) fn new() -> Result<Self, String> {
        let mut functions: BTreeMap<String, Vec<Overload>> = BTreeMap::new();
        let lines = TABLE
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        for line in lines {
            let (name, overload) = overload(line).ok_or_else(|| format!("malformed signature: {line}"))?;
            functions.entry(name).or_default().push(overload);
        }
        Ok(Self(functions))
    }

    /// Whether there is a function of this name, called in this way.
    pub(super) fn has(&self, name: &str, is_member: bool) -> bool {
        let overloads = self.0.get(name).map(Vec::as_slice).unwrap_or_default();
        overloads.iter().any(|overload| overload.is_member == is_member)
    }

    /// The type of a call; `dyn` where the arguments leave more than one.
    pub(super) fn result(&self, name: &str, is_member: bool, arguments: &[Type]) -> Found {
        if !self.has(name, is_member) {
            return Found::Unknown;
        }
        let overloads = self.0.get(name).map(Vec::as_slice).unwrap_or_default();
        let mut found: Option<Type> = None;
        for overload in overloads {
            let fits = overload.is_member == is_member && overload.arguments.len() == arguments.len();
            let mut bindings = Bindings::default();
            let mut pairs = overload.arguments.iter().zip(arguments);
            if !fits || !pairs.all(|(expected, actual)| bindings.accept(expected, actual)) {
                continue;
            }
            let result = bindings.resolve(&overload.result);
            found = match found {
                None => Some(result),
                Some(before) if before.to_string() == result.to_string() => Some(before),
                Some(_) => Some(Type::Dyn),
            };
        }
        found.map_or(Found::NoOverload, Found::Result)
    }
}

fn overload(line: &str) -> Option<(String, Overload)> {
    let (call, result) = line.rsplit_once(") ")?;
    // A receiver may have parentheses of its own.
    let open = match call.find(").") {
        Some(receiver) => receiver + call.get(receiver..)?.find('(')?,
        None => call.find('(')?,
    };
    let (callee, listed) = (call.get(..open)?, call.get(open + 1..)?);
    let (receiver, name) = match callee.rsplit_once('.') {
        Some((receiver, name)) => (Some(receiver), name.to_owned()),
        None => (None, callee.replace("::", ".")),
    };
    let arguments: Option<Vec<Type>> = receiver.into_iter().chain(split(listed)).map(read).collect();
    let overload = Overload {
        arguments: arguments?,
        is_member: receiver.is_some(),
        result: read(result)?,
    };
    Some((name, overload))
}

/// The parts of a list that are not within parentheses.
fn split(listed: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0, 0);
    for (index, c) in listed.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.extend(listed.get(start..index));
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.extend(listed.get(start..).filter(|last| !last.is_empty()));
    parts
}

fn read(text: &str) -> Option<Type> {
    let text = text.trim();
    let inner = |name: &str| text.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')');
    if let Some(of) = inner("list") {
        return read(of).map(Type::list);
    }
    if let Some(of) = inner("optional") {
        return read(of).map(Type::optional);
    }
    if let Some(parts) = inner("map") {
        return match split(parts)[..] {
            [keys, values] => Some(Type::map(read(keys)?, read(values)?)),
            _ => None,
        };
    }
    match text {
        "A" | "B" => text.bytes().next().map(Type::Parameter),
        "dyn" => Some(Type::Dyn),
        _ => SIMPLE
            .iter()
            .find(|(name, _)| *name == text)
            .map(|(name, _)| Type::Simple(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_have_types() {
        let signatures = Signatures::new().unwrap();
        let result = |name: &str, is_member, arguments: &[&str]| {
            let arguments: Vec<Type> = arguments.iter().map(|text| read(text).unwrap()).collect();
            match signatures.result(name, is_member, &arguments) {
                Found::Result(result) => result.to_string(),
                Found::Unknown => "unknown".to_owned(),
                Found::NoOverload => "none".to_owned(),
            }
        };
        for (name, is_member, arguments, expected) in [
            ("startsWith", true, &["string", "string"][..], "bool"),
            ("startsWith", true, &["int", "string"], "none"),
            ("startsWith", false, &["string", "string"], "unknown"),
            ("_[_]", false, &["map(string, list(int))", "string"], "list(int)"),
            ("_[_]", false, &["dyn", "string"], "dyn"),
            ("_==_", false, &["int", "double"], "none"),
            ("_<_", false, &["int", "double"], "bool"),
            ("_==_", false, &["list(dyn)", "list(int)"], "bool"),
            ("_?_:_", false, &["bool", "dyn", "int"], "int"),
            ("reverse", true, &["string"], "none"),
            ("reverse", true, &["list(string)"], "list(string)"),
            ("ip", true, &["cidr"], "net.IP"),
            ("ip", false, &["string"], "net.IP"),
            ("ip.isCanonical", false, &["string"], "bool"),
            ("isCanonical", true, &["ip", "string"], "unknown"),
            ("orValue", true, &["optional(int)", "string"], "none"),
        ] {
            assert_eq!(
                result(name, is_member, arguments),
                expected,
                "{name} {arguments:?}"
            );
        }
    }
}
