//! The condition Available of APIServices. (upstream: kube-aggregator pkg/controllers/status)

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::{join, join_all, select_ok, try_join_all};
use http::header::{ACCEPT, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use machinery::{ApiError, Object, Reason, UserInfo};
use registry::service::SERVICE_NAME;
use registry::{Context, Entry, Registry, Watch, WatchEvent, WatchOptions};
use serde_json::{Value, json};
use tokio::time::Instant;
use webhook::Client;

use super::extension::{Extension, Part};
use super::local::{self, Own};
use super::{kind, proxy, schemas};
use crate::server::Server;

/// How often other servers are asked again: whether they can be reached has no event.
const CHECK_EVERY: Duration = Duration::from_secs(30);
/// The same while one of them fails.
const RECHECK_EVERY: Duration = Duration::from_secs(5);
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);
/// How often one check asks, all at once: not every endpoint may be well, and one answer suffices.
const ATTEMPTS: usize = 5;
/// Wait after a failure.
const RETRY: Duration = Duration::from_secs(10);

/// What a condition says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Condition {
    available: bool,
    reason: &'static str,
    message: String,
}

impl Condition {
    fn missing(reason: &'static str, message: String) -> Self {
        Self { available: false, reason, message }
    }

    fn local() -> Self {
        Self { available: true, reason: "Local", message: "Local APIServices are always available".to_owned() }
    }

    fn passed() -> Self {
        Self { available: true, reason: "Passed", message: "all checks passed".to_owned() }
    }
}

