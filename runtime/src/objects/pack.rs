//! Objects as few bytes, for caches that hold tens of thousands of which hardly any is ever read.
//!
//! The form lives in memory only and changes with this code. Numbers are LEB128; texts that are in most clusters
//! are one byte each, as are absent ones; UIDs are sixteen.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::quantity::Form;
use super::{ObjectKey, Quantity};

/// Texts that are one byte; at most 63.
const WORDS: [&str; 32] = [
    "kubernetes.io/pvc-protection",
    "kubernetes.io/pv-protection",
    "snapshot.storage.kubernetes.io/pvc-as-source-protection",
    "external-provisioner.volume.kubernetes.io/finalizer",
    "external-attacher/ebs-csi-aws-com",
    "ebs.csi.aws.com",
    "efs.csi.aws.com",
    "ext4",
    "xfs",
    "gp2",
    "gp3",
    "standard",
    "default",
    "kube-system",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "topology.ebs.csi.aws.com/zone",
    "kubernetes.io/hostname",
    "In",
    "NotIn",
    "Exists",
    "DoesNotExist",
    "snapshot.storage.k8s.io",
    "VolumeSnapshot",
    "PersistentVolumeClaim",
    "linux",
    "",
    "Filesystem",
    "Block",
    "1Gi",
    "10Gi",
    "100Gi",
];

/// Writes.
#[derive(Default)]
pub(super) struct Pen(Vec<u8>);

impl Pen {
    pub(super) fn end(self) -> Box<[u8]> {
        self.0.into_boxed_slice()
    }

    pub(super) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    pub(super) fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        self.0.push(number.to_le_bytes()[0]);
    }

    /// Nothing is 0, a word even, another text odd.
    pub(super) fn text(&mut self, text: Option<&str>) {
        let Some(text) = text else { return self.number(0) };
        match WORDS.iter().zip(1..).find(|(word, _)| **word == text) {
            Some((_, place)) => self.number(2 * place),
            None => {
                self.number(2 * text.len() as u64 + 1);
                self.0.extend_from_slice(text.as_bytes());
            }
        }
    }

    pub(super) fn uid(&mut self, uid: Option<&str>) {
        match uid.map(|uid| (uid, uid_bytes(uid))) {
            None => self.byte(0),
            Some((_, Some(bytes))) => {
                self.byte(1);
                self.0.extend_from_slice(&bytes);
            }
            Some((text, None)) => {
                self.byte(2);
                self.text(Some(text));
            }
        }
    }

    pub(super) fn size(&mut self, size: Option<Quantity>) {
        let Some(size) = size else { return self.byte(0) };
        let bytes = u64::from_le_bytes(size.bytes().to_le_bytes());
        let form = match size.form() {
            Form::Binary if bytes % (1 << 30) == 0 => {
                self.byte(1);
                return self.number(bytes >> 30);
            }
            Form::Binary => 2,
            Form::Decimal => 3,
            Form::Beyond => 4,
        };
        self.byte(form);
        self.number(bytes);
    }

    /// No list is 0.
    pub(super) fn list<T>(&mut self, items: Option<&[T]>, mut each: impl FnMut(&mut Self, &T)) {
        self.number(items.map_or(0, |items| items.len() as u64 + 1));
        items.unwrap_or_default().iter().for_each(|item| each(self, item));
    }

    /// For what is seldom there.
    pub(super) fn json<T: Serialize>(&mut self, value: Option<&T>) {
        let text = value.and_then(|value| serde_json::to_string(value).ok());
        self.text(text.as_deref());
    }

    /// All but name and namespace.
    pub(super) fn metadata(&mut self, metadata: &ObjectMeta) {
        self.uid(metadata.uid.as_deref());
        let version = metadata.resource_version.as_deref();
        let number = version.and_then(|text| {
            text.parse()
                .ok()
                .filter(|number: &u64| number.to_string() == text)
        });
        match number.and_then(|number| number.checked_add(1)) {
            Some(number) => self.number(number),
            None => {
                self.number(0);
                self.text(version);
            }
        }
        let text = |pen: &mut Self, text: &String| pen.text(Some(text));
        self.list(metadata.finalizers.as_deref(), text);
        self.time(metadata.creation_timestamp.as_ref());
        self.count(metadata.generation);
        let rest = ObjectMeta {
            annotations: metadata.annotations.clone(),
            deletion_grace_period_seconds: metadata.deletion_grace_period_seconds,
            deletion_timestamp: metadata.deletion_timestamp.clone(),
            generate_name: metadata.generate_name.clone(),
            labels: metadata.labels.clone(),
            owner_references: metadata.owner_references.clone(),
            ..ObjectMeta::default()
        };
        self.json(Some(&rest).filter(|rest| **rest != ObjectMeta::default()));
    }

    /// Nothing is 0. Numbers are seldom negative, and one that is -1 does not come back.
    pub(super) fn count(&mut self, count: Option<i64>) {
        let count = count.map(|count| u64::from_le_bytes(count.to_le_bytes()));
        self.number(count.map_or(0, |count| count.wrapping_add(1)));
    }

    /// In whole seconds, as Kubernetes has them; another time does not come back.
    pub(super) fn time(&mut self, time: Option<&Time>) {
        self.count(time.map(|time| time.0.as_second()));
    }
}

