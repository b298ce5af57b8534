//! What a server is made of, and what happens to each request.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use auth::authn::HeaderNames;
use auth::authz::Rbac;
use auth::tls::Identity;
use auth::tokens::TokenIssuer;
use auth::{Authenticator, Authorizer};
use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::header::{CACHE_CONTROL, CONNECTION};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use kinds::KindDef;
use machinery::strconv::parse_duration;
use machinery::{ApiError, Reason, UserInfo};
use prometheus_client::registry::Registry as Metrics;
use registry::Registry;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tower::Service;
use trace::Tracer;
use tracing::Instrument as _;

use crate::access::LocalUser;
use crate::aggregation::Aggregation;
use crate::audit::{AUDIT_ID, Audit};
use crate::body::{self, Body, BoxError};
use crate::call::Call;
use crate::counts::Counts;
use crate::discovery::{Discovery, DiscoveryCache};
use crate::exposition;
use crate::fairness::{self, Fairness, Permit};
use crate::limits::Limits;
use crate::local::LocalApi;
use crate::metrics::{Labels, ServerMetrics, SharedMetrics};
use crate::openapi::Documents;
use crate::pace::Pace;
use crate::respond::{self, Answer};
use crate::spans;
use crate::version::Version;

/// What a server needs from the rest of the process.
pub struct ServerConfig {
    pub registry: Registry,
    pub authenticator: Arc<dyn Authenticator>,
    /// By which headers proxies tell who asks. From all others, they go no further than authentication.
    pub identity_headers: HeaderNames,
    pub authorizer: Arc<dyn Authorizer>,
    /// What users may do, for those who ask for a list.
    pub rbac: Arc<Rbac>,
    /// Issues service account tokens; without it there are none.
    pub tokens: Option<Arc<TokenIssuer>>,
    /// How the server shows itself to nodes, and whom it trusts there. Without it connections to nodes fail.
    pub node_tls: Option<Arc<rustls::ClientConfig>>,
    /// How the server shows itself to servers of extensions, to which it speaks for its users.
    pub proxy_client: Option<Arc<Identity>>,
    pub version: Version,
    pub local_apis: Vec<LocalApi>,
    /// `host:port` where clients reach the server.
    pub advertised: String,
    pub limits: Limits,
    /// What components of this process are configured to, by upstream's names of their groups.
    pub component_configs: Value,
    /// Records requests; without it nothing is recorded.
    pub audit: Option<Audit>,
    /// Traces requests; without it nothing is traced.
    pub tracer: Option<Tracer>,
}

/// The API server; clones share everything.
#[derive(Clone)]
pub struct Server(Arc<Inner>);

struct Inner {
    config: ServerConfig,
    discovery: DiscoveryCache,
    aggregation: Aggregation,
    metrics: SharedMetrics,
    counts: Counts,
    fairness: Arc<Fairness>,
    openapi: Documents,
    /// Cancelled when the server is told to stop: it is no longer ready, and still serves.
    stopping: CancellationToken,
    /// Cancelled when the server closes: watches end, connections drain.
    closing: CancellationToken,
}

impl Server {
    pub fn new(config: ServerConfig) -> Self {
        let (discovery, aggregation) = (DiscoveryCache::new(&config), Aggregation::default());
        let metrics = Arc::new(ServerMetrics::default());
        let mut parts = Metrics::default();
        let fairness = Fairness::new(config.limits.requests, config.limits.queue_wait, &mut parts);
        let counts = Counts::register(&mut parts);
        config.audit.iter().for_each(|audit| audit.register(&mut parts));
        config.tracer.iter().for_each(|tracer| tracer.register(&mut parts));
        metrics.add(parts);
        let (stopping, closing) = (CancellationToken::new(), CancellationToken::new());
        let openapi = Documents::default();
        Self(Arc::new(Inner { config, discovery, aggregation, metrics, counts, fairness, openapi, stopping, closing }))
    }

