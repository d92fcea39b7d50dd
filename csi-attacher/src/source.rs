//! The volume of an attachment as its driver knows it. Source: sidecars.md 3.4 steps 2, 5 and 6, 6.2, 6.4.

use std::borrow::Cow;

use runtime::migration::{self, NotCsi};
use runtime::objects::{Attachment, CsiSource, SecretName, Volume};

/// The volume of an attachment.
#[derive(Clone, Debug, PartialEq)]
pub struct Source<'a> {
    /// Its object, or what stands in the attachment of a pod's own volume.
    pub volume: &'a Volume,
    /// As its driver knows it.
    pub csi: Cow<'a, CsiSource>,
    /// It is only translated that it is a CSI volume.
    pub migrated: bool,
}

/// Which volume cannot be told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSource {
    /// The attachment names none, or two.
    #[error("spec.source must have exactly one of persistentVolumeName and inlineVolumeSpec")]
    Ambiguous,
    /// The object is not known. It may come.
    #[error("PersistentVolume {0:?} not found")]
    Missing(String),
    /// No driver knows it.
    #[error(transparent)]
    NotCsi(#[from] NotCsi),
    /// The volume of a pod without a claim, which has to be one of CSI as it stands.
    #[error("inlineVolumeSpec has no csi source")]
    InlineNotCsi,
}

impl<'a> Source<'a> {
    /// The volume of `attachment`; `volume` is the object that it names, where that is known.
    ///
    /// # Errors
    /// [`NoSource`].
    pub fn of(attachment: &'a Attachment, volume: Option<&'a Volume>) -> Result<Self, NoSource> {
        match (&attachment.volume, &attachment.inline) {
            (Some(name), None) => {
                let volume = volume.ok_or_else(|| NoSource::Missing(name.clone()))?;
                Ok(Self {
                    volume,
                    csi: migration::source_of(volume)?,
                    migrated: migration::is_migrated(volume),
                })
            }
            (None, Some(inline)) => Ok(Self {
                volume: inline,
                csi: Cow::Borrowed(inline.csi.as_ref().ok_or(NoSource::InlineNotCsi)?),
                // Whoever made the attachment has translated it [K].
                migrated: false,
            }),
            _ => Err(NoSource::Ambiguous),
        }
    }

    /// The Secret of ControllerPublishVolume and ControllerUnpublishVolume.
    #[must_use]
    pub fn secret(&self) -> Option<&SecretName> {
        self.csi.controller_publish_secret_ref.as_deref()
    }
}
