//! LeaseCandidate: who would lead where the server picks who holds a lease.
//!
//! upstream: pkg/apis/coordination/validation

use machinery::Object;
use machinery::field::{Error, ErrorList};
use machinery::semver::Version;
use machinery::validation::{config_map_key, qualified_name};

use crate::check::{At, immutable, required};
use crate::columns::{AGE, NAME};
use crate::def::Description::Field;
use crate::def::{Column, KindDef, SelectableField, Strategy};

pub static LEASE_CANDIDATE: KindDef = KindDef {
    group: "coordination.k8s.io",
    version: "v1beta1",
    kind: "LeaseCandidate",
    resource: "leasecandidates",
    singular: "leasecandidate",
    schema: "io.k8s.api.coordination.v1beta1.LeaseCandidate",
    selectable_fields: &[SelectableField {
        name: "spec.leaseName",
        value: |candidate| candidate.str(&["spec", "leaseName"]).to_owned(),
    }],
    columns: &[
        NAME,
        Column::string("LeaseName", Field("spec.leaseName"), |candidate| candidate.str(&["spec", "leaseName"]).into()),
        Column::string("BinaryVersion", Field("spec.binaryVersion"), |candidate| {
            candidate.str(&["spec", "binaryVersion"]).into()
        }),
        Column::string("EmulationVersion", Field("spec.emulationVersion"), |candidate| {
            candidate.str(&["spec", "emulationVersion"]).into()
        }),
        AGE,
    ],
    strategy: Strategy {
        validate,
        validate_update: |new, old| {
            let name = |candidate| At::field(candidate, "spec").child("leaseName");
            immutable(&name(new), &name(old)).into_iter().collect()
        },
        validate_name: config_map_key,
        create_on_update: true,
        unconditional_update: false,
        ..Strategy::PLAIN
    },
    ..KindDef::PLAIN
};

const OLDEST_EMULATION_VERSION: &str = "OldestEmulationVersion";

fn validate(candidate: &Object) -> ErrorList {
    let spec = At::field(candidate, "spec");
    let [binary, emulation, strategy] =
        ["binaryVersion", "emulationVersion", "strategy"].map(|field| spec.child(field));
    let mut errors: ErrorList = required(&spec.child("leaseName")).into_iter().collect();
    errors.extend(validate_version(&emulation));
    errors.extend(required(&binary).or_else(|| validate_version(&binary)));
    // What can not be read counts as 0.0.0.
    let [of_binary, of_emulation] = [&binary, &emulation].map(|at| Version::parse(at.text()).unwrap_or_default());
    if !binary.is_empty() && !emulation.is_empty() && of_binary < of_emulation {
        errors.push(binary.invalid("must be greater than or equal to `emulationVersion`"));
    }
    if strategy.text() == OLDEST_EMULATION_VERSION && of_emulation == Version::default() {
        errors.push(emulation.required("must be specified when `strategy` is 'OldestEmulationVersion'"));
    }
    errors.extend(validate_strategy(&strategy));
    errors
}

fn validate_version(version: &At) -> Option<Error> {
    let wrong = !version.is_empty() && Version::parse(version.text()).is_err();
    wrong.then(|| version.invalid("must be a valid semantic version"))
}

/// One that Kubernetes has, or somebody's own below a domain. Upstream names the field twice.
fn validate_strategy(strategy: &At) -> ErrorList {
    let path = strategy.path.child("strategy");
    match strategy.text() {
        "" => vec![strategy.required("")],
        text if text.contains('/') => {
            qualified_name(text).into_iter().map(|fault| Error::invalid(&path, text, fault)).collect()
        }
        OLDEST_EMULATION_VERSION => ErrorList::new(),
        text => vec![Error::not_supported(&path, text, &[OLDEST_EMULATION_VERSION])],
    }
}
