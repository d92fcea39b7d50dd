//! Reading Secrets.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use runtime::objects::SecretName;
use runtime::{ApiError, ApiErrorClass, ObjectKey, Writer};

use crate::template::can_be_named;

/// A Secret that was read, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretRead {
    /// Which one.
    pub secret: SecretName,
    /// What came of it.
    pub answer: SecretAnswer,
}

/// What came of reading a Secret.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretAnswer {
    /// Its data as text.
    Found(BTreeMap<String, String>),
    /// There is none of that name, or can be none.
    NotFound,
    /// It cannot be read or used, in one line; for example the role lacks `get` on secrets.
    Refused(String),
}

impl fmt::Debug for SecretAnswer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Found(_) => formatter.write_str("Found(***stripped***)"),
            Self::NotFound => formatter.write_str("NotFound"),
            Self::Refused(text) => write!(formatter, "Refused({text:?})"),
        }
    }
}

impl SecretRead {
    /// What a call is to carry: nothing for a Secret that was not found.
    #[must_use]
    pub fn data(read: Option<&Self>) -> BTreeMap<String, String> {
        match read.map(|read| &read.answer) {
            Some(SecretAnswer::Found(data)) => data.clone(),
            _ => BTreeMap::new(),
        }
    }
}

/// Reads Secrets.
pub(crate) struct SecretReader(Writer<Secret>);

impl SecretReader {
    pub(crate) fn new(client: &Client, manager: &'static str) -> Self {
        Self(Writer::new(client, manager))
    }

    /// GET of a Secret. A name that none can have is not asked for: it would be a part of the request's path.
    pub(crate) async fn read(&self, secret: &SecretName) -> Result<SecretRead, ApiError> {
        let answer = if can_be_named(&secret.namespace, &secret.name) {
            self.ask(secret).await?
        } else {
            SecretAnswer::NotFound
        };
        Ok(SecretRead {
            secret: secret.clone(),
            answer,
        })
    }

    async fn ask(&self, secret: &SecretName) -> Result<SecretAnswer, ApiError> {
        let key = ObjectKey::new(&secret.namespace, &secret.name);
        match self.0.get(&key).await {
            Ok(found) => Ok(texts(found)),
            Err(error) => match error.class() {
                ApiErrorClass::NotFound => Ok(SecretAnswer::NotFound),
                ApiErrorClass::Forbidden | ApiErrorClass::Invalid => {
                    Ok(SecretAnswer::Refused(error.to_string()))
                }
                _ => Err(error),
            },
        }
    }
}

/// CSI wants text: what is none is refused by the name of its key, not altered.
fn texts(secret: Secret) -> SecretAnswer {
    let mut texts = BTreeMap::new();
    for (key, value) in secret.data.unwrap_or_default() {
        let Ok(value) = String::from_utf8(value.0) else {
            return SecretAnswer::Refused(format!(
                "its key {key:?} is not valid UTF-8, which CSI drivers need; store it as text"
            ));
        };
        texts.insert(key, value);
    }
    SecretAnswer::Found(texts)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;

    use super::*;

    fn secret(value: &[u8]) -> Secret {
        Secret {
            data: Some(BTreeMap::from([("key".to_owned(), ByteString(value.to_vec()))])),
            ..Secret::default()
        }
    }

    #[test]
    fn text_is_passed_on_and_other_bytes_are_refused_by_their_key() {
        let found = SecretAnswer::Found(BTreeMap::from([("key".to_owned(), "väl".to_owned())]));
        assert_eq!(texts(secret("väl".as_bytes())), found);
        let SecretAnswer::Refused(text) = texts(secret(b"v\xff")) else {
            panic!("bytes that are no text were taken");
        };
        assert!(text.contains("\"key\" is not valid UTF-8"), "{text}");
    }
}
