//! Components of `deploy/ebs`, as kubectl puts them over a shape.

use std::collections::BTreeSet;

use serde_json::Value;

use super::LAYER;
use crate::kustomized::Kustomize;
use crate::pods::{containers, named};

const SHAPES: [&str; 2] = ["drop-in", "all-in-one"];

/// A shape with components over it.
fn with(kustomize: &Kustomize, shape: &str, components: &[&str]) -> Vec<Value> {
    let components: Vec<_> = components
        .iter()
        .map(|one| format!("../../../deploy/ebs/components/{one}"))
        .collect();
    let components = components.join(", ");
    let text = format!("resources: [../../../deploy/ebs/{shape}]\ncomponents: [{components}]\n");
    kustomize.built(&kustomize.folder(shape, &text))
}

/// What is applied by the server must be known to it, whatever --validate says.
#[test]
fn journeys_case_116_before_1_33_the_csi_driver_has_no_field_that_is_unknown_there() {
    let Some(kustomize) = Kustomize::find(LAYER) else {
        return;
    };
    let field = "nodeAllocatableUpdatePeriodSeconds";
    for shape in SHAPES {
        for (components, has) in [
            (&[][..], true),
            (&["before-1.33"], false),
            (&["metadata-labeler", "before-1.33"], false),
        ] {
            let objects = with(&kustomize, shape, components);
            let spec = &named(&objects, "CSIDriver", "ebs.csi.aws.com").unwrap()["spec"];
            assert_eq!(spec.get(field).is_some(), has, "{shape} {components:?}: {spec}");
            assert_eq!(spec["attachRequired"], true);
        }
    }
}

/// Wherever the images are named: in the shape, as docs/install.md says, or in the overlay over it.
#[test]
fn the_metadata_labeler_has_the_image_of_the_driver() {
    let Some(kustomize) = Kustomize::find(LAYER) else {
        return;
    };
    let images = "images: [{ name: slackwater, newName: registry/slackwater, newTag: v7 }]\n";
    let component = "components: [../../../deploy/ebs/components/metadata-labeler]\n";
    for shape in SHAPES {
        let over = format!("resources: [../../../deploy/ebs/{shape}]\n");
        kustomize.folder("named", &format!("{over}{images}"));
        for text in [
            format!("resources: [../named]\n{component}"),
            format!("{over}{component}{images}"),
        ] {
            let objects = kustomize.built(&kustomize.folder("labeled", &text));
            let found = containers(named(&objects, "Deployment", "ebs-csi-controller").unwrap()).iter();
            let images: BTreeSet<_> = found.map(|one| one["image"].as_str().unwrap()).collect();
            assert_eq!(
                images,
                BTreeSet::from(["registry/slackwater:v7"]),
                "{shape}: {text}"
            );
        }
    }
}
