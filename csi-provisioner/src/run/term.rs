//! What a term of leadership works on: its caches, and how they begin.

use std::sync::Arc;
use std::time::Duration;

use controller::{Driver as _, Editor, Error};
use crds::v1::{VolumeSnapshot, VolumeSnapshotContent};
use k8s_openapi::api::storage::v1::{CSINode, StorageClass};
use runtime::access::{PATCH_CLAIMS, Permission};
use runtime::objects::{Attachment, AttributesClass, Claim, NodeLabels, Volume};
use runtime::{Cache, Cached, Selection, migration};

use crate::busy::Busy;
use crate::capacity::{self, Whereabouts};
use crate::former::Former;
use crate::grants::{self, ReferenceGrant};
use crate::observe::Settings;
use crate::triggers::Placeless;
use crate::{kept, triggers};

use super::kinds::{Kinds, SNAPSHOTS};
use super::{NAME, Prepared};

const PATCH_SNAPSHOTS: Permission = Permission {
    verb: "patch",
    group: crds::names::GROUP,
    resource: SNAPSHOTS,
};

/// So long the grants are waited for.
const GRANTS_PATIENCE: Duration = Duration::from_secs(10);

/// What a term of leadership works on.
pub(super) struct Term {
    pub(super) claims: Cache<Claim>,
    pub(super) volumes: Cache<Volume>,
    pub(super) classes: Cache<StorageClass>,
    /// None where they are not followed: the driver needs none of them, the API server has none, or our role does not show them.
    pub(super) attributes: Option<Cache<AttributesClass>>,
    /// The attributes classes as the API server has them.
    pub(super) all_attributes: Selection,
    /// The API server says that it serves them.
    pub(super) serves_attributes: bool,
    pub(super) serves_snapshots: bool,
    pub(super) snapshots: Option<Cache<VolumeSnapshot>>,
    pub(super) contents: Option<Cache<VolumeSnapshotContent>>,
    pub(super) grants: Option<Cache<ReferenceGrant>>,
    serves_grants: bool,
    pub(super) attachments: Option<Cache<Attachment>>,
    pub(super) nodes: Option<(Cache<NodeLabels>, Cache<CSINode>)>,
    pub(super) placeless: Placeless,
    /// None where no capacity is published.
    pub(super) capacity: Option<capacity::Term>,
    pub(super) claim_editor: Arc<Editor<Claim>>,
    pub(super) snapshot_editor: Arc<Editor<VolumeSnapshot>>,
    pub(super) busy: Busy,
    pub(super) former: Former,
    pub(super) settings: Settings,
}

impl Term {
    /// Waits for the caches. Grants are waited for where their kind is served, so that a claim is not told of one that is only not
    /// known yet, and for a while only: our role may not show them.
    async fn caught_up(&self) {
        let grants = async {
            if self.serves_grants {
                let _ = tokio::time::timeout(GRANTS_PATIENCE, caught_up(self.grants.as_ref())).await;
            }
        };
        let nodes = async {
            if let Some((labels, drivers)) = &self.nodes {
                tokio::join!(labels.caught_up(), drivers.caught_up());
            }
        };
        tokio::join!(
            self.claims.caught_up(),
            self.classes.caught_up(),
            caught_up(self.attachments.as_ref()),
            caught_up(self.attributes.as_ref()),
            caught_up(self.snapshots.as_ref()),
            caught_up(self.contents.as_ref()),
            grants,
            nodes,
        );
    }
}

impl Prepared {
    /// The caches, up to date.
    pub(super) async fn begin(&self) -> Result<Term, Error> {
        let watches = &self.sidecar.function().context().watches;
        let driver = self.sidecar.driver();
        let kinds = self.kinds().await;
        let volumes: Cache<Volume> =
            watches.cache_keeping(driver.name(), migration::volumes_of(driver.name()));
        // Which claims are kept is seen from the volumes.
        volumes.caught_up().await;
        // From here on nothing is waited for: a list that is in before its cache is asked to catch up is made once more.
        let claims = self.claims(&volumes)?;
        let all = Selection::default;
        let attributes = kinds.attributes.as_ref().filter(|_| kinds.follows_attributes);
        let attributes = attributes.map(|served| watches.cache(served.clone()));
        let snapshots = kinds.follows_snapshots.then(|| watches.cache(all()));
        let contents = kinds.follows_contents.then(|| watches.cache(all()));
        let has_topology = driver.has_topology && self.config.topology;
        let is_alone = self.local.is_some();
        let needs_nodes = !is_alone && (has_topology || self.publishing.is_some());
        let nodes = needs_nodes.then(|| (watches.cache(all()), watches.cache(all())));
        let classes: Cache<StorageClass> = watches.cache(all());
        let capacity = self.capacity(&classes, nodes.as_ref())?;
        let attachments = self.attachments()?;
        let grants = self.grants()?;
        let term = Term {
            settings: self.settings(&kinds, has_topology),
            claims,
            volumes,
            classes,
            attributes,
            all_attributes: kinds.attributes.unwrap_or_default(),
            serves_attributes: kinds.serves_attributes,
            serves_snapshots: kinds.serves_snapshots,
            snapshots,
            contents,
            grants,
            serves_grants: kinds.serves_grants,
            attachments,
            nodes,
            placeless: Placeless::default(),
            capacity,
            claim_editor: self.editor(PATCH_CLAIMS),
            snapshot_editor: self.editor(PATCH_SNAPSHOTS),
            busy: Busy::default(),
            former: self.former(),
        };
        term.caught_up().await;
        term.former.begin(&term.claims, &term.settings);
        Ok(term)
    }

