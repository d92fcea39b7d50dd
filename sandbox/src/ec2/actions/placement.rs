//! Where a new volume is placed, and how it is encrypted.

use super::super::errors::Ec2Error;
use super::super::options::{Ec2Options, Zone};
use super::super::query::Form;
use super::super::state::Call;

/// The wish for a place.
#[derive(Debug)]
pub(super) struct Placement {
    zone: Option<String>,
    zone_id: Option<String>,
    pub(super) outpost_arn: Option<String>,
}

impl Placement {
    /// Takes the wish out of a request.
    pub(super) fn take(form: &mut Form) -> Self {
        Self {
            zone: form.text("AvailabilityZone"),
            zone_id: form.text("AvailabilityZoneId"),
            outpost_arn: form.text("OutpostArn"),
        }
    }

    /// The zone that is meant.
    ///
    /// # Errors
    /// `MissingParameter` without a zone, `InvalidParameterCombination` with name and ID, `InvalidZone.NotFound`,
    /// `InvalidParameterValue` for an Outpost that does not exist there.
    pub(super) fn zone(&self, call: &Call<'_>) -> Result<Zone, Ec2Error> {
        let zone = match (&self.zone, &self.zone_id) {
            (None, None) => return Err(Ec2Error::missing("AvailabilityZone")),
            (Some(_), Some(_)) => {
                return Err(Ec2Error::combination(
                    "The parameter AvailabilityZone cannot be used with the parameter AvailabilityZoneId",
                ));
            }
            (Some(name), None) => find(call.options, name, |zone| &zone.name),
            (None, Some(id)) => find(call.options, id, |zone| &zone.id),
        }?;
        match &self.outpost_arn {
            Some(arn) if !outpost_in(call.options, arn, &zone) => Err(Ec2Error::invalid_value(
                "outpostArn",
                arn,
                "There is no such Outpost in the zone.",
            )),
            _ => Ok(zone),
        }
    }
}

fn find(options: &Ec2Options, wanted: &str, by: impl Fn(&Zone) -> &String) -> Result<Zone, Ec2Error> {
    let found = options.zones.iter().find(|zone| by(zone) == wanted);
    found.cloned().ok_or_else(|| {
        Ec2Error::new(
            "InvalidZone.NotFound",
            format!("The zone '{wanted}' does not exist."),
        )
    })
}

fn outpost_in(options: &Ec2Options, arn: &str, zone: &Zone) -> bool {
    options
        .outposts
        .iter()
        .any(|outpost| outpost.arn == arn && outpost.zone == zone.name)
}

/// The wish for encryption, and what comes of it.
#[derive(Debug)]
pub(super) struct Encryption {
    encrypted: Option<bool>,
    kms_key_id: Option<String>,
}

/// What a new volume is filled from.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) size_gib: u32,
    pub(super) encrypted: bool,
    pub(super) kms_key_id: Option<String>,
}

/// How a volume is encrypted.
#[derive(Debug)]
pub(super) struct Encrypted {
    pub(super) encrypted: bool,
    pub(super) kms_key_id: Option<String>,
    /// Whether the key exists. If it does not, EC2 finds out only after it has answered.
    pub(super) key_exists: bool,
}

impl Encryption {
    /// Takes the wish out of a request.
    pub(super) fn take(form: &mut Form) -> Result<Self, Ec2Error> {
        Ok(Self {
            encrypted: form.boolean("Encrypted")?,
            kms_key_id: form.text("KmsKeyId"),
        })
    }

    /// The call says that the volume is to be encrypted.
    pub(super) fn is_asked_for(&self) -> bool {
        self.encrypted.unwrap_or_default()
    }

    /// What holds for a volume made of this source. A refusal of encryption is ignored
    /// where the source or the account asks for it.
    ///
    /// # Errors
    /// `InvalidParameterDependency` for a key without encryption.
    pub(super) fn of(&self, source: Option<&Source>, call: &Call<'_>) -> Result<Encrypted, Ec2Error> {
        let options = call.options;
        let of_source = source.is_some_and(|source| source.encrypted);
        let asked = self.is_asked_for();
        let source_key = source.and_then(|source| source.kms_key_id.clone());
        if self.kms_key_id.is_some() && !asked {
            return Err(Ec2Error::new(
                "InvalidParameterDependency",
                "The parameter KmsKeyId requires the parameter Encrypted to be set.",
            ));
        }
        let encrypted = asked || of_source || options.encryption_by_default;
        let default_key = || {
            format!(
                "arn:aws:kms:{}:{}:key/00000000-0000-4000-8000-000000000000",
                options.region, options.account_id
            )
        };
        let key_exists = match (&self.kms_key_id, &options.kms_keys) {
            (Some(key), Some(keys)) => keys.contains(key),
            _ => true,
        };
        Ok(Encrypted {
            encrypted,
            kms_key_id: encrypted.then(|| self.kms_key_id.clone().or(source_key).unwrap_or_else(default_key)),
            key_exists,
        })
    }
}
