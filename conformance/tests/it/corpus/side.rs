//! One of the two servers, and its answers without what must differ.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt as _;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT, WARNING};
use http::{HeaderMap, Method, Request};
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde_json::{Map, Value, json};

use super::script::{Scene, Step};

/// How long the events of a watch are waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server, as both are reached.
pub struct Side {
    pub client: kube::Client,
}

/// What stays the same within a scene.
struct Stage {
    namespace: String,
    kept: BTreeMap<String, String>,
    /// What stands for the UIDs and resourceVersions of the objects.
    known: BTreeMap<String, String>,
}

impl Side {
    /// Plays a scene; the answers one by one.
    pub async fn play(&self, scene: &Scene) -> Vec<Value> {
        let namespace = format!("corpus-{}", scene.scene.replace(' ', "-"));
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        let first = Step::new(String::new(), "POST /api/v1/namespaces".to_owned(), Some(body));
        let mut stage = Stage {
            namespace,
            kept: BTreeMap::new(),
            known: BTreeMap::new(),
        };
        let _ = self.send(&first, &stage).await;
        let mut answers = Vec::new();
        for step in &scene.steps {
            let answer = self.send(step, &stage).await;
            for (name, pointer) in &step.keep {
                if let Some(value) = answer["body"].pointer(pointer) {
                    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    stage.kept.insert(name.clone(), text);
                }
            }
            answers.push(stage.normal(answer, ""));
        }
        answers
    }

    /// Sends one request: status and body.
    async fn send(&self, step: &Step, stage: &Stage) -> Value {
        let ask = stage.filled(&step.ask);
        let (method, path) = ask.split_once(' ').expect("a method and a path");
        let accept = step.accept.as_deref().unwrap_or("application/json");
        let mut request = Request::builder()
            .uri(path)
            .header(ACCEPT, accept)
            .header(USER_AGENT, "corpus/1.0");
        let body = match (&step.text, &step.body) {
            (Some(text), _) => text.clone().into_bytes(),
            (None, Some(body)) => stage.filled_in(body.clone()).to_string().into_bytes(),
            (None, None) => Vec::new(),
        };
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, step.content_type());
        }
        let watches = method == "WATCH";
        let method = if watches { "GET" } else { method };
        let request = request
            .method(method.parse::<Method>().unwrap())
            .body(Body::from(body))
            .unwrap();
        let response = self.client.send(request).await.unwrap();
        let status = response.status().as_u16();
        let warnings = warnings(response.headers());
        if watches && status == 200 {
            return json!({"status": status, "events": events(response.into_body(), step.events).await});
        }
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        let mut answer = json!({"status": status, "body": body});
        if !warnings.is_empty() {
            answer["warnings"] = json!(warnings);
        }
        answer
    }
}

/// What an answer warns of, in order.
fn warnings(headers: &HeaderMap) -> Vec<String> {
    let lines = headers.get_all(WARNING).iter();
    lines
        .map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned())
        .collect()
}

/// `m*5000` stands for as many times the letter.
fn repeated(text: &str) -> Option<String> {
    let (letter, times) = text.split_once('*').filter(|(letter, _)| letter.len() == 1)?;
    Some(letter.repeat(times.parse().ok()?))
}

/// The first events of a watch; fewer when no more come.
async fn events(body: Body, number: usize) -> Vec<Value> {
    let mut events = Vec::new();
    let mut rest = Vec::new();
    let mut frames = body.into_data_stream();
    let read = async {
        while events.len() < number {
            let Some(Ok(frame)) = frames.next().await else {
                return;
            };
            rest.extend_from_slice(&frame);
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                events.push(serde_json::from_slice(&line).unwrap_or(Value::Null));
            }
        }
    };
    let _ = tokio::time::timeout(PATIENCE, read).await;
    events.truncate(number);
    events
}

impl Stage {
    fn filled(&self, text: &str) -> String {
        let mut text = text.replace("NS", &self.namespace);
        for (name, value) in &self.kept {
            text = text.replace(&format!("{{{name}}}"), value);
        }
        text
    }

    fn filled_in(&self, body: Value) -> Value {
        match body {
            Value::String(text) => Value::String(repeated(&text).unwrap_or_else(|| self.filled(&text))),
            Value::Array(items) => items.into_iter().map(|item| self.filled_in(item)).collect(),
            Value::Object(fields) => fields
                .into_iter()
                .map(|(key, value)| (key, self.filled_in(value)))
                .collect(),
            other => other,
        }
    }

    /// A value with what must differ replaced: UIDs and resourceVersions are counted for each name in the order
    /// in which they are first seen, so that the same one stays the same.
    fn normal(&mut self, value: Value, key: &str) -> Value {
        match value {
            Value::Object(mut fields) => {
                self.name_versions(&mut fields);
                if fields.get("kind").is_some_and(|kind| kind == "Status") {
                    sort_causes(&mut fields);
                }
                sort_managers(&mut fields);
                fields
                    .into_iter()
                    .map(|(key, value)| {
                        let value = self.normal(value, &key);
                        (key, value)
                    })
                    .collect()
            }
            Value::Array(items) => items.into_iter().map(|item| self.normal(item, key)).collect(),
            Value::String(text) => match key {
                "uid" | "resourceVersion" => Value::String(text),
                "continue" if !text.is_empty() => json!("CONTINUE"),
                _ => {
                    let text = without_difference(&self.known_in(text));
                    Value::String(without_times(&without_revision(&text)))
                }
            },
            other => other,
        }
    }

