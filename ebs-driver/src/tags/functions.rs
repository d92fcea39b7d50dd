//! The functions of templates. Source: spec 2.6.

use super::template::TemplateError;

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Boolean(bool),
}

impl Value {
    /// What `if`, `with`, `and`, `or` and `not` go by.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Text(text) => !text.is_empty(),
            Self::Integer(number) => *number != 0,
            Self::Boolean(value) => *value,
        }
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Boolean(value) => write!(f, "{value}"),
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Function {
    ToUpper,
    ToLower,
    Contains,
    Field,
    Substring,
    Index,
    LastIndex,
    /// Evaluates its arguments only as far as needed: see `evaluate`.
    And,
    /// Evaluates its arguments only as far as needed: see `evaluate`.
    Or,
    Not,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    Len,
    Printf,
}

const NAMES: [(&str, Function); 18] = [
    ("toUpper", Function::ToUpper),
    ("toLower", Function::ToLower),
    ("contains", Function::Contains),
    ("field", Function::Field),
    ("substring", Function::Substring),
    ("index", Function::Index),
    ("lastIndex", Function::LastIndex),
    ("and", Function::And),
    ("or", Function::Or),
    ("not", Function::Not),
    ("eq", Function::Eq),
    ("ne", Function::Ne),
    ("lt", Function::Lt),
    ("le", Function::Le),
    ("gt", Function::Gt),
    ("ge", Function::Ge),
    ("len", Function::Len),
    ("printf", Function::Printf),
];

