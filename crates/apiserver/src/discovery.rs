//! `/api`, `/apis` and what lies below: which groups, versions and resources there are.

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::header::{ETAG, IF_NONE_MATCH, VARY};
use http::{HeaderValue, StatusCode};
use machinery::ApiError;
use registry::discovery::{self, Group, Version};
use serde_json::{Value, json};

use crate::aggregation::Aggregation;
use crate::body;
use crate::call::Call;
use crate::negotiate::{Accept, Offer, Shape};
use crate::respond::{self, Answer};
use crate::server::{Server, ServerConfig};

/// The documents, made anew when they are asked for and what is served has changed.
pub struct DiscoveryCache(ArcSwap<(u64, Arc<Discovery>)>);

impl DiscoveryCache {
    pub(crate) fn new(config: &ServerConfig) -> Self {
        Self(ArcSwap::from_pointee((0, Arc::new(Discovery::new(config, &[])))))
    }

    pub(crate) fn newest(&self, config: &ServerConfig, aggregation: &Aggregation) -> Arc<Discovery> {
        let generation = aggregation.generation(&config.registry);
        let made = self.0.load();
        if made.0 == generation {
            return made.1.clone();
        }
        let discovery = Arc::new(Discovery::new(config, &aggregation.served(&config.registry)));
        self.0.store(Arc::new((generation, discovery.clone())));
        discovery
    }
}

/// The documents of what is served at one time.
pub struct Discovery {
    groups: Vec<Group>,
    api_versions: Value,
    group_list: Value,
    core: Aggregated,
    named: Aggregated,
}

/// An aggregated document and the tag that changes when it does.
struct Aggregated {
    document: Value,
    etag: HeaderValue,
}

const AGGREGATED: &str = "io.k8s.api.apidiscovery.v2.APIGroupDiscoveryList";
/// What follows the format in the type of an aggregated document.
const AGGREGATED_TYPE: &str = "g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// Where the messages of the plain documents are.
const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

impl Discovery {
    /// `extensions` are served by others, in place of this server.
    fn new(config: &ServerConfig, extensions: &[(String, Version)]) -> Self {
        let others = |group: &str, version: &str| {
            extensions.iter().any(|(of, by)| (of.as_str(), by.name.as_str()) == (group, version))
        };
        let local = config.local_apis.iter().filter(|api| !others(api.group, api.version));
        let extra: Vec<_> = local.map(crate::LocalApi::discovery).chain(extensions.iter().cloned()).collect();
        let own = config.registry.kinds().served().filter(|kind| !others(kind.group, kind.version));
        let groups = discovery::groups(own, &extra);
        Self {
            api_versions: discovery::api_versions(&config.advertised),
            group_list: discovery::group_list(&groups),
            core: Aggregated::new(groups.iter().filter(|group| group.name.is_empty())),
            named: Aggregated::new(groups.iter().filter(|group| !group.name.is_empty())),
            groups,
        }
    }

    /// The document at a path such as `/apis/apps/v1`.
    fn document(&self, path: &str) -> Option<Value> {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        match parts.as_slice() {
            [""] => Some(self.paths()),
            ["api"] => Some(self.api_versions.clone()),
            ["apis"] => Some(self.group_list.clone()),
            ["api", version] => self.resources("", version),
            ["apis", group] => Some(self.group(group)?.document()),
            ["apis", group, version] => self.resources(group, version),
            _ => None,
        }
    }

    fn group(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.name == name)
    }

    fn resources(&self, group: &str, version: &str) -> Option<Value> {
        let group = self.group(group)?;
        let version = group.versions.iter().find(|of| of.name == version)?;
        Some(group.resource_list(version))
    }

    fn paths(&self) -> Value {
        let mut paths = vec!["/api".to_owned(), "/api/v1".to_owned(), "/apis".to_owned()];
        for group in self.groups.iter().filter(|group| !group.name.is_empty()) {
            paths.push(format!("/apis/{}", group.name));
            paths.extend(group.versions.iter().map(|version| format!("/apis/{}/{}", group.name, version.name)));
        }
        paths.extend(
            ["/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/readyz", "/version"].map(str::to_owned),
        );
        json!({"paths": paths})
    }
}

impl Aggregated {
    fn new<'a>(groups: impl Iterator<Item = &'a Group>) -> Self {
        let document = discovery::aggregated(groups);
        let digest = crate::digest::hex(document.to_string().as_bytes());
        let etag = HeaderValue::try_from(format!("\"{digest}\"")).expect("hexadecimal digits fit a header");
        Self { document, etag }
    }
}

impl Server {
    pub(crate) async fn serve_discovery(&self, call: &Call, path: &str) -> Result<Answer, ApiError> {
        self.registry().settle().await?;
        let discovery = self.discovery();
        let aggregated = match path {
            "/api" => Some(&discovery.core),
            "/apis" => Some(&discovery.named),
            _ => None,
        };
        let accept = call.accept(if aggregated.is_some() { Offer::DISCOVERY } else { Offer::PLAIN })?;
        if let (Some(aggregated), Shape::Discovery) = (aggregated, accept.shape) {
            return Ok(answer_aggregated(call, accept, aggregated));
        }
        let document = discovery.document(path).ok_or_else(ApiError::no_such_path)?;
        match document["kind"].as_str() {
            Some(kind) => Ok(respond::value(call, accept, StatusCode::OK, &format!("{META}.{kind}"), &document)),
            None => Ok(respond::json(call, &document)),
        }
    }
}

fn answer_aggregated(call: &Call, accept: Accept, aggregated: &Aggregated) -> Answer {
    let known = call.headers().get(IF_NONE_MATCH).is_some_and(|tag| *tag == aggregated.etag);
    let mut answer = if known {
        let mut answer = Answer::new(body::empty());
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        answer
    } else {
        let mut answer = respond::value(call, accept, StatusCode::OK, AGGREGATED, &aggregated.document);
        let of_type = format!("{};{AGGREGATED_TYPE}", accept.format.content_type());
        let of_type = HeaderValue::try_from(of_type).expect("media types fit a header");
        answer.headers_mut().insert(http::header::CONTENT_TYPE, of_type);
        answer
    };
    answer.headers_mut().insert(ETAG, aggregated.etag.clone());
    answer.headers_mut().append(VARY, HeaderValue::from_static("Accept"));
    answer
}
