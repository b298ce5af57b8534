//! `metrics.k8s.io`, mounted before what serves it exists: that needs clients of the server it is mounted in.

use std::sync::{Arc, OnceLock};

use apiserver::{Body, BoxError, LocalApi};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;

#[derive(Clone, Default)]
pub struct MetricsApi(Arc<OnceLock<autoscale::Service>>);

impl MetricsApi {
    /// From now on requests are answered.
    pub fn set(&self, service: autoscale::Service) {
        assert!(self.0.set(service).is_ok(), "the metrics API is set once");
    }

    pub fn local_api(&self) -> LocalApi {
        let slot = self.0.clone();
        let answer = move |request: Request<Bytes>| answer(slot.clone(), request);
        LocalApi {
            group: autoscale::GROUP,
            version: autoscale::VERSION,
            schema: autoscale::SCHEMA,
            resources: autoscale::resources(),
            service: BoxCloneSyncService::new(tower::service_fn(answer)),
        }
    }
}

async fn answer(slot: Arc<OnceLock<autoscale::Service>>, request: Request<Bytes>) -> Result<Response<Body>, BoxError> {
    let service = slot.get().ok_or("the server is starting")?.clone();
    let response = service.oneshot(request).await?;
    Ok(response.map(|body| body.map_err(Into::into).boxed_unsync()))
}
