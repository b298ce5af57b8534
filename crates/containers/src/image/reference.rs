//! Image names as users write them and as they are kept: `busybox` is `docker.io/library/busybox:latest`.

use oci_client::Reference;

/// A whole name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    reference: Reference,
}

impl Name {
    /// Errors read as upstream's.
    pub fn parse(text: &str) -> Result<Name, String> {
        let whole = |reference: &Reference| reference.whole().parse::<Reference>().is_ok();
        // Capital letters in front pass for a part of a name on Docker Hub, where no name has any.
        let reference = text.parse().ok().filter(whole);
        let invalid = || format!("failed to parse image reference \"{text}\": invalid reference format");
        Ok(Name { reference: reference.ok_or_else(invalid)? })
    }

    pub fn reference(&self) -> &Reference {
        &self.reference
    }

    /// `docker.io/library/busybox`.
    pub fn repository(&self) -> String {
        format!("{}/{}", self.reference.registry(), self.reference.repository())
    }

    /// `docker.io/library/busybox:1.36`; nothing when the name has a digest alone.
    pub fn tagged(&self) -> Option<String> {
        Some(format!("{}:{}", self.repository(), self.reference.tag()?))
    }

    pub fn digest(&self) -> Option<&str> {
        self.reference.digest()
    }

    /// `docker.io/library/busybox@sha256:...`.
    pub fn with_digest(&self, digest: &str) -> String {
        format!("{}@{digest}", self.repository())
    }

    pub fn whole(&self) -> String {
        self.reference.whole()
    }
}

/// Whether a registry on this machine is meant, which needs no TLS.
pub fn is_loopback(registry: &str) -> bool {
    let host = registry
        .rsplit_once(':')
        .map_or(registry, |(host, port)| if port.chars().all(|c| c.is_ascii_digit()) { host } else { registry });
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, tagged: Option<&str>, repository: &str) {
        let name = Name::parse(text).unwrap();
        assert_eq!((name.tagged().as_deref(), name.repository().as_str()), (tagged, repository), "{text}");
    }

    #[test]
    fn short_names_are_completed() {
        check("busybox", Some("docker.io/library/busybox:latest"), "docker.io/library/busybox");
        check("me/app:1", Some("docker.io/me/app:1"), "docker.io/me/app");
        check("localhost:5000/app", Some("localhost:5000/app:latest"), "localhost:5000/app");
        let digest = format!("sha256:{}", "a".repeat(64));
        check(&format!("quay.io/a/b@{digest}"), None, "quay.io/a/b");
        for text in ["Not An Image", "Local/app", "me/App"] {
            assert!(Name::parse(text).unwrap_err().contains("invalid reference format"), "{text}");
        }
    }

    #[test]
    fn loopback_is_known_by_name_and_address() {
        assert!(is_loopback("localhost:5000") && is_loopback("127.0.0.1") && is_loopback("[::1]:80"));
        assert!(!is_loopback("docker.io") && !is_loopback("10.0.0.1:5000"));
    }
}
