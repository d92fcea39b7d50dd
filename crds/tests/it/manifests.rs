//! The YAML in `crds/manifests/` is what the types say.

use std::path::PathBuf;

use crds::definitions;
use serde_json::Value;

/// Set this variable to any value to write the manifests anew.
const UPDATE: &str = "UPDATE_MANIFESTS";

#[test]
fn manifests_are_current() {
    for kind in definitions::KINDS {
        let (definition, file) = (kind.definition(), kind.file);
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("manifests")
            .join(file);
        if std::env::var_os(UPDATE).is_some() {
            let yaml = serde_saphyr::to_string(&definition).unwrap();
            std::fs::write(path, format!("---\n{yaml}")).unwrap();
            continue;
        }
        let written: Value = serde_saphyr::from_str(kind.manifest).unwrap();
        assert_eq!(
            written, definition,
            "{file} is not what the types say; run `{UPDATE}=1 cargo test -p crds manifests_are_current`"
        );
    }
}
