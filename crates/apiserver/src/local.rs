//! API groups that another component of this process serves, under this server's authentication,
//! authorization and discovery.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use machinery::{ApiError, UserInfo};
use registry::discovery::Version;
use serde_json::Value;
use tower::ServiceExt as _;
use tower::util::BoxCloneSyncService;

use crate::body::{self, Body, BoxError};
use crate::call::Call;
use crate::negotiate::{Accept, Format, Offer};
use crate::respond::{self, Answer};

/// Serves requests of one group and version. The user is in the extensions, as [`UserInfo`].
pub type LocalService = BoxCloneSyncService<Request<Bytes>, Response<Body>, BoxError>;

/// One version of an API group that is not in the kind table, such as `metrics.k8s.io/v1beta1`.
#[derive(Clone)]
pub struct LocalApi {
    pub group: &'static str,
    pub version: &'static str,
    /// Where the messages of its kinds are: `io.k8s.metrics.pkg.apis.metrics.v1beta1`.
    pub schema: &'static str,
    /// `APIResourceList.resources`
    pub resources: Value,
    pub service: LocalService,
}

impl LocalApi {
    pub(crate) fn discovery(&self) -> (String, Version) {
        let resources = self.resources.as_array().cloned().unwrap_or_default();
        (self.group.to_owned(), Version { name: self.version.to_owned(), resources, stale: false })
    }

    pub(crate) fn serves(&self, group: &str, version: &str) -> bool {
        (self.group, self.version) == (group, version)
    }

    pub(crate) async fn call(&self, call: &mut Call) -> Result<Answer, ApiError> {
        let bytes = call.read_body().await?;
        let mut request = Request::new(bytes);
        *request.method_mut() = call.parts.method.clone();
        *request.uri_mut() = call.parts.uri.clone();
        *request.headers_mut() = call.parts.headers.clone();
        request.extensions_mut().insert::<UserInfo>(call.user.clone());
        let answered = self.service.clone().oneshot(request).await;
        let answer = answered.map(|answer| answer.map(body::boxed)).map_err(ApiError::internal)?;
        match call.accept(Offer::PLAIN)? {
            accept if accept.format == Format::Json => Ok(answer),
            accept => self.printed_anew(call, accept, answer).await,
        }
    }

    /// The component answers in JSON; who wants another format gets that.
    async fn printed_anew(&self, call: &Call, accept: Accept, answer: Answer) -> Result<Answer, ApiError> {
        let status = answer.status();
        let bytes = answer.into_body().collect().await.map_err(ApiError::internal)?.to_bytes();
        let document: Value = serde_json::from_slice(&bytes).map_err(ApiError::internal)?;
        let schema = match document["kind"].as_str().unwrap_or_default() {
            "Status" => respond::STATUS.to_owned(),
            kind => format!("{}.{kind}", self.schema),
        };
        Ok(respond::value(call, accept, status, &schema, &document))
    }
}
