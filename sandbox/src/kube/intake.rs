//! What clients send: read into its type, and fields judged that the type does not have, with the errors of each verb.

use serde_json::Value;

use super::error::{ApiError, Cause};
use super::fields::{self, Directive};
use super::object::metadata_str;
use super::verbs::Call;

impl Call<'_> {
    /// Takes the body of a POST or PUT. Answers warnings.
    ///
    /// # Errors
    /// BadRequest for a value of another type, and for unknown fields where the client wants them to be refused.
    pub fn take_body(&self, value: &mut Value) -> Result<Vec<String>, ApiError> {
        self.take(value, |why| {
            let (kind, version) = (&self.resource.kind, &self.path.version);
            ApiError::bad_request(format!(
                "{kind} in version \"{version}\" cannot be handled as a {kind}: {why}"
            ))
        })
    }

    /// Takes what a patch made of the stored object. Answers warnings.
    ///
    /// # Errors
    /// Invalid, where [`Call::take_body`] says BadRequest.
    pub fn take_patched(&self, value: &mut Value) -> Result<Vec<String>, ApiError> {
        self.take(value, |why| {
            let patch = Value::from(String::from_utf8_lossy(&self.request.body));
            let cause = Cause::invalid("patch", &patch, why);
            ApiError::invalid("", "", "", vec![cause])
        })
    }

    fn take(&self, value: &mut Value, refusal: impl Fn(&str) -> ApiError) -> Result<Vec<String>, ApiError> {
        let directive = Directive::parse(&self.query.field_validation)?;
        let unknown = fields::read(&self.target(""), value).map_err(|why| refusal(&why))?;
        let texts = fields::texts(&unknown);
        match directive {
            Directive::Ignore => Ok(Vec::new()),
            Directive::Strict if !texts.is_empty() => {
                Err(refusal(&format!("strict decoding error: {}", texts.join(", "))))
            }
            Directive::Warn | Directive::Strict => Ok(texts),
        }
    }

    /// Judges an applied configuration, which may have no fields that its type does not have. It stays as it was
    /// sent: whether it conflicts is a matter of its texts.
    ///
    /// # Errors
    /// As the API server, which has no reason for them.
    pub fn take_applied(&self, value: &Value) -> Result<(), ApiError> {
        let object = format!(
            "{}/{}; {}{}, Kind={}",
            metadata_str(value, "namespace"),
            metadata_str(value, "name"),
            if self.resource.group.is_empty() { "/" } else { "" },
            self.resource.api_version(&self.path.version),
            self.resource.kind
        );
        let unknown = fields::read(&self.target(""), &mut value.clone())
            .map_err(|why| ApiError::untyped(format!("failed to convert new object ({object}): {why}")))?;
        match unknown.first() {
            None => Ok(()),
            Some(first) => Err(ApiError::untyped(format!(
                "failed to create typed patch object ({object}): .{first}: field not declared in schema"
            ))),
        }
    }

    /// Brings what an apply made into the form of its type.
    pub fn take_merged(&self, value: &mut Value) {
        // Its parts were judged.
        let _ = fields::read(&self.target(""), value);
    }
}
