//! ResourceClaimTemplate.

use crate::def::KindDef;

pub static RESOURCE_CLAIM_TEMPLATE: KindDef = KindDef {
    group: "resource.k8s.io",
    kind: "ResourceClaimTemplate",
    resource: "resourceclaimtemplates",
    singular: "resourceclaimtemplate",
    schema: "io.k8s.api.resource.v1.ResourceClaimTemplate",
    ..KindDef::PLAIN
};
