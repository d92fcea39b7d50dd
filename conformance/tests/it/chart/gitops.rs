//! `examples/21-gitops`: known to the real definitions of Argo CD and Flux, and applied as those two do it. Nothing must differ afterwards:
//! what differs is applied again and again.

use std::collections::{BTreeMap, BTreeSet};

use conformance::{ControlPlane, Kubectl};
use serde_json::{Value, json};

use super::site::{Foreign, Site};
use super::{Helm, LAYER, RELEASE, all_values, examples};
use crate::pods::{documents, of_kind};
use crate::shared::{self, repository};
use crate::stored;

const FOLDER: &str = "examples/21-gitops";
const FILES: [&str; 3] = ["argo-cd.yaml", "argo-cd-kustomize.yaml", "flux.yaml"];
const WAVE: &str = "argocd.argoproj.io/sync-wave";
const OPTIONS: &str = "argocd.argoproj.io/sync-options";

fn text(file: &str) -> String {
    let path = repository().join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The objects of one of the files.
fn read(file: &str) -> Vec<Value> {
    documents(&text(&format!("{FOLDER}/{file}")))
}

fn applications() -> Vec<Value> {
    [read(FILES[0]), read(FILES[1])].concat()
}

fn sources(application: &Value) -> &[Value] {
    application["spec"]["sources"].as_array().unwrap()
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap()
}

fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object["metadata"]["annotations"][key].as_str()
}

/// The tag of the version that the chart is of.
fn tag() -> String {
    let chart = documents(&text("charts/slackwater-ebs/Chart.yaml")).remove(0);
    format!("v{}", chart["appVersion"].as_str().unwrap())
}

/// A folder that kustomize or Helm can make objects of.
fn leads_somewhere(path: &str) {
    let folder = repository().join(path);
    let files = ["kustomization.yaml", "Chart.yaml"];
    assert!(
        files.iter().any(|file| folder.join(file).is_file()),
        "{path} is nothing to install"
    );
}

#[test]
fn sources_are_folders_of_this_version() {
    let files = std::fs::read_dir(repository().join(FOLDER)).unwrap();
    let there: BTreeSet<_> = files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(
        there,
        FILES
            .into_iter()
            .chain(["README.md"])
            .map(str::to_owned)
            .collect()
    );
    for application in applications() {
        for source in sources(&application) {
            assert_eq!(source["targetRevision"], tag(), "{source}");
            leads_somewhere(source["path"].as_str().unwrap());
        }
        let options = &application["spec"]["syncPolicy"]["syncOptions"];
        assert!(
            options
                .as_array()
                .unwrap()
                .contains(&json!("ServerSideApply=true"))
        );
        // No finalizer, so that the Application can go without what it has made.
        assert!(application["metadata"]["finalizers"].is_null());
    }
    let flux = read(FILES[2]);
    let repositories = of_kind(&flux, "GitRepository");
    assert_eq!(repositories[0]["spec"]["ref"]["tag"], tag());
    let kustomizations = of_kind(&flux, "Kustomization");
    for one in &kustomizations {
        let spec = &one["spec"];
        assert_eq!(spec["sourceRef"]["name"], name(repositories[0]));
        leads_somewhere(spec["path"].as_str().unwrap());
        for needed in spec["dependsOn"].as_array().into_iter().flatten() {
            assert!(
                kustomizations
                    .iter()
                    .any(|one| one["metadata"]["name"] == needed["name"])
            );
        }
    }
}

/// Selectors name the release; where Argo CD marks objects by a label it is the same one.
#[test]
fn the_release_of_the_chart_is_that_of_upstream() {
    let application = read(FILES[0]).remove(0);
    assert_eq!(name(&application), RELEASE);
    let helm = &sources(&application)[1]["helm"];
    assert_eq!(helm["releaseName"], RELEASE);
    assert_eq!(helm["skipTests"], true);
}

#[tokio::test]
async fn argo_cd_and_flux_know_every_field() {
    let Some(site) = Site::find().await else { return };
    for (project, namespace, files) in [
        ("argo-cd", "argocd", &FILES[..2]),
        ("flux", "flux-system", &FILES[2..]),
    ] {
        site.plane.service_account(namespace, "nobody").await.unwrap();
        let Some(definitions) = Foreign::serve(&site.plane, project).await else {
            return;
        };
        for file in files {
            let stored = stored::would_be_of(&site.plane.kubectl(), &text(&format!("{FOLDER}/{file}")));
            assert_eq!(stored.len(), read(file).len(), "{file}");
        }
        definitions.remove(&site.plane);
    }
}

/// What is applied by whom, one step after the other.
struct Form {
    name: String,
    manager: &'static str,
    steps: Vec<Vec<Value>>,
}

/// The objects of a folder, changed as both programs let kustomize change it.
fn kustomized(kubectl: &Kubectl, path: &str, images: Value, options: &Value) -> Vec<Value> {
    let folder = tempfile::tempdir_in(repository().join("target")).unwrap();
    let mut kustomization =
        json!({ "kind": "Kustomization", "resources": [format!("../../{path}")], "images": images });
    for field in ["patches", "commonAnnotations"] {
        if !options[field].is_null() {
            kustomization[field] = options[field].clone();
        }
    }
    let file = folder.path().join("kustomization.yaml");
    std::fs::write(file, kustomization.to_string()).unwrap();
    let folder = folder.path().display().to_string();
    documents(&kubectl.ok(&["kustomize", &folder]).unwrap())
}

