//! One version of a group that another server serves.

use std::cmp::Reverse;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;
use auth::tls::Identity;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use machinery::Object;
use registry::discovery::Version;
use rustls::ClientConfig;
use serde_json::Value;
use webhook::Trust;

const DEFAULT_PORT: i64 = 443;

pub(crate) struct Extension {
    /// `v1beta1.metrics.k8s.io`
    pub name: String,
    pub group: String,
    pub version: String,
    priority: i64,
    version_priority: i64,
    /// Where its server is.
    pub namespace: String,
    pub service: String,
    pub port: i64,
    pub trust: Trust,
    /// As its condition says.
    pub available: bool,
    /// `APIResourceList.resources`, as its server said last.
    resources: Arc<ArcSwapOption<Vec<Value>>>,
    /// Where its schemas are, as its server's index says; nothing if it has none.
    schemas: Arc<ArcSwapOption<String>>,
    /// Its part of the server's OpenAPI 2 document, if that has one.
    document: Arc<ArcSwapOption<Part>>,
    tls: Arc<OnceLock<Result<Arc<ClientConfig>, String>>>,
}

/// A part of an OpenAPI 2 document.
pub(crate) struct Part {
    /// By which the server knows the document.
    pub etag: String,
    pub value: Value,
}

impl Extension {
    /// Nothing for a group that this server serves itself.
    pub fn read(of: &Object) -> Option<Self> {
        let service = |field: &str| of.str(&["spec", "service", field]).to_owned();
        if service("name").is_empty() {
            return None;
        }
        let number = |field: &str| of.int(&["spec", field]).unwrap_or_default();
        let authorities =
            STANDARD.decode(of.str(&["spec", "caBundle"])).ok().and_then(|pem| String::from_utf8(pem).ok());
        let trust = match authorities.filter(|pem| !pem.is_empty()) {
            _ if of.bool(&["spec", "insecureSkipTLSVerify"]) => Trust::Anyone,
            Some(authorities) => Trust::Authorities(authorities),
            None => Trust::System,
        };
        let conditions = of.list(&["status", "conditions"]);
        Some(Self {
            name: of.name().to_owned(),
            group: of.str(&["spec", "group"]).to_owned(),
            version: of.str(&["spec", "version"]).to_owned(),
            priority: number("groupPriorityMinimum"),
            version_priority: number("versionPriority"),
            namespace: service("namespace"),
            service: service("name"),
            port: of.int(&["spec", "service", "port"]).unwrap_or(DEFAULT_PORT),
            trust,
            available: conditions.iter().any(|of| of["type"] == "Available" && of["status"] == "True"),
            resources: Arc::default(),
            schemas: Arc::default(),
            document: Arc::default(),
            tls: Arc::default(),
        })
    }

    /// This, with what is known of the same before.
    pub fn after(self, before: &Arc<Self>) -> Arc<Self> {
        if (&self.service, &self.namespace, &self.trust) != (&before.service, &before.namespace, &before.trust) {
            return Arc::new(self);
        }
        let (resources, schemas) = (before.resources.clone(), before.schemas.clone());
        let (document, tls) = (before.document.clone(), before.tls.clone());
        Arc::new(Self { resources, schemas, document, tls, ..self })
    }

    /// By which groups and versions are ordered.
    pub fn rank(&self) -> impl Ord + use<> {
        (Reverse(self.priority), self.group.clone(), Reverse(self.version_priority), self.version.clone())
    }

    /// The name in the certificate of its server.
    pub fn host(&self) -> String {
        format!("{}.{}.svc", self.service, self.namespace)
    }

    /// `/apis/GROUP/VERSION`
    pub fn path(&self) -> String {
        match self.group.as_str() {
            "" => format!("/api/{}", self.version),
            group => format!("/apis/{group}/{}", self.version),
        }
    }

    /// TLS with its server, as this `client`.
    pub fn tls(&self, client: Option<&Arc<Identity>>) -> Result<Arc<ClientConfig>, String> {
        let make = || {
            let config = webhook::client_config(&self.trust, client.cloned().map(|client| client as _), true);
            config.map(Arc::new).map_err(|error| error.to_string())
        };
        self.tls.get_or_init(make).clone()
    }

    pub fn served(&self) -> (String, Version) {
        let resources = self.resources.load().as_deref().cloned().unwrap_or_default();
        (self.group.clone(), Version { name: self.version.clone(), resources, stale: !self.available })
    }

    /// `apis/GROUP/VERSION` and where its schemas are, if they are to be had: at its server, or made here of an older
    /// document.
    pub fn schemas(&self) -> Option<(String, String)> {
        let path = self.path();
        let url = match (self.available, self.schemas.load_full(), self.made_here()) {
            (true, Some(url), _) => (*url).clone(),
            (true, None, Some(part)) => format!("/openapi/v3{path}?hash={}", crate::digest::hex(part.etag.as_bytes())),
            _ => return None,
        };
        Some((path.trim_start_matches('/').to_owned(), url))
    }

    /// What its schemas are made of where its server has none of the newer form.
    pub fn made_here(&self) -> Option<Arc<Part>> {
        self.document().filter(|_| self.schemas.load().is_none())
    }

    /// Its part of its server's OpenAPI 2 document, as that was read last.
    pub fn document(&self) -> Option<Arc<Part>> {
        self.document.load_full()
    }

    pub fn learn_document(&self, part: Part) {
        self.document.store(Some(Arc::new(part)));
    }

    /// Notes what its server serves, and answers whether that is news.
    pub fn learn(&self, resources: Vec<Value>, schemas: Option<String>) -> bool {
        self.schemas.store(schemas.map(Arc::new));
        let news = self.resources.load().as_deref() != Some(&resources);
        if news {
            self.resources.store(Some(Arc::new(resources)));
        }
        news
    }
}
