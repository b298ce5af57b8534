//! Claims grow only where their storage class lets them.

use auth::view::Resource;
use kinds::quota::quantity;
use machinery::quantity::Quantity;
use machinery::{ApiError, Object};
use registry::Operation;

use crate::Admit;

const CLASS_BETA: &str = "volume.beta.kubernetes.io/storage-class";
const FIXED: &str =
    "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize";

pub fn validate(admit: &Admit<'_>, claim: Option<&Object>) -> Result<(), ApiError> {
    let updates = admit.request.operation == Operation::Update && admit.is(Resource::PERSISTENT_VOLUME_CLAIMS, "");
    let (Some(new), Some(old), true) = (claim, admit.request.old, updates) else { return Ok(()) };
    if size(new) <= size(old) {
        return Ok(());
    }
    if old.str(&["status", "phase"]) != "Bound" {
        return Err(admit.forbidden(Some(new), "Only bound persistent volume claims can be expanded"));
    }
    let name = class(new);
    let of = admit.view.get(Resource::STORAGE_CLASSES, "", name).filter(|_| !name.is_empty() && name == class(old));
    match of.is_some_and(|of| of.bool(&["allowVolumeExpansion"])) {
        true => Ok(()),
        false => Err(admit.forbidden(Some(new), FIXED)),
    }
}

fn size(claim: &Object) -> Quantity {
    let asked = claim.get(&["spec", "resources", "requests", "storage"]);
    asked.and_then(quantity).unwrap_or(Quantity::ZERO)
}

fn class(claim: &Object) -> &str {
    claim.annotation(CLASS_BETA).unwrap_or_else(|| claim.str(&["spec", "storageClassName"]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Case, object};

    #[test]
    fn a_claim_grows_by_leave_of_its_class() {
        let cluster = r#"
            storageclasses grows allowVolumeExpansion=true
            storageclasses fixed
        "#;
        let claim = |class: &str, size: &str, phase: &str| {
            object(&format!(
                r#"{{"metadata":{{"name":"c"}},"spec":{{"storageClassName":"{class}","resources":{{"requests":{{"storage":"{size}"}}}}}},"status":{{"phase":"{phase}"}}}}"#
            ))
        };
        for (class, size, phase, expected) in [
            ("grows", "2Gi", "Bound", ""),
            ("grows", "1Gi", "Pending", ""),
            ("fixed", "1Gi", "Bound", ""),
            ("fixed", "2Gi", "Bound", FIXED),
            ("none", "2Gi", "Bound", FIXED),
            ("", "2Gi", "Bound", FIXED),
            ("grows", "2Gi", "Pending", "Only bound persistent volume claims can be expanded"),
        ] {
            let old = claim(class, "1Gi", phase);
            let case = Case::update("persistentvolumeclaims", "dev", old).cluster(cluster);
            let found = case.validate(validate, Some(&claim(class, size, phase)));
            let found = found.map_or_else(|error| error.message, |()| String::new());
            assert!(found.ends_with(expected) && found.is_empty() == expected.is_empty(), "{class} {size}: {found}");
        }
    }
}