    /// The claims that matter beside these volumes, with their indexes.
    fn claims(&self, volumes: &Cache<Volume>) -> Result<Cache<Claim>, Error> {
        let watches = &self.sidecar.function().context().watches;
        let driver = self.sidecar.driver().name();
        let claims: Cache<Claim> = watches.cache_keeping(
            &format!("csi-provisioner of {driver}"),
            kept::claims(driver, volumes.clone()),
        );
        claims.index(triggers::BY_UID, triggers::uid_of)?;
        claims.index(triggers::BY_SOURCE, triggers::sources_of)?;
        claims.index(triggers::BY_CLASS, triggers::class_of)?;
        claims.index(triggers::BY_ATTRIBUTES, triggers::attributes_of)?;
        claims.index(triggers::BY_NODE, triggers::node_of)?;
        claims.index(triggers::BY_SOURCE_NAMESPACE, triggers::source_namespace_of)?;
        Ok(claims)
    }

    fn attachments(&self) -> Result<Option<Cache<Attachment>>, Error> {
        if !self.sidecar.driver().attaches {
            return Ok(None);
        }
        let watches = &self.sidecar.function().context().watches;
        let attachments: Cache<Attachment> = watches.cache(Selection::default());
        attachments.index(triggers::BY_VOLUME, triggers::volume_of)?;
        Ok(Some(attachments))
    }

    fn grants(&self) -> Result<Option<Cache<ReferenceGrant>>, Error> {
        if !self.config.cross_namespace {
            return Ok(None);
        }
        let watches = &self.sidecar.function().context().watches;
        let grants: Cache<ReferenceGrant> = watches.cache(Selection::default());
        grants.index(grants::BY_NAMESPACE, grants::namespace_of)?;
        Ok(Some(grants))
    }

    fn settings(&self, kinds: &Kinds, topology: bool) -> Settings {
        let (config, driver) = (&self.config, self.sidecar.driver());
        Settings {
            driver: driver.clone(),
            in_tree: migration::in_tree_plugin(driver.name()),
            name_prefix: config.volume_name_prefix.clone(),
            uid_length: config.uid_length,
            extra_create_metadata: config.extra_create_metadata,
            default_fs_type: config.default_fs_type.clone(),
            publish_read_only: config.publish_read_only,
            prevent_mode_conversion: config.prevent_mode_conversion,
            attributes_classes: kinds.attributes.is_some(),
            lacks_attributes: kinds.lacks_attributes,
            cross_namespace: config.cross_namespace,
            topology,
            identity: self.identity.clone(),
            timeout: config.driver.timeout,
            retry_interval_max: config.common.retry_intervals.1,
            local: self.local.clone(),
        }
    }

    /// None where no capacity is published.
    fn capacity(
        &self,
        classes: &Cache<StorageClass>,
        nodes: Option<&(Cache<NodeLabels>, Cache<CSINode>)>,
    ) -> Result<Option<capacity::Term>, Error> {
        let Some(publishing) = &self.publishing else {
            return Ok(None);
        };
        let whereabouts = match (&self.local, nodes) {
            (Some(local), _) => Whereabouts::Node(local.labels.clone()),
            (None, Some((labels, drivers))) => Whereabouts::Cluster {
                labels: labels.clone(),
                drivers: drivers.clone(),
            },
            (None, None) => return Ok(None),
        };
        let watches = &self.sidecar.function().context().watches;
        publishing.begin(watches, classes, whereabouts).map(Some)
    }

    /// A driver of another process cannot be asked what it has made.
    fn former(&self) -> Former {
        match self.sidecar.channel().inventory() {
            Some(_) => Former::kept(),
            None => Former::default(),
        }
    }

    fn editor<K: Cached>(&self, permission: Permission) -> Arc<Editor<K>> {
        let context = self.sidecar.function().context();
        let (client, random) = (&context.client, context.random.fork());
        Arc::new(Editor::new(client, NAME, random, permission))
    }
}

async fn caught_up<K: Cached>(cache: Option<&Cache<K>>) {
    if let Some(cache) = cache {
        cache.caught_up().await;
    }
}
