//! What proves who somebody is: tokens, certificates and requests for certificates that nobody made prove nothing.
#![no_main]

use std::sync::LazyLock;

use auth::authn::client_certificate::ClientCertificates;
use auth::authn::{ClientCertificate, Credentials};
use auth::pki::{Authority, LeafSpec};
use auth::tokens::TokenIssuer;
use auth::{Authenticator, csr};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use futures::FutureExt;
use libfuzzer_sys::fuzz_target;
use rustls::pki_types::CertificateDer;

const ISSUER: &str = "https://issuer";

static TOKENS: LazyLock<TokenIssuer> = LazyLock::new(|| {
    let authority = Authority::create("issuer").expect("an authority");
    let (_, key) = authority.issue(&LeafSpec::client("issuer", &[])).expect("a key");
    TokenIssuer::from_pem(&key, ISSUER).expect("an issuer")
});

fn pem(bytes: &[u8]) -> String {
    let body = BASE64_STANDARD.encode(bytes);
    format!("-----BEGIN CERTIFICATE REQUEST-----\n{body}\n-----END CERTIFICATE REQUEST-----\n")
}

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let audiences = [ISSUER.to_owned()];
    let claims = BASE64_URL_SAFE_NO_PAD.encode(bytes);
    for token in [&*text, &format!("eyJhbGciOiJFUzI1NiJ9.{claims}.AAAA"), &format!("eyJhbGciOiJub25lIn0.{claims}.")] {
        assert!(TOKENS.verify(token, &audiences).is_err());
    }
    let certificate = ClientCertificate::from(vec![CertificateDer::from(bytes.to_vec())]);
    let credentials = Credentials { client_certificate: Some(certificate), ..Credentials::default() };
    // TLS has verified the chain before: here any certificate that can be read counts.
    ClientCertificates::default().authenticate(&credentials).now_or_never().expect("it waits for nothing").ok();
    for request in [&*text, &pem(bytes)] {
        let _ = csr::Request::parse(&csr::object("a", csr::CLIENT_SIGNER, request));
    }
});
