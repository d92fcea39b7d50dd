//! The simple JSONPath of printer columns: members, indices, `[*]` and `[?(@.type=="Ready")]`.

use serde_json::Value;

/// A path to a value of an object.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct JsonPath {
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Member(String),
    /// Counts from the end when negative.
    Index(i64),
    Every,
    /// The items whose value at the path is (or is not) this one.
    Where(Vec<Step>, bool, Value),
}

impl JsonPath {
    /// Reads a path; none when it is no path of the kind that columns may have.
    pub fn parse(text: &str) -> Option<Self> {
        let steps = steps(text)?;
        Some(Self { steps })
    }

    /// The first value at the path.
    pub fn first<'a>(&self, object: &'a Value) -> Option<&'a Value> {
        find(&self.steps, object)
    }
}

fn steps(text: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        if let Some(inside) = rest.strip_prefix('[') {
            let end = closing(inside)?;
            steps.push(bracket(inside.get(..end)?)?);
            rest = inside.get(end + 1..)?;
        } else {
            let (name, after) = member(rest.strip_prefix('.').unwrap_or(rest))?;
            steps.push(if name == "*" {
                Step::Every
            } else {
                Step::Member(name)
            });
            rest = after;
        }
    }
    Some(steps)
}

/// A member's name; a backslash takes the meaning of what follows it.
fn member(text: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => name.push(characters.next()?.1),
            '.' | '[' => return (!name.is_empty()).then_some((name, &text[at..])),
            other => name.push(other),
        }
    }
    (!name.is_empty()).then_some((name, ""))
}

/// Where the bracket ends that has just begun; brackets in quotes do not count.
fn closing(text: &str) -> Option<usize> {
    let mut quoted = None;
    for (at, character) in text.char_indices() {
        match (quoted, character) {
            (None, ']') => return Some(at),
            (None, '"' | '\'') => quoted = Some(character),
            (Some(open), _) if open == character => quoted = None,
            _ => {}
        }
    }
    None
}

fn bracket(text: &str) -> Option<Step> {
    let text = text.trim();
    if text == "*" {
        return Some(Step::Every);
    }
    if let Some(condition) = text.strip_prefix("?(").and_then(|text| text.strip_suffix(')')) {
        let (path, equal, value) = match condition.split_once("==") {
            Some((path, value)) => (path, true, value),
            None => {
                let (path, value) = condition.split_once("!=")?;
                (path, false, value)
            }
        };
        let path = steps(path.trim().strip_prefix('@')?)?;
        return Some(Step::Where(path, equal, literal(value.trim())?));
    }
    match literal(text)? {
        Value::String(name) => Some(Step::Member(name)),
        number => number.as_i64().map(Step::Index),
    }
}

/// A number, `true`, or a text in either kind of quotes.
fn literal(text: &str) -> Option<Value> {
    let quoted = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\''));
    match quoted {
        Some(inside) => Some(Value::from(inside)),
        None => serde_json::from_str(text).ok(),
    }
}

fn find<'a>(steps: &[Step], value: &'a Value) -> Option<&'a Value> {
    let Some((step, rest)) = steps.split_first() else {
        return Some(value);
    };
    match step {
        Step::Member(name) => find(rest, value.get(name)?),
        Step::Index(index) => {
            let items = value.as_array()?;
            let from_end = usize::try_from(index.unsigned_abs()).ok()?;
            let at = if *index < 0 {
                items.len().checked_sub(from_end)?
            } else {
                from_end
            };
            find(rest, items.get(at)?)
        }
        Step::Every => match value {
            Value::Array(items) => items.iter().find_map(|item| find(rest, item)),
            Value::Object(members) => members.values().find_map(|member| find(rest, member)),
            _ => None,
        },
        Step::Where(path, equal, wanted) => value
            .as_array()?
            .iter()
            .filter(|item| (find(path, item) == Some(wanted)) == *equal)
            .find_map(|item| find(rest, item)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_at_paths() {
        let object = json!({
            "spec": {"a.b": 1, "list": [{"n": 1}, {"n": 2}]},
            "status": {"conditions": [
                {"type": "Old", "status": "False"},
                {"type": "Ready", "status": "True"},
            ]},
        });
        for (path, expected) in [
            (".spec.list[1].n", Some(json!(2))),
            (".spec.list[-1].n", Some(json!(2))),
            (".spec.list[*].n", Some(json!(1))),
            (".spec.a\\.b", Some(json!(1))),
            (".spec['a.b']", Some(json!(1))),
            (
                ".status.conditions[?(@.type==\"Ready\")].status",
                Some(json!("True")),
            ),
            (".status.conditions[?(@.type=='Gone')].status", None),
            (".status.conditions[?(@.type!='Ready')].type", Some(json!("Old"))),
            (".status.missing", None),
        ] {
            let parsed = JsonPath::parse(path).unwrap();
            assert_eq!(parsed.first(&object), expected.as_ref(), "{path}");
        }
        for wrong in [".a[", ".a..b", "[?(x)]"] {
            assert_eq!(JsonPath::parse(wrong), None, "{wrong}");
        }
    }
}
