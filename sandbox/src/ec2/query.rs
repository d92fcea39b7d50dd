//! The Query protocol: a form with an action, a version and numbered lists.

use std::collections::BTreeMap;
use std::str::FromStr;

use jiff::Timestamp;

use super::errors::Ec2Error;

const VERSION: &str = "2016-11-15";

/// The parameters of one request. Actions take out what they know; [`Form::finish`] refuses the rest.
#[derive(Clone, Debug, Default)]
pub(super) struct Form {
    values: BTreeMap<String, String>,
}

/// A form with its action.
#[derive(Debug)]
pub(super) struct Query {
    /// The action, as `CreateVolume`.
    pub(super) action: String,
    /// Everything but action and version.
    pub(super) form: Form,
}

impl Query {
    /// Reads a form body. A parameter given twice keeps its last value.
    ///
    /// # Errors
    /// `MissingAction` and `NoSuchVersion`.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Ec2Error> {
        let mut values: BTreeMap<String, String> = form_urlencoded::parse(body).into_owned().collect();
        let action = values
            .remove("Action")
            .filter(|action| !action.is_empty())
            .ok_or_else(|| Ec2Error::new("MissingAction", "The request is missing an action."))?;
        let version = values.remove("Version").unwrap_or_default();
        if version != VERSION {
            return Err(Ec2Error::new(
                "NoSuchVersion",
                format!("The requested version ({version}) of service ec2 does not exist"),
            ));
        }
        Ok(Self {
            action,
            form: Form { values },
        })
    }
}

impl Form {
    /// A form with these parameters.
    pub(super) fn of(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        Self {
            values: pairs.into_iter().collect(),
        }
    }

    /// All parameters as sent.
    pub(super) fn values(&self) -> &BTreeMap<String, String> {
        &self.values
    }

    /// Whether it has a filter or a page size.
    pub(super) fn is_narrow(&self) -> bool {
        self.values.contains_key("MaxResults") || self.values.contains_key("Filter.1.Name")
    }

    /// What a client token stands for: all parameters but the token and the dry-run mark.
    pub(super) fn fingerprint(&self) -> String {
        let mut writer = form_urlencoded::Serializer::new(String::new());
        for (name, value) in &self.values {
            if name != "ClientToken" && name != "DryRun" {
                writer.append_pair(name, value);
            }
        }
        writer.finish()
    }

