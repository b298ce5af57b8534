//! The `token` subresource of service accounts: a TokenRequest in, the same with a token out.

use jiff::Timestamp;
use machinery::{ApiError, GroupResource, GroupVersion, GroupVersionKind, Object, field};
use registry::Context;
use serde_json::json;

use super::{Private, Reference, TokenIssuer};
use crate::view::{Resource, View};

const GROUP: &str = "authentication.k8s.io";
const KIND: &str = "TokenRequest";
const MIN_SECONDS: i64 = 10 * 60;
const MAX_SECONDS: i64 = 1 << 32;
const DEFAULT_SECONDS: i64 = 60 * 60;
/// The life that admission asks for the tokens of pods, by which they are known.
pub const GIVEN_SECONDS: i64 = 60 * 60 + 7;
/// How long these hold for programs that do not read them again.
const EXTENDED_SECONDS: i64 = 365 * 24 * 60 * 60;
const ISSUED: &str = "authentication.kubernetes.io/issued-credential-id";

/// Serves a TokenRequest for a service account.
///
/// Without audiences the token is meant for the API server.
pub fn serve(
    view: &dyn View,
    issuer: &TokenIssuer,
    cx: &Context,
    (namespace, name): (&str, &str),
    mut request: Object,
) -> Result<Object, ApiError> {
    check_metadata(&request, namespace, name)?;
    let account = view.get(Resource::SERVICE_ACCOUNTS, namespace, name);
    let account = account.ok_or_else(|| ApiError::not_found(&GroupResource::new("", "serviceaccounts"), name))?;
    if !request.uid().is_empty() && request.uid() != account.uid() {
        let why = format!(
            "the UID in the token request ({}) does not match the UID of the service account ({})",
            request.uid(),
            account.uid()
        );
        return Err(ApiError::conflict(&GroupResource::new(GROUP, KIND), name, why));
    }
    request.set_default(&["spec", "expirationSeconds"], DEFAULT_SECONDS);
    if request.list(&["spec", "audiences"]).is_empty() {
        request.set(&["spec", "audiences"], json!(issuer.terms().audiences));
    }
    let asked = seconds(&request)?;
    let mut private =
        Private { namespace: namespace.to_owned(), serviceaccount: reference(&account), ..Private::default() };
    bind(view, &mut private, &request)?;
    let seconds = issuer.terms().max_seconds.map_or(asked, |most| asked.min(most));
    if seconds < asked {
        cx.warnings.add(format!("requested expiration of {asked} seconds shortened to {seconds} seconds"));
        request.set(&["spec", "expirationSeconds"], seconds);
    }
    let audiences = request.list(&["spec", "audiences"]).iter().filter_map(|of| of.as_str()).map(str::to_owned);
    let audiences: Vec<String> = audiences.collect();
    let now = clock::now().as_second();
    let mut life = seconds;
    if issuer.terms().extended && private.pod.is_some() && seconds == GIVEN_SECONDS && for_api(issuer, &audiences) {
        private.warnafter = Some(now + seconds);
        life = EXTENDED_SECONDS;
    }
    let (token, claims) = issuer.mint(private, audiences, life).map_err(ApiError::internal)?;
    cx.annotations.add(ISSUED, claims.credential_id());
    // Nodes renew a token by the life that was asked for.
    let expires = Timestamp::from_second(now + seconds).map_err(ApiError::internal)?;
    request.set(&["metadata", "name"], name);
    request.set(&["metadata", "namespace"], namespace);
    request.set(&["metadata", "uid"], account.uid());
    request.set_default(&["spec", "boundObjectRef"], serde_json::Value::Null);
    request.set(&["metadata", "creationTimestamp"], clock::format_time(clock::now_seconds()));
    request.set(&["status"], json!({"token": token, "expirationTimestamp": clock::format_time(expires)}));
    Ok(request)
}

fn for_api(issuer: &TokenIssuer, audiences: &[String]) -> bool {
    audiences.iter().all(|audience| issuer.terms().audiences.contains(audience))
}

/// The request may say whom it is for, but nobody else.
fn check_metadata(request: &Object, namespace: &str, name: &str) -> Result<(), ApiError> {
    for (field, given, wanted) in [("name", request.name(), name), ("namespace", request.namespace(), namespace)] {
        if !given.is_empty() && given != wanted {
            let path = field::Path::new("metadata").child(field);
            let why = format!("must match the service account {field} if specified");
            let gvk = GroupVersionKind::new(GROUP, "v1", KIND);
            return Err(ApiError::invalid(&gvk, name, &[field::Error::invalid(&path, given, why)]));
        }
    }
    Ok(())
}