    /// Puts names in the place of an object's UID, resourceVersion and generated name.
    fn name_versions(&mut self, fields: &mut Map<String, Value>) {
        let is_list = fields
            .get("kind")
            .and_then(Value::as_str)
            .is_some_and(|kind| kind.ends_with("List") || kind == "Table");
        if is_list
            && let Some(version) = fields
                .get_mut("metadata")
                .and_then(|metadata| metadata.get_mut("resourceVersion"))
        {
            // Whatever is written elsewhere moves it.
            *version = json!("NOW");
        }
        if let Some(prefix) = fields
            .get("generateName")
            .and_then(Value::as_str)
            .map(str::to_owned)
            && fields.contains_key("name")
        {
            fields.insert("name".to_owned(), json!(format!("{prefix}<random>")));
        }
        let name = fields
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        for key in ["uid", "resourceVersion"] {
            if let Some(Value::String(text)) = fields.get_mut(key)
                && text != "NOW"
            {
                *text = self.counted(key, &name, text);
            }
        }
    }

    /// The name of a UID or resourceVersion: how many the object had before.
    fn counted(&mut self, kind: &str, object: &str, value: &str) -> String {
        let prefix = format!("{kind} of {object} ");
        let before = self
            .known
            .values()
            .filter(|name| name.starts_with(&prefix))
            .count();
        let key = format!("{prefix}{value}");
        let next = format!("{prefix}{before}");
        self.known.entry(key).or_insert(next).clone()
    }

    /// UIDs within texts, and the versions of which they speak.
    fn known_in(&self, mut text: String) -> String {
        for (key, name) in &self.known {
            let Some((_, value)) = key.rsplit_once(' ') else {
                continue;
            };
            if key.starts_with("uid of ") {
                text = text.replace(value, name);
            } else {
                text = text.replace(&format!("record ({value})"), &format!("record ({name})"));
            }
        }
        text
    }
}

/// The API server finds some causes in the order of a map that has none, and some several times.
fn sort_causes(status: &mut Map<String, Value>) {
    let causes = status
        .get_mut("details")
        .and_then(|details| details.get_mut("causes"))
        .and_then(Value::as_array_mut);
    let Some(causes) = causes else { return };
    causes.sort_by_key(ToString::to_string);
    causes.dedup();
    // The causes are compared, so the text need not say them again.
    let Some(Value::String(message)) = status.get_mut("message") else {
        return;
    };
    for before in ["is invalid: ", "conflicts: "] {
        if let Some((start, _)) = message.split_once(before) {
            *message = format!("{start}{before}CAUSES");
        }
    }
}

/// The API server orders managers by the second of their write first: whether two writes share one differs by chance.
fn sort_managers(metadata: &mut Map<String, Value>) {
    let Some(Value::Array(managers)) = metadata.get_mut("managedFields") else {
        return;
    };
    managers.sort_by_key(|entry| {
        ["operation", "manager", "subresource", "apiVersion"].map(|key| entry[key].to_string())
    });
}

/// A text without the difference of two values that the API server appends to some.
fn without_difference(text: &str) -> String {
    if !text.contains("\n@@") {
        return text.to_owned();
    }
    let lines = text.split('\n');
    lines
        .filter(|line| !line.starts_with(['@', ' ', '+', '-']))
        .collect()
}

/// A text without the revision that the server has come to.
fn without_revision(text: &str) -> String {
    match text.split_once(", current: ") {
        Some((start, rest)) => {
            let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
            format!("{start}, current: NOW{rest}")
        }
        None => text.to_owned(),
    }
}

/// A text in which TIME stands for every time.
fn without_times(text: &str) -> String {
    let mut rest = text;
    let mut plain = String::new();
    while let Some(index) = rest.find('T') {
        let start = index.saturating_sub("2026-01-01".len());
        let end = rest[index..].find('Z').map(|length| index + length + 1);
        let time = end.and_then(|end| rest.get(start..end));
        match (time, end) {
            (Some(time), Some(end)) if time.parse::<jiff::Timestamp>().is_ok() => {
                plain.push_str(&rest[..start]);
                plain.push_str("TIME");
                rest = &rest[end..];
            }
            _ => {
                plain.push_str(&rest[..=index]);
                rest = &rest[index + 1..];
            }
        }
    }
    plain.push_str(rest);
    plain
}

#[test]
fn managers_are_compared_whatever_second_they_wrote_in() {
    let entry = |manager: &str, subresource: &str, time: &str| json!({"operation": "Update", "manager": manager, "subresource": subresource, "time": time});
    let mut one =
        json!({"managedFields": [entry("b", "", "1"), entry("a", "status", "2"), entry("a", "", "3")]});
    let mut other =
        json!({"managedFields": [entry("a", "", "3"), entry("a", "status", "2"), entry("b", "", "1")]});
    for metadata in [&mut one, &mut other] {
        sort_managers(metadata.as_object_mut().unwrap());
    }
    assert_eq!(one, other);
}

#[test]
fn texts_are_compared_without_what_must_differ() {
    assert_eq!(without_times("at 2026-01-01T00:00:00Z."), "at TIME.");
    assert_eq!(without_times("Too Tall"), "Too Tall");
    assert_eq!(
        without_difference("a: b\n@@ -1 +1 @@\n-x\n+y\n, c: d"),
        "a: b, c: d"
    );
}
