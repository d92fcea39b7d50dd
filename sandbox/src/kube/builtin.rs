//! The resource types that exist without a CustomResourceDefinition.

use super::resource::{
    Generation, InitialStatus, NameStyle, ResourceType, Rules, SelectableField, ServedVersion,
};

struct Row {
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    short: &'static [&'static str],
    namespaced: bool,
    status: bool,
    /// Selector label, dotted path (empty: the label is the path), value when missing.
    fields: &'static [(&'static str, &'static str, &'static str)],
    rules: Rules,
}

const RULES: Rules = Rules {
    generation: Generation::None,
    initial_status: InitialStatus::AsSent,
    status_keeps_metadata: false,
    unconditional_update: true,
    create_on_update: false,
    returns_deleted: false,
    graceful: false,
    review_only: false,
    names: NameStyle::Subdomain,
};
const RETURNED: Rules = Rules {
    returns_deleted: true,
    ..RULES
};
const CONDITIONAL: Rules = Rules {
    unconditional_update: false,
    ..RULES
};
const RETURNED_CONDITIONAL: Rules = Rules {
    returns_deleted: true,
    ..CONDITIONAL
};
const CREATED_BY_PUT: Rules = Rules {
    create_on_update: true,
    ..RULES
};
const WORKLOAD: Rules = Rules {
    generation: Generation::Spec,
    initial_status: InitialStatus::Set("{}"),
    ..RULES
};
const PENDING: InitialStatus = InitialStatus::Set(r#"{"phase":"Pending"}"#);
const RBAC: Rules = Rules {
    names: NameStyle::PathSegment,
    ..RULES
};
const REVIEW: Rules = Rules {
    review_only: true,
    ..RULES
};

const BASE: Row = Row {
    group: "",
    kind: "",
    plural: "",
    short: &[],
    namespaced: true,
    status: false,
    fields: &[],
    rules: RULES,
};

const CORE: &[Row] = &[
    Row {
        kind: "ConfigMap",
        plural: "configmaps",
        short: &["cm"],
        ..BASE
    },
    Row {
        kind: "Event",
        plural: "events",
        short: &["ev"],
        rules: CREATED_BY_PUT,
        fields: &[
            ("involvedObject.kind", "", ""),
            ("involvedObject.namespace", "", ""),
            ("involvedObject.name", "", ""),
            ("involvedObject.uid", "", ""),
            ("involvedObject.apiVersion", "", ""),
            ("involvedObject.resourceVersion", "", ""),
            ("involvedObject.fieldPath", "", ""),
            ("reason", "", ""),
            ("reportingComponent", "", ""),
            ("source", "source.component", ""),
            ("type", "", ""),
        ],
        ..BASE
    },
    Row {
        kind: "Namespace",
        plural: "namespaces",
        short: &["ns"],
        namespaced: false,
        status: true,
        fields: &[("status.phase", "", "")],
        rules: Rules {
            initial_status: InitialStatus::Set(r#"{"phase":"Active"}"#),
            returns_deleted: true,
            names: NameStyle::Label,
            ..RULES
        },
        ..BASE
    },
    Row {
        kind: "Node",
        plural: "nodes",
        short: &["no"],
        namespaced: false,
        status: true,
        fields: &[("spec.unschedulable", "", "false")],
        ..BASE
    },
    Row {
        kind: "PersistentVolume",
        plural: "persistentvolumes",
        short: &["pv"],
        namespaced: false,
        status: true,
        rules: Rules {
            initial_status: PENDING,
            ..RETURNED
        },
        ..BASE
    },
    Row {
        kind: "PersistentVolumeClaim",
        plural: "persistentvolumeclaims",
        short: &["pvc"],
        status: true,
        rules: Rules {
            initial_status: PENDING,
            ..RETURNED
        },
        ..BASE
    },
    Row {
        kind: "Pod",
        plural: "pods",
        short: &["po"],
        status: true,
        fields: &[
            ("spec.nodeName", "", ""),
            ("spec.restartPolicy", "", "Always"),
            ("spec.schedulerName", "", "default-scheduler"),
            ("spec.serviceAccountName", "", ""),
            ("spec.hostNetwork", "", "false"),
            ("status.phase", "", ""),
            ("status.podIP", "", ""),
            ("status.nominatedNodeName", "", ""),
        ],
        rules: Rules {
            generation: Generation::Spec,
            initial_status: PENDING,
            graceful: true,
            ..RETURNED
        },
        ..BASE
    },
    Row {
        kind: "ResourceQuota",
        plural: "resourcequotas",
        short: &["quota"],
        status: true,
        rules: Rules {
            initial_status: InitialStatus::Set("{}"),
            ..RETURNED
        },
        ..BASE
    },
    Row {
        kind: "Secret",
        plural: "secrets",
        fields: &[("type", "", "Opaque")],
        ..BASE
    },
    Row {
        kind: "Service",
        plural: "services",
        short: &["svc"],
        status: true,
        fields: &[("spec.clusterIP", "", ""), ("spec.type", "", "ClusterIP")],
        rules: Rules {
            initial_status: InitialStatus::Set(r#"{"loadBalancer":{}}"#),
            names: NameStyle::ServiceLabel,
            ..RETURNED
        },
        ..BASE
    },
    Row {
        kind: "ServiceAccount",
        plural: "serviceaccounts",
        short: &["sa"],
        rules: RETURNED,
        ..BASE
    },
];

const APPS: Row = Row {
    group: "apps",
    status: true,
    rules: WORKLOAD,
    ..BASE
};
const STORAGE: Row = Row {
    group: "storage.k8s.io",
    namespaced: false,
    rules: RETURNED_CONDITIONAL,
    ..BASE
};
const RBAC_GROUP: Row = Row {
    group: "rbac.authorization.k8s.io",
    rules: RBAC,
    ..BASE
};
const AUTHORIZATION: Row = Row {
    group: "authorization.k8s.io",
    namespaced: false,
    rules: REVIEW,
    ..BASE
};

const GROUPS: &[Row] = &[
    Row {
        group: "apiextensions.k8s.io",
        kind: "CustomResourceDefinition",
        plural: "customresourcedefinitions",
        short: &["crd", "crds"],
        namespaced: false,
        status: true,
        rules: Rules {
            generation: Generation::Spec,
            initial_status: InitialStatus::Set("{}"),
            status_keeps_metadata: true,
            ..CONDITIONAL
        },
        ..BASE
    },
    Row {
        kind: "DaemonSet",
        plural: "daemonsets",
        short: &["ds"],
        ..APPS
    },
    Row {
        kind: "Deployment",
        plural: "deployments",
        short: &["deploy"],
        ..APPS
    },
    Row {
        kind: "ReplicaSet",
        plural: "replicasets",
        short: &["rs"],
        fields: &[("status.replicas", "", "0")],
        ..APPS
    },
    Row {
        kind: "StatefulSet",
        plural: "statefulsets",
        short: &["sts"],
        ..APPS
    },
    Row {
        group: "authentication.k8s.io",
        kind: "SelfSubjectReview",
        plural: "selfsubjectreviews",
        ..AUTHORIZATION
    },
    Row {
        kind: "SelfSubjectAccessReview",
        plural: "selfsubjectaccessreviews",
        ..AUTHORIZATION
    },
    Row {
        kind: "SelfSubjectRulesReview",
        plural: "selfsubjectrulesreviews",
        ..AUTHORIZATION
    },
    Row {
        group: "batch",
        kind: "CronJob",
        plural: "cronjobs",
        short: &["cj"],
        ..APPS
    },
    Row {
        group: "coordination.k8s.io",
        kind: "Lease",
        plural: "leases",
        rules: Rules {
            unconditional_update: false,
            ..CREATED_BY_PUT
        },
        ..BASE
    },
    Row {
        kind: "ClusterRole",
        plural: "clusterroles",
        namespaced: false,
        ..RBAC_GROUP
    },
    Row {
        kind: "ClusterRoleBinding",
        plural: "clusterrolebindings",
        namespaced: false,
        ..RBAC_GROUP
    },
    Row {
        kind: "Role",
        plural: "roles",
        ..RBAC_GROUP
    },
    Row {
        kind: "RoleBinding",
        plural: "rolebindings",
        ..RBAC_GROUP
    },
    Row {
        kind: "CSIDriver",
        plural: "csidrivers",
        rules: Rules {
            generation: Generation::OnceChanged,
            ..RETURNED_CONDITIONAL
        },
        ..STORAGE
    },
    Row {
        kind: "CSINode",
        plural: "csinodes",
        ..STORAGE
    },
    Row {
        kind: "CSIStorageCapacity",
        plural: "csistoragecapacities",
        namespaced: true,
        rules: CONDITIONAL,
        ..STORAGE
    },
    Row {
        kind: "StorageClass",
        plural: "storageclasses",
        short: &["sc"],
        rules: RETURNED,
        ..STORAGE
    },
    Row {
        kind: "VolumeAttachment",
        plural: "volumeattachments",
        status: true,
        rules: Rules {
            initial_status: InitialStatus::Dropped,
            status_keeps_metadata: true,
            ..RETURNED_CONDITIONAL
        },
        ..STORAGE
    },
    Row {
        kind: "VolumeAttributesClass",
        plural: "volumeattributesclasses",
        short: &["vac"],
        rules: RETURNED,
        ..STORAGE
    },
];

/// All built-in types.
pub(crate) fn types() -> impl Iterator<Item = ResourceType> {
    CORE.iter().chain(GROUPS).map(Row::resource_type)
}

impl Row {
    fn resource_type(&self) -> ResourceType {
        let all = matches!(
            self.plural,
            "pods" | "services" | "daemonsets" | "deployments" | "replicasets" | "statefulsets" | "cronjobs"
        );
        ResourceType {
            group: self.group.to_owned(),
            plural: self.plural.to_owned(),
            singular: self.kind.to_lowercase(),
            kind: self.kind.to_owned(),
            list_kind: format!("{}List", self.kind),
            namespaced: self.namespaced,
            short_names: self.short.iter().map(ToString::to_string).collect(),
            categories: if all { vec!["all".to_owned()] } else { Vec::new() },
            versions: vec![ServedVersion {
                name: "v1".to_owned(),
                served: true,
                storage: true,
                status: self.status,
                fields: self.fields.iter().map(selectable).collect(),
                columns: Vec::new(),
                scale: matches!(self.plural, "deployments" | "replicasets" | "statefulsets"),
            }],
            rules: self.rules,
            custom: None,
        }
    }
}

fn selectable(&(label, path, missing): &(&'static str, &'static str, &'static str)) -> SelectableField {
    let path = if path.is_empty() { label } else { path };
    SelectableField {
        label: label.to_owned(),
        path: path.split('.').map(str::to_owned).collect(),
        missing,
    }
}
