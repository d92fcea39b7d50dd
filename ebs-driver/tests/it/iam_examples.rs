//! `examples/22-iam`: cut from `docs/iam-policy.json`, and for the service accounts of the manifests and the chart.

use std::collections::{BTreeMap, BTreeSet};

use hcl_edit::expr::{Expression, FuncCall, Traversal, TraversalOperator};
use hcl_edit::structure::{Block, Body};
use hcl_edit::template::Element;
use hcl_edit::visit::{self, Visit};
use serde_json::Value;

use crate::iam::{statements, statements_of, texts};

const FOLDER: &str = "examples/22-iam";
const CONTROLLER: &str = "ebs-csi-controller-sa";
const NODE: &str = "ebs-csi-node-sa";
const NAMESPACE: &str = "kube-system";

/// A file of the repository.
fn read(path: &str) -> String {
    let path = format!("{}/../{path}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn json(name: &str) -> Value {
    serde_json::from_str(&read(&format!("{FOLDER}/{name}"))).unwrap()
}

fn yaml(path: &str) -> Vec<Value> {
    let documents = serde_saphyr::from_multiple::<Value>(&read(path));
    documents.unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn names(statements: &[Value]) -> BTreeSet<&str> {
    let names = statements.iter().map(|one| one["Sid"].as_str().unwrap());
    names.collect()
}

/// The actions of some statements.
fn actions(statements: &[Value]) -> BTreeSet<&str> {
    statements.iter().flat_map(|one| texts(&one["Action"])).collect()
}

/// The statements of one of the policies, each of which is that of the whole policy.
fn policy(name: &str) -> Vec<Value> {
    let all = statements();
    let text = read(&format!("{FOLDER}/{name}"));
    let statements = statements_of(&text);
    for statement in &statements {
        assert!(all.contains(statement), "{name}: {}", statement["Sid"]);
    }
    assert_eq!(names(&statements).len(), statements.len(), "{name}: each once");
    // IAM counts no white space.
    let length = text
        .chars()
        .filter(|character| !character.is_whitespace())
        .count();
    assert!(
        length <= 6144,
        "{name} is longer than a managed policy may be: {length}"
    );
    statements
}

#[test]
fn ebs_case_139_the_policies_of_controller_and_nodes_are_the_whole_policy() {
    let (all, controller, node) = (statements(), policy("controller.json"), policy("node.json"));
    let (of_controller, of_node) = (names(&controller), names(&node));
    assert!(of_controller.is_disjoint(&of_node));
    let union: BTreeSet<_> = of_controller.union(&of_node).copied().collect();
    assert_eq!(union, names(&all));
    // As docs/iam.md tells whose each statement is.
    let page = read("docs/iam.md");
    let of_node_by_page: BTreeSet<_> = page
        .lines()
        .filter(|line| line.starts_with("| `") && line.ends_with("| node |"))
        .map(|line| line.split('`').nth(1).unwrap())
        .collect();
    assert_eq!(of_node, of_node_by_page);
}

#[test]
fn ebs_case_139_the_least_policy_is_for_volumes_and_snapshots_alone() {
    let (controller, least) = (policy("controller.json"), policy("controller-least.json"));
    assert!(names(&least).is_subset(&names(&controller)));
    let changes: BTreeSet<_> = actions(&least)
        .into_iter()
        .filter(|action| !action.starts_with("ec2:Describe"))
        .collect();
    let expected = [
        "AttachVolume",
        "CreateSnapshot",
        "CreateTags",
        "CreateVolume",
        "DeleteSnapshot",
        "DeleteVolume",
        "DetachVolume",
        "ModifyVolume",
    ];
    let expected = expected.map(|action| format!("ec2:{action}"));
    assert_eq!(changes, expected.iter().map(String::as_str).collect());
    // An action whose statements are about several resources is granted only by all of them.
    for action in ["ec2:CreateVolume", "ec2:CreateSnapshot", "ec2:AttachVolume"] {
        let of_action = |statements: &[Value]| -> Vec<Value> {
            let granted = |one: &&Value| texts(&one["Action"]).contains(&action);
            statements.iter().filter(granted).cloned().collect()
        };
        assert_eq!(of_action(&least), of_action(&controller), "{action}");
    }
}

/// The service accounts of the manifests: namespace and name.
fn accounts_of_manifests() -> BTreeSet<(String, String)> {
    let files = ["controller-rbac.yaml", "node-rbac.yaml"];
    let objects = files
        .map(|file| yaml(&format!("deploy/ebs/base/{file}")))
        .concat();
    let accounts = objects.iter().filter(|object| object["kind"] == "ServiceAccount");
    let of = |value: &Value| value.as_str().unwrap().to_owned();
    accounts
        .map(|account| {
            (
                of(&account["metadata"]["namespace"]),
                of(&account["metadata"]["name"]),
            )
        })
        .collect()
}

#[test]
fn manifests_and_chart_have_the_service_accounts_that_are_trusted() {
    let expected = [CONTROLLER, NODE].map(|name| (NAMESPACE.to_owned(), name.to_owned()));
    assert_eq!(accounts_of_manifests(), expected.into());
    let values = yaml("charts/slackwater-ebs/values.yaml").remove(0);
    assert_eq!(values["controller"]["serviceAccount"]["name"], CONTROLLER);
    assert_eq!(values["node"]["serviceAccount"]["name"], NODE);
}

/// The only statement of a trust policy.
fn trust(name: &str) -> Value {
    let mut policy = json(name);
    assert_eq!(policy["Version"], "2012-10-17");
    let statements = policy["Statement"].as_array_mut().unwrap();
    assert_eq!(statements.len(), 1);
    assert_eq!(statements[0]["Effect"], "Allow");
    statements.remove(0)
}

#[test]
fn the_trust_policies_name_the_service_account_of_the_controller() {
    let irsa = trust("trust-irsa.json");
    assert_eq!(irsa["Action"], "sts:AssumeRoleWithWebIdentity");
    let provider = irsa["Principal"]["Federated"].as_str().unwrap();
    let (_, issuer) = provider.split_once(":oidc-provider/").unwrap();
    let conditions = irsa["Condition"]["StringEquals"].as_object().unwrap();
    assert_eq!(conditions.len(), 2);
    assert_eq!(conditions[&format!("{issuer}:aud")], "sts.amazonaws.com");
    let subject = format!("system:serviceaccount:{NAMESPACE}:{CONTROLLER}");
    assert_eq!(conditions[&format!("{issuer}:sub")], subject);

    let pod_identity = trust("trust-pod-identity.json");
    assert_eq!(pod_identity["Principal"]["Service"], "pods.eks.amazonaws.com");
    assert_eq!(
        texts(&pod_identity["Action"]),
        ["sts:AssumeRole", "sts:TagSession"]
    );
    let conditions = pod_identity["Condition"]["StringEquals"].as_object().unwrap();
    assert_eq!(conditions.len(), 2);
    assert_eq!(conditions["aws:RequestTag/kubernetes-namespace"], NAMESPACE);
    assert_eq!(
        conditions["aws:RequestTag/kubernetes-service-account"],
        CONTROLLER
    );
}

/// What eksctl is told of IAM.
fn eksctl(name: &str) -> Value {
    let mut documents = yaml(&format!("{FOLDER}/{name}"));
    assert_eq!(documents.len(), 1);
    let config = documents.remove(0);
    assert_eq!(config["apiVersion"], "eksctl.io/v1alpha5");
    assert_eq!(config["kind"], "ClusterConfig");
    assert!(config["metadata"]["name"].is_string() && config["metadata"]["region"].is_string());
    config
}

/// A role's policy bears the role's name, as the commands of the README make it.
fn has_its_policy(policies: &Value, role: &Value) {
    let policy = format!("arn:aws:iam::111122223333:policy/{}", role.as_str().unwrap());
    assert_eq!(texts(policies), [policy]);
}

#[test]
fn eksctl_makes_roles_for_these_service_accounts() {
    let irsa = eksctl("eksctl-irsa.yaml");
    assert_eq!(irsa["iam"]["withOIDC"], true);
    let accounts = irsa["iam"]["serviceAccounts"].as_array().unwrap();
    let of: Vec<_> = accounts.iter().map(|one| &one["metadata"]["name"]).collect();
    assert_eq!(of, [CONTROLLER, NODE]);
    for account in accounts {
        assert_eq!(account["metadata"]["namespace"], NAMESPACE);
        // The manifests and the chart bring the account.
        assert_eq!(account["roleOnly"], true);
        has_its_policy(&account["attachPolicyARNs"], &account["roleName"]);
    }
    let pod_identity = eksctl("eksctl-pod-identity.yaml");
    assert_eq!(pod_identity["addons"][0]["name"], "eks-pod-identity-agent");
    let associations = pod_identity["iam"]["podIdentityAssociations"].as_array().unwrap();
    assert_eq!(associations.len(), 1);
    assert_eq!(associations[0]["namespace"], NAMESPACE);
    assert_eq!(associations[0]["serviceAccountName"], CONTROLLER);
    has_its_policy(
        &associations[0]["permissionPolicyARNs"],
        &associations[0]["roleName"],
    );
}

/// What a configuration of Terraform refers to.
#[derive(Default)]
struct References {
    /// Such as `var.policy` and `aws_iam_role.controller`.
    names: BTreeSet<String>,
    /// The arguments of `file`, with the default values of variables.
    files: BTreeSet<String>,
    defaults: BTreeMap<String, String>,
}

fn path(traversal: &Traversal) -> Vec<&str> {
    let first = traversal.expr.as_variable().map(|name| name.as_str());
    let others = traversal
        .operators
        .iter()
        .filter_map(|operator| match operator.value() {
            TraversalOperator::GetAttr(name) => Some(name.as_str()),
            _ => None,
        });
    first.into_iter().chain(others).collect()
}

impl Visit for References {
    fn visit_traversal(&mut self, node: &Traversal) {
        let path = path(node);
        let length = if path[0] == "data" { 3 } else { 2 };
        self.names.insert(path[..length].join("."));
        visit::visit_traversal(self, node);
    }

    fn visit_func_call(&mut self, node: &FuncCall) {
        if node.name.name.as_str() == "file" {
            let argument = node.args.iter().next().unwrap();
            self.files.insert(self.evaluated(argument));
        }
        visit::visit_func_call(self, node);
    }
}

impl References {
    /// A template of the folder of the module and of variables.
    fn evaluated(&self, template: &Expression) -> String {
        let Expression::StringTemplate(template) = template else {
            panic!("{template:?}")
        };
        let mut text = String::new();
        for element in template.iter() {
            match element {
                Element::Literal(literal) => text += literal.as_str(),
                Element::Interpolation(interpolation) => {
                    let path = path(interpolation.expr.as_traversal().unwrap()).join(".");
                    match path.strip_prefix("var.") {
                        Some(variable) => text += &self.defaults[variable],
                        None => text += &path,
                    }
                }
                Element::Directive(directive) => panic!("{directive:?}"),
            }
        }
        text
    }
}

/// The text of an attribute of a block, if it is one.
fn text<'a>(block: &'a Block, attribute: &str) -> Option<&'a str> {
    block.body.get_attribute(attribute)?.value.as_str()
}

