//! Takes old requests away. (upstream: pkg/controller/certificates/cleaner)

use std::time::Duration;

use der::Decode as _;
use jiff::Timestamp;
use machinery::{Object, Reason, UserInfo};
use registry::{Context, DeleteOptions, Registry};
use serde_json::Value;
use x509_cert::certificate::Certificate;

use crate::tls;

const GROUP: &str = "certificates.k8s.io";
/// How often requests are looked at.
const EVERY: Duration = Duration::from_secs(3600);
/// How long a request is kept that was answered.
const ANSWERED: Duration = Duration::from_secs(3600);
/// How long a request is kept that nobody has answered.
const PENDING: Duration = Duration::from_secs(24 * 3600);

/// Takes old requests away until it is dropped, which is safe.
pub async fn run(registry: Registry) {
    loop {
        tokio::time::sleep(EVERY).await;
        clean(&registry).await;
    }
}

async fn clean(registry: &Registry) {
    let kind = registry.kinds().find(GROUP, "v1", "certificatesigningrequests").expect("requests are served");
    let user = UserInfo::new("system:apiserver", &[UserInfo::MASTERS]);
    let context = Context { user, field_manager: "keelson".to_owned(), ..Context::default() };
    for entry in registry.lister(kind).list("") {
        let csr = entry.object();
        if !is_old(&csr, clock::now()) {
            continue;
        }
        let only_this = DeleteOptions { uid: Some(csr.uid().to_owned()), ..DeleteOptions::default() };
        match registry.delete(&context, kind, "", csr.name(), &only_this).await {
            Err(error) if !matches!(error.reason, Reason::NotFound | Reason::Conflict) => {
                tracing::warn!(request = csr.name(), %error, "an old certificate signing request stays");
            }
            _ => {}
        }
    }
}

fn is_old(csr: &Object, now: Timestamp) -> bool {
    let longer_than = |since: &str, age: Duration| {
        since.parse::<Timestamp>().is_ok_and(|since| now.duration_since(since).unsigned_abs() > age && since < now)
    };
    let created = csr.str(&["metadata", "creationTimestamp"]);
    let conditions = csr.list(&["status", "conditions"]);
    let since = |of: &Value| of["lastUpdateTime"].as_str().unwrap_or_default().to_owned();
    let answered = |kind: &str| conditions.iter().any(|of| of["type"] == kind && longer_than(&since(of), ANSWERED));
    let issued = !csr.str(&["status", "certificate"]).is_empty();
    let pending = conditions.is_empty() && longer_than(created, PENDING);
    pending
        || (issued && answered("Approved"))
        || answered("Denied")
        || answered("Failed")
        || (issued && has_expired(csr, now))
}

fn has_expired(csr: &Object, now: Timestamp) -> bool {
    use base64::Engine as _;
    let pem = base64::engine::general_purpose::STANDARD.decode(csr.str(&["status", "certificate"]));
    let pem = pem.ok().and_then(|pem| String::from_utf8(pem).ok());
    let chain = pem.and_then(|pem| tls::certificates(&pem).ok()).unwrap_or_default();
    let ended = |der: &[u8]| {
        let certificate = Certificate::from_der(der).ok()?;
        Some(certificate.tbs_certificate().validity().not_after.to_unix_duration().as_secs())
    };
    let now = u64::try_from(now.as_second()).unwrap_or_default();
    chain.iter().filter_map(|der| ended(der)).any(|end| end < now)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::json;

    use super::*;
    use crate::pki::{Authority, LeafSpec};

    #[test]
    fn requests_are_kept_for_a_while() {
        let now = clock::now();
        let ago = |minutes: u64| clock::format_time(now - Duration::from_secs(minutes * 60));
        let (certificate, _) = Authority::create("ca").unwrap().issue(&LeafSpec::client("x", &[])).unwrap();
        let csr = |created: u64, condition: &str, at: u64, certificate: &str| {
            let conditions = match condition {
                "" => json!([]),
                condition => json!([{"type": condition, "status": "True", "lastUpdateTime": ago(at)}]),
            };
            let status = json!({"conditions": conditions, "certificate": STANDARD.encode(certificate)});
            Object::from_value(json!({"metadata": {"creationTimestamp": ago(created)}, "status": status})).unwrap()
        };
        let day = 24 * 60;
        for (what, request, expected) in [
            ("pending", csr(day - 1, "", 0, ""), false),
            ("pending for a day", csr(day + 1, "", 0, ""), true),
            ("denied", csr(90, "Denied", 59, ""), false),
            ("denied an hour ago", csr(90, "Denied", 61, ""), true),
            ("failed an hour ago", csr(90, "Failed", 61, ""), true),
            ("approved, not signed", csr(90, "Approved", 61, ""), false),
            ("approved long ago, not signed", csr(day + 1, "Approved", 61, ""), false),
            ("signed", csr(90, "Approved", 59, &certificate), false),
            ("signed an hour ago", csr(90, "Approved", 61, &certificate), true),
        ] {
            assert_eq!(is_old(&request, now), expected, "{what}");
        }
        let later = now + Duration::from_secs(366 * 24 * 3600);
        assert!(has_expired(&csr(0, "Approved", 0, &certificate), later));
        assert!(!has_expired(&csr(0, "Approved", 0, &certificate), now));
    }
}
