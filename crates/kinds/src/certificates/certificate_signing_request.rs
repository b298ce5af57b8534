//! CertificateSigningRequest.

use crate::def::{KindDef, OtherSubresource, Scope, Strategy, Subresource, Verb};

pub static CERTIFICATE_SIGNING_REQUEST: KindDef = KindDef {
    group: "certificates.k8s.io",
    kind: "CertificateSigningRequest",
    resource: "certificatesigningrequests",
    singular: "certificatesigningrequest",
    short_names: &["csr"],
    scope: Scope::Cluster,
    schema: "io.k8s.api.certificates.v1.CertificateSigningRequest",
    subresources: &[
        Subresource::Other(OtherSubresource {
            name: "approval",
            group: "",
            version: "",
            kind: "CertificateSigningRequest",
            verbs: &[Verb::Get, Verb::Patch, Verb::Update],
        }),
        Subresource::Status,
    ],
    strategy: Strategy { generation: false, ..Strategy::WITH_STATUS },
    ..KindDef::PLAIN
};