/// What the configuration declares, as references name it.
fn declared(body: &Body) -> BTreeSet<String> {
    let mut declared = BTreeSet::from(["path.module".to_owned()]);
    for block in body.iter().filter_map(|one| one.as_block()) {
        let labels: Vec<_> = block.labels.iter().map(|label| label.as_str()).collect();
        match block.ident.as_str() {
            "variable" => drop(declared.insert(format!("var.{}", labels[0]))),
            "resource" => drop(declared.insert(labels.join("."))),
            "data" => drop(declared.insert(format!("data.{}", labels.join(".")))),
            "locals" => {
                let names = block.body.iter().filter_map(|one| one.as_attribute());
                declared.extend(names.map(|one| format!("local.{}", one.key.as_str())));
            }
            "output" | "terraform" => {}
            other => panic!("a block {other}"),
        }
    }
    declared
}

#[test]
fn terraform_refers_to_what_is_there() {
    let body: Body = read(&format!("{FOLDER}/main.tf")).parse().unwrap();
    let blocks: Vec<_> = body.iter().map(|one| one.as_block().unwrap()).collect();
    let mut references = References::default();
    for block in blocks.iter().filter(|one| one.ident.as_str() == "variable") {
        if let Some(value) = text(block, "default") {
            references
                .defaults
                .insert(block.labels[0].as_str().to_owned(), value.to_owned());
        }
    }
    references.visit_body(&body);
    let declared = declared(&body);
    let unknown: Vec<_> = references.names.difference(&declared).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    let is_used_by_nobody = |name: &&String| name.starts_with("var.") || name.starts_with("local.");
    let unused: Vec<_> = declared
        .difference(&references.names)
        .filter(is_used_by_nobody)
        .collect();
    assert!(unused.is_empty(), "{unused:?}");
    let files = ["controller.json", "trust-irsa.json", "trust-pod-identity.json"];
    let expected = files.map(|file| format!("path.module/{file}"));
    assert_eq!(references.files, expected.into());
    for file in files {
        json(file);
    }
    let association = blocks
        .iter()
        .find(|one| {
            one.labels
                .first()
                .is_some_and(|label| label.as_str() == "aws_eks_pod_identity_association")
        })
        .unwrap();
    assert_eq!(text(association, "namespace"), Some(NAMESPACE));
    assert_eq!(text(association, "service_account"), Some(CONTROLLER));
}