    /// The service for callers over the network. A [`crate::ClientCertificate`] in a request's extensions
    /// is taken as verified.
    pub fn service(&self) -> ApiService {
        ApiService(self.clone())
    }

    /// The service for a component of this process that acts as `user`: no socket, no authentication,
    /// but the same authorization and admission as everyone's. `kube::Client::new` takes it.
    pub fn client(&self, user: UserInfo) -> LocalClient {
        LocalClient { server: self.clone(), user: LocalUser(user) }
    }

    /// Keeps the rules of priority and fairness as FlowSchemas and PriorityLevelConfigurations say. Runs until it is
    /// dropped; without it the default rules hold.
    pub async fn follow_flow_control(&self) {
        fairness::follow(self.registry().clone(), Arc::downgrade(&self.0.fairness)).await;
    }

    pub fn registry(&self) -> &Registry {
        &self.0.config.registry
    }

    pub fn metrics(&self) -> &SharedMetrics {
        &self.0.metrics
    }

    pub(crate) fn config(&self) -> &ServerConfig {
        &self.0.config
    }

    /// Waits until all that was recorded so far is in the audit log.
    pub fn flush_audit_log(&self) {
        self.audit().iter().for_each(|audit| audit.flush());
    }

    pub(crate) fn audit(&self) -> Option<&Audit> {
        self.0.config.audit.as_ref()
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.0.counts
    }

    pub(crate) fn tracer(&self) -> Option<&Tracer> {
        self.0.config.tracer.as_ref()
    }

    pub(crate) fn authenticator(&self) -> &dyn Authenticator {
        self.0.config.authenticator.as_ref()
    }

    pub(crate) fn authorizer(&self) -> &dyn Authorizer {
        self.0.config.authorizer.as_ref()
    }

    pub(crate) fn discovery(&self) -> Arc<Discovery> {
        self.0.discovery.newest(self.config(), self.aggregation())
    }

    pub(crate) fn aggregation(&self) -> &Aggregation {
        &self.0.aggregation
    }

    pub(crate) fn openapi(&self) -> &Documents {
        &self.0.openapi
    }

    pub(crate) fn stopping(&self) -> &CancellationToken {
        &self.0.stopping
    }

    pub(crate) fn closing(&self) -> CancellationToken {
        self.0.closing.clone()
    }

    /// Serves one request. Whatever goes wrong is an answer, a panic too.
    pub(crate) async fn handle(&self, request: Request<Body>) -> Answer {
        let (parts, body) = request.into_parts();
        let mut call = Call::new(parts, body);
        call.kind = self.known_kind(&call);
        let started = clock::monotonic();
        let span = tracing::info_span!("request", method = %call.parts.method, path = %call.info.path);
        let answering = AssertUnwindSafe(self.answer(&mut call)).catch_unwind();
        let outcome = answering.instrument(span).await;
        let panicked = outcome.is_err();
        let (mut answer, error) = match outcome.unwrap_or_else(|_| Err(panic_of(&call))) {
            Ok(answer) => (answer, None),
            Err(error) => (respond::error(&call, &error), Some(error)),
        };
        respond::add_warnings(&mut answer, call.warnings.take());
        answer.headers_mut().entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache, private"));
        if !call.finish_body().await {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if !call.local
            && let Ok(id) = HeaderValue::from_str(call.audit_id())
        {
            answer.headers_mut().entry(AUDIT_ID).or_insert(id);
        }
        if let Some(flow) = &call.flow {
            fairness::add_headers(answer.headers_mut(), flow);
        }
        if let Some(mut auditing) = call.auditing.take() {
            auditing.annotate(call.annotations.take());
            answer = match panicked {
                true => auditing.panicked(answer),
                false => auditing.answered(answer, error.as_ref(), call.info.long_running()).await,
            };
        }
        answer = spans::answered(call.span.take(), &call, answer);
        // After the audit log, which may read the answer itself.
        if let Some(pace) = call.parts.extensions.get::<Pace>()
            && matches!(call.info.verb.as_str(), "list" | "watch")
        {
            answer = answer.map(|body| pace.keep(body));
        }
        let labels = Labels::new(&call.info, &call.parts.method, call.kind);
        let dry_run = call.query.has("dryRun");
        self.metrics().observe_size(&labels, http_body::Body::size_hint(answer.body()).exact());
        self.metrics().observe(labels, dry_run, answer.status().as_u16(), (started.elapsed(), call.waited));
        answer
    }

    /// The kind that a request addresses, as far as that is known without waiting for anything.
    fn known_kind(&self, call: &Call) -> Option<&'static KindDef> {
        let info = &call.info;
        if !info.is_resource || self.local_api(call).is_some() {
            return None;
        }
        let kinds = self.registry().kinds();
        kinds.find(&info.group, &info.version, &info.resource).filter(|kind| kinds.is_served(kind))
    }

