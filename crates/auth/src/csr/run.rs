//! The loop that approves and signs.
//!
//! It holds the authority's key, so it runs in the server's process and over the registry.

use std::sync::Arc;

use machinery::{ApiError, Object, Reason, UserInfo};
use registry::{Context, Registry, WatchEvent, WatchOptions};
use serde_json::{Value, json};
use tracing::{info, warn};

use super::{CLIENT_SIGNER, KUBELET_CLIENT_SIGNER, KUBELET_SERVING_SIGNER, Request, approve::approve};
use crate::authz::Authorizer;
use crate::lineage::Lineage;

const GROUP: &str = "certificates.k8s.io";
const SIGNERS: [&str; 3] = [CLIENT_SIGNER, KUBELET_CLIENT_SIGNER, KUBELET_SERVING_SIGNER];

/// How long to wait before a watch that ended is begun anew.
const RETRY: std::time::Duration = std::time::Duration::from_secs(1);

/// What is to be written to a request.
#[derive(Debug, PartialEq)]
enum Step {
    Approve(&'static str),
    Certificate(String),
    Fail(String),
    Nothing,
}

/// Approves and signs until it is dropped; cancelling it at any point is safe.
pub async fn run(registry: Registry, authority: Arc<Lineage>, authorizer: Arc<dyn Authorizer>) {
    let signer = Signer { registry, authority, authorizer };
    loop {
        if let Err(error) = signer.follow().await {
            warn!(%error, "watch of certificate signing requests ended");
        }
        tokio::time::sleep(RETRY).await;
    }
}

struct Signer {
    registry: Registry,
    authority: Arc<Lineage>,
    authorizer: Arc<dyn Authorizer>,
}

impl Signer {
    /// Watches requests, and nodes too: a serving certificate waits for the addresses of its node.
    async fn follow(&self) -> Result<(), ApiError> {
        let kinds = self.registry.kinds();
        let requests = kinds.find(GROUP, "v1", "certificatesigningrequests").expect("requests are served");
        let nodes = kinds.find("", "v1", "nodes").expect("nodes are served");
        let options = WatchOptions::default();
        let mut watch = self.registry.watch(requests, "", &options).await?;
        let mut node_watch = self.registry.watch(nodes, "", &options).await?;
        loop {
            tokio::select! {
                event = watch.next() => match event {
                    Some(WatchEvent::Added(entry) | WatchEvent::Modified(entry)) => self.advance(&entry.object()).await,
                    Some(WatchEvent::Error(error)) => return Err(error),
                    Some(_) => {}
                    None => return Ok(()),
                },
                event = node_watch.next() => match event {
                    Some(WatchEvent::Added(_) | WatchEvent::Modified(_)) => self.advance_waiting(requests).await,
                    Some(WatchEvent::Error(error)) => return Err(error),
                    Some(_) => {}
                    None => return Ok(()),
                },
            }
        }
    }

    async fn advance_waiting(&self, requests: &'static kinds::KindDef) {
        for entry in self.registry.lister(requests).list("") {
            let csr = entry.object();
            if !has_condition(&csr, "Approved") && !has_condition(&csr, "Denied") {
                self.advance(&csr).await;
            }
        }
    }

    async fn advance(&self, csr: &Object) {
        let (subresource, change): (&'static str, Step) = match self.decide(csr) {
            Step::Nothing => return,
            Step::Approve(message) => ("approval", Step::Approve(message)),
            step => ("status", step),
        };
        let cx = Context {
            user: UserInfo::new("system:apiserver", &[UserInfo::MASTERS]),
            field_manager: "keelson".to_owned(),
            ..Context::default()
        };
        let kind = self.registry.kinds().find(GROUP, "v1", "certificatesigningrequests").expect("served");
        let write = |object: &mut Object| {
            write(object, &change);
            Ok(())
        };
        match self.registry.mutate(&cx, kind, "", csr.name(), subresource, write).await {
            Ok(_) => info!(request = csr.name(), subresource, "certificate signing request advanced"),
            Err(error) if error.reason == Reason::NotFound => {}
            Err(error) => warn!(request = csr.name(), %error, "certificate signing request not written"),
        }
    }

    fn decide(&self, csr: &Object) -> Step {
        if !SIGNERS.contains(&csr.str(&["spec", "signerName"])) || !csr.str(&["status", "certificate"]).is_empty() {
            return Step::Nothing;
        }
        if has_condition(csr, "Denied") || has_condition(csr, "Failed") {
            return Step::Nothing;
        }
        let request = match Request::parse(csr) {
            Ok(request) => request,
            Err(error) => return Step::Fail(error),
        };
        if !has_condition(csr, "Approved") {
            let approved = approve(&self.registry, &*self.authorizer, csr, &request);
            return approved.map_or(Step::Nothing, Step::Approve);
        }
        match request
            .check()
            .and_then(|()| request.sign(self.authority.now().signer()).map_err(|error| error.to_string()))
        {
            Ok(certificate) => Step::Certificate(certificate),
            Err(error) => Step::Fail(error),
        }
    }
}

fn has_condition(csr: &Object, condition: &str) -> bool {
    csr.list(&["status", "conditions"]).iter().any(|of| of["type"] == condition)
}

fn write(csr: &mut Object, step: &Step) {
    use base64::Engine;
    match step {
        Step::Approve(message) => add_condition(csr, "Approved", "AutoApproved", message),
        Step::Fail(message) => add_condition(csr, "Failed", "SignerValidationFailure", message),
        Step::Certificate(pem) => {
            csr.set(&["status", "certificate"], base64::engine::general_purpose::STANDARD.encode(pem));
        }
        Step::Nothing => {}
    }
}

fn add_condition(csr: &mut Object, condition: &str, reason: &str, message: &str) {
    if has_condition(csr, condition) {
        return;
    }
    let now = clock::format_time(clock::now_seconds());
    let mut conditions: Vec<Value> = csr.list(&["status", "conditions"]).to_vec();
    conditions.push(json!({
        "type": condition, "status": "True", "reason": reason, "message": message,
        "lastUpdateTime": now, "lastTransitionTime": now,
    }));
    csr.set(&["status", "conditions"], conditions);
}
