//! Objects of built-in kinds that come as protobuf, which clients with generated types send.
//!
//! They become the JSON that the same clients would send otherwise. Answers are always JSON, which such clients take as
//! well. The fields and their tags are in a table that `conformance/protobuf-tags` makes of the types of Kubernetes; the
//! corpus layer reads the answers of a real API server by it.

mod wire;

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value};

pub use self::wire::Malformed;
use self::wire::{Fields, Wire};

/// The media type of such bodies.
pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";
/// With what each of them begins.
const MAGIC: &[u8] = b"k8s\0";
/// Messages do not lie deeper in each other.
const DEEPEST: u32 = 64;

/// A constant, which is unpacked once a process.
static TABLE: LazyLock<Value> = LazyLock::new(|| {
    let packed = include_bytes!("tags.deflate");
    // The test reads the same bytes: they are whole.
    let text = miniz_oxide::inflate::decompress_to_vec(packed).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
});

/// Reads a body; none for a kind that is not in the table.
///
/// # Errors
/// When it is no protobuf, or not of its kind.
pub fn decode(body: &[u8]) -> Result<Option<Value>, Malformed> {
    let envelope = body.strip_prefix(MAGIC).ok_or(Malformed)?;
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    for field in Fields(envelope) {
        match field? {
            (1, Wire::Bytes(of)) => {
                for field in Fields(of) {
                    match field? {
                        (1, Wire::Bytes(text)) => api_version = utf8(text)?.to_owned(),
                        (2, Wire::Bytes(text)) => kind = utf8(text)?.to_owned(),
                        _ => {}
                    }
                }
            }
            (2, Wire::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    // The options of a deletion say the version of what is deleted.
    let of = match kind.as_str() {
        "DeleteOptions" => "v1/DeleteOptions".to_owned(),
        _ => format!("{api_version}/{kind}"),
    };
    let Some(name) = TABLE["kinds"][of].as_str() else {
        return Ok(None);
    };
    let mut object = message(name, raw, 0)?;
    object.insert("apiVersion".to_owned(), Value::from(api_version));
    object.insert("kind".to_owned(), Value::from(kind));
    Ok(Some(Value::Object(object)))
}

/// The members of an object of a type of the table.
fn message(name: &str, bytes: &[u8], depth: u32) -> Result<Map<String, Value>, Malformed> {
    if depth > DEEPEST {
        return Err(Malformed);
    }
    let (fields, mut object) = (&TABLE["types"][name], Map::new());
    for field in Fields(bytes) {
        let (tag, wire) = field?;
        let entry = &fields[tag.to_string()];
        let (Some(name), Some(form)) = (entry[0].as_str(), entry[1].as_str()) else {
            continue;
        };
        if let Some(form) = form.strip_prefix("list ") {
            if let Value::Array(items) = object.entry(name).or_insert_with(|| Value::Array(Vec::new())) {
                list(form, wire, depth, items)?;
            }
        } else if let Some(form) = form.strip_prefix("map ") {
            if let Value::Object(members) = object.entry(name).or_insert_with(|| Value::Object(Map::new())) {
                let (key, value) = map_entry(form, wire, depth)?;
                members.insert(key, value);
            }
        } else {
            let value = value(form, wire, depth)?;
            match value {
                // The members of some types stand in the object around them.
                Value::Object(members) if name.is_empty() => object.extend(members),
                value if entry[2] != "zero" && is_zero(&value) => {}
                value => {
                    object.insert(name.to_owned(), value);
                }
            }
        }
    }
    Ok(object)
}

/// Adds an item, or several of a packed list of numbers.
fn list(form: &str, wire: Wire<'_>, depth: u32, items: &mut Vec<Value>) -> Result<(), Malformed> {
    match (form, wire) {
        ("integer", Wire::Bytes(packed)) => {
            let mut rest = Fields(packed);
            while !rest.0.is_empty() {
                items.push(integer(rest.varint()?));
            }
        }
        _ => items.push(value(form, wire, depth)?),
    }
    Ok(())
}

fn map_entry(form: &str, wire: Wire<'_>, depth: u32) -> Result<(String, Value), Malformed> {
    let Wire::Bytes(bytes) = wire else {
        return Err(Malformed);
    };
    let (mut key, mut found) = (String::new(), Wire::Bytes(&[]));
    for field in Fields(bytes) {
        match field? {
            (1, Wire::Bytes(text)) => utf8(text)?.clone_into(&mut key),
            (2, wire) => found = wire,
            _ => {}
        }
    }
    Ok((key, value(form, found, depth)?))
}

fn value(form: &str, wire: Wire<'_>, depth: u32) -> Result<Value, Malformed> {
    match (form, wire) {
        ("truth", Wire::Number(number)) => Ok(Value::from(number != 0)),
        ("integer", Wire::Number(number)) => Ok(integer(number)),
        ("text", Wire::Bytes(bytes)) => Ok(Value::from(utf8(bytes)?)),
        ("bytes", Wire::Bytes(bytes)) => Ok(Value::from(STANDARD.encode(bytes))),
        ("quantity", Wire::Bytes(bytes)) => match first(bytes, 1)? {
            Some(Wire::Bytes(text)) => Ok(Value::from(utf8(text)?)),
            _ => Ok(Value::from("0")),
        },
        ("time" | "microtime", Wire::Bytes(bytes)) => time(form, bytes),
        ("intorstring", Wire::Bytes(bytes)) => int_or_string(bytes),
        ("json", Wire::Bytes(bytes)) => match first(bytes, 1)? {
            Some(Wire::Bytes(text)) => serde_json::from_slice(text).map_err(|_| Malformed),
            _ => Ok(Value::Null),
        },
        (name, Wire::Bytes(bytes)) if TABLE["types"][name].is_object() => {
            message(name, bytes, depth + 1).map(Value::Object)
        }
        _ => Err(Malformed),
    }
}

/// The last value of a field.
fn first(bytes: &[u8], tag: u64) -> Result<Option<Wire<'_>>, Malformed> {
    let mut found = None;
    for field in Fields(bytes) {
        let (other, wire) = field?;
        if other == tag {
            found = Some(wire);
        }
    }
    Ok(found)
}

fn number(bytes: &[u8], tag: u64) -> Result<i64, Malformed> {
    match first(bytes, tag)? {
        Some(Wire::Number(number)) => Ok(i64::from_le_bytes(number.to_le_bytes())),
        _ => Ok(0),
    }
}

fn integer(number: u64) -> Value {
    Value::from(i64::from_le_bytes(number.to_le_bytes()))
}

/// A time of seconds and nanoseconds; none of either is no time.
fn time(form: &str, bytes: &[u8]) -> Result<Value, Malformed> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let nanoseconds = i32::try_from(number(bytes, 2)?).map_err(|_| Malformed)?;
    let time = Timestamp::new(number(bytes, 1)?, nanoseconds).map_err(|_| Malformed)?;
    let form = if form == "time" {
        "%Y-%m-%dT%H:%M:%SZ"
    } else {
        "%Y-%m-%dT%H:%M:%S%.6fZ"
    };
    Ok(Value::from(time.strftime(form).to_string()))
}

fn int_or_string(bytes: &[u8]) -> Result<Value, Malformed> {
    match (number(bytes, 1)?, first(bytes, 3)?) {
        (0, _) => number(bytes, 2).map(Value::from),
        (_, Some(Wire::Bytes(text))) => Ok(Value::from(utf8(text)?)),
        _ => Ok(Value::from("")),
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed)
}

/// What the types leave out of their JSON.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(truth) => !truth,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// A field with bytes.
    fn field(tag: u8, bytes: &[u8]) -> Vec<u8> {
        let (key, length) = (u16::from(tag) << 3 | 2, u8::try_from(bytes.len()).unwrap());
        let [low, high] = [key & 0x7f, key >> 7].map(|part| u8::try_from(part).unwrap());
        let key = if high == 0 {
            vec![low]
        } else {
            vec![low | 0x80, high]
        };
        [key, vec![length], bytes.to_vec()].concat()
    }

    fn body(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
        let of = [field(1, api_version.as_bytes()), field(2, kind.as_bytes())].concat();
        [MAGIC.to_vec(), field(1, &of), field(2, raw)].concat()
    }

    #[test]
    fn a_secret_is_read() {
        let metadata = [
            field(1, b"a"),
            field(11, &[field(1, b"k"), field(2, b"v")].concat()),
            field(8, b""),
        ]
        .concat();
        let data = [field(1, b"key"), field(2, b"hi")].concat();
        // Of the second version of the type, with a field that the table does not have.
        let raw = [
            field(1, &metadata),
            field(2, &data),
            field(3, b""),
            vec![5 << 3, 0],
            field(15, b"?"),
        ]
        .concat();
        let secret = decode(&body("v1", "Secret", &raw)).unwrap().unwrap();
        let expected = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a", "labels": {"k": "v"}},
            "data": {"key": "aGk="}, "immutable": false,
        });
        assert_eq!(secret, expected);
    }

    #[test]
    fn times_sizes_and_members_of_inner_types_are_read() {
        let lease = [field(1, b"me"), field(4, &[1 << 3, 5, 2 << 3, 0xc0, 0x84, 0x3d])].concat();
        let lease = decode(&body("coordination.k8s.io/v1", "Lease", &field(2, &lease))).unwrap();
        let spec = json!({"holderIdentity": "me", "renewTime": "1970-01-01T00:00:05.001000Z"});
        assert_eq!(lease.unwrap()["spec"], spec);
        let size = [field(1, b"storage"), field(2, &field(1, b"1Gi"))].concat();
        let csi = field(22, &[field(1, b"d"), field(2, b"v"), vec![3 << 3, 0]].concat());
        let spec = [field(1, &size), field(2, &csi)].concat();
        let volume = decode(&body("v1", "PersistentVolume", &field(2, &spec))).unwrap();
        let spec = json!({"capacity": {"storage": "1Gi"}, "csi": {"driver": "d", "volumeHandle": "v"}});
        assert_eq!(volume.unwrap()["spec"], spec);
    }

    #[test]
    fn kinds_that_are_not_in_the_table_and_other_texts_are_told_apart() {
        assert_eq!(decode(&body("example.com/v1", "Thing", b"")), Ok(None));
        for text in [&b"{}"[..], b"", b"k8s\0\xff", b"k8s\0\x0a\x7f"] {
            assert_eq!(decode(text), Err(Malformed), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_reader(raw in prop::collection::vec(any::<u8>(), 0..100)) {
            for (api_version, kind) in [("v1", "Pod"), ("v1", "PersistentVolumeClaim"), ("apps/v1", "Deployment")] {
                let _ = decode(&body(api_version, kind, &raw));
            }
        }
    }
}