    /// The same, once it is what all definitions say that were written before. That may ask the store, which nobody can
    /// make it do who may not do what he asks for.
    async fn settled_kind(&self, call: &Call) -> Option<&'static KindDef> {
        let info = &call.info;
        let settled = self.registry().settle_kind(&info.group, &info.version, &info.resource).await;
        settled.unwrap_or_else(|error| tracing::warn!(%error, "kinds are looked up as they are"));
        self.known_kind(call)
    }

    async fn answer(&self, call: &mut Call) -> Result<Answer, ApiError> {
        let authenticated = self.authenticate(call).await;
        call.auditing = self.audit().and_then(|audit| audit.begin(call));
        authenticated?;
        // Only now: who asks decides whether they may say what is traced.
        call.span = self.tracer().and_then(|tracer| spans::begin(tracer, call));
        trace::within(call.span.clone(), self.answer_known(call)).await
    }

    /// Answers somebody who is known.
    async fn answer_known(&self, call: &mut Call) -> Result<Answer, ApiError> {
        self.impersonate(call).await?;
        // Held until there is an answer: a watch no longer counts once it has begun.
        let _permit = self.take_turn(call).await?;
        self.authorize(call).await?;
        if call.info.long_running() {
            return self.dispatch(call).await;
        }
        let mutating = !matches!(call.parts.method, Method::GET | Method::HEAD);
        let _running = self.metrics().in_flight(mutating);
        let limit = self.time_limit(call)?;
        match tokio::time::timeout(limit, self.dispatch(call)).await {
            Ok(answered) => answered,
            Err(_) => Err(timed_out()),
        }
    }

    /// What the client gives the request, within the server's bound. (upstream: filters/request_deadline.go)
    fn time_limit(&self, call: &Call) -> Result<Duration, ApiError> {
        let most = self.0.config.limits.request_timeout;
        let asked = call.query.get("timeout");
        if asked.is_empty() {
            return Ok(most);
        }
        let asked = parse_duration(asked)
            .map_err(|why| ApiError::bad_request(format!("invalid timeout specified in the request URL - {why}")))?;
        Ok(if asked.is_zero() { most } else { asked.min(most) })
    }

    /// Components of this process are not made to wait, nor are connections to nodes counted.
    async fn take_turn(&self, call: &mut Call) -> Result<Option<Permit>, ApiError> {
        if call.local || (call.info.long_running() && call.info.verb != "watch") {
            return Ok(None);
        }
        let Some(schema) = self.0.fairness.classify(&call.user, &call.info) else { return Ok(None) };
        call.flow = Some(schema.clone());
        let seats = self.seats(call);
        let begun = clock::monotonic();
        let entered = self.0.fairness.enter(schema, &call.user, &call.info, seats).await;
        call.waited = begun.elapsed();
        entered.map(Some)
    }

    fn seats(&self, call: &Call) -> u32 {
        let listed =
            call.kind.filter(|kind| call.info.verb == "list" && call.info.name.is_empty() && !kind.virtual_kind);
        let limit = call.query.get("limit").parse().unwrap_or(0);
        listed.map_or(1, |kind| fairness::list_seats(self.registry().lister(kind).count(), limit))
    }

    async fn dispatch(&self, call: &mut Call) -> Result<Answer, ApiError> {
        if !call.info.is_resource {
            return self.serve_path(call).await;
        }
        if let Some(extension) = self.extension(&call.info.group, &call.info.version) {
            return self.delegate(call, &extension).await;
        }
        if let Some(api) = self.local_api(call) {
            return api.call(call).await;
        }
        call.kind = self.settled_kind(call).await;
        let kind = call.kind.ok_or_else(ApiError::no_such_path)?;
        if let Some(warning) = kind.deprecation_warning() {
            call.warnings.add(warning);
            self.counts().deprecated(kind, &call.info.subresource);
        }
        let span = spans::verb(call);
        let answer = trace::within(span.clone(), self.serve_resource(call, kind)).await?;
        Ok(spans::written(span, answer))
    }

    async fn serve_resource(&self, call: &mut Call, kind: &'static KindDef) -> Result<Answer, ApiError> {
        match (call.info.subresource.as_str(), kind.virtual_kind) {
            ("", false) => self.serve_kind(call, kind).await,
            ("", true) => self.serve_virtual(call, kind).await,
            _ => self.serve_subresource(call, kind).await,
        }
    }

    fn local_api(&self, call: &Call) -> Option<&LocalApi> {
        self.0.config.local_apis.iter().find(|api| api.serves(&call.info.group, &call.info.version))
    }
}

