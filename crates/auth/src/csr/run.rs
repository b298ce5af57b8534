//! The loop that approves and signs.
//!
//! It holds the authority's key, so it runs in the server's process and over the registry.

use std::sync::Arc;
use std::time::Duration;

use machinery::{ApiError, Object, Reason};
use registry::{Context, Registry, WatchEvent, WatchOptions};
use serde_json::{Value, json};
use tokio::time::Instant;
use tracing::{info, warn};

use super::approve::{Nodes, approve};
use super::{CLIENT_SIGNER, KUBELET_CLIENT_SIGNER, KUBELET_SERVING_SIGNER, Request};
use crate::authz::Authorizer;
use crate::lineage::Lineage;

const GROUP: &str = "certificates.k8s.io";
const SIGNERS: [&str; 3] = [CLIENT_SIGNER, KUBELET_CLIENT_SIGNER, KUBELET_SERVING_SIGNER];

/// How long to wait before a watch that ended is begun anew.
const RETRY: Duration = Duration::from_secs(1);
/// How long to wait before what could not be written is tried again.
const WRITE_RETRY: Duration = Duration::from_secs(5);

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
        let mut nodes = Nodes::default();
        // When all requests are looked at again.
        let mut due: Option<Instant> = None;
        loop {
            let again = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // All that is new of nodes first: one look at the requests is for all of it.
                biased;
                event = node_watch.next() => match event {
                    Some(WatchEvent::Added(entry) | WatchEvent::Modified(entry)) if nodes.set(&entry.object()) => {
                        due = Some(clock::monotonic());
                    }
                    Some(WatchEvent::Deleted(entry)) if nodes.remove(entry.name()) => due = Some(clock::monotonic()),
                    Some(WatchEvent::Error(error)) => return Err(error),
                    Some(_) => {}
                    None => return Ok(()),
                },
                event = watch.next() => match event {
                    Some(WatchEvent::Added(entry) | WatchEvent::Modified(entry)) => {
                        if !self.advance(&nodes, &entry.object()).await {
                            due.get_or_insert_with(|| clock::monotonic() + WRITE_RETRY);
                        }
                    }
                    Some(WatchEvent::Error(error)) => return Err(error),
                    Some(_) => {}
                    None => return Ok(()),
                },
                () = again => {
                    due = (!self.advance_all(&nodes, requests).await).then(|| clock::monotonic() + WRITE_RETRY);
                }
            }
        }
    }

    /// Answers whether all could be written.
    async fn advance_all(&self, nodes: &Nodes, requests: &'static kinds::KindDef) -> bool {
        let mut written = true;
        for entry in self.registry.lister(requests).list("") {
            written &= self.advance(nodes, &entry.object()).await;
        }
        written
    }

    /// Takes a request's next step; answers whether it could be written.
    async fn advance(&self, nodes: &Nodes, csr: &Object) -> bool {
        self.carry_out(csr, self.decide(nodes, csr)).await
    }

    /// Writes a step of this request, not of another that has taken its name.
    async fn carry_out(&self, csr: &Object, step: Step) -> bool {
        let subresource = match step {
            Step::Nothing => return true,
            Step::Approve(_) => "approval",
            Step::Certificate(_) | Step::Fail(_) => "status",
        };
        let kind = self.registry.kinds().find(GROUP, "v1", "certificatesigningrequests").expect("served");
        let write = |object: &mut Object| {
            if object.uid() != csr.uid() {
                return Err(ApiError::not_found(&kind.group_resource(), csr.name()));
            }
            write(object, &step);
            Ok(())
        };
        let cx = Context { field_manager: "keelson".to_owned(), ..Context::of_server() };
        match self.registry.mutate(&cx, kind, "", csr.name(), subresource, write).await {
            Ok(_) => info!(request = csr.name(), subresource, "certificate signing request advanced"),
            Err(error) if error.reason == Reason::NotFound => {}
            Err(error) => {
                warn!(request = csr.name(), %error, "certificate signing request not written");
                return false;
            }
        }
        true
    }

    fn decide(&self, nodes: &Nodes, csr: &Object) -> Step {
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
            let approved = approve(&self.registry, nodes, &*self.authorizer, csr, &request);
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

#[cfg(test)]
mod tests {
    use registry::{Config, DeleteOptions, Hooks, Identity};

    use super::*;
    use crate::authz::Masters;
    use crate::csr;
    use crate::lineage::CLUSTER;

    #[tokio::test]
    async fn a_decision_is_about_the_request_that_was_looked_at() {
        let (store, transformer) = (Arc::new(store::Memory::new()), Arc::new(Identity));
        let config = Config { store, kinds: kinds::all(), transformer, hooks: Hooks::default() };
        let registry = Registry::open(config).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let authority = Lineage::open(directory.path(), CLUSTER).unwrap();
        let authorizer = Arc::new(Masters);
        let signer = Signer { registry: registry.clone(), authority, authorizer };
        let (kind, cx) = (kinds::find(GROUP, "v1", "certificatesigningrequests").unwrap(), Context::of_server());
        let (pem, _) = csr::new_request(&csr::node_client_spec("n1")).unwrap();
        let make = async || {
            let request = csr::object("a", KUBELET_CLIENT_SIGNER, &pem);
            registry.create(&cx, kind, "", request).await.unwrap().object()
        };
        let first = make().await;
        registry.delete(&cx, kind, "", "a", &DeleteOptions::default()).await.unwrap();
        let second = make().await;
        for (looked_at, approves) in [(first, false), (second, true)] {
            signer.carry_out(&looked_at, Step::Approve("it may")).await;
            let now = registry.get(kind, "", "a", "").await.unwrap().object();
            assert_eq!(has_condition(&now, "Approved"), approves);
        }
    }
}
