//! Which kinds a term can follow: what the API server serves and our role shows.

use runtime::Selection;
use runtime::access::{is_served, may_follow, served_version};
use runtime::objects::AttributesClass;

use super::Prepared;

const STORAGE: &str = "storage.k8s.io";
const ATTRIBUTES: &str = "volumeattributesclasses";
const SNAPSHOT_V1: &str = "snapshot.storage.k8s.io/v1";
pub(super) const SNAPSHOTS: &str = "volumesnapshots";
const CONTENTS: &str = "volumesnapshotcontents";
const GRANTS_V1BETA1: &str = "gateway.networking.k8s.io/v1beta1";
const GRANTS: &str = "referencegrants";

/// Which kinds there are in this term.
pub(super) struct Kinds {
    /// All attributes classes, where the API server serves them, or does not say, or a flag demands them.
    pub(super) attributes: Option<Selection>,
    /// The API server says that it serves them.
    pub(super) serves_attributes: bool,
    /// It says that it does not.
    pub(super) lacks_attributes: bool,
    /// Our role and the driver let us follow them.
    pub(super) follows_attributes: bool,
    /// The driver makes snapshots, and the API server has the kinds.
    pub(super) serves_snapshots: bool,
    /// Our role lets us follow them.
    pub(super) follows_snapshots: bool,
    /// The same for their contents.
    pub(super) follows_contents: bool,
    /// Grants are looked at, and the API server has the kind.
    pub(super) serves_grants: bool,
}

/// What the API server says of a kind.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    /// It serves it.
    Served,
    /// It does not.
    Lacking,
    /// It was not asked, or gave no answer.
    Nothing,
}

impl Prepared {
    pub(super) async fn kinds(&self) -> Kinds {
        let driver = self.sidecar.driver();
        let (attributes, said) = self.served_attributes().await;
        let serves_attributes = said == Said::Served;
        let has_snapshots = driver.snapshots && self.serves(SNAPSHOT_V1, SNAPSHOTS).await;
        Kinds {
            follows_attributes: serves_attributes
                && driver.modifies
                && self.may_follow(STORAGE, ATTRIBUTES).await,
            attributes,
            serves_attributes,
            lacks_attributes: said == Said::Lacking,
            serves_snapshots: has_snapshots,
            follows_snapshots: has_snapshots && self.may_follow(crds::names::GROUP, SNAPSHOTS).await,
            follows_contents: has_snapshots && self.may_follow(crds::names::GROUP, CONTENTS).await,
            serves_grants: self.config.cross_namespace && self.serves(GRANTS_V1BETA1, GRANTS).await,
        }
    }

    /// Whether our role lets us follow a kind.
    async fn may_follow(&self, group: &'static str, resource: &'static str) -> bool {
        let context = self.sidecar.function().context();
        let may = may_follow(&context.client, &context.random.fork(), group, resource).await;
        if !may {
            tracing::info!(
                resource,
                "our role does not let us list and watch these: each is asked for when it is named"
            );
        }
        may
    }

    /// All attributes classes as the API server has them, and what it says of them; none where it has none, or they are off. Where
    /// it does not say a volume of the default kind would be made for a claim that asks for a class: each class is asked for then.
    /// So it is where it has none and a flag demands them: the claim is told.
    async fn served_attributes(&self) -> (Option<Selection>, Said) {
        if !self.config.attributes_classes {
            return (None, Said::Nothing);
        }
        let versions = AttributesClass::versions(self.config.attributes_fallback);
        let context = self.sidecar.function().context();
        let random = context.random.fork();
        let served = served_version(&context.client, &random, STORAGE, versions, ATTRIBUTES).await;
        match served {
            Ok(Some(version)) => {
                let all = Selection::default().in_version::<AttributesClass>(version);
                (Some(all), Said::Served)
            }
            Ok(None) if self.config.attributes_demanded => {
                tracing::warn!(
                    "the feature gate VolumeAttributesClass is switched on by a flag, and the API server does not serve \
                     {ATTRIBUTES} of {STORAGE}/{}: no volume is made for a claim that names one",
                    versions.join(" or ")
                );
                (Some(Selection::default()), Said::Lacking)
            }
            Ok(None) => (None, Said::Lacking),
            Err(error) => {
                tracing::warn!(
                    %error,
                    resource = ATTRIBUTES,
                    "the API server does not say whether it serves these: each is asked for when it is named"
                );
                (Some(Selection::default()), Said::Nothing)
            }
        }
    }

    async fn serves(&self, group_version: &str, resource: &'static str) -> bool {
        let context = self.sidecar.function().context();
        let served = is_served(&context.client, &context.random.fork(), group_version, resource).await;
        served.unwrap_or_else(|error| {
            tracing::warn!(%error, resource, "the API server does not say whether it serves these; taken as no");
            false
        })
    }
}
