//! Query parameters of requests.

use std::time::Duration;

use super::error::{ApiError, Cause};

/// The query parameters that the server knows; others are ignored, as the real one does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query {
    pub watch: bool,
    pub label_selector: String,
    pub field_selector: String,
    pub limit: Option<usize>,
    pub continuation: String,
    pub resource_version: String,
    pub version_match: String,
    pub timeout: Option<Duration>,
    pub bookmarks: bool,
    pub send_initial_events: Option<bool>,
    pub dry_run: bool,
    pub field_manager: String,
    pub force: Option<bool>,
    pub grace_period_seconds: Option<i64>,
    pub propagation_policy: String,
    pub include_object: String,
    pub field_validation: String,
}

impl Query {
    /// Reads the query part of a URI.
    ///
    /// # Errors
    /// BadRequest for values that do not parse.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        let mut query = Self::default();
        for (key, value) in form_urlencoded::parse(text.as_bytes()) {
            query.set(&key, &value)?;
        }
        Ok(query)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), ApiError> {
        match key {
            "watch" => self.watch = boolean(value),
            "labelSelector" => value.clone_into(&mut self.label_selector),
            "fieldSelector" => value.clone_into(&mut self.field_selector),
            "limit" => self.limit = usize::try_from(integer(value)?).ok().filter(|limit| *limit > 0),
            "continue" => value.clone_into(&mut self.continuation),
            "resourceVersion" => value.clone_into(&mut self.resource_version),
            "resourceVersionMatch" => value.clone_into(&mut self.version_match),
            "timeoutSeconds" => {
                self.timeout = u64::try_from(integer(value)?)
                    .ok()
                    .filter(|&s| s > 0)
                    .map(Duration::from_secs);
            }
            "allowWatchBookmarks" => self.bookmarks = boolean(value),
            "sendInitialEvents" => self.send_initial_events = Some(boolean(value)),
            "dryRun" => self.set_dry_run(value)?,
            "fieldManager" => value.clone_into(&mut self.field_manager),
            "force" => self.force = Some(boolean(value)),
            "gracePeriodSeconds" => self.grace_period_seconds = Some(integer(value)?),
            "propagationPolicy" => value.clone_into(&mut self.propagation_policy),
            "includeObject" => value.clone_into(&mut self.include_object),
            "fieldValidation" => value.clone_into(&mut self.field_validation),
            _ => {}
        }
        Ok(())
    }

    /// `All` is the only value there is.
    pub fn set_dry_run(&mut self, value: &str) -> Result<(), ApiError> {
        match value {
            "" => {}
            "All" => self.dry_run = true,
            other => {
                let message = format!("Unsupported value: \"{other}\": supported values: \"All\"");
                let cause = Cause::new("FieldValueNotSupported", "dryRun", message);
                return Err(ApiError::invalid("DryRun", "meta.k8s.io", "", vec![cause]));
            }
        }
        Ok(())
    }

    /// The resourceVersion as a number; none when unset.
    pub fn revision(&self) -> Result<Option<u64>, ApiError> {
        if self.resource_version.is_empty() {
            return Ok(None);
        }
        let wrong = || {
            let value = serde_json::Value::from(self.resource_version.as_str());
            let cause = Cause::invalid("resourceVersion", &value, "strconv.ParseUint: invalid syntax");
            ApiError::invalid("ListOptions", "meta.k8s.io", "", vec![cause])
        };
        self.resource_version.parse().map(Some).map_err(|_| wrong())
    }

    /// Checks that the list and watch parameters go together.
    ///
    /// Source: `apimachinery pkg/apis/meta/internalversion/validation`.
    pub fn check_list(&self) -> Result<(), ApiError> {
        let mut causes = Vec::new();
        if self.watch {
            self.check_watch(&mut causes);
        } else {
            self.check_plain_list(&mut causes);
        }
        if causes.is_empty() {
            Ok(())
        } else {
            Err(ApiError::invalid("ListOptions", "meta.k8s.io", "", causes))
        }
    }

    fn check_watch(&self, causes: &mut Vec<Cause>) {
        let (field, found) = ("resourceVersionMatch", self.version_match.as_str());
        match (self.send_initial_events, found) {
            (None, "") | (Some(_), "NotOlderThan") => {}
            (None, _) => {
                let detail =
                    "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
                causes.push(Cause::forbidden(field, detail));
            }
            (Some(_), _) => {
                let detail = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
                causes.push(Cause::forbidden(field, detail));
            }
        }
    }

    fn check_plain_list(&self, causes: &mut Vec<Cause>) {
        let field = "resourceVersionMatch";
        if self.send_initial_events.is_some() {
            let detail = "sendInitialEvents is forbidden for list";
            causes.push(Cause::forbidden("sendInitialEvents", detail));
        }
        if self.version_match.is_empty() {
            return;
        }
        if self.resource_version.is_empty() {
            let detail = "resourceVersionMatch is forbidden unless resourceVersion is provided";
            causes.push(Cause::forbidden(field, detail));
        }
        if !self.continuation.is_empty() {
            causes.push(Cause::forbidden(
                field,
                "resourceVersionMatch is forbidden when continue is provided",
            ));
        }
        if !matches!(self.version_match.as_str(), "Exact" | "NotOlderThan") {
            let message = format!(
                "Unsupported value: \"{}\": supported values: \"Exact\", \"NotOlderThan\", \"\"",
                self.version_match
            );
            causes.push(Cause::new("FieldValueNotSupported", field, message));
        } else if self.version_match == "Exact" && self.resource_version == "0" {
            let detail = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
            causes.push(Cause::forbidden(field, detail));
        }
    }
}

/// As the real server reads them: everything but these is true.
fn boolean(value: &str) -> bool {
    !matches!(value, "false" | "0")
}

fn integer(value: &str) -> Result<i64, ApiError> {
    let wrong = |_| ApiError::bad_request(format!("strconv.ParseInt: parsing \"{value}\": invalid syntax"));
    value.parse().map_err(wrong)
}
