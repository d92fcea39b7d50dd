//! Leaves `managedFields` out of what is decoded. They are half of an ordinary object, nobody here reads them, and the
//! types of `kube` would keep every name in them.

use std::borrow::Cow;

use memchr::{memchr2, memmem};

/// No text of a string can look so: its quotes have backslashes.
const FIELD: &[u8] = b"\"managedFields\":[";
const NOTHING: &[u8] = b"null";

/// The same JSON with `null` in place of every list that is called `managedFields`. What is not JSON stays as it is.
pub(crate) fn without_managed_fields(json: &[u8]) -> Cow<'_, [u8]> {
    let mut shorter = Vec::new();
    let mut copied = 0;
    for found in memmem::find_iter(json, FIELD) {
        let list = found + FIELD.len() - 1;
        // One in another one is gone with it.
        if list < copied {
            continue;
        }
        let Some(end) = end_of_list(json, list) else {
            break;
        };
        shorter.extend_from_slice(&json[copied..list]);
        shorter.extend_from_slice(NOTHING);
        copied = end;
    }
    if copied == 0 {
        return Cow::Borrowed(json);
    }
    shorter.extend_from_slice(&json[copied..]);
    Cow::Owned(shorter)
}

/// Behind the bracket that closes the list which begins here.
fn end_of_list(json: &[u8], start: usize) -> Option<usize> {
    let (mut at, mut depth) = (start, 0_usize);
    loop {
        match json.get(at)? {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.checked_sub(1)?,
            b'"' => at = end_of_string(json, at + 1)?,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
}

/// The quote that ends the string whose first character stands here.
fn end_of_string(json: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += memchr2(b'"', b'\\', json.get(at..)?)?;
        if json[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn lists_of_managed_fields_become_null() {
        let tricky = r#"a "managedFields":[ b\"#;
        let object = |fields: Value| {
            json!({
                "metadata": {"annotations": {"managedFields": tricky, "a": "\\"}, "managedFields": fields},
                "spec": {"list": [{"managedFields": "no list"}, [1, {}]]},
            })
        };
        let fields = json!([{
            "manager": tricky, "fieldsV1": {"f:metadata": {"f:managedFields": {}}, "managedFields": [[], "]"]},
        }, []]);
        for fields in [fields, json!([]), json!(null)] {
            let full = json!({"items": [object(fields.clone()), object(fields)]}).to_string();
            let short = without_managed_fields(full.as_bytes());
            let expected = json!({"items": [object(json!(null)), object(json!(null))]});
            assert_eq!(serde_json::from_slice::<Value>(&short).unwrap(), expected);
        }
    }

    #[test]
    fn what_is_not_json_stays_as_it_is() {
        for broken in [
            "",
            "no JSON",
            r#"{"managedFields":["#,
            r#"{"managedFields":["\"#,
            r#"{"managedFields":["\"]}"#,
            r#"{"managedFields":[{"a":"b"]"#,
        ] {
            assert_eq!(without_managed_fields(broken.as_bytes()), broken.as_bytes());
        }
    }
}
