//! Tokens and certificates that a node asks for in the name of its pods.

use auth::authz::{Attributes, aggregate};
use auth::view::Resource;
use machinery::{ApiError, Object};
use registry::Operation;
use serde_json::Value;

use super::Check;
use crate::pods::is_mirror;
use crate::subject::operation;

const CSI_DRIVERS: Resource = Resource { group: "storage.k8s.io", version: "v1", name: "csidrivers" };

impl Check<'_> {
    /// A node asks for tokens that end with one of its own pods.
    pub(super) fn token(&self) -> Result<(), ApiError> {
        let (Operation::Create, Some(request)) = (self.operation(), self.object) else { return Ok(()) };
        let text = |field: &str| request.str(&["spec", "boundObjectRef", field]);
        if text("apiVersion") != "v1" || text("kind") != "Pod" || text("name").is_empty() {
            return self.no("node requested token not bound to a pod");
        }
        let uid = text("uid");
        if uid.is_empty() {
            return self.no("node requested token with a pod binding without a uid");
        }
        let pod = self.pod_named(text("name"))?;
        if pod.uid() != uid {
            return self.no(format!(
                "the UID in the bound object reference ({uid}) does not match the UID in record. \
                 The object might have been deleted and then recreated"
            ));
        }
        if pod.str(&["spec", "nodeName"]) != self.node {
            return self.no("node requested token bound to a pod scheduled on a different node");
        }
        self.audience(request, &pod)
    }

    /// Tokens are meant for whom the pod needs them for, unless the node may ask for others.
    fn audience(&self, request: &Object, pod: &Object) -> Result<(), ApiError> {
        let audience = match request.list(&["spec", "audiences"]) {
            [] => "",
            [one] => one.as_str().unwrap_or_default(),
            _ => return self.no("node may only request 0 or 1 audiences"),
        };
        match self.pod_needs(pod, audience) {
            Ok(true) => return Ok(()),
            Ok(false) if self.may_request(audience) => return Ok(()),
            Ok(false) => {}
            Err(error) => return self.no(format!("error validating audience {audience:?}: {error}")),
        }
        let user = &self.admit.request.context.user.name;
        self.no(format!(
            "audience {audience:?} not found in pod spec volume, {user} is not authorized to request tokens for this \
             audience"
        ))
    }

    fn may_request(&self, audience: &str) -> bool {
        let request = self.admit.request;
        let attributes = Attributes {
            user: request.context.user.clone(),
            verb: "request-serviceaccounts-token-audience".to_owned(),
            namespace: request.namespace.to_owned(),
            api_version: "v1".to_owned(),
            resource: audience.to_owned(),
            name: request.name.to_owned(),
            is_resource: true,
            ..Attributes::default()
        };
        self.admit.authorizer.authorize(&attributes).allowed()
    }

    /// Whether a volume of the pod, or the driver behind one, gets a token for the audience. Of several volumes whose
    /// drivers can not be found, all are told, should none be found that does.
    fn pod_needs(&self, pod: &Object, audience: &str) -> Result<bool, String> {
        let mut problems = Vec::new();
        for volume in pod.list(&["spec", "volumes"]) {
            let projected = volume.pointer("/projected/sources").and_then(Value::as_array).into_iter().flatten();
            let mut tokens = projected.filter_map(|source| source.get("serviceAccountToken"));
            if tokens.any(|token| is_for(token, audience)) {
                return Ok(true);
            }
            match self.driver_needs(pod, volume, audience) {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(problem) => problems.push(problem),
            }
        }
        aggregate(&problems).map_or(Ok(false), Err)
    }

    fn driver_needs(&self, pod: &Object, volume: &Value, audience: &str) -> Result<bool, String> {
        let claimed = volume.pointer("/persistentVolumeClaim/claimName").and_then(Value::as_str).map(str::to_owned);
        let made = || format!("{}-{}", pod.name(), volume["name"].as_str().unwrap_or_default());
        let claim = claimed.or_else(|| volume.get("ephemeral").map(|_| made()));
        let driver = match claim {
            Some(claim) => self.driver_of_claim(pod.namespace(), &claim)?,
            None => volume.pointer("/csi/driver").and_then(Value::as_str).unwrap_or_default().to_owned(),
        };
        if driver.is_empty() {
            return Ok(false);
        }
        let found = self.admit.view.get(CSI_DRIVERS, "", &driver);
        let found = found.ok_or_else(|| format!("csidriver.storage.k8s.io {driver:?} not found"))?;
        Ok(found.list(&["spec", "tokenRequests"]).iter().any(|request| is_for(request, audience)))
    }

    /// Empty if it is not bound, or not to a driver's volume.
    fn driver_of_claim(&self, namespace: &str, name: &str) -> Result<String, String> {
        let claim = self.admit.view.get(Resource::PERSISTENT_VOLUME_CLAIMS, namespace, name);
        let claim = claim.ok_or_else(|| format!("persistentvolumeclaim {name:?} not found"))?;
        let name = claim.str(&["spec", "volumeName"]);
        if name.is_empty() {
            return Ok(String::new());
        }
        let volume = self.admit.view.get(Resource::PERSISTENT_VOLUMES, "", name);
        let volume = volume.ok_or_else(|| format!("persistentvolume {name:?} not found"))?;
        Ok(volume.str(&["spec", "csi", "driver"]).to_owned())
    }

    /// A node asks for certificates of its own pods, and tells the truth about them. What the cache may not know yet
    /// is no refusal for good.
    pub(super) fn pod_certificate(&self) -> Result<(), ApiError> {
        let subresource = self.admit.request.subresource;
        let (Operation::Create, Some(request)) = (self.operation(), self.object) else {
            return self.no(format!("unexpected operation {}", operation(self.operation())));
        };
        if !subresource.is_empty() {
            return self.no(format!("unexpected subresource {subresource}"));
        }
        let spec = |field: &str| request.str(&["spec", field]);
        if spec("nodeName") != self.node {
            return self.no(format!(
                "PodCertificateRequest.Spec.NodeName={:?}, which is not the requesting node {:?}",
                spec("nodeName"),
                self.node
            ));
        }
        self.check_node_of(request)?;
        let pod = self.check_pod_of(request)?;
        self.check_account_of(request, &pod)
    }

    fn found(&self, what: &str, told: &str, resource: Resource, place: (&str, &str)) -> Result<Object, ApiError> {
        let singular = what.replace(' ', "");
        let missing = || {
            let name = place.1;
            let why = format!(
                "while retrieving {what} {told:?} named in the PodCertificateRequest: {singular} {name:?} not found"
            );
            ApiError::internal(why)
        };
        self.admit.view.get(resource, place.0, place.1).ok_or_else(missing)
    }

    fn check_node_of(&self, request: &Object) -> Result<(), ApiError> {
        let (uid, pod) = (request.str(&["spec", "nodeUID"]), self.told(request, "podName"));
        let node = self.found("node", self.node, Resource::NODES, ("", self.node))?;
        if node.uid() == uid {
            return Ok(());
        }
        Err(ApiError::internal(format!(
            "PodCertificateRequest for pod {pod:?} names node UID {uid:?}, inconsistent with the running node ({:?})",
            node.uid()
        )))
    }

    fn check_pod_of(&self, request: &Object) -> Result<Object, ApiError> {
        let (uid, told) = (request.str(&["spec", "podUID"]), self.told(request, "podName"));
        let place = (self.admit.request.namespace, request.str(&["spec", "podName"]));
        let pod = self.found("pod", &told, Resource::PODS, place)?;
        if pod.uid() != uid {
            return Err(ApiError::internal(format!(
                "PodCertificateRequest for pod {told:?} contains pod UID ({uid:?}) which differs from running pod {:?}",
                pod.uid()
            )));
        }
        if pod.str(&["spec", "nodeName"]) != self.node {
            let why = format!("pod {told:?} is not running on node {:?} named in the PodCertificateRequest", self.node);
            return Err(self.admit.forbidden(self.object, why));
        }
        if is_mirror(&pod) {
            return Err(self.admit.forbidden(self.object, format!("pod {told:?} is a mirror pod")));
        }
        Ok(pod)
    }

    fn check_account_of(&self, request: &Object, pod: &Object) -> Result<(), ApiError> {
        let (told, name) = (self.told(request, "podName"), request.str(&["spec", "serviceAccountName"]));
        let own = pod.str(&["spec", "serviceAccountName"]);
        if name != own {
            return self.no(format!(
                "PodCertificateRequest for pod {told:?} contains serviceAccountName ({name:?}) that differs from \
                 running pod ({own:?})"
            ));
        }
        let uid = request.str(&["spec", "serviceAccountUID"]);
        let place = (self.admit.request.namespace, name);
        let of = self.told(request, "serviceAccountName");
        let account = self.found("service account", &of, Resource::SERVICE_ACCOUNTS, place)?;
        if account.uid() == uid {
            return Ok(());
        }
        Err(ApiError::internal(format!(
            "PodCertificateRequest for pod {told:?} names service account UID {uid:?}, which differs from the running \
             service account ({:?})",
            account.uid()
        )))
    }

    /// `NAMESPACE/NAME`, with the name that the request gives.
    fn told(&self, request: &Object, field: &str) -> String {
        format!("{}/{}", self.admit.request.namespace, request.str(&["spec", field]))
    }
}

fn is_for(token: &Value, audience: &str) -> bool {
    token["audience"].as_str().unwrap_or_default() == audience
}
