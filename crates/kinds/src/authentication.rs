//! authentication.k8s.io/v1.

use crate::def::{KindDef, Scope, Verb};

pub const KINDS: &[&KindDef] = &[&SELF_SUBJECT_REVIEW, &TOKEN_REVIEW];

pub static SELF_SUBJECT_REVIEW: KindDef = KindDef {
    group: "authentication.k8s.io",
    kind: "SelfSubjectReview",
    resource: "selfsubjectreviews",
    singular: "selfsubjectreview",
    scope: Scope::Cluster,
    schema: "io.k8s.api.authentication.v1.SelfSubjectReview",
    verbs: &[Verb::Create],
    virtual_kind: true,
    ..KindDef::PLAIN
};

pub static TOKEN_REVIEW: KindDef = KindDef {
    group: "authentication.k8s.io",
    kind: "TokenReview",
    resource: "tokenreviews",
    singular: "tokenreview",
    scope: Scope::Cluster,
    schema: "io.k8s.api.authentication.v1.TokenReview",
    verbs: &[Verb::Create],
    virtual_kind: true,
    ..KindDef::PLAIN
};
