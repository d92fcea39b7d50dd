//! The body of a request in EC2's Query protocol. Source: EC2 API reference, "Make requests to the Amazon EC2 API".

use std::collections::BTreeMap;

use form_urlencoded::Serializer;

use super::super::errors::Action;
use super::super::limit::bucket::Bucket;
use super::super::limit::line::Asks;
use super::super::retry::Request;
use super::super::types::Selection;

/// Members that may differ when the same is asked for again.
const VARYING: [&str; 2] = ["Device", "EbsCardIndex"];
/// The version of the API whose members are sent and read.
const VERSION: &str = "2016-11-15";

/// The members of a request, in the order in which they were given.
#[derive(Clone, Debug)]
pub(super) struct Form {
    pub(super) action: Action,
    members: Vec<(String, String)>,
    owner: String,
}

impl Form {
    pub(super) fn new(action: Action) -> Self {
        Self {
            action,
            members: Vec::new(),
            owner: String::new(),
        }
    }

    /// Whose request it is, for its turn. It is not sent.
    pub(super) fn owned_by(mut self, owner: Option<&str>) -> Self {
        self.owner = owner.unwrap_or_default().to_owned();
        self
    }

    pub(super) fn with(mut self, name: impl Into<String>, value: impl ToString) -> Self {
        self.members.push((name.into(), value.to_string()));
        self
    }