    /// Takes out a text.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        self.values.remove(name)
    }

    /// Takes out a text that must be there.
    pub(super) fn required(&mut self, name: &str) -> Result<String, Ec2Error> {
        self.text(name)
            .filter(|value| !value.is_empty())
            .ok_or_else(|| Ec2Error::missing(name))
    }

    /// Takes out a whole number of 32 bits.
    pub(super) fn integer(&mut self, name: &str) -> Result<Option<i32>, Ec2Error> {
        self.parsed(name, "integer")
    }

    /// Takes out a whole number that cannot be negative.
    pub(super) fn count(&mut self, name: &str) -> Result<Option<u32>, Ec2Error> {
        match self.integer(name)? {
            None => Ok(None),
            Some(value) => u32::try_from(value)
                .map(Some)
                .map_err(|_| Ec2Error::invalid_value(name, &value.to_string(), "It must not be negative.")),
        }
    }

    /// Takes out `true` or `false`.
    pub(super) fn boolean(&mut self, name: &str) -> Result<Option<bool>, Ec2Error> {
        self.parsed(name, "boolean")
    }

    /// Takes out a moment.
    pub(super) fn time(&mut self, name: &str) -> Result<Option<Timestamp>, Ec2Error> {
        self.parsed(name, "date")
    }

    /// Takes out the mark that asks for a rehearsal.
    pub(super) fn dry_run(&mut self) -> Result<bool, Ec2Error> {
        Ok(self.boolean("DryRun")?.unwrap_or_default())
    }

    /// Takes out `name.1`, `name.2` and so on, in the order of their numbers.
    pub(super) fn list(&mut self, name: &str) -> Vec<String> {
        let numbers = self.numbers(name);
        let keys = numbers.into_iter().map(|number| format!("{name}.{number}"));
        keys.filter_map(|key| self.values.remove(&key)).collect()
    }

    /// Takes out everything under `name.1.`, `name.2.` and so on, as one form each.
    pub(super) fn records(&mut self, name: &str) -> Vec<Form> {
        self.numbers(name)
            .into_iter()
            .map(|number| self.take_under(&format!("{name}.{number}.")))
            .collect()
    }

    /// Refuses parameters that no one took.
    ///
    /// # Errors
    /// `UnknownParameter`.
    pub(super) fn finish(self) -> Result<(), Ec2Error> {
        match self.values.keys().next() {
            None => Ok(()),
            Some(name) => Err(Ec2Error::new(
                "UnknownParameter",
                format!("The parameter {name} is not recognized"),
            )),
        }
    }

    fn parsed<T: FromStr>(&mut self, name: &str, kind: &str) -> Result<Option<T>, Ec2Error> {
        self.text(name)
            .map(|text| {
                text.parse().map_err(|_| {
                    Ec2Error::invalid(format!(
                        "Invalid value '{text}' for {name}: it must be of type {kind}"
                    ))
                })
            })
            .transpose()
    }

    fn numbers(&self, name: &str) -> Vec<u32> {
        let prefix = format!("{name}.");
        let mut numbers: Vec<u32> = self
            .values
            .range(prefix.clone()..)
            .map_while(|(key, _)| key.strip_prefix(&prefix))
            .filter_map(|rest| rest.split('.').next()?.parse().ok())
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    fn take_under(&mut self, prefix: &str) -> Form {
        let keys: Vec<String> = self
            .values
            .range(prefix.to_owned()..)
            .map(|(key, _)| key.clone())
            .take_while(|key| key.starts_with(prefix))
            .collect();
        let mut form = Form::default();
        for key in keys {
            if let Some(value) = self.values.remove(&key) {
                form.values.insert(key[prefix.len()..].to_owned(), value);
            }
        }
        form
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(body: &str) -> Form {
        Query::parse(format!("Action=A&Version=2016-11-15&{body}").as_bytes())
            .unwrap()
            .form
    }

    #[test]
    fn the_head_of_a_request_is_checked() {
        let code = |body: &str| Query::parse(body.as_bytes()).unwrap_err().code;
        assert_eq!(code(""), "MissingAction");
        assert_eq!(code("Action=&Version=2016-11-15"), "MissingAction");
        assert_eq!(code("Action=DescribeVolumes"), "NoSuchVersion");
        assert_eq!(code("Action=DescribeVolumes&Version=2014-01-01"), "NoSuchVersion");
        assert_eq!(
            Query::parse(b"Action=DescribeVolumes&Version=2016-11-15")
                .unwrap()
                .action,
            "DescribeVolumes"
        );
    }

    #[test]
    fn lists_are_in_the_order_of_their_numbers() {
        let mut form = form("VolumeId.10=j&VolumeId.2=b&VolumeId.1=a&VolumeIds.1=x");
        assert_eq!(form.list("VolumeId"), ["a", "b", "j"]);
        assert_eq!(
            form.finish().unwrap_err().message,
            "The parameter VolumeIds.1 is not recognized"
        );
    }

    #[test]
    fn records_are_forms() {
        let mut form = form("Filter.1.Name=status&Filter.1.Value.1=a&Filter.1.Value.2=b&Filter.2.Name=size");
        let mut records = form.records("Filter");
        assert_eq!(records.len(), 2);
        assert_eq!(records[0].text("Name").as_deref(), Some("status"));
        assert_eq!(records[0].list("Value"), ["a", "b"]);
        assert_eq!(records[1].text("Name").as_deref(), Some("size"));
        form.finish().unwrap();
    }

    #[test]
    fn values_of_the_wrong_kind_are_refused() {
        assert_eq!(
            form("Size=ten").integer("Size").unwrap_err().code,
            "InvalidParameterValue"
        );
        assert_eq!(
            form("Size=2147483648").integer("Size").unwrap_err().code,
            "InvalidParameterValue"
        );
        assert_eq!(
            form("Size=-1").count("Size").unwrap_err().code,
            "InvalidParameterValue"
        );
        assert_eq!(
            form("DryRun=yes").dry_run().unwrap_err().code,
            "InvalidParameterValue"
        );
        assert_eq!(
            form("VolumeId=").required("VolumeId").unwrap_err().code,
            "MissingParameter"
        );
        assert_eq!(form("").integer("Size").unwrap(), None);
    }

    #[test]
    fn the_fingerprint_ignores_token_and_rehearsal() {
        let left = form("Size=1&ClientToken=a&DryRun=true").fingerprint();
        assert_eq!(left, form("ClientToken=b&Size=1").fingerprint());
        assert_ne!(left, form("Size=2").fingerprint());
    }
}
