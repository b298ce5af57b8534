//! The key by which an authority signs: ours are ECDSA P-256, one that was brought along may be RSA or P-384 too.

use std::sync::Arc;

use der::asn1::{Any, BitString, ObjectIdentifier};
use der::{Decode, Document};
use p256::ecdsa::signature::{self, Keypair};
use rustls::SignatureScheme;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use spki::{
    AlgorithmIdentifierOwned, DynSignatureAlgorithmIdentifier, EncodePublicKey, SignatureBitStringEncoding,
    SubjectPublicKeyInfoOwned,
};

use crate::pki::Error;

/// How certificates are signed: the first that a key can.
const SCHEMES: &[SignatureScheme] = &[
    SignatureScheme::RSA_PKCS1_SHA256,
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
];
const SHA256_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const ECDSA_WITH_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");

pub(crate) struct Signer {
    pem: String,
    public: PublicKey,
    key: Arc<dyn rustls::sign::SigningKey>,
}

impl Signer {
    /// Of PKCS #8, PKCS #1 or SEC 1.
    pub fn from_pem(pem: &str) -> Result<Self, Error> {
        let unreadable = |error: rustls::pki_types::pem::Error| Error::Pem(error.to_string());
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(unreadable)?;
        let key = rustls::crypto::ring::sign::any_supported_type(&key)?;
        let public = key.public_key().ok_or_else(|| Error::Pem("holds a key of an unknown kind".to_owned()))?;
        let public = PublicKey(SubjectPublicKeyInfoOwned::from_der(&public)?);
        Ok(Self { pem: pem.to_owned(), public, key })
    }

    pub fn pem(&self) -> &str {
        &self.pem
    }

    pub fn public_key(&self) -> &SubjectPublicKeyInfoOwned {
        &self.public.0
    }

    fn signer(&self) -> Option<Box<dyn rustls::sign::Signer>> {
        self.key.choose_scheme(SCHEMES)
    }
}

#[derive(Clone)]
pub(crate) struct PublicKey(SubjectPublicKeyInfoOwned);

impl EncodePublicKey for PublicKey {
    fn to_public_key_der(&self) -> spki::Result<Document> {
        Ok(Document::encode_msg(&self.0)?)
    }
}

impl Keypair for Signer {
    type VerifyingKey = PublicKey;

    fn verifying_key(&self) -> PublicKey {
        self.public.clone()
    }
}

impl DynSignatureAlgorithmIdentifier for Signer {
    fn signature_algorithm_identifier(&self) -> spki::Result<AlgorithmIdentifierOwned> {
        let (oid, parameters) = match self.signer().map(|signer| signer.scheme()) {
            Some(SignatureScheme::RSA_PKCS1_SHA256) => (SHA256_WITH_RSA, Some(Any::null())),
            Some(SignatureScheme::ECDSA_NISTP256_SHA256) => (ECDSA_WITH_SHA256, None),
            Some(SignatureScheme::ECDSA_NISTP384_SHA384) => (ECDSA_WITH_SHA384, None),
            _ => return Err(spki::Error::KeyMalformed),
        };
        Ok(AlgorithmIdentifierOwned { oid, parameters })
    }
}

/// What was signed, as it stands in a certificate.
pub(crate) struct Signature(Vec<u8>);

impl SignatureBitStringEncoding for Signature {
    fn to_bitstring(&self) -> der::Result<BitString> {
        BitString::from_bytes(&self.0)
    }
}

impl signature::Signer<Signature> for Signer {
    fn try_sign(&self, message: &[u8]) -> Result<Signature, signature::Error> {
        let signer = self.signer().ok_or_else(signature::Error::new)?;
        signer.sign(message).map(Signature).map_err(|_| signature::Error::new())
    }
}
