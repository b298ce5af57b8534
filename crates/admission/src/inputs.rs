//! What expressions of webhooks and policies may look at.
//!
//! upstream: apiserver/pkg/admission/plugin/cel/activation.go

use std::sync::{Arc, OnceLock};

use auth::authz::Attributes;
use auth::view::Resource;
use auth::{Authorizer, Decision, View};
use expression::{Error, Value};
use kinds::KindDef;
use kinds::admissionregistration::expressions::{namespace_value, request_value};
use machinery::{Object, UserInfo};
use serde_json::Value as Json;

use crate::subject::Subject;

/// Everything but the variables that a policy defines. What is not asked for is not made.
pub struct Inputs<'a> {
    subject: Subject<'a>,
    /// As which the request is seen.
    kind: &'static KindDef,
    pub object: Option<&'a Object>,
    pub old: Option<&'a Object>,
    pub params: Option<&'a Object>,
    /// Where the request's namespace is read, if it may be looked at.
    namespaces: Option<&'a dyn View>,
    authorizer: Arc<dyn Authorizer>,
    request_json: OnceLock<Json>,
    /// Null for requests outside of namespaces.
    namespace_json: OnceLock<Json>,
}

impl<'a> Inputs<'a> {
    /// `object` and `old` are in the version of `kind`.
    pub fn new(
        subject: Subject<'a>,
        kind: &'static KindDef,
        [object, old]: [Option<&'a Object>; 2],
        authorizer: Arc<dyn Authorizer>,
    ) -> Self {
        Self {
            subject,
            kind,
            object,
            old,
            params: None,
            namespaces: None,
            authorizer,
            request_json: OnceLock::new(),
            namespace_json: OnceLock::new(),
        }
    }

    pub fn with_namespaces(mut self, view: &'a dyn View) -> Self {
        self.namespaces = Some(view);
        self
    }

    pub fn with_params(mut self, params: Option<&'a Object>) -> Self {
        self.params = params;
        self
    }

    pub fn variable(&self, name: &str) -> Option<Result<Value<'_>, Error>> {
        let object = |object: Option<&'a Object>| Ok(object.map_or(Value::Null, |object| Value::object(&object.0)));
        Some(match name {
            "object" => object(self.object),
            "oldObject" => object(self.old),
            "params" => object(self.params),
            "request" => request_value(self.request_json.get_or_init(|| self.subject.to_value(self.kind).into())),
            "namespaceObject" => match self.namespace_json.get_or_init(|| self.namespace()) {
                Json::Null => Ok(Value::Null),
                namespace => namespace_value(namespace),
            },
            "authorizer" => Ok(expression::authorizer(self.asking())),
            "authorizer.requestResource" => Ok(expression::resource_check(self.asking(), self.of_request())),
            _ => return None,
        })
    }

    fn namespace(&self) -> Json {
        let of = |view: &dyn View| view.get(Resource::NAMESPACES, "", self.subject.request.namespace);
        self.namespaces.and_then(of).map_or(Json::Null, shown)
    }

    fn asking(&self) -> Arc<dyn expression::Authorizer> {
        let user = self.subject.request.context.user.clone();
        Arc::new(Asking { user, authorizer: self.authorizer.clone() })
    }

    fn of_request(&self) -> expression::Attributes {
        let request = self.subject.request;
        expression::Attributes {
            group: request.kind.group.to_owned(),
            resource: request.kind.resource.to_owned(),
            subresource: request.subresource.to_owned(),
            namespace: self.subject.namespace().to_owned(),
            name: self.subject.name().to_owned(),
            ..expression::Attributes::default()
        }
    }
}

/// A Namespace without its owners and managers.
fn shown(mut namespace: Object) -> Json {
    for field in ["ownerReferences", "managedFields"] {
        namespace.remove(&["metadata", field]);
    }
    namespace.into_value()
}

/// The authorizer, asked by the user of the request.
struct Asking {
    user: UserInfo,
    authorizer: Arc<dyn Authorizer>,
}

impl std::fmt::Debug for Asking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "authorizer of {:?}", self.user.name)
    }
}

impl expression::Authorizer for Asking {
    fn authorize(&self, asked: &expression::Attributes) -> expression::Decision {
        let user = match &asked.service_account {
            Some((namespace, name)) => service_account(namespace, name),
            None => self.user.clone(),
        };
        let attributes = Attributes {
            user,
            verb: asked.verb.clone(),
            namespace: asked.namespace.clone(),
            api_group: asked.group.clone(),
            api_version: "*".to_owned(),
            resource: asked.resource.clone(),
            subresource: asked.subresource.clone(),
            name: asked.name.clone(),
            path: asked.path.clone().unwrap_or_default(),
            field_selector: asked.field_selector.clone(),
            label_selector: asked.label_selector.clone(),
            is_resource: asked.path.is_none(),
        };
        match self.authorizer.authorize(&attributes) {
            Decision::Failed { why, .. } => {
                expression::Decision { error: Some(why), ..expression::Decision::default() }
            }
            decision => {
                expression::Decision { allowed: decision.allowed(), reason: decision.reason().to_owned(), error: None }
            }
        }
    }
}

fn service_account(namespace: &str, name: &str) -> UserInfo {
    let groups = ["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
    let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
    UserInfo::new(format!("system:serviceaccount:{namespace}:{name}"), &groups)
}