    /// Nothing is sent for a value that is not set.
    pub(super) fn with_set(self, name: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Members `name.1`, `name.2` and so on.
    pub(super) fn with_list(self, name: &str, values: &[String]) -> Self {
        values
            .iter()
            .zip(1..)
            .fold(self, |form, (value, number): (_, usize)| {
                form.with(format!("{name}.{number}"), value)
            })
    }

    /// Filters of one value each, all of which must hold.
    pub(super) fn with_filters(self, filters: &[(&str, &str)]) -> Self {
        let numbered = filters.iter().zip(1..);
        numbered.fold(self, |form, ((name, value), number): (_, usize)| {
            form.with(format!("Filter.{number}.Name"), name)
                .with(format!("Filter.{number}.Value.1"), value)
        })
    }

    /// The only filter of its request.
    pub(super) fn with_filter(self, name: &str, values: &[String]) -> Self {
        self.with("Filter.1.Name", name)
            .with_list("Filter.1.Value", values)
    }

    /// `ids` is the list of IDs of this action, `id_filter` the filter that means the same.
    pub(super) fn with_selection(self, ids: &str, id_filter: &str, selection: &Selection) -> Self {
        match selection {
            Selection::Ids(values) => self.with_list(ids, values),
            Selection::FilteredIds(values) => self.with_filter(id_filter, values),
            Selection::Tag { key, values } => self.with_filter(&format!("tag:{key}"), values),
        }
    }

    /// The tags of the one thing that the action makes.
    pub(super) fn with_tags(self, resource_type: &str, tags: &BTreeMap<String, String>) -> Self {
        let form = self.with("TagSpecification.1.ResourceType", resource_type);
        tags.iter()
            .zip(1..)
            .fold(form, |form, ((key, value), number): (_, usize)| {
                form.with(format!("TagSpecification.1.Tag.{number}.Key"), key)
                    .with(format!("TagSpecification.1.Tag.{number}.Value"), value)
            })
    }

    /// What its turn depends on. The same form again is the same work.
    pub(super) fn request(&self) -> Request {
        let is_narrow = |(name, _): &(String, String)| name == "MaxResults" || name == "Filter.1.Name";
        let mut same = self.clone();
        same.members.retain(|(name, _)| !VARYING.contains(&name.as_str()));
        Request {
            action: self.action,
            bucket: Bucket::of(self.action, self.members.iter().any(is_narrow)),
            asks: Asks {
                work: same.encoded(),
                // Deletions without one wait for each other, and not for other actions.
                owner: match self.owner.as_str() {
                    "" => self.action.name().to_owned(),
                    owner => owner.to_owned(),
                },
                needs: 1,
            },
        }
    }

    /// The form as it is sent.
    pub(super) fn encoded(&self) -> String {
        Serializer::new(String::new())
            .append_pair("Action", self.action.name())
            .append_pair("Version", VERSION)
            .extend_pairs(&self.members)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_named_and_encoded() {
        let tags = BTreeMap::from([
            ("a b".to_owned(), "c&d=ü".to_owned()),
            ("e".to_owned(), String::new()),
        ]);
        let form = Form::new(Action::CreateSnapshot)
            .with("VolumeId", "vol-1")
            .with_set("OutpostArn", None::<String>)
            .with_set("Size", Some(3))
            .with_tags("snapshot", &tags);
        assert_eq!(
            form.encoded(),
            "Action=CreateSnapshot&Version=2016-11-15&VolumeId=vol-1&Size=3\
             &TagSpecification.1.ResourceType=snapshot\
             &TagSpecification.1.Tag.1.Key=a+b&TagSpecification.1.Tag.1.Value=c%26d%3D%C3%BC\
             &TagSpecification.1.Tag.2.Key=e&TagSpecification.1.Tag.2.Value="
        );
    }

    #[test]
    fn the_turn_of_a_request_goes_by_what_it_asks_for() {
        let attach = |device: &str| {
            Form::new(Action::AttachVolume)
                .with("VolumeId", "vol-1")
                .with("Device", device)
                .owned_by(Some("i-1"))
                .request()
        };
        let one = attach("/dev/xvdaa");
        assert_eq!(one.asks, attach("/dev/xvdab").asks, "the same work");
        assert_eq!((one.bucket, one.asks.owner.as_str()), (Bucket::Changes, "i-1"));
        let delete = Form::new(Action::DeleteSnapshot).with("SnapshotId", "snap-1");
        assert_eq!(delete.request().asks.owner, "DeleteSnapshot", "one owner of all");
        let describe = Form::new(Action::DescribeVolumes);
        assert_eq!(describe.request().bucket, Bucket::DescribeWhole);
        let paged = describe.clone().with("MaxResults", 500);
        assert_eq!(paged.request().bucket, Bucket::Describe);
        let filtered = describe.with_filter("volume-id", &["vol-1".to_owned()]);
        assert_eq!(filtered.request().bucket, Bucket::Describe);
    }

    #[test]
    fn selections_are_lists_or_filters() {
        let encoded = |selection: Selection| {
            let form = Form::new(Action::DescribeVolumes);
            form.with_selection("VolumeId", "volume-id", &selection).encoded()
        };
        let ids = || vec!["vol-1".to_owned(), "vol-2".to_owned()];
        let start = "Action=DescribeVolumes&Version=2016-11-15";
        let form =
            Form::new(Action::DescribeVolumes).with_filters(&[("status", "available"), ("tag-key", "a")]);
        assert_eq!(
            form.encoded(),
            "Action=DescribeVolumes&Version=2016-11-15&Filter.1.Name=status&Filter.1.Value.1=available\
             &Filter.2.Name=tag-key&Filter.2.Value.1=a"
        );
        assert_eq!(
            encoded(Selection::Ids(ids())),
            format!("{start}&VolumeId.1=vol-1&VolumeId.2=vol-2")
        );
        assert_eq!(
            encoded(Selection::FilteredIds(ids())),
            format!("{start}&Filter.1.Name=volume-id&Filter.1.Value.1=vol-1&Filter.1.Value.2=vol-2")
        );
        assert_eq!(
            encoded(Selection::Tag {
                key: "CSIVolumeName",
                values: vec!["pvc-1".to_owned()]
            }),
            format!("{start}&Filter.1.Name=tag%3ACSIVolumeName&Filter.1.Value.1=pvc-1")
        );
    }
}
