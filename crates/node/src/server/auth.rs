//! Who may call the node's API: holders of client certificates of certain groups, and whom the cluster lets, by their
//! certificate or their token.

use der::Decode;
use der::asn1::{PrintableStringRef, Utf8StringRef};
use der::oid::ObjectIdentifier;
use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode, request};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};
use rustls::pki_types::CertificateDer;
use tokio::sync::Semaphore;
use tracing::warn;
use x509_cert::Certificate;

use super::Refusal;

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const ORGANIZATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");

/// A group whose members may do everything here.
const MASTERS: &str = "system:masters";
/// One whose members may read what is measured, and for all else what roles let them.
const MONITORING: &str = "system:monitoring";

/// Reviews at a time: what strangers say must not flood the cluster.
const REVIEWS_MAX: usize = 16;
static REVIEWS: Semaphore = Semaphore::const_new(REVIEWS_MAX);

/// Who a certificate says that a caller is.
#[derive(Clone, Debug, PartialEq)]
pub enum Access {
    /// One who may do everything.
    Allowed,
    /// It showed no certificate.
    Anonymous,
    /// The cluster says what this user may.
    User(UserInfo),
}

/// The access of whoever showed these certificates, which TLS has verified.
pub fn access(certificates: Option<&[CertificateDer<'_>]>) -> Access {
    let Some(leaf) = certificates.and_then(|certificates| certificates.first()) else { return Access::Anonymous };
    let Ok(certificate) = Certificate::from_der(leaf) else { return Access::Anonymous };
    let (user, groups) = identity(&certificate);
    if groups.iter().any(|group| group == MASTERS) {
        return Access::Allowed;
    }
    Access::User(UserInfo { username: Some(user), groups: Some(groups), ..UserInfo::default() })
}

/// Whether the caller of a node may make this request. The cluster is asked each time: what it takes back ends at once.
/// (upstream: pkg/kubelet/server/auth.go)
pub async fn check(client: &Client, node: &str, access: Access, request: &request::Parts) -> Result<(), Refusal> {
    if request.uri.path() == "/healthz" || access == Access::Allowed {
        return Ok(());
    }
    let (verb, subresources) = (verb(request), subresources(request.uri.path()));
    if monitors(&access) && verb == "get" && subresources.iter().any(|of| ["metrics", "stats"].contains(of)) {
        return Ok(());
    }
    let _turn = REVIEWS.acquire().await.expect("it is never closed");
    let user = match access {
        Access::User(user) => Some(user),
        _ => review_token(client, &request.headers).await,
    };
    let user = user.ok_or_else(|| Refusal(StatusCode::UNAUTHORIZED, "Unauthorized".to_owned()))?;
    for subresource in &subresources {
        if may(client, node, &user, verb, subresource).await {
            return Ok(());
        }
    }
    let name = user.username.unwrap_or_default();
    Err(Refusal(
        StatusCode::FORBIDDEN,
        format!("Forbidden (user={name}, verb={verb}, resource=nodes, subresource(s)=[{}])", subresources.join(" ")),
    ))
}

fn monitors(access: &Access) -> bool {
    let Access::User(UserInfo { groups: Some(groups), .. }) = access else { return false };
    groups.iter().any(|group| group == MONITORING)
}

/// Whose token it is. Nobody's where the cluster does not answer.
async fn review_token(client: &Client, headers: &HeaderMap) -> Option<UserInfo> {
    let token = headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")?.trim().to_owned();
    let spec = TokenReviewSpec { token: Some(token), ..TokenReviewSpec::default() };
    let review = TokenReview { spec, ..TokenReview::default() };
    let answer = Api::<TokenReview>::all(client.clone()).create(&PostParams::default(), &review).await;
    let status = answer.inspect_err(|error| warn!(%error, "a token is not reviewed")).ok()?.status?;
    status.authenticated.unwrap_or_default().then_some(status.user).flatten()
}

async fn may(client: &Client, node: &str, user: &UserInfo, verb: &str, subresource: &str) -> bool {
    let attributes = ResourceAttributes {
        version: Some("v1".to_owned()),
        resource: Some("nodes".to_owned()),
        name: Some(node.to_owned()),
        verb: Some(verb.to_owned()),
        subresource: Some(subresource.to_owned()),
        ..ResourceAttributes::default()
    };
    let spec = SubjectAccessReviewSpec {
        user: user.username.clone(),
        groups: user.groups.clone(),
        uid: user.uid.clone(),
        extra: user.extra.clone(),
        resource_attributes: Some(attributes),
        ..SubjectAccessReviewSpec::default()
    };
    let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
    let answer = Api::<SubjectAccessReview>::all(client.clone()).create(&PostParams::default(), &review).await;
    let answer = answer.inspect_err(|error| warn!(%error, "a caller's rights are not reviewed"));
    answer.is_ok_and(|review| review.status.is_some_and(|status| status.allowed))
}

/// What runs something in a container creates, by whichever method it is asked for.
fn verb(request: &request::Parts) -> &'static str {
    let part = first_part(request.uri.path());
    match request.method.as_str() {
        _ if matches!(part, "exec" | "attach" | "portForward") => "create",
        "POST" => "create",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" => "delete",
        _ => "get",
    }
}

/// Any of them suffices.
fn subresources(path: &str) -> Vec<&'static str> {
    match first_part(path) {
        "stats" => vec!["stats"],
        "metrics" => vec!["metrics"],
        "logs" => vec!["log"],
        "pods" => vec!["pods", "proxy"],
        "configz" => vec!["configz", "proxy"],
        _ => vec!["proxy"],
    }
}

fn first_part(path: &str) -> &str {
    path.trim_start_matches('/').split('/').next().unwrap_or_default()
}

/// Common name and organizations of the subject.
fn identity(certificate: &Certificate) -> (String, Vec<String>) {
    let (mut user, mut groups) = (String::new(), Vec::new());
    for attribute in certificate.tbs_certificate().subject().iter() {
        let utf8 = attribute.value.decode_as::<Utf8StringRef<'_>>().map(|text| text.as_str().to_string());
        let printable = || attribute.value.decode_as::<PrintableStringRef<'_>>().map(|text| text.as_str().to_string());
        let Ok(text) = utf8.or_else(|_| printable()) else { continue };
        match attribute.oid {
            COMMON_NAME => user = text,
            ORGANIZATION => groups.push(text),
            _ => {}
        }
    }
    (user, groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_certificate_a_caller_is_anonymous() {
        assert_eq!(access(None), Access::Anonymous);
        assert_eq!(access(Some(&[])), Access::Anonymous);
        assert_eq!(access(Some(&[CertificateDer::from(vec![1, 2, 3])])), Access::Anonymous);
    }

    #[test]
    fn paths_have_the_rights_that_upstream_asks_for() {
        for (question, expected) in [
            ("GET /metrics/resource", "get metrics"),
            ("GET /stats/summary", "get stats"),
            ("GET /pods", "get pods proxy"),
            ("GET /configz", "get configz proxy"),
            ("GET /containerLogs/dev/web/main", "get proxy"),
            ("POST /images", "create proxy"),
            ("GET /exec/dev/web/main", "create proxy"),
            ("POST /attach/dev/web/main", "create proxy"),
            ("GET /", "get proxy"),
        ] {
            let (method, path) = question.split_once(' ').expect("a method and a path");
            let (parts, ()) =
                http::Request::builder().method(method).uri(path).body(()).expect("a request").into_parts();
            assert_eq!(format!("{} {}", verb(&parts), subresources(path).join(" ")), expected, "{question}");
        }
    }
}
