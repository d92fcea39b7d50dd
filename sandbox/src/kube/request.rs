//! One request, from its parts to its answer.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT, WARNING};
use http::{Method, Response, StatusCode, request};
use serde_json::{Value, json};

use super::access::Asked;
use super::audit::AuditRecord;
use super::body::Body;
use super::discovery;
use super::error::ApiError;
use super::format::Format;
use super::object::serialise;
use super::openapi;
use super::query::Query;
use super::route::{self, ResourcePath, Route};
use super::server::Inner;
use super::state::State;
use super::verbs;
use super::watch::{self, Watcher};

/// What the server reads of a request.
pub(crate) struct ApiRequest<'a> {
    pub method: &'a Method,
    pub path: &'a str,
    pub query: &'a str,
    pub accept: &'a str,
    pub content_type: &'a str,
    pub user_agent: &'a str,
    pub user: &'a str,
    pub body: Bytes,
}

impl<'a> ApiRequest<'a> {
    pub fn new(parts: &'a request::Parts, user: &'a str, body: Bytes) -> Self {
        let header = |name: HeaderName| {
            let value = parts.headers.get(name);
            value.and_then(|value| value.to_str().ok()).unwrap_or_default()
        };
        Self {
            method: &parts.method,
            path: parts.uri.path(),
            query: parts.uri.query().unwrap_or_default(),
            accept: header(ACCEPT),
            content_type: header(CONTENT_TYPE),
            user_agent: header(USER_AGENT),
            user,
            body,
        }
    }
}

