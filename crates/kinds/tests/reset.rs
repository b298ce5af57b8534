//! Which fields get no manager by a write: of the object itself, of its status, and of what else lies below it.

use kinds::Reset;

/// A field as upstream writes it: `spec`, `metadata.labels`.
fn shown(reset: &Reset) -> String {
    let join = |paths: &[&[&str]]| paths.iter().map(|path| path.join(".")).collect::<Vec<_>>().join(" ");
    match reset {
        Reset::Fields(fields) => join(fields),
        Reset::AllBut(paths) => format!("all but {}", join(paths)),
    }
}

/// Kinds that differ from the rule: `status` for the object, `spec` for its status.
const EXCEPTIONS: &[(&str, &str, &str, &str)] = &[
    ("", "pods", "status", "spec metadata.deletionTimestamp metadata.ownerReferences"),
    ("", "pods", "ephemeralcontainers", "all but spec.ephemeralContainers"),
    (
        "",
        "pods",
        "resize",
        "all but spec.containers.*.resources spec.containers.*.resizePolicy spec.initContainers.*.resources \
         spec.initContainers.*.resizePolicy",
    ),
    ("admissionregistration.k8s.io", "validatingadmissionpolicies", "status", "spec metadata"),
    ("apiextensions.k8s.io", "customresourcedefinitions", "status", "spec metadata"),
    ("apiregistration.k8s.io", "apiservices", "status", "spec metadata"),
    ("apps", "deployments", "status", "spec metadata.labels"),
    ("certificates.k8s.io", "certificatesigningrequests", "", "spec status"),
    ("certificates.k8s.io", "certificatesigningrequests", "approval", "spec status.certificate"),
    ("certificates.k8s.io", "certificatesigningrequests", "status", "spec status.conditions"),
    ("certificates.k8s.io", "podcertificaterequests", "", ""),
    ("flowcontrol.apiserver.k8s.io", "flowschemas", "status", "spec metadata"),
    ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations", "status", "spec metadata"),
    ("resource.k8s.io", "resourceclaims", "status", "spec metadata"),
    ("storage.k8s.io", "volumeattachments", "status", "spec metadata"),
    ("storagemigration.k8s.io", "storageversionmigrations", "status", "spec metadata"),
];

#[test]
fn writes_take_no_fields_that_they_leave_as_they_are() {
    for kind in kinds::known() {
        let has_status = kind.subresource("status").is_some();
        let own = kind.subresources.iter().map(kinds::Subresource::name);
        for subresource in [""].into_iter().chain(own) {
            let exception = EXCEPTIONS
                .iter()
                .find(|(group, resource, of, _)| (*group, *resource, *of) == (kind.group, kind.resource, subresource));
            let expected = match (exception, subresource) {
                (Some((.., fields)), _) => fields,
                (None, "status") => "spec",
                (None, _) if has_status => "status",
                (None, _) => "",
            };
            assert_eq!(shown(&kind.reset(subresource)), expected, "{kind:?}/{subresource}");
        }
    }
}
