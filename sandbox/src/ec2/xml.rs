//! Writing answers as XML.

use std::collections::BTreeMap;
use std::fmt::Display;

use jiff::Timestamp;
use quick_xml::escape::partial_escape as escape;

const NAMESPACE: &str = "http://ec2.amazonaws.com/doc/2016-11-15/";

/// The fields of an answer, written one after the other.
#[derive(Debug, Default)]
pub(super) struct Xml {
    text: String,
}

impl Xml {
    /// An answer without fields yet.
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// The answer of the actions that say only that they succeeded.
    pub(super) fn success() -> Self {
        let mut xml = Self::new();
        xml.field("return", true);
        xml
    }

    /// `<name>value</name>`.
    pub(super) fn field(&mut self, name: &str, value: impl Display) {
        let value = value.to_string();
        self.open(name);
        self.text.push_str(&escape(value.as_str()));
        self.close(name);
    }

    /// The field if there is a value.
    pub(super) fn optional(&mut self, name: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.field(name, value);
        }
    }

    /// A moment, in milliseconds as EC2 writes it.
    pub(super) fn time(&mut self, name: &str, value: Timestamp) {
        self.field(name, time(value));
    }

    /// An element with fields of its own.
    pub(super) fn element(&mut self, name: &str, fill: impl FnOnce(&mut Self)) {
        self.open(name);
        fill(self);
        self.close(name);
    }

    /// `<name><item>...</item>...</name>`.
    pub(super) fn list<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        mut fill: impl FnMut(&mut Self, T),
    ) {
        self.open(name);
        for item in items {
            self.element("item", |xml| fill(xml, item));
        }
        self.close(name);
    }

    /// The whole document of a success.
    pub(super) fn document(&self, action: &str, request_id: &str) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{action}Response xmlns=\"{NAMESPACE}\">\
             <requestId>{request_id}</requestId>{}</{action}Response>",
            self.text
        )
    }

    /// The fields of an answer that has no others below them.
    pub(super) fn fields(&self) -> BTreeMap<String, String> {
        let document = format!("<fields>{}</fields>", self.text);
        quick_xml::de::from_str(&document).unwrap_or_default()
    }

    fn open(&mut self, name: &str) {
        self.text.push('<');
        self.text.push_str(name);
        self.text.push('>');
    }

    fn close(&mut self, name: &str) {
        self.text.push_str("</");
        self.text.push_str(name);
        self.text.push('>');
    }
}

/// The whole document of an error.
pub(super) fn error_document(code: &str, message: &str, request_id: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>{}</Code><Message>{}</Message>\
         </Error></Errors><RequestID>{request_id}</RequestID></Response>",
        escape(code),
        escape(message)
    )
}

/// A moment as EC2 writes it: `2026-01-01T00:00:00.000Z`.
pub(super) fn time(value: Timestamp) -> String {
    value.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_escaped_and_nested() {
        let mut xml = Xml::new();
        xml.field("volumeId", "vol-1");
        xml.optional("iops", None::<u32>);
        xml.list("tagSet", [("a", "<&>")], |xml, (key, value)| {
            xml.field("key", key);
            xml.field("value", value);
        });
        assert_eq!(
            xml.document("CreateVolume", "r-1"),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <CreateVolumeResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>r-1</requestId>\
             <volumeId>vol-1</volumeId><tagSet><item><key>a</key><value>&lt;&amp;&gt;</value></item></tagSet>\
             </CreateVolumeResponse>"
        );
    }

    #[test]
    fn times_have_milliseconds() {
        assert_eq!(
            time("2026-01-02T03:04:05.6789Z".parse().unwrap()),
            "2026-01-02T03:04:05.678Z"
        );
        assert_eq!(
            time("2026-01-02T03:04:05Z".parse().unwrap()),
            "2026-01-02T03:04:05.000Z"
        );
    }
}