/// What to answer when nothing went wrong.
pub(crate) enum Answer {
    Json(StatusCode, Bytes),
    /// JSON that says in its media type what it is.
    Typed(&'static str, Bytes),
    /// An answer with warnings for the user.
    Warned(Box<Answer>, Vec<String>),
    Text(StatusCode, &'static str),
    Watch(Box<Watcher>),
}

impl Answer {
    /// The answer with warnings, if there are any.
    pub fn warning(self, warnings: Vec<String>) -> Self {
        if warnings.is_empty() {
            self
        } else {
            Self::Warned(Box::new(self), warnings)
        }
    }
}

/// Does what a request asks and records it.
pub(crate) fn answer(inner: &Arc<Inner>, request: &ApiRequest<'_>) -> Response<Body> {
    let mut state = inner.lock();
    match route::parse(request.path) {
        Route::Resource(path) => {
            let query = Query::parse(request.query);
            let watching = path.name.is_empty() && query.as_ref().is_ok_and(|query| query.watch);
            let verb = route::verb(request.method, !path.name.is_empty(), watching);
            let result = match (verb, query) {
                (None, _) => Err(ApiError::method_not_allowed(METHOD_NOT_ALLOWED)),
                (_, Err(error)) => Err(error),
                (Some(verb), Ok(query)) => on_resource(inner, &mut state, request, &path, verb, query),
            };
            let response = respond(result);
            record(
                &mut state,
                request,
                verb.unwrap_or("unknown"),
                path,
                response.status(),
            );
            response
        }
        other => {
            let response = respond(elsewhere(&state, request, &other));
            let path = ResourcePath {
                name: request.path.to_owned(),
                ..ResourcePath::default()
            };
            record(&mut state, request, "get", path, response.status());
            response
        }
    }
}

pub(crate) const METHOD_NOT_ALLOWED: &str = "the server does not allow this method on the requested resource";

/// A request to a path of a resource.
fn on_resource(
    inner: &Arc<Inner>,
    state: &mut State,
    request: &ApiRequest<'_>,
    path: &ResourcePath,
    verb: &'static str,
    query: Query,
) -> Result<Answer, ApiError> {
    let Some(resource) = verbs::find(state, path) else {
        // A group that nobody serves has no server that could answer.
        let is_served = serves_builtin(state, &path.group);
        return if is_served {
            Err(ApiError::no_such_resource())
        } else {
            Ok(Answer::Text(StatusCode::NOT_FOUND, "404 page not found\n"))
        };
    };
    let asked = Asked {
        verb,
        group: &path.group,
        resource: &path.plural,
        subresource: &path.subresource,
    };
    if !state.denials.allows(request.user, &asked) {
        let scope = match &path.namespace {
            Some(namespace) => format!("in the namespace \"{namespace}\""),
            None => "at the cluster scope".to_owned(),
        };
        let slash = if path.subresource.is_empty() { "" } else { "/" };
        let why = format!(
            "User \"{}\" cannot {verb} resource \"{}{slash}{}\" in API group \"{}\" {scope}",
            request.user, path.plural, path.subresource, path.group
        );
        return Err(ApiError::forbidden(&resource, &path.name, &why));
    }
    let format = Format::negotiate(request.accept, &query.include_object)?;
    let call = verbs::Call {
        request,
        path,
        resource,
        query,
        format,
        now: state.clock.now(),
    };
    match verb {
        "get" => call.get(state),
        "list" => call.list(state),
        "watch" => call.watch(inner, state),
        "create" => call.create(state),
        "update" => call.update(state),
        "patch" => call.patch(state),
        "delete" => call.delete(state),
        "deletecollection" => call.delete_collection(state),
        _ => Err(ApiError::method_not_allowed(METHOD_NOT_ALLOWED)),
    }
}

/// A request to any other path.
fn elsewhere(state: &State, request: &ApiRequest<'_>, route: &Route) -> Result<Answer, ApiError> {
    if *request.method != Method::GET {
        return Err(ApiError::method_not_allowed(METHOD_NOT_ALLOWED));
    }
    let core = *route == Route::CoreVersions;
    if (core || *route == Route::Groups) && discovery::wants_aggregated(request.accept) {
        let bytes = serialise(&discovery::aggregated(state, core));
        return Ok(Answer::Typed(discovery::AGGREGATED, bytes));
    }
    let json = match route {
        Route::Health => return Ok(Answer::Text(StatusCode::OK, "ok")),
        Route::Version => Some(discovery::version()),
        Route::CoreVersions => Some(discovery::core_versions()),
        Route::Groups => Some(discovery::groups(state)),
        Route::Group(name) => discovery::group(state, name),
        Route::GroupVersion(group, version) => discovery::group_version(state, group, version),
        Route::OldOpenApi => return Ok(openapi::old(request.accept)),
        Route::OpenApi => Some(openapi::index(state)),
        Route::OpenApiVersion(group, version) => openapi::document(state, group, version),
        Route::Resource(_) | Route::Unknown => None,
    };
    match json {
        Some(json) => {
            Format::negotiate(request.accept, "")?;
            Ok(Answer::Json(StatusCode::OK, serialise(&json)))
        }
        None => match route {
            Route::GroupVersion(group, _) if serves_builtin(state, group) => {
                Err(ApiError::no_such_resource())
            }
            _ => Ok(Answer::Text(StatusCode::NOT_FOUND, "404 page not found\n")),
        },
    }
}

/// Whether a group has kinds of the server's own.
fn serves_builtin(state: &State, group: &str) -> bool {
    state.group(group).any(|resource| !resource.is_custom())
}

fn record(
    state: &mut State,
    request: &ApiRequest<'_>,
    verb: &'static str,
    path: ResourcePath,
    code: StatusCode,
) {
    let at = state.clock.now();
    state.audit.record(AuditRecord {
        number: 0,
        user: request.user.to_owned(),
        verb,
        group: path.group,
        resource: path.plural,
        subresource: path.subresource,
        namespace: path.namespace.unwrap_or_default(),
        name: path.name,
        code: code.as_u16(),
        at,
    });
}

fn respond(result: Result<Answer, ApiError>) -> Response<Body> {
    match result {
        Ok(Answer::Json(code, bytes)) => response(code, "application/json", bytes.into()),
        Ok(Answer::Typed(content_type, bytes)) => response(StatusCode::OK, content_type, bytes.into()),
        Ok(Answer::Warned(answer, warnings)) => {
            let mut response = respond(Ok(*answer));
            warn(&mut response, &warnings);
            response
        }
        Ok(Answer::Text(code, text)) => response(
            code,
            "text/plain; charset=utf-8",
            Bytes::from_static(text.as_bytes()).into(),
        ),
        Ok(Answer::Watch(watcher)) => response(
            StatusCode::OK,
            "application/json",
            Body::lines(watch::lines(*watcher)),
        ),
        Err(error) => refuse(&error),
    }
}

fn warn(response: &mut Response<Body>, warnings: &[String]) {
    for text in warnings {
        let value = format!("299 - \"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().append(WARNING, value);
        }
    }
}

/// The answer to a refused request.
pub(crate) fn refuse(error: &ApiError) -> Response<Body> {
    let code = StatusCode::from_u16(error.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let status = error.status();
    let retry = status["details"]["retryAfterSeconds"].as_u64();
    let mut response = response(code, "application/json", serialise(&status).into());
    if let Some(seconds) = retry {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    if code == StatusCode::METHOD_NOT_ALLOWED {
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET"));
    }
    warn(&mut response, error.warnings());
    response
}

fn response(code: StatusCode, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    let content_type = HeaderValue::from_static(content_type);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// The `Status` of a deletion that left nothing to show.
pub(crate) fn success(group: &str, plural: &str, name: &str, uid: &str) -> Value {
    let mut details = json!({"name": name, "kind": plural, "uid": uid});
    if !group.is_empty() {
        details["group"] = json!(group);
    }
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}