fn seconds(request: &Object) -> Result<i64, ApiError> {
    let seconds = request.int(&["spec", "expirationSeconds"]).unwrap_or(DEFAULT_SECONDS);
    let why = match seconds {
        MIN_SECONDS..=MAX_SECONDS => return Ok(seconds),
        ..MIN_SECONDS => "may not specify a duration less than 10 minutes",
        _ => "may not specify a duration larger than 2^32 seconds",
    };
    let path = field::Path::new("spec").child("expirationSeconds");
    let gvk = GroupVersionKind::new(GROUP, "v1", KIND);
    Err(ApiError::invalid(&gvk, "", &[field::Error::invalid(&path, seconds, why)]))
}

fn reference(object: &Object) -> Reference {
    Reference { name: object.name().to_owned(), uid: object.uid().to_owned() }
}

/// Binds the token to what `boundObjectRef` names.
fn bind(view: &dyn View, private: &mut Private, request: &Object) -> Result<(), ApiError> {
    const REF: [&str; 2] = ["spec", "boundObjectRef"];
    let text = |field: &str| request.str(&[REF[0], REF[1], field]);
    if request.map(&REF).is_none() {
        return Ok(());
    }
    let version = GroupVersion::parse(text("apiVersion"));
    let gvk = GroupVersionKind::new(version.group, version.version, text("kind"));
    let find = |resource: Resource, namespace: &str| {
        if text("name").is_empty() {
            return Err(ApiError::bad_request("Name parameter required."));
        }
        let found = view.get(resource, namespace, text("name"));
        found.ok_or_else(|| ApiError::not_found(&GroupResource::new(resource.group, resource.name), text("name")))
    };
    let bound = match (gvk.group.as_str(), gvk.version.as_str(), gvk.kind.as_str()) {
        ("", "v1", "Pod") => {
            let pod = find(Resource::PODS, &private.namespace)?;
            check_account(&pod, &private.serviceaccount.name)?;
            private.node = node_of(view, &pod);
            private.pod.insert(reference(&pod))
        }
        ("", "v1", "Secret") => private.secret.insert(reference(&find(Resource::SECRETS, &private.namespace)?)),
        ("", "v1", "Node") => private.node.insert(reference(&find(Resource::NODES, "")?)),
        _ => {
            let why = format!("cannot bind token to object of type {}/{}, Kind={}", gvk.group, gvk.version, gvk.kind);
            return Err(ApiError::bad_request(why));
        }
    };
    let uid = text("uid");
    if !uid.is_empty() && uid != bound.uid {
        let why = format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. \
             The object might have been deleted and then recreated"
        );
        return Err(ApiError::conflict(&GroupResource::new(gvk.group, gvk.kind), text("name"), why));
    }
    Ok(())
}

fn check_account(pod: &Object, account: &str) -> Result<(), ApiError> {
    if pod.str(&["spec", "serviceAccountName"]) == account {
        return Ok(());
    }
    let why =
        format!("cannot bind token for serviceaccount {account:?} to pod running with different serviceaccount name.");
    Err(ApiError::bad_request(why))
}