/// Reads what [`Pen`] wrote; `None` is a text that it did not write.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl Reader<'_> {
    pub(super) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn bytes(&mut self, length: usize) -> Option<&[u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    pub(super) fn text(&mut self) -> Option<Option<String>> {
        let number = self.number()?;
        if number == 0 {
            return Some(None);
        }
        let half = usize::try_from(number / 2).ok()?;
        if number % 2 == 0 {
            return WORDS.get(half - 1).map(|word| Some((*word).to_owned()));
        }
        let text = self.bytes(half)?.to_vec();
        String::from_utf8(text).ok().map(Some)
    }

    pub(super) fn boxed(&mut self) -> Option<Option<Box<str>>> {
        self.text().map(|text| text.map(String::into_boxed_str))
    }

    pub(super) fn uid(&mut self) -> Option<Option<String>> {
        match self.byte()? {
            0 => Some(None),
            1 => self.bytes(16).map(|bytes| Some(uid_text(bytes))),
            _ => self.text(),
        }
    }

    pub(super) fn size(&mut self) -> Option<Option<Quantity>> {
        let mark = self.byte()?;
        if mark == 0 {
            return Some(None);
        }
        let number = self.number()?;
        let bytes = if mark == 1 { number << 30 } else { number };
        let bytes = i64::from_le_bytes(bytes.to_le_bytes());
        let form = match mark {
            1 | 2 => Form::Binary,
            3 => Form::Decimal,
            _ => Form::Beyond,
        };
        Some(Some(Quantity::in_form(bytes, form)))
    }

    pub(super) fn list<T>(&mut self, mut each: impl FnMut(&mut Self) -> Option<T>) -> Option<Option<Vec<T>>> {
        let Some(length) = self.number()?.checked_sub(1) else {
            return Some(None);
        };
        (0..length).map(|_| each(self)).collect::<Option<_>>().map(Some)
    }

    pub(super) fn json<T: DeserializeOwned>(&mut self) -> Option<Option<T>> {
        match self.text()? {
            None => Some(None),
            Some(text) => serde_json::from_str(&text).ok().map(Some),
        }
    }

    pub(super) fn metadata(&mut self, key: &ObjectKey) -> Option<ObjectMeta> {
        let uid = self.uid()?;
        let resource_version = match self.number()?.checked_sub(1) {
            Some(number) => Some(number.to_string()),
            None => self.text()?,
        };
        let finalizers = self.list(|reader| reader.text()?)?;
        let (creation_timestamp, generation) = (self.time()?, self.count()?);
        let rest: ObjectMeta = self.json()?.unwrap_or_default();
        Some(ObjectMeta {
            name: Some(key.name.clone()),
            namespace: key.namespace().map(ToOwned::to_owned),
            uid,
            resource_version,
            finalizers,
            creation_timestamp,
            generation,
            ..rest
        })
    }

    pub(super) fn count(&mut self) -> Option<Option<i64>> {
        let count = self.number()?.checked_sub(1);
        Some(count.map(|count| i64::from_le_bytes(count.to_le_bytes())))
    }

    pub(super) fn time(&mut self) -> Option<Option<Time>> {
        let Some(seconds) = self.count()? else {
            return Some(None);
        };
        Timestamp::from_second(seconds).ok().map(|time| Some(Time(time)))
    }
}

