//! Who asks for a certificate, who may approve and sign, and that nobody asks to be `system:masters`.

use auth::authz::Attributes;
use auth::csr::{CLIENT_SIGNER, Request};
use auth::view::Resource;
use machinery::{ApiError, Object, UserInfo, field};
use registry::Operation;
use serde_json::json;

use crate::Admit;

const GROUP: &str = "certificates.k8s.io";
const BUNDLES: Resource = Resource { group: GROUP, version: "v1beta1", name: "clustertrustbundles" };
const REQUESTS: Resource = Resource { group: GROUP, version: "v1", name: "certificatesigningrequests" };

/// A request carries who made it, whatever it says itself: approvers decide by that.
pub fn requester(admit: &Admit<'_>, csr: &mut Object) {
    if !admit.creates(REQUESTS) {
        return;
    }
    let user = &admit.request.context.user;
    csr.set(&["spec", "username"], user.name.clone());
    for (field, value) in [("uid", json!(user.uid)), ("groups", json!(user.groups)), ("extra", json!(user.extra))] {
        let empty = value.as_str() == Some("") || value == json!([]) || value == json!({});
        if empty {
            csr.remove(&["spec", field]);
        } else {
            csr.set(&["spec", field], value);
        }
    }
}

pub fn approval(admit: &Admit<'_>, csr: Option<&Object>) -> Result<(), ApiError> {
    let Some(csr) = csr.filter(|_| updates(admit, "approval")) else { return Ok(()) };
    authorized(admit, csr, "approve")
}

pub fn signing(admit: &Admit<'_>, csr: Option<&Object>) -> Result<(), ApiError> {
    let Some(csr) = csr.filter(|_| updates(admit, "status")) else { return Ok(()) };
    let Some(old) = admit.request.old else { return Ok(()) };
    let field = |of: &Object, name: &str| of.get(&["status", name]).cloned();
    let changed = ["certificate", "conditions"].iter().any(|name| field(csr, name) != field(old, name));
    if changed { authorized(admit, csr, "sign") } else { Ok(()) }
}

fn updates(admit: &Admit<'_>, subresource: &str) -> bool {
    admit.request.operation == Operation::Update && admit.is(REQUESTS, subresource)
}

fn authorized(admit: &Admit<'_>, csr: &Object, verb: &str) -> Result<(), ApiError> {
    let signer = admit.request.old.unwrap_or(csr).str(&["spec", "signerName"]);
    match is_authorized(admit, signer, verb) {
        true => Ok(()),
        false => {
            Err(admit.forbidden(Some(csr), format!("user not permitted to {verb} requests with signerName {signer:?}")))
        }
    }
}

/// Whoever writes what is trusted in the name of a signer speaks for it.
pub fn attestation(admit: &Admit<'_>, bundle: Option<&Object>) -> Result<(), ApiError> {
    let writes = matches!(admit.request.operation, Operation::Create | Operation::Update);
    let Some(bundle) = bundle.filter(|_| writes && admit.is(BUNDLES, "")) else { return Ok(()) };
    let signer = bundle.str(&["spec", "signerName"]);
    let unchanged = admit.request.old.is_some_and(|old| old.get(&["spec"]) == bundle.get(&["spec"]));
    if signer.is_empty() || unchanged || is_authorized(admit, signer, "attest") {
        return Ok(());
    }
    Err(admit.forbidden(Some(bundle), format!("user not permitted to attest for signerName {signer:?}")))
}

/// Certificates of pods are issued by those who may sign. Upstream finds this out when it validates, and says so.
pub fn pod_signing(admit: &Admit<'_>, request: Option<&Object>) -> Result<(), ApiError> {
    let updates =
        admit.request.operation == Operation::Update && admit.is(Resource::POD_CERTIFICATE_REQUESTS, "status");
    let (Some(new), Some(old)) = (request.filter(|_| updates), admit.request.old) else { return Ok(()) };
    let chain = |of: &Object| of.str(&["status", "certificateChain"]).to_owned();
    let signer = old.str(&["spec", "signerName"]);
    if chain(new) == chain(old) || is_authorized(admit, signer, "sign") {
        return Ok(());
    }
    let user = &admit.request.context.user.name;
    let text = format!("User {user:?} is not permitted to \"sign\" for signer {signer:?}");
    let error = field::Error::forbidden(&field::Path::new("spec.signerName"), text);
    Err(ApiError::invalid(&admit.request.kind.gvk(), new.name(), &[error]))
}

fn is_authorized(admit: &Admit<'_>, signer: &str, verb: &str) -> bool {
    let domain = format!("{}/*", signer.split('/').next().unwrap_or_default());
    let may = |name: &str| {
        admit.authorizer.authorize(&Attributes {
            user: admit.request.context.user.clone(),
            verb: verb.to_owned(),
            api_group: GROUP.to_owned(),
            api_version: "*".to_owned(),
            resource: "signers".to_owned(),
            name: name.to_owned(),
            is_resource: true,
            ..Attributes::default()
        })
    };
    may(signer).allowed() || may(&domain).allowed()
}