fn panic_of(call: &Call) -> ApiError {
    tracing::error!(path = %call.info.path, "a request caused a panic");
    let message = "This request caused apiserver to panic. Look in the logs for details.";
    ApiError::new(Reason::InternalError, message)
}

fn timed_out() -> ApiError {
    let message = "Timeout: request did not complete within the allotted timeout";
    ApiError::new(Reason::Timeout, message)
}

/// A request from the network or from a test, as a `tower::Service`.
#[derive(Clone)]
pub struct ApiService(Server);

/// Requests of one component of this process.
#[derive(Clone)]
pub struct LocalClient {
    server: Server,
    user: LocalUser,
}

impl<B> Service<Request<B>> for ApiService
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let server = self.0.clone();
        let request = request.map(body::boxed);
        Box::pin(async move { Ok(server.handle(request).await) })
    }
}

impl<B> Service<Request<B>> for LocalClient
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let server = self.server.clone();
        let mut request = request.map(body::boxed);
        request.extensions_mut().insert(self.user.clone());
        Box::pin(async move { Ok(server.handle(request).await) })
    }
}

impl Server {
    /// Paths that address no resource.
    async fn serve_path(&self, call: &mut Call) -> Result<Answer, ApiError> {
        if let Some(extension) = self.extension_at(&call.info.path) {
            return self.delegate(call, &extension).await;
        }
        if !matches!(call.parts.method, Method::GET | Method::HEAD) {
            return Err(crate::verbs::no_such_method());
        }
        let call = &*call;
        let path = call.info.path.trim_end_matches('/');
        match path.split('/').nth(1).unwrap_or_default() {
            "" | "api" | "apis" => self.serve_discovery(call, path).await,
            "healthz" | "livez" | "readyz" => self.serve_health(call, path).await,
            "openapi" => self.serve_openapi(call, path).await,
            "version" => self.serve_version(call),
            "openid" | ".well-known" => self.serve_issuer(path),
            "metrics" => self.serve_metrics(),
            "keelson" => self.serve_own(call, path).await,
            "configz" => Ok(respond::json(call, &self.config().component_configs)),
            _ => Err(ApiError::no_such_path()),
        }
    }

    fn serve_metrics(&self) -> Result<Answer, ApiError> {
        let kinds = self.registry().kinds().iter().filter(|kind| kind.is_stored());
        let objects = kinds.map(|kind| (kind, self.registry().lister(kind).count()));
        let text = self.metrics().print(objects, self.registry().allocated_bytes()).map_err(ApiError::internal)?;
        Ok(respond::with(StatusCode::OK, exposition::CONTENT_TYPE, body::full(text)))
    }
}
