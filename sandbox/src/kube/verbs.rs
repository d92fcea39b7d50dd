//! The verbs on resources.

use std::sync::Arc;

use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::admit;
use super::checks;
use super::delete::{self, DeleteOptions};
use super::error::{ApiError, Cause};
use super::format::{Format, Shape};
use super::object::{Object, metadata_mut, metadata_str, serialise};
use super::openapi::Schema;
use super::patch::{PatchKind, parse_apply};
use super::protobuf;
use super::query::Query;
use super::read::{self, Listing};
use super::request::{Answer, ApiRequest, METHOD_NOT_ALLOWED, success};
use super::resource::{GroupResource, ResourceType};
use super::reviews;
use super::route::ResourcePath;
use super::scale;
use super::server::Inner;
use super::state::State;
use super::watch;
use super::write::{self, Operation, Target};

/// The media types of bodies.
const ACCEPTED: [&str; 2] = ["application/json", protobuf::MEDIA_TYPE];

/// A request to a resource, with what was found out about it.
pub(crate) struct Call<'a> {
    pub request: &'a ApiRequest<'a>,
    pub path: &'a ResourcePath,
    pub resource: Arc<ResourceType>,
    pub query: Query,
    pub format: Format,
    pub now: Timestamp,
}

/// The type that a path names; none when no such path is served.
pub(crate) fn find(state: &State, path: &ResourcePath) -> Option<Arc<ResourceType>> {
    let collection = state.collection(GroupResource::new(&path.group, &path.plural))?;
    let resource = &collection.resource;
    let version = resource.version(&path.version).filter(|version| version.served)?;
    let placed = match (resource.namespaced, &path.namespace) {
        (true, Some(namespace)) => !namespace.is_empty(),
        (true, None) => path.name.is_empty(),
        (false, namespace) => namespace.is_none(),
    };
    let subresource = match path.subresource.as_str() {
        "" => true,
        "status" => version.status,
        "scale" => version.scale,
        "finalize" => path.group.is_empty() && path.plural == "namespaces",
        _ => false,
    };
    (placed && subresource).then(|| resource.clone())
}

impl<'a> Call<'a> {
    pub fn target(&self, manager: &'a str) -> Target<'_> {
        Target {
            resource: self.resource.clone(),
            version: &self.path.version,
            namespace: self.path.namespace.as_deref().unwrap_or_default(),
            name: &self.path.name,
            subresource: &self.path.subresource,
            manager,
            dry_run: self.query.dry_run,
        }
    }

    /// Who owns the written fields: the parameter, else the program's name in the user agent.
    fn writing(&self) -> Target<'_> {
        let agent = self.request.user_agent.split('/').next().unwrap_or_default();
        let mut target = self.target(agent);
        if !self.query.field_manager.is_empty() {
            target.manager = &self.query.field_manager;
        } else if agent.is_empty() {
            target.manager = "unknown";
        }
        target
    }

    fn object(&self, code: StatusCode, object: &Object) -> Answer {
        Answer::Json(code, self.shape().object(object))
    }

    /// The answer to a write of `old`: the object, and what the user should know of it.
    fn written(
        &self,
        target: &Target<'_>,
        old: Option<&Value>,
        result: Result<Arc<Object>, ApiError>,
        mut warnings: Vec<String>,
    ) -> Result<Answer, ApiError> {
        let object = match result {
            Ok(object) => object,
            Err(error) => return Err(error.warning(warnings)),
        };
        if target.subresource.is_empty() {
            warnings.extend(admit::warnings(target, object.value(), old));
        }
        let code = if old.is_some() {
            StatusCode::OK
        } else {
            StatusCode::CREATED
        };
        Ok(self.object(code, &object).warning(warnings))
    }

