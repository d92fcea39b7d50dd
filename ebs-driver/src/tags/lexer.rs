//! Template text to pieces, and actions to tokens.

use super::template::TemplateError;

/// Plain text or the inside of an action.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Piece {
    Text(String),
    Action(Vec<Token>),
}

/// One token of an action.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Token {
    Space,
    Pipe,
    Open,
    Close,
    /// `.` alone.
    Dot,
    /// `.name`, without the dot.
    Field(String),
    /// A function or keyword.
    Word(String),
    Text(String),
    Integer(i64),
}

const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

/// Splits a template and applies its trim markers.
pub(super) fn pieces(template: &str) -> Result<Vec<Piece>, TemplateError> {
    let mut pieces = Vec::new();
    let mut rest = template;
    let mut trim_left = false;
    loop {
        let (text, action) = match rest.split_once("{{") {
            Some((text, action)) => (text, Some(action)),
            None => (rest, None),
        };
        let action = action.map(|inside| {
            let marked = inside
                .strip_prefix('-')
                .filter(|inside| inside.starts_with(SPACE));
            (marked.unwrap_or(inside), marked.is_some())
        });
        let mut text = if trim_left {
            text.trim_start_matches(SPACE)
        } else {
            text
        };
        if matches!(action, Some((_, true))) {
            text = text.trim_end_matches(SPACE);
        }
        if !text.is_empty() {
            pieces.push(Piece::Text(text.to_owned()));
        }
        let Some((inside, _)) = action else {
            return Ok(pieces);
        };
        let mut scanner = Scanner {
            rest: inside,
            tokens: Vec::new(),
        };
        trim_left = scanner.action()?;
        rest = scanner.rest;
        pieces.push(Piece::Action(scanner.tokens));
    }
}

struct Scanner<'a> {
    rest: &'a str,
    tokens: Vec<Token>,
}

impl<'a> Scanner<'a> {
    /// Reads until the end of the action; true when it ends with a trim marker.
    fn action(&mut self) -> Result<bool, TemplateError> {
        loop {
            if let Some(rest) = self.rest.strip_prefix("}}") {
                self.rest = rest;
                return Ok(false);
            }
            if self.rest.starts_with(SPACE) {
                self.rest = self.rest.trim_start_matches(SPACE);
                if let Some(rest) = self.rest.strip_prefix("-}}") {
                    self.rest = rest;
                    return Ok(true);
                }
                self.tokens.push(Token::Space);
                continue;
            }
            let token = self.token()?;
            self.tokens.push(token);
        }
    }

    fn token(&mut self) -> Result<Token, TemplateError> {
        let first = self.rest.chars().next().ok_or(TemplateError::Unclosed)?;
        match first {
            '|' => Ok(self.single(Token::Pipe)),
            '(' => Ok(self.single(Token::Open)),
            ')' => Ok(self.single(Token::Close)),
            '"' => self.quoted(),
            '`' => self.raw(),
            '.' => {
                self.rest = &self.rest[1..];
                let name = self.take(is_word);
                let token = if name.is_empty() {
                    Token::Dot
                } else {
                    Token::Field(name.to_owned())
                };
                self.terminated(token)
            }
            '+' | '-' | '0'..='9' => self.integer(),
            _ if first.is_alphabetic() || first == '_' => {
                let word = self.take(is_word).to_owned();
                self.terminated(Token::Word(word))
            }
            _ => Err(TemplateError::Unexpected(format!("{first:?}"))),
        }
    }

    fn single(&mut self, token: Token) -> Token {
        self.rest = &self.rest[1..];
        token
    }

    fn take(&mut self, accept: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c: char| !accept(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    /// A word or field must be followed by something that ends it.
    fn terminated(&self, token: Token) -> Result<Token, TemplateError> {
        let next = self.rest.chars().next();
        match next {
            None => Err(TemplateError::Unclosed),
            Some('|' | ')' | '(') => Ok(token),
            Some(c) if SPACE.contains(&c) => Ok(token),
            Some(_) if self.rest.starts_with("}}") => Ok(token),
            Some(c) => Err(TemplateError::Unexpected(format!("{c:?}"))),
        }
    }

    fn integer(&mut self) -> Result<Token, TemplateError> {
        let text = self.take(|c| c.is_alphanumeric() || ['+', '-', '.', '_'].contains(&c));
        let digits = text.trim_start_matches(['+', '-']);
        let plain =
            digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
        match text.parse() {
            Ok(number) if plain => self.terminated(Token::Integer(number)),
            _ => Err(TemplateError::Unexpected(format!("number {text:?}"))),
        }
    }

    fn raw(&mut self) -> Result<Token, TemplateError> {
        let (text, rest) = self.rest[1..].split_once('`').ok_or(TemplateError::Unclosed)?;
        self.rest = rest;
        Ok(Token::Text(text.replace('\r', "")))
    }

    fn quoted(&mut self) -> Result<Token, TemplateError> {
        let mut text = String::new();
        let mut chars = self.rest[1..].chars();
        loop {
            match chars.next() {
                None | Some('\n') => return Err(TemplateError::Unclosed),
                Some('"') => break,
                Some('\\') => text.push(escape(&mut chars)?),
                Some(c) => text.push(c),
            }
        }
        self.rest = chars.as_str();
        Ok(Token::Text(text))
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The escapes of Go strings that stand for one character; byte escapes are refused.
fn escape(chars: &mut std::str::Chars<'_>) -> Result<char, TemplateError> {
    let kind = chars.next().ok_or(TemplateError::Unclosed)?;
    let length = match kind {
        'n' => return Ok('\n'),
        't' => return Ok('\t'),
        'r' => return Ok('\r'),
        'a' => return Ok('\u{7}'),
        'b' => return Ok('\u{8}'),
        'f' => return Ok('\u{c}'),
        'v' => return Ok('\u{b}'),
        '\\' | '"' => return Ok(kind),
        'u' => 4,
        'U' => 8,
        _ => return Err(TemplateError::Unexpected(format!("escape \\{kind}"))),
    };
    let rest = chars.as_str();
    let code = rest
        .get(..length)
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .and_then(|digits| u32::from_str_radix(digits, 16).ok())
        .and_then(char::from_u32);
    *chars = rest.get(length..).unwrap_or_default().chars();
    code.ok_or_else(|| TemplateError::Unexpected(format!("escape \\{kind}")))
}
