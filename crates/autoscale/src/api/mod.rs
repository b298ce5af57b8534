//! `metrics.k8s.io/v1beta1`, to be mounted by the API server.
//!
//! upstream: metrics-server, pkg/api

mod render;
mod route;

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use control::{Informer, Informers, ObjectKey};
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{Resource, ResourceExt};
use machinery::{ApiError, GroupResource};
use serde_json::{Value, json};

use crate::sampler::ResourceMetrics;
use route::{Filter, Route};

pub const GROUP: &str = "metrics.k8s.io";
pub const VERSION: &str = "v1beta1";
/// Where the messages of its kinds are in the schema table.
pub const SCHEMA: &str = "io.k8s.metrics.pkg.apis.metrics.v1beta1";

/// `APIResourceList.resources` of [`GROUP`] and [`VERSION`].
pub fn resources() -> Value {
    let resource = |name: &str, kind: &str, namespaced: bool| json!({ "name": name, "singularName": "", "namespaced": namespaced, "kind": kind, "verbs": ["get", "list"] });
    json!([resource("nodes", "NodeMetrics", false), resource("pods", "PodMetrics", true)])
}

/// Answers requests below `/apis/metrics.k8s.io/v1beta1`. Whoever mounts it has authorized them.
pub fn service(metrics: Arc<dyn ResourceMetrics>, informers: &Informers) -> Service {
    Service(Arc::new(Sources { metrics, nodes: informers.get(), pods: informers.get() }))
}

/// The service that [`service`] makes.
#[derive(Clone)]
pub struct Service(Arc<Sources>);

struct Sources {
    metrics: Arc<dyn ResourceMetrics>,
    nodes: Informer<Node>,
    pods: Informer<Pod>,
}

impl tower::Service<Request<Bytes>> for Service {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let sources = self.0.clone();
        async move {
            let answered = sources.answer(&request).await;
            Ok(answered.map_or_else(|error| response(error.code(), &error.status()), |value| response(200, &value)))
        }
        .boxed()
    }
}

fn response(code: u16, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = StatusCode::from_u16(code).expect("API errors carry HTTP codes");
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

impl Sources {
    async fn answer(&self, request: &Request<Bytes>) -> Result<Value, ApiError> {
        let route = Route::parse(request.uri().path()).ok_or_else(ApiError::no_such_path)?;
        let filter = Filter::parse(request.uri().query().unwrap_or_default())?;
        if request.method() != Method::GET || filter.watch {
            let verb = if filter.watch { "watch" } else { request.method().as_str() };
            return Err(ApiError::method_not_supported(&metrics_of(&route), &verb.to_lowercase()));
        }
        self.nodes.synced().await;
        self.pods.synced().await;
        match route {
            Route::Node(name) => self.node(name).await,
            Route::Pod(namespace, name) => self.pod(namespace, name).await,
            Route::Nodes => Ok(self.node_list(&filter).await),
            Route::Pods(namespace) => Ok(self.pod_list(namespace, &filter).await),
        }
    }

    async fn node(&self, name: &str) -> Result<Value, ApiError> {
        let node =
            self.nodes.find("", name).ok_or_else(|| ApiError::not_found(&GroupResource::new("", "node"), name))?;
        let readings = self.metrics.readings().await;
        let reading = readings.nodes.get(name);
        let reading = reading.ok_or_else(|| ApiError::not_found(&GroupResource::new(GROUP, "nodemetrics"), name))?;
        Ok(render::whole("NodeMetrics", render::node(&node, reading)))
    }

    async fn pod(&self, namespace: &str, name: &str) -> Result<Value, ApiError> {
        let absent = || ApiError::not_found(&GroupResource::new("", "pods"), name);
        let pod = self.pods.find(namespace, name).ok_or_else(absent)?;
        let readings = self.metrics.readings().await;
        let reading = readings
            .pods
            .get(&ObjectKey::of(pod.meta()))
            .filter(|reading| Some(&reading.uid) == pod.meta().uid.as_ref());
        let unknown = || ApiError::not_found(&GroupResource::new(GROUP, "podmetrics"), &format!("{namespace}/{name}"));
        Ok(render::whole("PodMetrics", render::pod(&pod, reading.ok_or_else(unknown)?)))
    }

    async fn node_list(&self, filter: &Filter) -> Value {
        let readings = self.metrics.readings().await;
        let nodes = self.nodes.list().into_iter().filter(|node| filter.matches(node.meta()));
        render::list(
            "NodeMetricsList",
            nodes.filter_map(|node| Some(render::node(&node, readings.nodes.get(&node.name_any())?))).collect(),
        )
    }

    /// Of all namespaces if the name is empty.
    async fn pod_list(&self, namespace: &str, filter: &Filter) -> Value {
        let readings = self.metrics.readings().await;
        let pods = if namespace.is_empty() { self.pods.list() } else { self.pods.in_namespace(namespace) };
        let item = |pod: Arc<Pod>| {
            let reading = readings.pods.get(&ObjectKey::of(pod.meta()))?;
            (Some(&reading.uid) == pod.meta().uid.as_ref()).then(|| render::pod(&pod, reading))
        };
        let pods = pods.into_iter().filter(|pod| filter.matches(pod.meta()));
        render::list("PodMetricsList", pods.filter_map(item).collect())
    }
}

fn metrics_of(route: &Route) -> GroupResource {
    match route {
        Route::Node(_) | Route::Nodes => GroupResource::new(GROUP, "nodemetrics"),
        Route::Pod(..) | Route::Pods(_) => GroupResource::new(GROUP, "podmetrics"),
    }
}

#[cfg(test)]
mod tests;