/// What the configuration replaces in the trust policy is what stands there.
#[test]
fn terraform_replaces_what_the_trust_policy_has() {
    let (configuration, policy) = (
        read(&format!("{FOLDER}/main.tf")),
        read(&format!("{FOLDER}/trust-irsa.json")),
    );
    let provider = trust("trust-irsa.json")["Principal"]["Federated"]
        .as_str()
        .unwrap()
        .to_owned();
    let account = provider.split(':').nth(4).unwrap();
    let issuer = provider.rsplit_once(":oidc-provider/").unwrap().1;
    for text in [account, issuer] {
        assert!(configuration.contains(&format!("\"{text}\"")), "{text}");
        assert!(policy.contains(text));
    }
}

/// As `terraform fmt` has it: two spaces a level, and no others at ends.
#[test]
fn terraform_is_formatted() {
    let configuration = read(&format!("{FOLDER}/main.tf"));
    let mut level = 0_usize;
    for line in configuration.lines() {
        assert!(!line.contains('\t') && line.trim_end() == line, "{line:?}");
        let code = line.trim_start();
        let closes = code.chars().take_while(|one| ")]}".contains(*one)).count();
        level -= closes;
        if !code.is_empty() {
            assert_eq!(line.len() - code.len(), 2 * level, "{line:?}");
        }
        let opening = code.matches(['{', '(', '[']).count();
        let closing = code.matches(['}', ')', ']']).count() - closes;
        level += opening - closing;
    }
    assert_eq!(level, 0);
}