impl Server {
    /// Keeps APIServices for what this server serves, and says of all whether they are available. Runs until it is
    /// dropped.
    pub async fn keep_api_services(&self) {
        loop {
            if let Err(error) = self.keep_once().await {
                tracing::warn!(%error, "APIServices are not kept");
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn keep_once(&self) -> Result<(), ApiError> {
        let context = Context::of_server();
        let mut watches = Watches::begin(self).await?;
        let mut ensured = None;
        loop {
            watches.pass_over();
            self.ensure(&context, &mut ensured).await?;
            let stored = self.look(&context).await?;
            loop {
                match watches.news(&stored).await {
                    News::Definitions => self.ensure(&context, &mut ensured).await?,
                    News::Extensions => break,
                    News::End => return Ok(()),
                }
            }
        }
    }

    /// Makes APIServices for all that is served, if that has changed since they were `ensured`.
    async fn ensure(&self, context: &Context, ensured: &mut Option<u64>) -> Result<(), ApiError> {
        let registry = self.registry();
        registry.settle().await?;
        let generation = Some(registry.kinds().generation());
        if *ensured != generation {
            local::ensure(registry, context, &self.own_versions()).await?;
            *ensured = generation;
        }
        Ok(())
    }

    /// Writes what has changed; answers with the APIServices that it looked at.
    async fn look(&self, context: &Context) -> Result<Looked, ApiError> {
        let registry = self.registry();
        let stored: Vec<Object> = registry.lister(kind(registry)).list("").iter().map(|entry| entry.object()).collect();
        let conditions = join_all(stored.iter().map(|of| self.condition(of))).await;
        let written = stored.iter().zip(&conditions).map(|(of, condition)| write(registry, context, of, condition));
        try_join_all(written).await?;
        let failing = conditions.iter().any(|condition| !condition.available);
        let again = clock::monotonic() + if failing { RECHECK_EVERY } else { CHECK_EVERY };
        let services = stored.iter().filter_map(Extension::read).map(|of| (of.namespace, of.service)).collect();
        Ok(Looked { stored, services, again })
    }

    async fn condition(&self, of: &Object) -> Condition {
        let Some(read) = Extension::read(of) else { return Condition::local() };
        let lister = |group: &str, resource: &str| {
            self.kind(group, "v1", resource).ok().map(|kind| self.registry().lister(kind))
        };
        let service = lister("", "services").and_then(|of| of.get(&read.namespace, &read.service));
        let service = service.map(|entry| entry.object());
        let slices = service.as_ref().and_then(|service| self.slices(service).ok()).unwrap_or_default();
        if let Some(problem) = problem(&read, service.as_ref(), &slices) {
            return problem;
        }
        match self.ask(&read).await {
            Err(why) => Condition::missing("FailedDiscoveryCheck", why),
            Ok(resources) => {
                if let Some(extension) = self.extension(&read.group, &read.version) {
                    let asking = join(self.ask_for_schemas(&extension), self.ask_for_document(&extension));
                    if extension.learn(resources, asking.await.0) {
                        self.aggregation().changed();
                    }
                }
                Condition::passed()
            }
        }
    }

    fn client_of(&self, extension: &Extension) -> Result<Client, String> {
        let config = extension.tls(self.config().proxy_client.as_ref())?;
        Client::over((*config).clone(), Some(extension.host())).map_err(|error| error.to_string())
    }

    /// What the server serves, by the document that each server of an extension must have.
    async fn ask(&self, extension: &Extension) -> Result<Vec<Value>, String> {
        let (client, path) = (self.client_of(extension)?, extension.path());
        let attempts = (0..ATTEMPTS).map(|_| Box::pin(self.ask_once(&client, extension, &path)));
        let (document, _) = select_ok(attempts).await?;
        Ok(document["resources"].as_array().cloned().unwrap_or_default())
    }

    /// Where the extension's schemas are. Not every server has some.
    async fn ask_for_schemas(&self, extension: &Extension) -> Option<String> {
        let client = self.client_of(extension).ok()?;
        let index = self.ask_once(&client, extension, "/openapi/v3").await.ok()?;
        let entry = &index["paths"][extension.path().trim_start_matches('/')];
        entry["serverRelativeURL"].as_str().map(str::to_owned)
    }

    /// Takes the extension's part of its server's OpenAPI 2 document over, if there is a newer one.
    async fn ask_for_document(&self, extension: &Extension) {
        let Ok(client) = self.client_of(extension) else { return };
        let mut headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json"))]);
        let known = extension.document();
        let tag = known.and_then(|known| HeaderValue::try_from(known.etag.as_str()).ok());
        headers.extend(tag.map(|tag| (IF_NONE_MATCH, tag)));
        let Ok((answer, _)) = self.exchange(&client, extension, "/openapi/v2", headers).await else { return };
        let Ok(document) = serde_json::from_slice(answer.body()) else { return };
        let tag = answer.headers().get(ETAG).and_then(|tag| tag.to_str().ok());
        let etag = tag.map_or_else(|| crate::digest::hex(answer.body()), str::to_owned);
        if answer.status() == StatusCode::OK {
            let prefix = format!("{}/", extension.path());
            let value = schemas::part(&document, |path| path.starts_with(&prefix));
            extension.learn_document(Part { etag, value });
        }
    }

    async fn ask_once(&self, client: &Client, extension: &Extension, path: &str) -> Result<Value, String> {
        let (answer, url) = self.exchange(client, extension, path, HeaderMap::new()).await?;
        let status = answer.status().as_u16();
        if !(200..300).contains(&status) {
            return Err(format!("failing or missing response from {url}: bad status from {url}: {status}"));
        }
        Ok(serde_json::from_slice(answer.body()).unwrap_or_default())
    }

    /// The answer, and of whom it is.
    async fn exchange(
        &self,
        client: &Client,
        extension: &Extension,
        path: &str,
        mut headers: HeaderMap,
    ) -> Result<(Response<Bytes>, String), String> {
        let url = format!("https://{}{path}", self.endpoint(extension)?);
        let user =
            UserInfo { groups: vec![UserInfo::MASTERS.to_owned()], ..UserInfo::new("system:kube-aggregator", &[]) };
        proxy::set_identity(&mut headers, &user)?;
        self.set_passed(&mut headers);
        let mut request = Request::new(Bytes::new());
        *request.headers_mut() = headers;
        match client.send(&url, request, CHECK_TIMEOUT).await {
            Ok(answer) => Ok((answer, url)),
            Err(error) => Err(format!("failing or missing response from {url}: {error}")),
        }
    }

    /// Groups and versions that this server serves itself, each once; one that is built in is not custom, whatever
    /// definitions add to it.
    fn own_versions(&self) -> Vec<Own> {
        let own =
            |group: &str, version: &str, custom| Own { group: group.to_owned(), version: version.to_owned(), custom };
        let kinds = self.registry().kinds().served().map(|kind| own(kind.group, kind.version, kind.custom.is_some()));
        let apis = self.config().local_apis.iter().map(|api| own(api.group, api.version, false));
        let mut versions: Vec<_> = kinds.chain(apis).collect();
        versions.sort();
        versions.dedup_by(|next, first| (&next.group, &next.version) == (&first.group, &first.version));
        versions
    }
}

/// The APIServices at a look, and when the next one is due if nothing else happens.
struct Looked {
    stored: Vec<Object>,
    /// Namespaces and names of the Services that extensions are behind.
    services: HashSet<(String, String)>,
    again: Instant,
}

impl Looked {
    /// What a look writes itself is no news: an extension that fails otherwise each time would be asked without end.
    fn is_news(&self, of: &Entry) -> bool {
        let (of, spec) = (of.object(), &["spec"]);
        let same = |known: &Object| known.uid() == of.uid() && known.get(spec) == of.get(spec);
        !self.stored.iter().any(same)
    }

    fn needs(&self, namespace: &str, service: &str) -> bool {
        self.services.contains(&(namespace.to_owned(), service.to_owned()))
    }
}

/// What a look depends on.
struct Watches {
    own: Watch,
    definitions: Watch,
    services: Watch,
    slices: Watch,
}

/// What has happened since a look.
enum News {
    Definitions,
    Extensions,
    /// A watch is over.
    End,
}

impl Watches {
    async fn begin(server: &Server) -> Result<Self, ApiError> {
        let watch = async |kind| server.registry().watch(kind, "", &WatchOptions::default()).await;
        Ok(Self {
            own: watch(kind(server.registry())).await?,
            definitions: watch(server.kind("apiextensions.k8s.io", "v1", "customresourcedefinitions")?).await?,
            services: watch(server.kind("", "v1", "services")?).await?,
            slices: watch(server.kind("discovery.k8s.io", "v1", "endpointslices")?).await?,
        })
    }

    /// What has come in already is seen by the next look.
    fn pass_over(&mut self) {
        for watch in [&mut self.own, &mut self.definitions, &mut self.services, &mut self.slices] {
            while watch.next().now_or_never().flatten().is_some() {}
        }
    }

    async fn news(&mut self, looked: &Looked) -> News {
        let of_slice = |slice: &Entry| {
            let service = slice.labels().get(SERVICE_NAME);
            service.is_some_and(|service| looked.needs(slice.namespace(), service))
        };
        let more = tokio::select! {
            more = news_of(&mut self.own, |of| looked.is_news(of)) => more,
            more = news_of(&mut self.services, |of| looked.needs(of.namespace(), of.name())) => more,
            more = news_of(&mut self.slices, of_slice) => more,
            event = self.definitions.next() => match event {
                Some(_) => return News::Definitions,
                None => false,
            },
            () = tokio::time::sleep_until(looked.again), if !looked.services.is_empty() => true,
        };
        if more { News::Extensions } else { News::End }
    }
}

/// Waits for something that matters; whether there was any.
async fn news_of(watch: &mut Watch, matters: impl Fn(&Entry) -> bool) -> bool {
    loop {
        match watch.next().await {
            Some(WatchEvent::Added(of) | WatchEvent::Modified(of) | WatchEvent::Deleted(of)) if !matters(&of) => {}
            Some(WatchEvent::Bookmark { .. }) => {}
            event => return event.is_some(),
        }
    }
}

/// What is wrong before anybody is asked.
fn problem(extension: &Extension, service: Option<&Object>, slices: &[Object]) -> Option<Condition> {
    let Extension { namespace, service: name, port, .. } = extension;
    let Some(service) = service else {
        return Some(Condition::missing("ServiceNotFound", format!("service/{name} in {namespace:?} is not present")));
    };
    if service.str(&["spec", "type"]) == "ExternalName" {
        return None;
    }
    let ports = service.list(&["spec", "ports"]);
    let Some(found) = ports.iter().find(|of| of["port"] == *port) else {
        let why = format!("service/{name} in {namespace:?} is not listening on port {port}");
        return Some(Condition::missing("ServicePortError", why));
    };
    if slices.is_empty() {
        let why = format!("cannot find endpointslices for service/{name} in {namespace:?}");
        return Some(Condition::missing("EndpointsNotFound", why));
    }
    let port_name = found["name"].as_str().unwrap_or_default();
    if slices.iter().any(|slice| serves(slice, port_name)) {
        return None;
    }
    let why =
        format!("endpointslices for service/{name} in {namespace:?} have no addresses with port name {port_name:?}");
    Some(Condition::missing("MissingEndpoints", why))
}

fn serves(slice: &Object, port_name: &str) -> bool {
    let ready = slice.list(&["endpoints"]).iter().any(|of| of["conditions"]["ready"] != Value::Bool(false));
    let named = |port: &Value| port["name"].as_str().unwrap_or_default() == port_name && port["port"].is_i64();
    ready && slice.list(&["ports"]).iter().any(named)
}

async fn write(registry: &Registry, context: &Context, of: &Object, condition: &Condition) -> Result<(), ApiError> {
    let status = if condition.available { "True" } else { "False" };
    let before = of.list(&["status", "conditions"]).iter().find(|of| of["type"] == "Available");
    let text = |field: &str| before.and_then(|before| before[field].as_str());
    let same = text("status") == Some(status)
        && text("reason") == Some(condition.reason)
        && text("message") == Some(&condition.message);
    if same {
        return Ok(());
    }
    let since = match text("lastTransitionTime") {
        Some(since) if text("status") == Some(status) => since.to_owned(),
        _ => clock::format_time(clock::now_seconds()),
    };
    let condition = json!({
        "type": "Available", "status": status, "reason": condition.reason, "message": condition.message,
        "lastTransitionTime": since,
    });
    let set = |object: &mut Object| {
        let others = object.list(&["status", "conditions"]).iter().filter(|of| of["type"] != "Available").cloned();
        let conditions: Vec<Value> = others.chain([condition.clone()]).collect();
        object.set(&["status", "conditions"], conditions);
        Ok(())
    };
    match registry.mutate(context, kind(registry), "", of.name(), "status", set).await {
        // It is gone, or another look comes.
        Err(error) if !matches!(error.reason, Reason::NotFound | Reason::Conflict) => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Object {
        Object::from_value(value).unwrap()
    }

    #[test]
    fn what_is_missing_is_told_in_upstreams_words() {
        let api = object(json!({
            "metadata": {"name": "v1.acme.com"},
            "spec": {"group": "acme.com", "version": "v1", "service": {"namespace": "ext", "name": "api", "port": 443}},
        }));
        let extension = Extension::read(&api).unwrap();
        let service =
            |port: i64| object(json!({"spec": {"type": "ClusterIP", "ports": [{"name": "https", "port": port}]}}));
        let slice = |name: &str, ready: bool| {
            object(json!({
                "ports": [{"name": name, "port": 8443}],
                "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": ready}}],
            }))
        };
        let message = |service: Option<Object>, slices: &[Object]| {
            problem(&extension, service.as_ref(), slices).map(|of| format!("{}: {}", of.reason, of.message))
        };
        let missing =
            "MissingEndpoints: endpointslices for service/api in \"ext\" have no addresses with port name \"https\"";
        for (service, slices, expected) in [
            (None, vec![], Some("ServiceNotFound: service/api in \"ext\" is not present")),
            (Some(service(80)), vec![], Some("ServicePortError: service/api in \"ext\" is not listening on port 443")),
            (
                Some(service(443)),
                vec![],
                Some("EndpointsNotFound: cannot find endpointslices for service/api in \"ext\""),
            ),
            (Some(service(443)), vec![slice("https", false)], Some(missing)),
            (Some(service(443)), vec![slice("other", true)], Some(missing)),
            (Some(service(443)), vec![slice("https", true)], None),
            (Some(object(json!({"spec": {"type": "ExternalName"}}))), vec![], None),
        ] {
            assert_eq!(message(service, &slices).as_deref(), expected);
        }
    }
}