/// The bytes of a UID in its usual form.
fn uid_bytes(uid: &str) -> Option<[u8; 16]> {
    let digits: String = uid.split('-').collect();
    let number = u128::from_str_radix(&digits, 16).ok()?;
    let bytes = number.to_be_bytes();
    (uid_text(&bytes) == uid).then_some(bytes)
}

fn uid_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(36);
    for (place, byte) in bytes.iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16).unwrap_or_default());
        }
    }
    text
}

/// What several tests pack.
#[cfg(test)]
pub(super) fn metadata_of_every_form() -> Vec<(ObjectKey, ObjectMeta)> {
    let (usual, upper) = (
        "8f14e45f-ceea-467f-a8b1-9d3c5b6e7f80",
        "8F14E45F-ceea-467f-a8b1-9d3c5b6e7f80",
    );
    let mut all = Vec::new();
    for uid in [None, Some(usual), Some(upper), Some("u-1"), Some("")] {
        for version in [
            None,
            Some("0"),
            Some("18446744073709551615"),
            Some("007"),
            Some("x"),
        ] {
            for finalizers in [
                None,
                Some(vec![]),
                Some(vec![WORDS[0].to_owned(), "own/é".to_owned()]),
            ] {
                all.push((
                    ObjectKey::new("shop", "data"),
                    ObjectMeta {
                        name: Some("data".to_owned()),
                        namespace: Some("shop".to_owned()),
                        uid: uid.map(ToOwned::to_owned),
                        resource_version: version.map(ToOwned::to_owned),
                        finalizers,
                        ..ObjectMeta::default()
                    },
                ));
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_sizes_come_back() {
        let sizes = ["0", "1Gi", "10Gi", "5G", "1500Mi", "1", "8Ei", "-1Gi", "1e19"];
        let mut pen = Pen::default();
        for number in [0, 1, 127, 128, u64::MAX] {
            pen.number(number);
        }
        sizes.iter().for_each(|size| pen.size(Quantity::parse(size)));
        pen.size(None);
        let bytes = pen.end();
        let mut reader = Reader(&bytes);
        for number in [0, 1, 127, 128, u64::MAX] {
            assert_eq!(reader.number(), Some(number));
        }
        for size in sizes {
            let size = Quantity::parse(size).unwrap();
            let read = reader.size().unwrap().unwrap();
            assert_eq!((read, read.form()), (size, size.form()));
        }
        assert_eq!((reader.size(), reader.0), (Some(None), [].as_slice()));
    }

    #[test]
    fn texts_come_back_and_broken_ones_are_none() {
        let texts = [None, Some(""), Some("In"), Some("é"), Some("anything else")];
        let mut pen = Pen::default();
        texts.iter().for_each(|text| pen.text(*text));
        let bytes = pen.end();
        let mut reader = Reader(&bytes);
        for text in texts {
            assert_eq!(reader.text(), Some(text.map(ToOwned::to_owned)));
        }
        assert_eq!(Reader(&[9, b'a']).text(), None);
        assert_eq!(Reader(&[0x80; 20]).number(), None);
        assert_eq!(Reader(&[126]).text(), None);
    }
}
