//! What is stored, as a Secret of type `kubernetes.io/tls`: the present pair under the usual keys, the next one and the former
//! authority beside it, and in annotations what else is known of the pairs.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use runtime::ObjectKey;

use super::plan::{Pair, Stored};

const TYPE: &str = "kubernetes.io/tls";
const CURRENT: Place = Place {
    authority: "ca.crt",
    certificate: "tls.crt",
    key: "tls.key",
    names: "slackwater.io/certificate-names",
    not_after: "slackwater.io/certificate-not-after",
};
const NEXT: Place = Place {
    authority: "next.ca.crt",
    certificate: "next.tls.crt",
    key: "next.tls.key",
    names: "slackwater.io/next-certificate-names",
    not_after: "slackwater.io/next-certificate-not-after",
};
const FORMER: &str = "former.ca.crt";

/// Where a pair stands: keys of the data, and of the annotations.
struct Place {
    authority: &'static str,
    certificate: &'static str,
    key: &'static str,
    names: &'static str,
    not_after: &'static str,
}

/// What the Secret holds; none if it is of no use.
pub(super) fn read(secret: &Secret) -> Option<Stored> {
    Some(Stored {
        current: CURRENT.read(secret)?,
        next: NEXT.read(secret),
        former: text(secret, FORMER),
    })
}

/// The Secret with this in it: the one that was read, or a new one of this key.
pub(super) fn written(before: Option<&Secret>, key: &ObjectKey, stored: &Stored) -> Secret {
    let mut secret = before.cloned().unwrap_or_else(|| Secret {
        metadata: ObjectMeta {
            name: Some(key.name.clone()),
            namespace: Some(key.namespace.clone()),
            ..ObjectMeta::default()
        },
        type_: Some(TYPE.to_owned()),
        ..Secret::default()
    });
    secret.data = Some(BTreeMap::new());
    CURRENT.write(&mut secret, Some(&stored.current));
    NEXT.write(&mut secret, stored.next.as_ref());
    if let Some(former) = &stored.former {
        put(&mut secret, FORMER, former);
    }
    secret
}

impl Place {
    fn read(&self, secret: &Secret) -> Option<Pair> {
        let annotation = |key: &str| secret.metadata.annotations.as_ref()?.get(key);
        Some(Pair {
            authority: text(secret, self.authority)?,
            certificate: text(secret, self.certificate)?,
            key: text(secret, self.key)?,
            names: annotation(self.names)?.split(',').map(str::to_owned).collect(),
            not_after: annotation(self.not_after)?.parse::<Timestamp>().ok()?,
        })
    }

    fn write(&self, secret: &mut Secret, pair: Option<&Pair>) {
        let annotations = secret.metadata.annotations.get_or_insert_default();
        let Some(pair) = pair else {
            annotations.retain(|key, _| key != self.names && key != self.not_after);
            return;
        };
        annotations.insert(self.names.to_owned(), pair.names.join(","));
        annotations.insert(self.not_after.to_owned(), pair.not_after.to_string());
        put(secret, self.authority, &pair.authority);
        put(secret, self.certificate, &pair.certificate);
        put(secret, self.key, &pair.key);
    }
}

fn text(secret: &Secret, key: &str) -> Option<String> {
    let bytes = secret.data.as_ref()?.get(key)?;
    String::from_utf8(bytes.0.clone())
        .ok()
        .filter(|text| !text.is_empty())
}

fn put(secret: &mut Secret, key: &str, text: &str) {
    let data = secret.data.get_or_insert_default();
    data.insert(key.to_owned(), ByteString(text.as_bytes().to_vec()));
}
