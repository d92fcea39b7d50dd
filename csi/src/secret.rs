//! What stands in place of a secret.

use std::fmt;

/// Prints as upstream's sanitizer does (sidecars.md 1.7). Whether there was anything is no secret.
pub(crate) struct Stripped {
    pub(crate) empty: bool,
}

impl fmt::Debug for Stripped {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.empty { "{}" } else { "***stripped***" })
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    #[allow(clippy::too_many_lines, reason = "a generated table")]
    mod samples {
        use prost::Message;
        include!(concat!(env!("OUT_DIR"), "/samples.rs"));
    }
    use crate::v1;

    // The parts of google.protobuf.FileDescriptorSet that the test reads.
    #[derive(Clone, PartialEq, Message)]
    struct Files {
        #[prost(message, repeated, tag = "1")]
        files: Vec<File>,
    }
    #[derive(Clone, PartialEq, Message)]
    struct File {
        #[prost(string, tag = "2")]
        package: String,
        #[prost(message, repeated, tag = "4")]
        messages: Vec<Type>,
    }
    #[derive(Clone, PartialEq, Message)]
    struct Type {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(message, repeated, tag = "2")]
        fields: Vec<Field>,
        #[prost(message, repeated, tag = "3")]
        nested: Vec<Type>,
    }
    #[derive(Clone, PartialEq, Message)]
    struct Field {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(uint32, tag = "3")]
        number: u32,
        #[prost(uint32, tag = "5")]
        kind: u32,
        #[prost(string, tag = "6")]
        type_name: String,
        #[prost(message, optional, tag = "8")]
        options: Option<Options>,
    }
    #[derive(Clone, PartialEq, Message)]
    struct Options {
        #[prost(bool, tag = "1059")]
        secret: bool,
    }

    const STRING: u32 = 9;
    const MESSAGE: u32 = 11;

    fn length_delimited(number: u32, content: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        prost::encoding::encode_varint(u64::from(number << 3 | 2), &mut out);
        prost::encoding::encode_varint(content.len() as u64, &mut out);
        out.extend_from_slice(content);
        out
    }

    fn find<'a>(types: &'a [Type], path: &str) -> Option<&'a Type> {
        let (first, rest) = path.split_once('.').unwrap_or((path, ""));
        let found = types.iter().find(|candidate| candidate.name == first)?;
        if rest.is_empty() {
            Some(found)
        } else {
            find(&found.nested, rest)
        }
    }

    /// The message with every string field set: to `secret` where it is marked, below marked fields too.
    fn filled(all: &[Type], of: &Type, marked: bool, seen: &mut usize) -> Vec<u8> {
        let mut out = Vec::new();
        for field in &of.fields {
            let secret = marked || field.options.as_ref().is_some_and(|options| options.secret);
            match field.kind {
                STRING => {
                    *seen += usize::from(secret);
                    out.extend(length_delimited(
                        field.number,
                        if secret { b"hunter2" } else { b"public" },
                    ));
                }
                MESSAGE => {
                    let path = field.type_name.trim_start_matches(".csi.v1.");
                    if let Some(inner) = find(all, path) {
                        out.extend(length_delimited(field.number, &filled(all, inner, secret, seen)));
                    }
                }
                _ => {}
            }
        }
        out
    }

    #[test]
    fn no_message_prints_a_field_that_is_marked_secret() {
        let files = Files::decode(crate::FILE_DESCRIPTOR_SET).unwrap();
        let file = files.files.iter().find(|file| file.package == "csi.v1").unwrap();
        let (mut holders, mut printed) = (0, 0);
        for message in &file.messages {
            let mut secrets = 0;
            let bytes = filled(&file.messages, message, false, &mut secrets);
            let text = samples::print(&message.name, &bytes).unwrap();
            assert!(!text.contains("hunter2"), "{text}");
            assert_eq!(secrets > 0, text.contains("***stripped***"), "{text}");
            holders += usize::from(secrets > 0);
            printed += 1;
        }
        assert_eq!(holders, 22, "requests with secrets in CSI 1.13");
        assert_eq!(printed, 87, "messages of CSI 1.13");
    }

    #[test]
    fn other_fields_are_still_printed() {
        let request = v1::CreateSnapshotRequest {
            source_volume_id: "vol-1".into(),
            name: "snapshot-u".into(),
            secrets: [("user".to_string(), "hunter2".to_string())].into(),
            parameters: [("type".to_string(), "fast".to_string())].into(),
            accessibility_requirements: None,
        };
        assert_eq!(
            format!("{request:?}"),
            "CreateSnapshotRequest { source_volume_id: \"vol-1\", name: \"snapshot-u\", \
             secrets: ***stripped***, parameters: {\"type\": \"fast\"}, accessibility_requirements: None }"
        );
    }
}
