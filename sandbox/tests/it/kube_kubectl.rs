//! What kubectl asks for, without kubectl: tables, aggregated discovery, OpenAPI, strategic merge patches,
//! field validation, scale.

use http::Request;
use serde_json::{Value, json};

use crate::kube_support::Fixture;

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
const JSON: &str = "application/json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";

async fn accepting(fixture: &Fixture, path: &str, accept: &str) -> Value {
    let request = Request::get(path).header("accept", accept);
    let (code, answer) = fixture.raw(request.body(Vec::new()).unwrap()).await;
    assert_eq!(code, 200, "{path}: {answer}");
    answer
}

/// The names of the columns, those of `-o wide` behind a bar.
fn columns(table: &Value) -> String {
    let named = |wide: bool| -> Vec<&str> {
        let columns = table["columnDefinitions"].as_array().unwrap().iter();
        columns
            .filter(|column| (column["priority"] == 1) == wide)
            .map(|column| column["name"].as_str().unwrap())
            .collect()
    };
    [named(false).join(" "), named(true).join(" ")]
        .join(" | ")
        .to_uppercase()
}

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "one table")]
async fn columns_are_those_that_scripts_cut() {
    let fixture = Fixture::new();
    for definition in crds::definitions::snapshots() {
        let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        fixture.send("POST", path, JSON, definition).await;
    }
    for (path, expected) in [
        (
            "/api/v1/persistentvolumeclaims",
            "NAME STATUS VOLUME CAPACITY ACCESS MODES STORAGECLASS VOLUMEATTRIBUTESCLASS AGE | VOLUMEMODE",
        ),
        (
            "/api/v1/persistentvolumes",
            "NAME CAPACITY ACCESS MODES RECLAIM POLICY STATUS CLAIM STORAGECLASS VOLUMEATTRIBUTESCLASS REASON AGE | VOLUMEMODE",
        ),
        (
            "/api/v1/pods",
            "NAME READY STATUS RESTARTS AGE | IP NODE NOMINATED NODE READINESS GATES",
        ),
        (
            "/api/v1/events",
            "LAST SEEN TYPE REASON OBJECT MESSAGE | SUBOBJECT SOURCE FIRST SEEN COUNT NAME",
        ),
        (
            "/api/v1/nodes",
            "NAME STATUS ROLES AGE VERSION | INTERNAL-IP EXTERNAL-IP OS-IMAGE KERNEL-VERSION CONTAINER-RUNTIME",
        ),
        ("/api/v1/resourcequotas", "NAME REQUEST LIMIT AGE | "),
        ("/api/v1/secrets", "NAME TYPE DATA AGE | "),
        ("/api/v1/serviceaccounts", "NAME AGE | "),
        (
            "/apis/apps/v1/deployments",
            "NAME READY UP-TO-DATE AVAILABLE AGE | CONTAINERS IMAGES SELECTOR",
        ),
        (
            "/apis/batch/v1/cronjobs",
            "NAME SCHEDULE TIMEZONE SUSPEND ACTIVE LAST SCHEDULE AGE | CONTAINERS IMAGES SELECTOR",
        ),
        (
            "/apis/storage.k8s.io/v1/storageclasses",
            "NAME PROVISIONER RECLAIMPOLICY VOLUMEBINDINGMODE ALLOWVOLUMEEXPANSION AGE | ",
        ),
        (
            "/apis/storage.k8s.io/v1/volumeattributesclasses",
            "NAME DRIVERNAME AGE | ",
        ),
        (
            "/apis/storage.k8s.io/v1/csidrivers",
            "NAME ATTACHREQUIRED PODINFOONMOUNT STORAGECAPACITY TOKENREQUESTS REQUIRESREPUBLISH MODES AGE | ",
        ),
        ("/apis/storage.k8s.io/v1/csinodes", "NAME DRIVERS AGE | "),
        (
            "/apis/storage.k8s.io/v1/volumeattachments",
            "NAME ATTACHER PV NODE ATTACHED AGE | ",
        ),
        ("/apis/coordination.k8s.io/v1/leases", "NAME HOLDER AGE | "),
        ("/apis/rbac.authorization.k8s.io/v1/roles", "NAME CREATED AT | "),
        (
            "/apis/snapshot.storage.k8s.io/v1/volumesnapshots",
            "NAME READYTOUSE SOURCEPVC SOURCESNAPSHOTCONTENT RESTORESIZE SNAPSHOTCLASS SNAPSHOTCONTENT CREATIONTIME AGE | ",
        ),
        (
            "/apis/snapshot.storage.k8s.io/v1/volumesnapshotcontents",
            "NAME READYTOUSE RESTORESIZE DELETIONPOLICY DRIVER VOLUMESNAPSHOTCLASS VOLUMESNAPSHOT VOLUMESNAPSHOTNAMESPACE AGE | ",
        ),
        (
            "/apis/snapshot.storage.k8s.io/v1/volumesnapshotclasses",
            "NAME DRIVER DELETIONPOLICY AGE | ",
        ),
    ] {
        let table = accepting(&fixture, path, TABLE).await;
        assert_eq!(table["kind"], "Table", "{path}");
        assert_eq!(columns(&table), expected, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn rows_have_cells_and_what_was_asked_of_the_object() {
    let fixture = Fixture::new();
    fixture.config_map("a").await;
    let path = "/api/v1/namespaces/default/configmaps";
    let table = accepting(&fixture, path, TABLE).await;
    assert_eq!(table["rows"][0]["cells"], json!(["a", 1, "0s"]));
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    assert_eq!(
        table["metadata"]["resourceVersion"],
        json!(fixture.server.revision().to_string())
    );
    let whole = accepting(&fixture, &format!("{path}/a?includeObject=Object"), TABLE).await;
    assert_eq!(whole["rows"][0]["object"]["data"], json!({"a": "1"}));
    let none = accepting(&fixture, &format!("{path}?includeObject=None"), TABLE).await;
    assert!(none["rows"][0].get("object").is_none());
}

#[tokio::test]
async fn a_watch_names_its_columns_once() {
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;
    let fixture = Fixture::new();
    fixture.config_map("a").await;
    fixture.config_map("b").await;
    let path = "/api/v1/namespaces/default/configmaps?watch=1";
    let request = Request::get(path).header("accept", TABLE);
    let request = request
        .body(http_body_util::Empty::<bytes::Bytes>::new())
        .unwrap();
    let response = fixture.server.service("tester").oneshot(request).await.unwrap();
    let frame = response.into_body().frame().await.unwrap().unwrap();
    let text = String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap();
    let tables: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let counts: Vec<usize> = tables
        .iter()
        .map(|table| table["object"]["columnDefinitions"].as_array().unwrap().len())
        .collect();
    assert_eq!(counts, [3, 0]);
    assert_eq!(tables[1]["object"]["rows"][0]["cells"][0], "b");
}

#[tokio::test]
async fn discovery_comes_in_one_piece_to_those_who_want_it() {
    let fixture = Fixture::new();
    fixture.define_things().await;
    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
    let core = accepting(&fixture, "/api", accept).await;
    assert_eq!(core["kind"], "APIGroupDiscoveryList");
    assert_eq!(core["items"][0]["versions"][0]["version"], "v1");
    let groups = accepting(&fixture, "/apis", accept).await;
    let group = |name: &str| {
        let mut items = groups["items"].as_array().unwrap().iter();
        items
            .find(|item| item["metadata"]["name"] == name)
            .unwrap()
            .clone()
    };
    let things = group("example.com");
    assert_eq!(things["versions"][0]["version"], "v1");
    assert_eq!(things["versions"][0]["resources"][0]["shortNames"], json!(["th"]));
    let apps = group("apps").to_string();
    assert!(apps.contains(r#""subresource":"scale""#), "{apps}");
    let plain = accepting(&fixture, "/apis", JSON).await;
    assert_eq!(plain["kind"], "APIGroupList");
}

#[tokio::test]
async fn openapi_has_what_explain_and_apply_look_for() {
    let fixture = Fixture::new();
    fixture.define_things().await;
    let index = accepting(&fixture, "/openapi/v3", JSON).await;
    let address = |path: &str| {
        index["paths"][path]["serverRelativeURL"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let core = accepting(&fixture, &address("api/v1"), JSON).await;
    let schemas = &core["components"]["schemas"];
    let claim = &schemas["io.k8s.api.core.v1.PersistentVolumeClaim"];
    assert_eq!(
        claim["x-kubernetes-group-version-kind"],
        json!([{"group": "", "version": "v1", "kind": "PersistentVolumeClaim"}])
    );
    let reference = &claim["properties"]["spec"]["allOf"][0]["$ref"];
    let spec = reference.as_str().unwrap().rsplit('/').next().unwrap();
    assert!(schemas[spec]["properties"]["resources"]["description"].is_string());
    let containers = &schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"];
    assert_eq!(containers["x-kubernetes-patch-merge-key"], "name");
    let item = &core["paths"]["/api/v1/namespaces/{namespace}/persistentvolumeclaims/{name}"]["patch"];
    assert!(item["parameters"].to_string().contains("fieldValidation"));
    let things = accepting(&fixture, &address("apis/example.com/v1"), JSON).await;
    let thing = &things["components"]["schemas"]["com.example.v1.Thing"];
    assert!(
        thing["properties"]["metadata"]["allOf"][0]["$ref"].is_string(),
        "{thing}"
    );
    let text = things.to_string();
    for part in text.split("#/components/schemas/").skip(1) {
        let name = part.split('"').next().unwrap();
        assert!(things["components"]["schemas"][name].is_object(), "{name}");
    }
    // What v2 does not describe, kubectl takes for good.
    let (code, old) = fixture.get("/openapi/v2").await;
    assert_eq!(
        (code, &old["swagger"], &old["paths"]),
        (200, &json!("2.0"), &json!({}))
    );
}

fn pod() -> Value {
    json!({
        "metadata": {"name": "p", "finalizers": ["x/a", "x/b"]},
        "spec": {
            "containers": [
                {"name": "a", "image": "one", "env": [{"name": "K", "value": "1"}]},
                {"name": "b", "image": "two"},
            ],
            "volumes": [{"name": "v", "emptyDir": {}}],
        },
    })
}

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "one table")]
async fn strategic_merge_patches_merge_lists_by_their_keys() {
    let fixture = Fixture::new();
    let path = "/api/v1/namespaces/default/pods";
    for (name, patch, pointer, expected) in [
        (
            "an item is merged, a new one added, another kept",
            json!({"spec": {"containers": [{"name": "a", "image": "new"}, {"name": "c", "image": "x"}]}}),
            "/spec/containers",
            json!([["a", "new"], ["c", "x"], ["b", "two"]]),
        ),
        (
            "$patch delete",
            json!({"spec": {"containers": [{"$patch": "delete", "name": "a"}]}}),
            "/spec/containers",
            json!([["b", "two"]]),
        ),
        (
            "$patch replace",
            json!({"spec": {"containers": [{"name": "z", "image": "x"}, {"$patch": "replace"}]}}),
            "/spec/containers",
            json!([["z", "x"]]),
        ),
        (
            "$setElementOrder",
            json!({"spec": {
                "$setElementOrder/containers": [{"name": "b"}, {"name": "a"}],
                "containers": [{"name": "b", "image": "2"}],
            }}),
            "/spec/containers",
            json!([["b", "2"], ["a", "one"]]),
        ),
    ] {
        fixture.send("POST", path, JSON, pod()).await;
        let (code, answer) = fixture
            .send("PATCH", &format!("{path}/p?dryRun=All"), STRATEGIC, patch)
            .await;
        assert_eq!(code, 200, "{name}: {answer}");
        let items = answer.pointer(pointer).unwrap().as_array().unwrap().iter();
        let found: Vec<Value> = items.map(|item| json!([item["name"], item["image"]])).collect();
        assert_eq!(Value::from(found), expected, "{name}");
    }
    let patch = json!({
        "metadata": {"$deleteFromPrimitiveList/finalizers": ["x/a"], "finalizers": ["x/c"]},
        "spec": {"volumes": [{"$retainKeys": ["name", "hostPath"], "name": "v", "hostPath": {"path": "/x"}}]},
    });
    let (code, answer) = fixture
        .send("PATCH", &format!("{path}/p"), STRATEGIC, patch)
        .await;
    assert_eq!(code, 200, "{answer}");
    assert_eq!(answer["metadata"]["finalizers"], json!(["x/c", "x/b"]));
    assert_eq!(
        answer["spec"]["volumes"],
        json!([{"name": "v", "hostPath": {"path": "/x"}}])
    );
    let (code, answer) = fixture
        .send(
            "PATCH",
            &format!("{path}/p"),
            STRATEGIC,
            json!({"spec": {"containers": [{"image": "x"}]}}),
        )
        .await;
    assert_eq!(code, 400, "{answer}");
}

#[tokio::test]
async fn unknown_fields_are_refused_or_warned_of_on_demand() {
    let fixture = Fixture::new();
    let path = "/api/v1/namespaces/default/configmaps";
    let map = json!({"metadata": {"name": "a", "label": {}}, "dat": {}});
    let (code, answer) = fixture
        .send(
            "POST",
            &format!("{path}?fieldValidation=Strict"),
            JSON,
            map.clone(),
        )
        .await;
    assert_eq!(code, 400);
    assert_eq!(
        answer["message"],
        "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: \
         unknown field \"dat\", unknown field \"metadata.label\""
    );
    let (code, _) = fixture
        .send("POST", &format!("{path}?fieldValidation=Loud"), JSON, map.clone())
        .await;
    assert_eq!(code, 422);
    let (code, _) = fixture
        .send("POST", &format!("{path}?fieldValidation=Warn"), JSON, map)
        .await;
    assert_eq!(code, 201);
    let applied = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b"}, "dat": {}});
    let apply = format!("{path}/b?fieldManager=x&fieldValidation=Strict");
    let (code, answer) = fixture
        .send("PATCH", &apply, "application/apply-patch+yaml", applied)
        .await;
    assert_eq!(code, 500);
    assert_eq!(
        answer["message"],
        "failed to create typed patch object (/b; /v1, Kind=ConfigMap): .dat: field not declared in schema"
    );
}

#[tokio::test]
async fn a_dry_run_stores_nothing() {
    let fixture = Fixture::new();
    let path = "/api/v1/namespaces/default/configmaps";
    let map = json!({"metadata": {"name": "a"}});
    let before = fixture.server.revision();
    let (code, answer) = fixture
        .send("POST", &format!("{path}?dryRun=All"), JSON, map)
        .await;
    assert_eq!((code, &answer["metadata"]["name"]), (201, &json!("a")));
    assert_eq!(fixture.server.revision(), before);
}

#[tokio::test]
async fn a_deployment_is_scaled_through_its_scale() {
    let fixture = Fixture::new();
    let path = "/apis/apps/v1/namespaces/default/deployments";
    let template = json!({
        "metadata": {"labels": {"app": "w"}},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    });
    let spec = json!({"replicas": 1, "selector": {"matchLabels": {"app": "w"}}, "template": template});
    let (code, answer) = fixture
        .send(
            "POST",
            path,
            JSON,
            json!({"metadata": {"name": "w"}, "spec": spec}),
        )
        .await;
    assert_eq!(code, 201, "{answer}");
    let scale = format!("{path}/w/scale");
    let (_, answer) = fixture.get(&scale).await;
    assert_eq!(
        (&answer["kind"], &answer["spec"]["replicas"]),
        (&json!("Scale"), &json!(1))
    );
    assert_eq!(answer["status"]["selector"], "app=w");
    let merge = "application/merge-patch+json";
    let (code, answer) = fixture
        .send("PATCH", &scale, merge, json!({"spec": {"replicas": 3}}))
        .await;
    assert_eq!((code, &answer["spec"]["replicas"]), (200, &json!(3)));
    let (_, answer) = fixture.get(&format!("{path}/w")).await;
    assert_eq!(answer["spec"]["replicas"], 3);
    let (code, _) = fixture
        .send("PATCH", &scale, merge, json!({"spec": {"replicas": -1}}))
        .await;
    assert_eq!(code, 422);
}

#[tokio::test]
async fn an_update_that_became_an_apply_keeps_what_is_applied_again() {
    let fixture = Fixture::new();
    let path = "/api/v1/namespaces/default/configmaps/a";
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "1", "l": "2"}});
    let create = "/api/v1/namespaces/default/configmaps?fieldManager=kubectl-client-side-apply";
    let (_, created) = fixture.send("POST", create, JSON, map.clone()).await;
    // As kubectl does it: the entry of the former manager becomes one of an apply.
    let mut entry = created["metadata"]["managedFields"][0].clone();
    entry["manager"] = json!("kubectl");
    entry["operation"] = json!("Apply");
    let patch = json!([{"op": "replace", "path": "/metadata/managedFields", "value": [entry]}]);
    let (code, _) = fixture
        .send("PATCH", path, "application/json-patch+json", patch)
        .await;
    assert_eq!(code, 200);
    let mut less = map;
    less["data"] = json!({"k": "1"});
    let apply = format!("{path}?fieldManager=kubectl");
    let (code, answer) = fixture
        .send("PATCH", &apply, "application/apply-patch+yaml", less)
        .await;
    assert_eq!((code, &answer["data"]), (200, &json!({"k": "1"})));
}
