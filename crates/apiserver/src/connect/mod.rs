//! Connections through the server to nodes, pods and services: logs, exec, attach, port-forward, proxy.

pub(crate) mod forward;
mod links;
mod options;
mod place;
mod pod;
mod target;

use http::{Response, StatusCode};
use kinds::{KindDef, Subresource};
use machinery::{ApiError, Object, Reason};
use registry::{Operation, service};
use serde_json::Value;

use crate::body;
use crate::call::Call;
use crate::respond::{self, Answer};
use crate::server::Server;
use crate::subresource::Asked;

use forward::{Backend, Secure};
use target::Target;

/// The most of a node's error text that is passed on.
const ERROR_BYTES_MAX: usize = 20 << 10;

impl Server {
    /// `subresource` is one that the kind table calls a connection.
    pub(crate) async fn serve_connection(
        &self,
        call: &mut Call,
        kind: &'static KindDef,
        subresource: &str,
    ) -> Result<Answer, ApiError> {
        match (kind.resource, subresource) {
            ("pods", "log") => self.pod_log(call, kind).await,
            ("pods", "exec" | "attach") => self.pod_stream(call, kind, subresource).await,
            ("pods", "portforward") => self.pod_port_forward(call, kind).await,
            ("nodes" | "pods" | "services", "proxy") => {
                self.admit_connection(call, kind, subresource).await?;
                let backend = self.proxied(call, kind).await?;
                if let Some(moved) = links::to_root(call) {
                    return Ok(moved);
                }
                let place = links::Place::of(call, &backend);
                Ok(place.lead_back(forward::forward(self, call, Some(kind), backend).await?).await)
            }
            _ => Err(ApiError::no_such_path()),
        }
    }

    async fn pod_log(&self, call: &mut Call, kind: &'static KindDef) -> Result<Answer, ApiError> {
        let pod = self.connected(call, kind, &call.info.name).await?;
        let path = pod::log_path(&pod, &call.query)?;
        let Some(backend) = self.on_node(&pod, path).await? else {
            let mut nothing = Response::new(body::empty());
            *nothing.status_mut() = StatusCode::NO_CONTENT;
            return Ok(nothing);
        };
        let answer = forward::forward(self, call, Some(kind), backend).await?;
        if answer.status().is_success() {
            return Ok(respond::with(answer.status(), "text/plain", answer.into_body()));
        }
        Err(refused(answer).await)
    }

    async fn pod_stream(&self, call: &mut Call, kind: &'static KindDef, what: &str) -> Result<Answer, ApiError> {
        let pod = self.connected(call, kind, &call.info.name).await?;
        let options = self.admit_connection(call, kind, what).await?;
        let path = pod::stream_path(what, &pod, &options::query(&options))?;
        self.streamed(call, kind, &pod, path).await
    }

    async fn pod_port_forward(&self, call: &mut Call, kind: &'static KindDef) -> Result<Answer, ApiError> {
        let pod = self.connected(call, kind, &call.info.name).await?;
        let options = self.admit_connection(call, kind, "portforward").await?;
        let path = pod::port_forward_path(&pod, &options::query(&options));
        self.streamed(call, kind, &pod, path).await
    }

    /// Asks admission about the connection, and answers the options under which it may be made.
    async fn admit_connection(
        &self,
        call: &Call,
        kind: &'static KindDef,
        subresource: &str,
    ) -> Result<Object, ApiError> {
        let Some(Subresource::Connect { kind: of_options, .. }) = kind.subresource(subresource) else {
            return Err(ApiError::no_such_path());
        };
        let mut options = options::of(of_options, &call.query, &call.info.rest);
        self.admit(&call.context()?, kind, Asked::of(call, Operation::Connect), &mut options).await?;
        Ok(options)
    }

    async fn streamed(
        &self,
        call: &mut Call,
        kind: &'static KindDef,
        pod: &Object,
        path: String,
    ) -> Result<Answer, ApiError> {
        let unassigned = || ApiError::bad_request(format!("pod {} does not have a host assigned", pod.name()));
        let backend = self.on_node(pod, path).await?.ok_or_else(unassigned)?;
        forward::forward(self, call, Some(kind), backend).await
    }

