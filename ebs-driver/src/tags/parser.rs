//! Tokens to a tree.

use std::collections::VecDeque;

use super::functions::Function;
use super::lexer::{Piece, Token, pieces};
use super::template::TemplateError;

/// How deeply conditions and parentheses may nest.
const MAX_DEPTH: usize = 50;

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Node {
    Text(String),
    Print(Pipeline),
    Choice {
        kind: Kind,
        condition: Pipeline,
        then: Vec<Node>,
        otherwise: Vec<Node>,
    },
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    If,
    /// Like `if`, and the value becomes the dot inside.
    With,
}

/// Commands, each given the value of the one before as its last argument.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Pipeline(pub(super) Vec<Command>);

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Command {
    Value(Operand),
    Call(Function, Vec<Operand>),
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Operand {
    Dot,
    Field(String),
    Text(String),
    Integer(i64),
    Boolean(bool),
    /// A function without arguments, as an argument.
    Call(Function),
    Nested(Pipeline),
}

pub(super) fn parse(template: &str) -> Result<Vec<Node>, TemplateError> {
    let mut pieces: VecDeque<Piece> = pieces(template)?.into();
    let (nodes, end) = list(&mut pieces, 0)?;
    match end {
        End::Template => Ok(nodes),
        End::Word => Err(TemplateError::Unexpected("{{end}}".to_owned())),
        End::Else(_) => Err(TemplateError::Unexpected("{{else}}".to_owned())),
    }
}

/// What ended a list of nodes.
enum End {
    Template,
    /// `end`.
    Word,
    /// `else`, with the tokens of a following `if`.
    Else(Option<Tokens>),
}

type Tokens = VecDeque<Token>;

fn list(pieces: &mut VecDeque<Piece>, depth: usize) -> Result<(Vec<Node>, End), TemplateError> {
    if depth > MAX_DEPTH {
        return Err(TemplateError::TooDeep);
    }
    let mut nodes = Vec::new();
    while let Some(piece) = pieces.pop_front() {
        let mut tokens: Tokens = match piece {
            Piece::Text(text) => {
                nodes.push(Node::Text(text));
                continue;
            }
            Piece::Action(tokens) => tokens.into(),
        };
        skip_space(&mut tokens);
        match word(&tokens) {
            Some("if") => nodes.push(choice(Kind::If, tail(tokens), pieces, depth)?),
            Some("with") => nodes.push(choice(Kind::With, tail(tokens), pieces, depth)?),
            Some("end") => {
                nothing_more(&tail(tokens))?;
                return Ok((nodes, End::Word));
            }
            Some("else") => {
                let tokens = tail(tokens);
                if word(&tokens) == Some("if") {
                    return Ok((nodes, End::Else(Some(tail(tokens)))));
                }
                nothing_more(&tokens)?;
                return Ok((nodes, End::Else(None)));
            }
            _ => nodes.push(Node::Print(whole_pipeline(tokens)?)),
        }
    }
    Ok((nodes, End::Template))
}

fn choice(
    kind: Kind,
    condition: Tokens,
    pieces: &mut VecDeque<Piece>,
    depth: usize,
) -> Result<Node, TemplateError> {
    let condition = whole_pipeline(condition)?;
    let (then, end) = list(pieces, depth + 1)?;
    let otherwise = match end {
        End::Word => Vec::new(),
        End::Template => return Err(TemplateError::NoEnd),
        // The `end` of an `else if` closes both.
        End::Else(Some(tokens)) if kind == Kind::If => vec![choice(Kind::If, tokens, pieces, depth + 1)?],
        End::Else(Some(_)) => return Err(TemplateError::Unexpected("{{else if}}".to_owned())),
        End::Else(None) => match list(pieces, depth + 1)? {
            (otherwise, End::Word) => otherwise,
            (_, End::Template) => return Err(TemplateError::NoEnd),
            (_, End::Else(_)) => return Err(TemplateError::Unexpected("{{else}}".to_owned())),
        },
    };
    Ok(Node::Choice {
        kind,
        condition,
        then,
        otherwise,
    })
}

fn word(tokens: &Tokens) -> Option<&str> {
    match tokens.front() {
        Some(Token::Word(word)) => Some(word),
        _ => None,
    }
}

fn tail(mut tokens: Tokens) -> Tokens {
    tokens.pop_front();
    skip_space(&mut tokens);
    tokens
}

fn skip_space(tokens: &mut Tokens) {
    while tokens.front() == Some(&Token::Space) {
        tokens.pop_front();
    }
}

fn nothing_more(tokens: &Tokens) -> Result<(), TemplateError> {
    match tokens.front() {
        None => Ok(()),
        Some(token) => Err(unexpected(token)),
    }
}

fn unexpected(token: &Token) -> TemplateError {
    TemplateError::Unexpected(match token {
        Token::Space => "space".to_owned(),
        Token::Pipe => "|".to_owned(),
        Token::Open => "(".to_owned(),
        Token::Close => ")".to_owned(),
        Token::Dot => ".".to_owned(),
        Token::Field(name) => format!(".{name}"),
        Token::Word(word) => format!("{word:?}"),
        Token::Text(text) => format!("{text:?}"),
        Token::Integer(number) => number.to_string(),
    })
}

fn whole_pipeline(mut tokens: Tokens) -> Result<Pipeline, TemplateError> {
    let pipeline = pipeline(&mut tokens, 0)?;
    nothing_more(&tokens)?;
    Ok(pipeline)
}

/// Reads up to a closing parenthesis or the end, which it leaves.
fn pipeline(tokens: &mut Tokens, depth: usize) -> Result<Pipeline, TemplateError> {
    if depth > MAX_DEPTH {
        return Err(TemplateError::TooDeep);
    }
    let mut commands = Vec::new();
    loop {
        let operands = operands(tokens, depth)?;
        commands.push(command(operands, commands.is_empty())?);
        match tokens.front() {
            Some(Token::Pipe) => tokens.pop_front(),
            _ => return Ok(Pipeline(commands)),
        };
    }
}

fn command(mut operands: VecDeque<Operand>, is_first: bool) -> Result<Command, TemplateError> {
    match operands.pop_front() {
        None => Err(TemplateError::Missing),
        Some(Operand::Call(function)) => Ok(Command::Call(function, operands.into())),
        Some(_) if !operands.is_empty() || !is_first => Err(TemplateError::Unexpected(
            "arguments for what is no function".to_owned(),
        )),
        Some(value) => Ok(Command::Value(value)),
    }
}

/// The operands of one command; there must be space between them.
fn operands(tokens: &mut Tokens, depth: usize) -> Result<VecDeque<Operand>, TemplateError> {
    let mut operands = VecDeque::new();
    let mut is_separated = true;
    loop {
        match tokens.front() {
            None | Some(Token::Pipe | Token::Close) => return Ok(operands),
            Some(Token::Space) => {
                tokens.pop_front();
                is_separated = true;
            }
            Some(token) if !is_separated => return Err(unexpected(token)),
            Some(_) => {
                operands.push_back(operand(tokens, depth)?);
                is_separated = false;
            }
        }
    }
}

fn operand(tokens: &mut Tokens, depth: usize) -> Result<Operand, TemplateError> {
    match tokens.pop_front().ok_or(TemplateError::Missing)? {
        Token::Dot => Ok(Operand::Dot),
        Token::Field(name) => Ok(Operand::Field(name)),
        Token::Text(text) => Ok(Operand::Text(text)),
        Token::Integer(number) => Ok(Operand::Integer(number)),
        Token::Word(word) => match word.as_str() {
            "true" => Ok(Operand::Boolean(true)),
            "false" => Ok(Operand::Boolean(false)),
            _ => Function::named(&word)
                .map(Operand::Call)
                .ok_or(TemplateError::Function(word)),
        },
        Token::Open => {
            let nested = pipeline(tokens, depth + 1)?;
            match tokens.pop_front() {
                Some(Token::Close) => Ok(Operand::Nested(nested)),
                _ => Err(TemplateError::Unexpected("end of the action inside (".to_owned())),
            }
        }
        token => Err(unexpected(&token)),
    }
}