impl Function {
    pub(super) fn named(name: &str) -> Option<Self> {
        NAMES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, function)| *function)
    }

    fn name(self) -> &'static str {
        NAMES
            .iter()
            .find(|(_, function)| *function == self)
            .map_or("", |(name, _)| name)
    }

    fn wrong(self, expected: &'static str) -> TemplateError {
        TemplateError::Arguments {
            function: self.name(),
            expected,
        }
    }

    pub(super) fn call(self, arguments: &[Value]) -> Result<Value, TemplateError> {
        use Value::{Boolean, Integer, Text};
        match (self, arguments) {
            (Self::ToUpper, [Text(text)]) => self.mapped(text, char::to_uppercase),
            (Self::ToLower, [Text(text)]) => self.mapped(text, char::to_lowercase),
            (Self::Contains, [Text(part), Text(text)]) => Ok(Boolean(text.contains(part.as_str()))),
            (Self::Field, [Text(delimiter), Integer(index), Text(text)]) => field(delimiter, *index, text),
            (Self::Substring, [Integer(start), Integer(end), Text(text)]) => substring(*start, *end, text),
            (Self::Index, [Text(part), Text(text)]) => Ok(position(text.find(part.as_str()))),
            (Self::LastIndex, [Text(part), Text(text)]) => Ok(position(text.rfind(part.as_str()))),
            (Self::And | Self::Or, _) => Err(self.wrong("at least one value")),
            (Self::Not, [value]) => Ok(Boolean(!value.is_true())),
            (Self::Eq, [first, others @ ..]) if !others.is_empty() => self.equals_any(first, others),
            (Self::Ne, [left, right]) => Ok(Boolean(!self.equals(left, right)?)),
            (Self::Lt | Self::Le | Self::Gt | Self::Ge, [left, right]) => self.compare(left, right),
            (Self::Len, [Text(text)]) => Ok(Integer(i64::try_from(text.len()).unwrap_or(i64::MAX))),
            (Self::Printf, [Text(format), values @ ..]) => self.printf(format, values),
            _ => Err(self.wrong(self.signature())),
        }
    }

    /// Maps character by character, as Go does; one that becomes several in Unicode's full mapping is refused,
    /// since Go's simple mapping gives something else.
    fn mapped<M: ExactSizeIterator<Item = char>>(
        self,
        text: &str,
        map: impl Fn(char) -> M,
    ) -> Result<Value, TemplateError> {
        text.chars()
            .map(|c| {
                let mut mapped = map(c);
                mapped.next().filter(|_| mapped.len() == 0)
            })
            .collect::<Option<String>>()
            .map(Value::Text)
            .ok_or_else(|| self.wrong("characters with a simple upper and lower case"))
    }

    fn signature(self) -> &'static str {
        match self {
            Self::ToUpper | Self::ToLower | Self::Len => "a text",
            Self::Contains | Self::Index | Self::LastIndex => "a part and a text",
            Self::Field => "a delimiter, a number and a text",
            Self::Substring => "two numbers and a text",
            Self::And | Self::Or | Self::Not => "a value",
            Self::Eq | Self::Ne => "values of one kind",
            Self::Lt | Self::Le | Self::Gt | Self::Ge => "two texts or two numbers",
            Self::Printf => "a format of %s, %v, %d and %% and a fitting value for each",
        }
    }

    fn equals_any(self, first: &Value, others: &[Value]) -> Result<Value, TemplateError> {
        for other in others {
            if self.equals(first, other)? {
                return Ok(Value::Boolean(true));
            }
        }
        Ok(Value::Boolean(false))
    }

    fn equals(self, left: &Value, right: &Value) -> Result<bool, TemplateError> {
        if std::mem::discriminant(left) == std::mem::discriminant(right) {
            Ok(left == right)
        } else {
            Err(self.wrong(self.signature()))
        }
    }

    fn compare(self, left: &Value, right: &Value) -> Result<Value, TemplateError> {
        let ordering = match (left, right) {
            (Value::Text(left), Value::Text(right)) => left.cmp(right),
            (Value::Integer(left), Value::Integer(right)) => left.cmp(right),
            _ => return Err(self.wrong(self.signature())),
        };
        Ok(Value::Boolean(match self {
            Self::Lt => ordering.is_lt(),
            Self::Le => ordering.is_le(),
            Self::Gt => ordering.is_gt(),
            _ => ordering.is_ge(),
        }))
    }

    /// Go renders a wrong verb or argument into the text; here it is refused.
    fn printf(self, format: &str, values: &[Value]) -> Result<Value, TemplateError> {
        let wrong = || self.wrong(self.signature());
        let mut values = values.iter();
        let mut text = String::new();
        let mut chars = format.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                text.push(c);
                continue;
            }
            let verb = chars.next().ok_or_else(wrong)?;
            if verb == '%' {
                text.push('%');
                continue;
            }
            let value = values.next().ok_or_else(wrong)?;
            let fits = match verb {
                's' => matches!(value, Value::Text(_)),
                'd' => matches!(value, Value::Integer(_)),
                'v' => true,
                _ => false,
            };
            if !fits {
                return Err(wrong());
            }
            text.push_str(&value.to_string());
        }
        if values.next().is_some() {
            return Err(wrong());
        }
        Ok(Value::Text(text))
    }
}

fn position(found: Option<usize>) -> Value {
    Value::Integer(found.and_then(|at| i64::try_from(at).ok()).unwrap_or(-1))
}

fn field(delimiter: &str, index: i64, text: &str) -> Result<Value, TemplateError> {
    let index = usize::try_from(index).map_err(|_| TemplateError::Range("field"))?;
    let part = if delimiter.is_empty() {
        text.chars().nth(index).map(String::from)
    } else {
        text.split(delimiter).nth(index).map(str::to_owned)
    };
    part.map(Value::Text).ok_or(TemplateError::Range("field"))
}

/// Byte offsets, as spec 2.6 describes them.
fn substring(start: i64, end: i64, text: &str) -> Result<Value, TemplateError> {
    let range = TemplateError::Range("substring");
    let length = i64::try_from(text.len()).unwrap_or(i64::MAX);
    let (start, end) = if start < 0 {
        (0, end)
    } else if end < 0 || end > length {
        (start, length)
    } else {
        (start, end)
    };
    let (Ok(start), Ok(end)) = (usize::try_from(start), usize::try_from(end)) else {
        return Err(range);
    };
    text.get(start..end)
        .map(|part| Value::Text(part.to_owned()))
        .ok_or(range)
}