/// The node of the pod, with its uid if the node is registered.
fn node_of(view: &dyn View, pod: &Object) -> Option<Reference> {
    let name = pod.str(&["spec", "nodeName"]);
    let node = view.get(Resource::NODES, "", name)?;
    Some(reference(&node))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::pki;
    use crate::tokens::{Claims, ISSUER, Terms};
    use crate::view::testing::Objects;

    fn request_on(terms: Terms, cx: &Context, spec: Value) -> Result<(Object, Claims), ApiError> {
        let objects = Objects::default();
        objects.apply(
            r#"
            serviceaccounts/dev bot metadata.uid="sa-uid"
            pods/dev web metadata.uid="pod-uid" spec={"nodeName":"n1","serviceAccountName":"bot"}
            pods/dev other spec={"serviceAccountName":"else"}
            nodes n1 metadata.uid="node-uid"
            "#,
        );
        let issuer = TokenIssuer::from_pem(&pki::key_pem(&pki::generate_key()).unwrap(), terms).unwrap();
        let request = Object::from_value(json!({"kind": "TokenRequest", "spec": spec})).unwrap();
        let answer = serve(&objects, &issuer, cx, ("dev", "bot"), request)?;
        let audiences = answer.list(&["spec", "audiences"]).iter().map(|of| of.as_str().unwrap().to_owned());
        let claims = issuer.verify(answer.str(&["status", "token"]), &audiences.collect::<Vec<_>>()).unwrap();
        Ok((answer, claims))
    }

    fn request(spec: Value) -> Result<(Object, Claims), ApiError> {
        request_on(Terms::of(ISSUER), &Context::default(), spec)
    }

    fn bound(kind: &str, name: &str, uid: &str) -> Value {
        json!({"boundObjectRef": {"apiVersion": "v1", "kind": kind, "name": name, "uid": uid}})
    }

    #[test]
    fn a_token_is_bound_to_its_pod_and_node() {
        let cx = Context::default();
        let (answer, claims) = request_on(Terms::of(ISSUER), &cx, bound("Pod", "web", "pod-uid")).unwrap();
        let reference = |name: &str, uid: &str| Some(Reference { name: name.to_owned(), uid: uid.to_owned() });
        assert_eq!(claims.kubernetes.pod, reference("web", "pod-uid"));
        assert_eq!(claims.kubernetes.node, reference("n1", "node-uid"));
        assert_eq!(claims.exp - claims.iat, 3600);
        assert_eq!(answer.int(&["spec", "expirationSeconds"]), Some(3600));
        assert!(!answer.str(&["status", "expirationTimestamp"]).is_empty());
        assert_eq!(cx.annotations.take()[ISSUED].value, format!("JTI={}", claims.jti));
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_that_pods_are_given_hold_longer_than_they_say() {
        let _guard = clock::simulate(1);
        let given = |audiences: Value, seconds: i64| {
            let mut spec = bound("Pod", "web", "");
            spec["expirationSeconds"] = seconds.into();
            spec["audiences"] = audiences;
            spec
        };
        let unbound = json!({"expirationSeconds": 3607});
        let kept = Terms { extended: false, ..Terms::of(ISSUER) };
        for (terms, spec, life) in [
            (Terms::of(ISSUER), given(json!([]), 3607), EXTENDED_SECONDS),
            (Terms::of(ISSUER), given(json!([ISSUER]), 3607), EXTENDED_SECONDS),
            (Terms::of(ISSUER), given(json!(["vault"]), 3607), 3607),
            (Terms::of(ISSUER), given(json!([ISSUER, "vault"]), 3607), 3607),
            (Terms::of(ISSUER), given(json!([]), 3600), 3600),
            (Terms::of(ISSUER), unbound, 3607),
            (kept, given(json!([]), 3607), 3607),
        ] {
            let (answer, claims) = request_on(terms, &Context::default(), spec.clone()).unwrap();
            let asked = answer.int(&["spec", "expirationSeconds"]).unwrap();
            assert_eq!((claims.exp - claims.iat, asked), (life, spec["expirationSeconds"].as_i64().unwrap()), "{spec}");
            assert_eq!(claims.kubernetes.warnafter, (life > asked).then_some(claims.iat + asked), "{spec}");
            let told: Timestamp = answer.str(&["status", "expirationTimestamp"]).parse().unwrap();
            assert_eq!(told.as_second() - claims.iat, asked, "{spec}");
        }
    }

    #[test]
    fn a_life_that_is_too_long_is_shortened_with_a_warning() {
        let terms = Terms { max_seconds: Some(3600), ..Terms::of(ISSUER) };
        let cx = Context::default();
        let (answer, claims) = request_on(terms.clone(), &cx, json!({"expirationSeconds": 7200})).unwrap();
        assert_eq!((claims.exp - claims.iat, answer.int(&["spec", "expirationSeconds"])), (3600, Some(3600)));
        assert_eq!(cx.warnings.take(), ["requested expiration of 7200 seconds shortened to 3600 seconds"]);
        request_on(terms, &cx, json!({"expirationSeconds": 3600})).unwrap();
        assert!(cx.warnings.take().is_empty());
    }

    #[test]
    fn requests_are_checked() {
        for (spec, code, message) in [
            (
                json!({"expirationSeconds": 599}),
                422,
                "TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: Invalid value: 599: \
                 may not specify a duration less than 10 minutes",
            ),
            (bound("Pod", "gone", ""), 404, "pods \"gone\" not found"),
            (
                bound("Pod", "other", ""),
                400,
                "cannot bind token for serviceaccount \"bot\" to pod running with different serviceaccount name.",
            ),
            (
                bound("Pod", "web", "old"),
                409,
                "Operation cannot be fulfilled on Pod \"web\": the UID in the bound object reference (old) does not \
                 match the UID in record. The object might have been deleted and then recreated",
            ),
            (bound("Service", "web", ""), 400, "cannot bind token to object of type /v1, Kind=Service"),
        ] {
            let error = request(spec).err().unwrap();
            assert_eq!((error.code(), error.message.as_str()), (code, message));
        }
    }
}