    fn shape(&self) -> Shape<'_> {
        Shape {
            resource: &self.resource,
            version: &self.path.version,
            format: self.format,
            now: self.now,
        }
    }

    fn storable(&self) -> Result<(), ApiError> {
        if self.resource.rules.review_only {
            return Err(ApiError::method_not_allowed(METHOD_NOT_ALLOWED));
        }
        Ok(())
    }

    fn json_body(&self) -> Result<Value, ApiError> {
        let content_type = self
            .request
            .content_type
            .split(';')
            .next()
            .unwrap_or_default()
            .trim();
        if content_type == protobuf::MEDIA_TYPE {
            return self.protobuf_body();
        }
        if !matches!(content_type, "" | "application/json" | "*/*") {
            return Err(ApiError::unsupported_media_type(&ACCEPTED.join(", ")));
        }
        serde_json::from_slice(&self.request.body).map_err(|error| {
            let kind = &self.resource.kind;
            ApiError::bad_request(format!(
                "{kind} in version \"{}\" cannot be handled as a {kind}: {error}",
                self.path.version
            ))
        })
    }

    fn protobuf_body(&self) -> Result<Value, ApiError> {
        let read = protobuf::decode(&self.request.body);
        let read = read.map_err(|error| ApiError::bad_request(error.to_string()))?;
        read.ok_or_else(|| ApiError::unsupported_media_type(ACCEPTED[0]))
    }

    pub fn get(&self, state: &State) -> Result<Answer, ApiError> {
        self.storable()?;
        let stored = self.target("").stored(state)?;
        let asked = self.query.revision()?.unwrap_or(0);
        if asked > state.revision {
            return Err(ApiError::version_too_large(asked, state.revision));
        }
        if self.path.subresource == "scale" {
            return Ok(Answer::Json(
                StatusCode::OK,
                serialise(&scale::of(stored.value())),
            ));
        }
        Ok(self.object(StatusCode::OK, &stored))
    }

    fn listing(&self) -> Listing<'_> {
        Listing {
            version: &self.path.version,
            namespace: self.path.namespace.as_deref(),
            query: &self.query,
            format: self.format,
            now: self.now,
        }
    }

    pub fn list(&self, state: &State) -> Result<Answer, ApiError> {
        self.storable()?;
        let collection = state
            .collection(self.resource.id())
            .ok_or_else(ApiError::no_such_resource)?;
        let listing = self.listing();
        let page = read::page(collection, state.revision, &listing)?;
        Ok(Answer::Json(
            StatusCode::OK,
            read::render_page(collection, &page, &listing),
        ))
    }

    pub fn watch(&self, inner: &Arc<Inner>, state: &State) -> Result<Answer, ApiError> {
        self.storable()?;
        let namespace = self.path.namespace.as_deref();
        let watcher = watch::begin(
            inner,
            state,
            &self.target(""),
            namespace,
            &self.query,
            self.format,
        )?;
        Ok(Answer::Watch(Box::new(watcher)))
    }

    pub fn create(&self, state: &mut State) -> Result<Answer, ApiError> {
        if !self.path.name.is_empty() || self.resource.namespaced && self.path.namespace.is_none() {
            return Err(ApiError::method_not_allowed(METHOD_NOT_ALLOWED));
        }
        let mut value = self.json_body()?;
        if self.resource.rules.review_only {
            if !value.is_object() {
                return Err(ApiError::bad_request(
                    "the object provided is unrecognized: it is no JSON object",
                ));
            }
            reviews::review(state, &self.resource, self.request.user, &mut value);
            value["apiVersion"] = json!(self.resource.api_version(&self.path.version));
            value["kind"] = json!(self.resource.kind);
            metadata_mut(&mut value);
            return Ok(Answer::Json(StatusCode::CREATED, serialise(&value)));
        }
        let target = self.writing();
        let warnings = self.take_body(&mut value)?;
        let made = write::create(state, &target, value, Operation::Update);
        self.written(&target, None, made, warnings)
    }

    pub fn update(&self, state: &mut State) -> Result<Answer, ApiError> {
        self.storable()?;
        let target = self.writing();
        let mut value = self.json_body()?;
        if self.path.subresource == "scale" {
            return self.scale(state, &target, |_| Ok(value));
        }
        let warnings = self.take_body(&mut value)?;
        let stored = match target.stored(state) {
            Err(_) if self.resource.rules.create_on_update && target.subresource.is_empty() => {
                return self.create_by_put(state, &target, value, warnings);
            }
            Err(error) => return Err(error.warning(warnings)),
            Ok(stored) => stored,
        };
        let old = write::seen(&target, &stored);
        let changed = write::update(state, &target, &stored, &old, value, Operation::Update);
        self.written(&target, Some(&old), changed, warnings)
    }

    /// Changes the number of replicas through the scale of a workload.
    fn scale(
        &self,
        state: &mut State,
        target: &Target<'_>,
        change: impl FnOnce(&Value) -> Result<Value, ApiError>,
    ) -> Result<Answer, ApiError> {
        let stored = target.stored(state)?;
        let old = write::seen(target, &stored);
        let new = scale::apply(target, &old, &change(&scale::of(&old))?)?;
        let whole = Target {
            subresource: "",
            ..target.clone()
        };
        let object = write::update(state, &whole, &stored, &old, new, Operation::Update)?;
        Ok(Answer::Json(
            StatusCode::OK,
            serialise(&scale::of(object.value())),
        ))
    }

    /// A PUT that makes the object. One that means an object which is gone is refused.
    fn create_by_put(
        &self,
        state: &mut State,
        target: &Target<'_>,
        mut value: Value,
        warnings: Vec<String>,
    ) -> Result<Answer, ApiError> {
        let uid = metadata_str(&value, "uid");
        if !uid.is_empty() {
            return Err(checks::wrong_uid(target, uid, ""));
        }
        if value.is_object() {
            metadata_mut(&mut value).remove("resourceVersion");
        }
        let made = write::create(state, target, value, Operation::Update);
        self.written(target, None, made, warnings)
    }

    pub fn patch(&self, state: &mut State) -> Result<Answer, ApiError> {
        self.storable()?;
        let kind = PatchKind::negotiate(self.request.content_type, self.resource.is_custom())?;
        if kind == PatchKind::Apply {
            return self.apply(state);
        }
        if self.query.force.is_some() {
            let cause = Cause::forbidden("force", "may not be specified for non-apply patch");
            return Err(ApiError::invalid("PatchOptions", "meta.k8s.io", "", vec![cause]));
        }
        let target = self.writing();
        let body = &self.request.body;
        if self.path.subresource == "scale" {
            return self.scale(state, &target, |scale| kind.patch(None, scale, body));
        }
        let stored = target.stored(state)?;
        let old = write::seen(&target, &stored);
        let mut new = if kind == PatchKind::Strategic {
            let api_version = self.resource.api_version(&self.path.version);
            kind.patch(Schema::of(&api_version, &self.resource.kind), &old, body)?
        } else {
            kind.patch(None, &old, body)?
        };
        let warnings = self.take_patched(&mut new)?;
        checks::check_patched_uid(&target, &stored, &mut new)?;
        let changed = write::update(state, &target, &stored, &old, new, Operation::Update);
        self.written(&target, Some(&old), changed, warnings)
    }

    fn apply(&self, state: &mut State) -> Result<Answer, ApiError> {
        if self.query.field_manager.is_empty() {
            let cause = Cause::required("fieldManager", "is required for apply patch");
            return Err(ApiError::invalid("PatchOptions", "meta.k8s.io", "", vec![cause]));
        }
        let target = self.writing();
        let mut applied = parse_apply(&self.request.body)?;
        if !applied.is_object() {
            return Err(ApiError::bad_request(
                "error decoding YAML: the body is no object",
            ));
        }
        let has_type = ["apiVersion", "kind"]
            .iter()
            .all(|field| applied[field].is_string());
        if !has_type {
            let message = "invalid object type: /, Kind=";
            return Err(ApiError::bad_request(message));
        }
        if applied["metadata"]["managedFields"]
            .as_array()
            .is_some_and(|fields| !fields.is_empty())
        {
            return Err(ApiError::bad_request("metadata.managedFields must be nil"));
        }
        self.take_applied(&applied)?;
        let stored = target.stored(state).ok();
        if stored.is_none() {
            checks::check_applied_to_none(&target, &applied)?;
        }
        metadata_mut(&mut applied)
            .entry("name")
            .or_insert_with(|| json!(target.name));
        let old = stored.as_ref().map(|stored| write::seen(&target, stored));
        let force = self.query.force.unwrap_or(false);
        let mut new = admit::apply(state, &target, old.as_deref(), &applied, force)?;
        self.take_merged(&mut new);
        let written = match stored.as_ref().zip(old.as_ref()) {
            None => write::create(state, &target, new, Operation::Apply),
            Some((stored, old)) => {
                checks::check_patched_uid(&target, stored, &mut new)?;
                write::update(state, &target, stored, old, new, Operation::Apply)
            }
        };
        self.written(&target, old.as_deref(), written, Vec::new())
    }

    pub fn delete(&self, state: &mut State) -> Result<Answer, ApiError> {
        self.storable()?;
        if !self.path.subresource.is_empty() {
            return Err(ApiError::method_not_allowed(METHOD_NOT_ALLOWED));
        }
        let stored = self.target("").stored(state)?;
        let options = DeleteOptions::parse(self.query.clone(), &self.request.body)?;
        let deleted = delete::delete(state, &self.resource, &stored, &options)?;
        if deleted.gone && !self.resource.rules.returns_deleted {
            let status = success(
                &self.resource.group,
                &self.resource.plural,
                stored.name(),
                stored.uid(),
            );
            return Ok(Answer::Json(StatusCode::OK, serialise(&status)));
        }
        Ok(self.object(StatusCode::OK, &deleted.object))
    }

    pub fn delete_collection(&self, state: &mut State) -> Result<Answer, ApiError> {
        self.storable()?;
        let options = DeleteOptions::parse(self.query.clone(), &self.request.body)?;
        let collection = state
            .collection(self.resource.id())
            .ok_or_else(ApiError::no_such_resource)?;
        let page = read::page(collection, state.revision, &self.listing())?;
        let mut items = Vec::new();
        for object in &page.objects {
            let deleted = delete::delete(state, &self.resource, object, &options)?;
            let shown = if deleted.gone { object } else { &deleted.object };
            items.push(write::seen(&self.target(""), shown).into_owned());
        }
        let mut list = json!({
            "kind": self.resource.list_kind, "apiVersion": self.resource.api_version(&self.path.version),
            "metadata": {"resourceVersion": state.revision.to_string()}, "items": items,
        });
        if self.resource.is_custom() {
            list["metadata"]["continue"] = json!("");
        }
        Ok(Answer::Json(StatusCode::OK, serialise(&list)))
    }
}
