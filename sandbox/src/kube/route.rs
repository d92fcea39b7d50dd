//! From path and method to what is asked for.

use http::Method;
use percent_encoding::percent_decode_str;

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Resource(ResourcePath),
    /// `/api`
    CoreVersions,
    /// `/apis`
    Groups,
    /// `/apis/{group}`
    Group(String),
    /// `/api/v1`, `/apis/{group}/{version}`
    GroupVersion(String, String),
    /// `/openapi/v2`
    OldOpenApi,
    /// `/openapi/v3`
    OpenApi,
    /// `/openapi/v3/api/v1`, `/openapi/v3/apis/{group}/{version}`
    OpenApiVersion(String, String),
    Version,
    Health,
    Unknown,
}

/// A path below a group and version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ResourcePath {
    pub group: String,
    pub version: String,
    /// None: all namespaces, or a type of the cluster.
    pub namespace: Option<String>,
    pub plural: String,
    /// Empty: the collection.
    pub name: String,
    pub subresource: String,
}

/// Reads a path.
pub(crate) fn parse(path: &str) -> Route {
    let segments: Vec<String> = path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
        .collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    match segments.as_slice() {
        ["api"] => Route::CoreVersions,
        ["api", version] => Route::GroupVersion(String::new(), (*version).to_owned()),
        ["api", version, rest @ ..] => resource("", version, rest),
        ["apis"] => Route::Groups,
        ["apis", group] => Route::Group((*group).to_owned()),
        ["apis", group, version] => Route::GroupVersion((*group).to_owned(), (*version).to_owned()),
        ["apis", group, version, rest @ ..] => resource(group, version, rest),
        ["openapi", "v2"] => Route::OldOpenApi,
        ["openapi", "v3"] => Route::OpenApi,
        ["openapi", "v3", "api", version] => Route::OpenApiVersion(String::new(), (*version).to_owned()),
        ["openapi", "v3", "apis", group, version] => {
            Route::OpenApiVersion((*group).to_owned(), (*version).to_owned())
        }
        ["version"] => Route::Version,
        ["healthz" | "readyz" | "livez", ..] => Route::Health,
        _ => Route::Unknown,
    }
}

fn resource(group: &str, version: &str, rest: &[&str]) -> Route {
    let (namespace, rest) = match rest {
        // A namespace itself and its subresources.
        ["namespaces"] | ["namespaces", _] | ["namespaces", _, "status" | "finalize"] => (None, rest),
        ["namespaces", namespace, rest @ ..] => (Some((*namespace).to_owned()), rest),
        _ => (None, rest),
    };
    let (plural, name, subresource) = match rest {
        [plural] => (plural, "", String::new()),
        [plural, name] => (plural, *name, String::new()),
        [plural, name, subresource @ ..] => (plural, *name, subresource.join("/")),
        [] => return Route::Unknown,
    };
    Route::Resource(ResourcePath {
        group: group.to_owned(),
        version: version.to_owned(),
        namespace,
        plural: (*plural).to_owned(),
        name: name.to_owned(),
        subresource,
    })
}

/// The verb of a request, as audit and access rules name it; none for methods that are not served.
pub(crate) fn verb(method: &Method, named: bool, watch: bool) -> Option<&'static str> {
    match *method {
        Method::GET if watch => Some("watch"),
        Method::GET if named => Some("get"),
        Method::GET => Some("list"),
        Method::POST => Some("create"),
        Method::PUT if named => Some("update"),
        Method::PATCH if named => Some("patch"),
        Method::DELETE if named => Some("delete"),
        Method::DELETE => Some("deletecollection"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let path = |group: &str, namespace: Option<&str>, plural: &str, name: &str, subresource: &str| {
            Route::Resource(ResourcePath {
                group: group.to_owned(),
                version: "v1".to_owned(),
                namespace: namespace.map(str::to_owned),
                plural: plural.to_owned(),
                name: name.to_owned(),
                subresource: subresource.to_owned(),
            })
        };
        for (text, expected) in [
            ("/api/v1/pods", path("", None, "pods", "", "")),
            ("/api/v1/namespaces", path("", None, "namespaces", "", "")),
            ("/api/v1/namespaces/a", path("", None, "namespaces", "a", "")),
            (
                "/api/v1/namespaces/a/status",
                path("", None, "namespaces", "a", "status"),
            ),
            ("/api/v1/namespaces/a/pods", path("", Some("a"), "pods", "", "")),
            (
                "/api/v1/namespaces/a/pods/b%2Fc/status",
                path("", Some("a"), "pods", "b/c", "status"),
            ),
            ("/apis/g/v1/things/x", path("g", None, "things", "x", "")),
            (
                "/apis/g/v1/namespaces/a/things/x/",
                path("g", Some("a"), "things", "x", ""),
            ),
            ("/apis/g/v1", Route::GroupVersion("g".to_owned(), "v1".to_owned())),
            ("/readyz/ping", Route::Health),
            ("/openapi/v3", Route::OpenApi),
            (
                "/openapi/v3/apis/g/v1",
                Route::OpenApiVersion("g".to_owned(), "v1".to_owned()),
            ),
            ("/openapi/v2", Route::OldOpenApi),
            ("/metrics", Route::Unknown),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }
}
