//! Answers of the Query protocol as JSON: lists (`item`) become arrays, elements objects, texts strings.

use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::{Map, Value};

/// An element that is being read.
#[derive(Default)]
struct Open {
    name: String,
    fields: Map<String, Value>,
    items: Vec<Value>,
    text: String,
}

/// The content of the outermost element; none when this is not XML.
pub fn parse(text: &str) -> Option<Value> {
    let mut reader = Reader::from_str(text);
    let mut stack = vec![Open::default()];
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) => stack.push(open(start.name().as_ref())),
            Event::Empty(start) => close(stack.last_mut()?, open(start.name().as_ref())),
            Event::End(_) => {
                let done = stack.pop()?;
                close(stack.last_mut()?, done);
            }
            Event::Text(text) => stack.last_mut()?.text.push_str(&text),
            Event::GeneralRef(reference) => {
                let character = match &*reference {
                    "amp" => "&",
                    "lt" => "<",
                    "gt" => ">",
                    "quot" => "\"",
                    "apos" => "'",
                    _ => "?",
                };
                stack.last_mut()?.text.push_str(character);
            }
            Event::Eof => break,
            _ => {}
        }
    }
    let (_, content) = stack.pop()?.fields.into_iter().next()?;
    Some(content)
}

fn open(name: &str) -> Open {
    Open {
        name: name.to_owned(),
        ..Open::default()
    }
}

fn close(parent: &mut Open, done: Open) {
    let value = if !done.items.is_empty() || (done.name.ends_with("Set") && done.fields.is_empty()) {
        Value::Array(done.items)
    } else if done.fields.is_empty() {
        Value::String(done.text.trim().to_owned())
    } else {
        Value::Object(done.fields)
    };
    if done.name == "item" {
        parent.items.push(value);
    } else {
        parent.fields.insert(done.name, value);
    }
}

#[test]
fn an_answer_is_read() {
    let text = "<?xml version=\"1.0\"?><R xmlns=\"x\"><volumeSet><item><size>3</size><tagSet/></item></volumeSet>\
                <a>b &amp; c</a></R>";
    assert_eq!(
        parse(text),
        Some(serde_json::json!({"volumeSet": [{"size": "3", "tagSet": []}], "a": "b & c"}))
    );
    assert_eq!(parse("404 not found"), None);
}
