//! authorization.k8s.io/v1.

use crate::def::{KindDef, Scope, Verb};

pub const KINDS: &[&KindDef] =
    &[&LOCAL_SUBJECT_ACCESS_REVIEW, &SELF_SUBJECT_ACCESS_REVIEW, &SELF_SUBJECT_RULES_REVIEW, &SUBJECT_ACCESS_REVIEW];

pub static LOCAL_SUBJECT_ACCESS_REVIEW: KindDef = KindDef {
    group: "authorization.k8s.io",
    kind: "LocalSubjectAccessReview",
    resource: "localsubjectaccessreviews",
    singular: "localsubjectaccessreview",
    schema: "io.k8s.api.authorization.v1.LocalSubjectAccessReview",
    verbs: &[Verb::Create],
    virtual_kind: true,
    ..KindDef::PLAIN
};

pub static SELF_SUBJECT_ACCESS_REVIEW: KindDef = KindDef {
    group: "authorization.k8s.io",
    kind: "SelfSubjectAccessReview",
    resource: "selfsubjectaccessreviews",
    singular: "selfsubjectaccessreview",
    scope: Scope::Cluster,
    schema: "io.k8s.api.authorization.v1.SelfSubjectAccessReview",
    verbs: &[Verb::Create],
    virtual_kind: true,
    ..KindDef::PLAIN
};

pub static SELF_SUBJECT_RULES_REVIEW: KindDef = KindDef {
    group: "authorization.k8s.io",
    kind: "SelfSubjectRulesReview",
    resource: "selfsubjectrulesreviews",
    singular: "selfsubjectrulesreview",
    scope: Scope::Cluster,
    schema: "io.k8s.api.authorization.v1.SelfSubjectRulesReview",
    verbs: &[Verb::Create],
    virtual_kind: true,
    ..KindDef::PLAIN
};

pub static SUBJECT_ACCESS_REVIEW: KindDef = KindDef {
    group: "authorization.k8s.io",
    kind: "SubjectAccessReview",
    resource: "subjectaccessreviews",
    singular: "subjectaccessreview",
    scope: Scope::Cluster,
    schema: "io.k8s.api.authorization.v1.SubjectAccessReview",
    verbs: &[Verb::Create],
    virtual_kind: true,
    ..KindDef::PLAIN
};