/// `NAME=REGISTRY/NAME:TAG`, as Argo CD writes it, in kustomize's fields.
fn images_of(options: &Value) -> Value {
    let images = options["images"].as_array().into_iter().flatten();
    let images = images.map(|image| {
        let (name, image) = image.as_str().unwrap().split_once('=').unwrap();
        let (repository, tag) = image.rsplit_once(':').unwrap();
        json!({ "name": name, "newName": repository, "newTag": tag })
    });
    images.collect()
}

/// What Argo CD applies of an Application: by waves, and in a wave namespaces first.
fn of_application(kubectl: &Kubectl, helm: &Helm, application: &Value) -> Form {
    let mut waves = BTreeMap::<i32, Vec<Value>>::new();
    for source in sources(application) {
        let objects = if source["helm"].is_null() {
            let (path, options) = (source["path"].as_str().unwrap(), &source["kustomize"]);
            kustomized(kubectl, path, images_of(options), options)
        } else {
            let values = &source["helm"]["valuesObject"];
            helm.rendered_for(values, &["--kube-version=1.37.0", "--no-hooks"])
        };
        for object in objects {
            let wave = annotation(&object, WAVE).map_or(0, |wave| wave.parse().unwrap());
            waves.entry(wave).or_default().push(object);
        }
    }
    let definitions = &waves[&-1];
    assert_eq!(of_kind(definitions, "CustomResourceDefinition").len(), 6);
    assert_eq!(definitions.len(), 6);
    for definition in definitions {
        assert_eq!(annotation(definition, OPTIONS), Some("Prune=false,Delete=false"));
    }
    for objects in waves.values_mut() {
        objects.sort_by_key(|object| object["kind"] != "Namespace");
    }
    Form {
        name: name(application).to_owned(),
        manager: "argocd-controller",
        steps: waves.into_values().collect(),
    }
}

/// What Flux applies: first what depends on nothing.
fn of_flux(kubectl: &Kubectl) -> Form {
    let flux = read(FILES[2]);
    let (first, then): (Vec<_>, Vec<_>) = of_kind(&flux, "Kustomization")
        .into_iter()
        .partition(|one| one["spec"]["dependsOn"].is_null());
    let [definitions] = first[..] else {
        panic!("{first:?}")
    };
    assert_eq!(definitions["spec"]["prune"], false);
    let made = |kustomization: &&Value| {
        let spec = &kustomization["spec"];
        let path = spec["path"].as_str().unwrap().trim_start_matches("./");
        let images = if spec["images"].is_null() {
            json!([])
        } else {
            spec["images"].clone()
        };
        kustomized(kubectl, path, images, spec)
    };
    Form {
        name: "flux".to_owned(),
        manager: "kustomize-controller",
        steps: vec![made(&definitions), then.iter().flat_map(made).collect()],
    }
}

/// What the chart makes of values, as programs other than Helm apply it: definitions before what is of their kinds.
fn of_chart(name: String, text: &str) -> Form {
    let (definitions, others) = documents(text)
        .into_iter()
        .partition(|object: &Value| object["kind"] == "CustomResourceDefinition");
    Form {
        name,
        manager: "argocd-controller",
        steps: vec![definitions, others],
    }
}

impl Form {
    /// Applies it, has Kubernetes' controllers look at it, and compares.
    async fn holds(&self, plane: &ControlPlane) {
        let kubectl = plane.kubectl();
        let all = self.steps.concat();
        let keys = all
            .iter()
            .map(|one| format!("{} {}", one["kind"], one["metadata"]));
        assert_eq!(keys.collect::<BTreeSet<_>>().len(), all.len(), "{}", self.name);
        for step in self.steps.iter().filter(|step| !step.is_empty()) {
            stored::apply(&kubectl, self.manager, step);
            stored::are_served(&kubectl, step).await;
        }
        stored::were_looked_at(&kubectl, &all).await;
        stored::would_not_change(&kubectl, self.manager, &all);
        stored::are_stored_word_for_word(&kubectl, &all);
        shared::say(&format!(
            "layer {LAYER}: {}, {} objects: the same",
            self.name,
            all.len()
        ));
    }
}

/// Each in a cluster that has no snapshot kinds before, so that the order counts.
#[tokio::test]
async fn what_argo_cd_and_flux_apply_differs_in_nothing() {
    let Some(helm) = Helm::find() else { return };
    for number in 0..FILES.len() {
        let Some(plane) = shared::empty_control_plane(LAYER).await else {
            return;
        };
        let kubectl = plane.kubectl();
        let form = match applications().get(number) {
            Some(application) => of_application(&kubectl, &helm, application),
            None => of_flux(&kubectl),
        };
        form.holds(&plane).await;
    }
}

/// Every value, and all files of `examples/19-helm`, with monitors that are known.
#[tokio::test]
async fn what_the_chart_makes_differs_in_nothing() {
    let Some(helm) = Helm::find() else { return };
    let Some(plane) = shared::empty_control_plane(LAYER).await else {
        return;
    };
    let Some(_monitors) = Foreign::serve(&plane, "prometheus-operator").await else {
        return;
    };
    let cluster = [&examples::CLUSTER[..], &["--no-hooks"]].concat();
    let mut forms = Vec::new();
    for values in &all_values()[2..] {
        let text = helm.template(RELEASE, values, &cluster).unwrap();
        forms.push(of_chart(
            format!("every value, {}", values["slackwater"]["mode"]),
            &text,
        ));
    }
    for files in examples::sums().into_iter().filter(|files| files.len() > 1) {
        let text = helm.template_from(&files, &cluster).unwrap();
        forms.push(of_chart(format!("{} and all others", files[0]), &text));
    }
    for form in forms {
        form.holds(&plane).await;
        // A definition that goes and comes again may stay away: an API server that was told of both takes its time.
        stored::delete(&plane.kubectl(), &form.steps[1]);
    }
}