    async fn connected(&self, call: &Call, kind: &'static KindDef, name: &str) -> Result<Object, ApiError> {
        Ok(self.registry().get(kind, call.namespace(kind), name, "").await?.object())
    }

    /// The node of `pod`; nothing if it has none yet.
    async fn on_node(&self, pod: &Object, path: String) -> Result<Option<Backend>, ApiError> {
        match pod.str(&["spec", "nodeName"]) {
            "" => Ok(None),
            node => Ok(Some(Backend { address: self.node_address(node).await?, secure: Secure::Node, path })),
        }
    }

    /// `host:port` of the node's own API.
    async fn node_address(&self, name: &str) -> Result<String, ApiError> {
        let kind = self.kind("", "v1", "nodes")?;
        place::node_address(&self.registry().get(kind, "", name, "").await?.object())
    }

    /// Where a proxied request goes: the name in the path may carry a scheme and a port.
    async fn proxied(&self, call: &Call, kind: &'static KindDef) -> Result<Backend, ApiError> {
        let target = Target::parse(&call.info.name)
            .ok_or_else(|| ApiError::bad_request(format!("invalid {} request {:?}", kind.singular, call.info.name)))?;
        let path = target::path_and_query(call);
        let (address, secure) = match kind.resource {
            "nodes" => {
                let node = self.registry().get(kind, "", &target.name, "").await?.object();
                place::on_node(&node, &target)?
            }
            "pods" => {
                let pod = self.connected(call, kind, &target.name).await?;
                (place::pod_address(&pod, &target.port)?, Secure::proxied(target.tls))
            }
            _ => {
                let of = self.connected(call, kind, &target.name).await?;
                (self.pod_of_service(&of, &target.port)?, Secure::proxied(target.tls))
            }
        };
        Ok(Backend { address, secure, path })
    }

    /// Only pods are proxied to, as endpoints may be said to be anywhere.
    fn pod_of_service(&self, of: &Object, port: &str) -> Result<String, ApiError> {
        let pods = self.registry().lister(self.kind("", "v1", "pods")?);
        let is_pod = |endpoint: &Value| {
            let name = place::pod_of_endpoint(endpoint, of.namespace());
            name.and_then(|name| pods.get(of.namespace(), name))
                .is_some_and(|pod| place::is_of_pod(endpoint, &pod.object()))
        };
        service::endpoint(of, &self.slices(of)?, port, is_pod, clock::random_below)
    }

    pub(crate) fn slices(&self, service: &Object) -> Result<Vec<Object>, ApiError> {
        let kind = self.kind("discovery.k8s.io", "v1", "endpointslices")?;
        let slices = self.registry().lister(kind).list(service.namespace());
        let own = |labels: &std::collections::BTreeMap<String, String>| {
            labels.get(service::SERVICE_NAME).is_some_and(|name| name == service.name())
        };
        Ok(slices.iter().filter(|slice| own(slice.labels())).map(|slice| slice.object()).collect())
    }

    /// A kind that this server can not be without.
    pub(crate) fn kind(&self, group: &str, version: &str, resource: &str) -> Result<&'static KindDef, ApiError> {
        let kind = self.registry().kinds().find(group, version, resource);
        kind.ok_or_else(|| ApiError::internal(format!("{resource} are not served")))
    }
}

/// A node's refusal in the API's terms.
async fn refused(answer: Answer) -> ApiError {
    let status = answer.status();
    let text = forward::read_some(answer.into_body(), ERROR_BYTES_MAX).await;
    match status {
        StatusCode::BAD_REQUEST => ApiError::bad_request(text),
        StatusCode::NOT_FOUND => {
            ApiError::new(Reason::NotFound, format!("the server could not find the requested resource: {text}"))
        }
        StatusCode::SERVICE_UNAVAILABLE => ApiError::unavailable(text),
        _ => ApiError::internal(text),
    }
}