pub fn subject(admit: &Admit<'_>, csr: Option<&Object>) -> Result<(), ApiError> {
    let Some(csr) = csr.filter(|_| admit.creates(REQUESTS)) else { return Ok(()) };
    if csr.str(&["spec", "signerName"]) != CLIENT_SIGNER {
        return Ok(());
    }
    // A request that can not be read is for validation to refuse.
    let Ok(request) = Request::parse(csr) else { return Ok(()) };
    if request.organizations.iter().any(|group| group == UserInfo::MASTERS) {
        let why = "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed";
        return Err(admit.forbidden(Some(csr), why));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use auth::csr;
    use auth::pki::LeafSpec;

    use super::*;
    use crate::testing::Case;

    const RESOURCE: &str = "certificatesigningrequests.certificates.k8s.io";

    fn request(groups: &[&str]) -> Object {
        let (pem, _) = csr::new_request(&LeafSpec::client("jane", groups)).unwrap();
        csr::object("a", CLIENT_SIGNER, &pem)
    }

    #[test]
    fn a_request_names_its_maker() {
        let mut forged = request(&[]);
        forged.set(&["spec", "username"], "system:node:n1");
        forged.set(&["spec", "extra"], json!({"a": ["b"]}));
        Case::create(RESOURCE, "").user("jane", &["dev"]).with(|admit| requester(admit, &mut forged));
        assert_eq!(forged.str(&["spec", "username"]), "jane");
        assert_eq!(forged.get(&["spec", "groups"]), Some(&json!(["dev", "system:authenticated"])));
        assert_eq!(forged.get(&["spec", "extra"]), None);
    }

    #[test]
    fn approving_takes_the_verb_on_the_signer() {
        let cluster = r#"
            clusterroles approver rules=[{"verbs":["approve"],"apiGroups":["certificates.k8s.io"],"resources":["signers"],"resourceNames":["kubernetes.io/*"]}]
            clusterrolebindings approver roleRef={"kind":"ClusterRole","name":"approver"} subjects=[{"kind":"User","name":"ann"}]
        "#;
        let mut approved = request(&[]);
        approved.set(&["status", "conditions"], json!([{"type": "Approved", "status": "True"}]));
        let resource = format!("{RESOURCE}/approval");
        let approve = |user: &str| {
            let case = Case::update(&resource, "", request(&[])).cluster(cluster).user(user, &[]);
            case.validate(approval, Some(&approved))
        };
        assert_eq!(approve("ann"), Ok(()));
        assert!(approve("jane").unwrap_err().message.ends_with(
            "user not permitted to approve requests with signerName \"kubernetes.io/kube-apiserver-client\""
        ));
    }

    #[test]
    fn speaking_and_signing_for_a_signer_take_the_verb_on_it() {
        let cluster = r#"
            clusterroles own rules=[{"verbs":["attest","sign"],"apiGroups":["certificates.k8s.io"],"resources":["signers"],"resourceNames":["example.com/*"]}]
            clusterrolebindings own roleRef={"kind":"ClusterRole","name":"own"} subjects=[{"kind":"User","name":"ann"}]
        "#;
        let of = |spec: serde_json::Value, status: serde_json::Value| {
            Object::from_value(json!({"metadata": {"name": "a"}, "spec": spec, "status": status})).unwrap()
        };
        let attest = |user: &str, signer: &str| {
            let bundle = of(json!({"signerName": signer, "trustBundle": "x"}), json!(null));
            let case = Case::create("clustertrustbundles.certificates.k8s.io", "").cluster(cluster).user(user, &[]);
            case.validate(attestation, Some(&bundle))
        };
        assert_eq!((attest("ann", "example.com/a"), attest("jane", "")), (Ok(()), Ok(())));
        let error = attest("jane", "example.com/a").unwrap_err();
        assert!(error.message.ends_with("user not permitted to attest for signerName \"example.com/a\""), "{error}");
        let sign = |user: &str, chain: &str| {
            let spec = json!({"signerName": "example.com/a"});
            let resource = "podcertificaterequests.certificates.k8s.io/status";
            let case = Case::update(resource, "dev", of(spec.clone(), json!({}))).cluster(cluster).user(user, &[]);
            case.validate(pod_signing, Some(&of(spec, json!({"certificateChain": chain}))))
        };
        assert_eq!((sign("ann", "x"), sign("jane", "")), (Ok(()), Ok(())));
        assert_eq!(
            sign("jane", "x").unwrap_err().message,
            "PodCertificateRequest.certificates.k8s.io \"a\" is invalid: spec.signerName: Forbidden: User \"jane\" is not \
             permitted to \"sign\" for signer \"example.com/a\""
        );
    }

    #[test]
    fn nobody_asks_to_be_a_master() {
        let create = |groups: &[&str]| Case::create(RESOURCE, "").validate(subject, Some(&request(groups)));
        assert_eq!(create(&["dev"]), Ok(()));
        assert!(create(&["dev", "system:masters"]).is_err());
    }
}
