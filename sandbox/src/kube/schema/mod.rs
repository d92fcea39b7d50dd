//! Structural schemas of custom resource definitions: compiled once, then used to prune, default and
//! validate every object of the kind.
//!
//! | Module | Subject |
//! |---|---|
//! | [`definition`] | checks of the definition around the schemas |
//! | [`node`], [`parse`] | the compiled schema tree and how it is read |
//! | [`pattern`] | regular expressions |
//! | [`prepare`], [`unknown`] | pruning, the fields that it removes, defaults |
//! | [`check`] | types, bounds, formats, lists |
//! | [`compile`], [`types`], [`literals`] | CEL rules, the types of their expressions, and what they cannot mean |
//! | [`rules`], [`value`], [`library`] | how they are evaluated, the values they see, the functions they may call |

mod check;
mod compile;
mod definition;
mod format;
mod library;
mod lists;
mod literals;
mod node;
mod parse;
mod pattern;
mod prepare;
mod rules;
mod types;
mod unknown;
mod value;

use std::collections::BTreeMap;

use serde_json::Value;

use self::compile::Environment;
use self::node::Node;

use super::validation::FieldError;

/// A custom resource definition, ready for use.
#[derive(Debug)]
pub struct CompiledCrd {
    versions: BTreeMap<String, Node>,
    environment: Environment,
}

impl CompiledCrd {
    /// Reads the definition, its schemas and their rules.
    ///
    /// # Errors
    /// One text `field: message` for each fault, as the API server lists them.
    pub fn compile(definition: &Value) -> Result<Self, Vec<String>> {
        let environment = Environment::new().map_err(|error| vec![error])?;
        let mut errors = definition::faults(definition);
        let mut versions = BTreeMap::new();
        let listed = definition["spec"]["versions"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        for (index, version) in listed.iter().enumerate() {
            // What all versions have in common is shown as it is stored there: once.
            let path = if listed.iter().all(|other| other["schema"] == version["schema"]) {
                "spec.validation.openAPIV3Schema".to_owned()
            } else {
                format!("spec.versions[{index}].schema.openAPIV3Schema")
            };
            let Some(schema) = version["schema"].get("openAPIV3Schema").filter(|s| s.is_object()) else {
                let path = format!("spec.versions[{index}].schema.openAPIV3Schema");
                errors.push(format!("{path}: Required value: schemas are required"));
                continue;
            };
            let node = parse::root(schema, &path, &environment, &mut errors);
            if errors.is_empty() {
                check::defaults(&node, &path, &mut errors);
            }
            if let Some(name) = version["name"].as_str() {
                versions.insert(name.to_owned(), node);
            }
        }
        if errors.is_empty() {
            Ok(Self {
                versions,
                environment,
            })
        } else {
            Err(errors)
        }
    }

    /// Removes what the schema does not know and fills in its defaults. A version that the definition
    /// does not have leaves the object as it is.
    pub fn prepare(&self, version: &str, object: &mut Value) {
        if let Some(schema) = self.versions.get(version) {
            prepare::prune_root(schema, object);
            prepare::default_root(schema, object);
        }
    }

    /// Adds the paths of the fields that [`CompiledCrd::prepare`] would remove.
    pub(crate) fn unknown(&self, version: &str, object: &Value, found: &mut Vec<String>) {
        if let Some(schema) = self.versions.get(version) {
            unknown::root(schema, object, found);
        }
    }

    /// Everything wrong with a prepared object; on an update `old` is the stored one. What an update
    /// leaves as it was is not complained about again (ratcheting), except by transition rules.
    #[must_use]
    pub fn validate(&self, version: &str, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let Some(schema) = self.versions.get(version) else {
            return Vec::new();
        };
        let mut errors = check::root(schema, new, old);
        lists::root(schema, new, old, &mut errors);
        let is_blocked = errors.iter().any(|error| error.kind.blocks_rules());
        if is_blocked && schema.has_rules {
            errors.push(FieldError::invalid(
                "<nil>",
                &Value::Null,
                "some validation rules were not checked because the object was invalid; correct the existing \
                 errors to complete validation",
            ));
        } else if !is_blocked {
            self.environment.root(schema, new, old, &mut errors);
        }
        errors
    }
}

#[cfg(test)]
mod tests;
