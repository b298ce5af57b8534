//! Approves and signs certificate requests. (upstream: pkg/controller/certificates)
//!
//! Client certificates of nodes are approved for bootstrappers and for the node itself; serving certificates
//! for the node itself, and only for names and addresses that are its own. Everything else waits for a person.

mod decide;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use control::{Change, Controller, Error, Informer, ObjectKey, Requeue, Shell, Watches, meta, pods};
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestCondition, CertificateSigningRequestStatus,
};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt};
use tracing::info;

use decide::{Asked, Verdict, judge};

/// What a certificate request asks to be named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    pub common_name: String,
    pub organizations: Vec<String>,
    pub dns_names: Vec<String>,
    pub ips: Vec<std::net::IpAddr>,
    /// Names of other sorts: e-mail addresses and URIs.
    pub others: usize,
}

/// What the controllers need of the cluster's certificate authority.
pub trait CsrSigner: Send + Sync + 'static {
    /// Reads a PEM encoded PKCS #10 request and checks its own signature.
    fn read(&self, request_pem: &[u8]) -> Result<Subject, String>;

    /// Issues a certificate with the request's subject and key for these usages (`client auth`, …), in PEM.
    fn sign(&self, request_pem: &[u8], usages: &[String], lifetime: Option<Duration>) -> Result<String, String>;
}

pub const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";
pub const NODE_CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client-kubelet";
pub const NODE_SERVING_SIGNER: &str = "kubernetes.io/kubelet-serving";

/// How long finished and forgotten requests are kept.
const FINISHED_KEPT: Duration = Duration::from_secs(3600);
const PENDING_KEPT: Duration = Duration::from_secs(24 * 3600);

pub struct CertificateController {
    client: Client,
    signer: Arc<dyn CsrSigner>,
    requests: Informer<CertificateSigningRequest>,
    nodes: Informer<Node>,
}

impl CertificateController {
    pub fn new(shell: &Shell, signer: Arc<dyn CsrSigner>) -> Self {
        Self { client: shell.client(), signer, requests: shell.informers.get(), nodes: shell.informers.get() }
    }

    fn api(&self) -> Api<CertificateSigningRequest> {
        Api::all(self.client.clone())
    }

    async fn approve(&self, request: &CertificateSigningRequest, message: &str) -> Result<(), Error> {
        let mut approved = request.clone();
        let condition = condition("Approved", "AutoApproved", message);
        approved.status.get_or_insert_default().conditions.get_or_insert_default().push(condition);
        let name = request.name_any();
        let _: CertificateSigningRequest =
            self.api().replace_subresource("approval", &name, &PostParams::default(), &approved).await?;
        info!(request = name, "approved");
        Ok(())
    }

    async fn sign(&self, request: &CertificateSigningRequest) -> Result<(), Error> {
        let spec = &request.spec;
        let lifetime = spec.expiration_seconds.map(|seconds| pods::seconds(seconds.into()));
        let usages = spec.usages.clone().unwrap_or_default();
        let mut signed = request.clone();
        let status = signed.status.get_or_insert_default();
        match self.asked(request).and_then(|asked| decide::check_signable(&asked)) {
            Ok(()) => match self.signer.sign(&spec.request.0, &usages, lifetime) {
                Ok(certificate) => status.certificate = Some(ByteString(certificate.into_bytes())),
                Err(problem) => return Err(Error::Retry(format!("cannot sign: {problem}"))),
            },
            Err(problem) => fail(status, &problem),
        }
        control::write::replace_status(&self.api(), &signed).await?;
        info!(request = request.name_any(), signer = spec.signer_name, "signed");
        Ok(())
    }

    fn asked(&self, request: &CertificateSigningRequest) -> Result<Asked, String> {
        let spec = &request.spec;
        Ok(Asked {
            signer: spec.signer_name.clone(),
            subject: self.signer.read(&spec.request.0)?,
            usages: spec.usages.clone().unwrap_or_default(),
            user: spec.username.clone().unwrap_or_default(),
            groups: spec.groups.clone().unwrap_or_default(),
        })
    }

    /// Addresses and names by the node that reports them.
    fn addresses(&self) -> Vec<(String, Vec<String>)> {
        let addresses = |node: &Node| {
            let listed = node.status.iter().flat_map(|status| status.addresses.iter().flatten());
            listed.map(|address| address.address.clone()).collect()
        };
        self.nodes.list().iter().map(|node| (node.name_any(), addresses(node))).collect()
    }

    async fn consider(&self, request: &CertificateSigningRequest) -> Result<(), Error> {
        let asked = match self.asked(request) {
            Ok(asked) => asked,
            Err(problem) => return Err(Error::Final(format!("unreadable certificate request: {problem}"))),
        };
        match judge(&asked, &self.addresses()) {
            Verdict::Approve(message) => self.approve(request, message).await,
            Verdict::Leave => Ok(()),
        }
    }
}

fn condition(type_: &str, reason: &str, message: &str) -> CertificateSigningRequestCondition {
    let now = Some(Time(clock::now_seconds()));
    CertificateSigningRequestCondition {
        type_: type_.to_owned(),
        status: "True".to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_update_time: now.clone(),
        last_transition_time: now,
    }
}

fn fail(status: &mut CertificateSigningRequestStatus, problem: &str) {
    let condition = condition("Failed", "SignerValidationFailure", problem);
    status.conditions.get_or_insert_default().push(condition);
}

fn has(request: &CertificateSigningRequest, type_: &str) -> bool {
    let conditions = request.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == type_ && condition.status == "True")
}

fn is_issued(request: &CertificateSigningRequest) -> bool {
    let certificate = request.status.as_ref().and_then(|status| status.certificate.as_ref());
    certificate.is_some_and(|certificate| !certificate.0.is_empty())
}

#[async_trait]
impl Controller for CertificateController {
    type Key = ObjectKey;

    fn name(&self) -> &'static str {
        "certificate"
    }

    fn watches(&self, watches: &mut Watches<ObjectKey>) {
        watches.on(|change: &Change<CertificateSigningRequest>| [ObjectKey::of(&change.object().metadata)]);
        watches.needs(&self.nodes);
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Requeue, Error> {
        let Some(request) = self.requests.get(key) else { return Ok(Requeue::No) };
        let finished = is_issued(&request) || has(&request, "Denied") || has(&request, "Failed");
        let kept = if finished { FINISHED_KEPT } else { PENDING_KEPT };
        let created = meta::created_at(&request.metadata).unwrap_or_else(clock::now);
        let left = pods::remaining(created, kept, clock::now());
        if left.is_zero() {
            control::write::delete_uid(&self.api(), &key.name, meta::uid(&request.metadata), None).await?;
            return Ok(Requeue::No);
        }
        let signer = request.spec.signer_name.as_str();
        let ours = [CLIENT_SIGNER, NODE_CLIENT_SIGNER, NODE_SERVING_SIGNER].contains(&signer);
        if ours && !finished {
            if has(&request, "Approved") {
                self.sign(&request).await?;
            } else {
                self.consider(&request).await?;
            }
        }
        Ok(Requeue::After(left))
    }
}
