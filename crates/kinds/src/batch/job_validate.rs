//! Validation of Jobs.
//!
//! upstream: pkg/apis/batch/validation

use machinery::Object;
use machinery::field::{Error, ErrorList, Path};
use machinery::validation::{dns1123_label, validate_label_selector};

use super::failure_policy::{validate_failure_policy, validate_success_policy};
use super::job::{CONTROLLER_UID_LABEL, JOB_NAME_LABEL, OLD_CONTROLLER_UID_LABEL, OLD_JOB_NAME_LABEL};
use crate::apps::validate_counts;
use crate::check::{At, domain_prefixed_path, immutable, one_of, same, selector_matches, unmatched};
use crate::core::pod::validate::validate_template;

/// Numbers that may not be negative.
const COUNTS: [&str; 7] = [
    "parallelism",
    "completions",
    "activeDeadlineSeconds",
    "backoffLimit",
    "ttlSecondsAfterFinished",
    "backoffLimitPerIndex",
    "maxFailedIndexes",
];
const INDEXED_PARALLELISM_MAX: i64 = 100_000;
const FAILED_INDEXES_MAX: i64 = 100_000;
/// Above so many completions the others have to stay below a tenth of it.
const COMPLETIONS_SOFT_MAX: i64 = 100_000;
const WITH_MANY_COMPLETIONS_MAX: i64 = 10_000;
const MANAGED_BY_MAX: usize = 63;
/// What a Job does not change. `completions` and `template` follow rules of their own.
const FIXED: [&str; 5] = ["completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"];
/// Where in a template stands where its pods may run.
const SCHEDULING: [&[&str]; 6] = [
    &["metadata", "labels"],
    &["metadata", "annotations"],
    &["spec", "nodeSelector"],
    &["spec", "tolerations"],
    &["spec", "affinity", "nodeAffinity"],
    &["spec", "schedulingGates"],
];

pub fn validate(job: &Object) -> ErrorList {
    let spec = At::field(job, "spec");
    let selector = spec.child("selector");
    let mut errors = validate_spec(&spec);
    if !selector.is_set() {
        errors.push(selector.required(""));
        errors.push(unmatched(&spec.child("template").child("metadata").child("labels")));
    } else {
        errors.extend(validate_label_selector(selector.value, &selector.path));
        errors.extend(selector_matches(&selector, &spec.child("template")));
    }
    errors
}

pub fn validate_create(job: &Object) -> ErrorList {
    let spec = At::field(job, "spec");
    let mut errors = validate_generated_labels(job, &spec);
    let completions = spec.child("completions").int().unwrap_or(0);
    let hostname = format!("{}-{}", job.name(), completions - 1);
    let indexed = spec.child("completionMode").text() == "Indexed" && completions > 0;
    if indexed && !dns1123_label(&hostname).is_empty() {
        let text = format!("will not able to create pod with invalid DNS label: {hostname}");
        errors.push(Error::invalid(&Path::new("metadata").child("name"), job.name(), text));
    }
    errors
}

/// The labels that were put on the template, unless the client takes care of the selector: no other may be in
/// their place.
fn validate_generated_labels(job: &Object, spec: &At) -> ErrorList {
    if spec.child("manualSelector").is_true() {
        return ErrorList::new();
    }
    let labels = spec.child("template").child("metadata").child("labels");
    let expected = [
        (OLD_CONTROLLER_UID_LABEL, job.uid()),
        (OLD_JOB_NAME_LABEL, job.name()),
        (CONTROLLER_UID_LABEL, job.uid()),
        (JOB_NAME_LABEL, job.name()),
    ];
    let wrong = expected.iter().filter(|(label, value)| labels.child(label).text() != *value);
    wrong
        .map(|(label, value)| {
            Error::invalid(&labels.path.key(label), labels.value.clone(), format!("must be '{value}'"))
        })
        .collect()
}

/// The spec of a Job, also where a CronJob holds it.
pub fn validate_spec(spec: &At) -> ErrorList {
    let mut errors = validate_counts(spec, &COUNTS);
    let per_index = spec.child("backoffLimitPerIndex");
    if spec.child("maxFailedIndexes").is_set() && !per_index.is_set() {
        errors.push(per_index.required("when maxFailedIndexes is specified"));
    }
    let manager = spec.child("managedBy");
    if manager.is_set() {
        errors.extend(domain_prefixed_path(&manager));
        errors.extend((manager.text().len() > MANAGED_BY_MAX).then(|| Error::too_long(&manager.path, MANAGED_BY_MAX)));
    }
    let mode = spec.child("completionMode");
    errors.extend(one_of(&mode, &["NonIndexed", "Indexed"]));
    errors.extend(match mode.text() {
        "Indexed" => validate_indexed(spec),
        _ => {
            let set = spec.set_children(&["backoffLimitPerIndex", "maxFailedIndexes", "successPolicy"]);
            set.iter().map(|at| at.invalid("requires indexed completion mode")).collect()
        }
    });
    errors.extend(validate_failure_policy(spec));
    if mode.text() == "Indexed" {
        errors.extend(validate_success_policy(spec));
    }
    let replacements: &[&str] =
        if spec.child("podFailurePolicy").is_set() { &["Failed"] } else { &["Failed", "TerminatingOrFailed"] };
    errors.extend(one_of(&spec.child("podReplacementPolicy"), replacements));
    errors.extend(validate_template(&spec.child("template")));
    errors.extend(validate_restart_policy(spec));
    errors
}

fn validate_restart_policy(spec: &At) -> Option<Error> {
    let policy = spec.child("template").child("spec").child("restartPolicy");
    match policy.text() {
        "" | "Always" => Some(policy.required(r#"valid values: "OnFailure", "Never""#)),
        "OnFailure" if spec.child("podFailurePolicy").is_set() => {
            Some(policy.invalid("only \"Never\" is supported when podFailurePolicy is specified"))
        }
        "OnFailure" | "Never" => None,
        _ => Some(policy.not_supported(&["OnFailure", "Never"])),
    }
}

fn validate_indexed(spec: &At) -> ErrorList {
    let (completions, parallelism, failed) =
        (spec.child("completions"), spec.child("parallelism"), spec.child("maxFailedIndexes"));
    let above = |at: &At, max: i64| at.int().is_some_and(|number| number > max);
    let mut errors = ErrorList::new();
    if !completions.is_set() {
        errors.push(completions.required("when completion mode is Indexed"));
    }
    if above(&parallelism, INDEXED_PARALLELISM_MAX) {
        let text = format!("must be less than or equal to {INDEXED_PARALLELISM_MAX} when completion mode is Indexed");
        errors.push(parallelism.invalid(text));
    }
    if completions.int().is_some_and(|completions| above(&failed, completions)) {
        errors.push(failed.invalid("must be less than or equal to completions"));
    }
    if above(&failed, FAILED_INDEXES_MAX) {
        errors.push(failed.invalid(format!("must be less than or equal to {FAILED_INDEXES_MAX}")));
    }
    if above(&completions, COMPLETIONS_SOFT_MAX) && spec.child("backoffLimitPerIndex").is_set() {
        let text = format!("must be specified when completions is above {COMPLETIONS_SOFT_MAX}");
        errors.extend((!failed.is_set()).then(|| failed.required(&text)));
        let text = format!(
            "must be less than or equal to {WITH_MANY_COMPLETIONS_MAX} when completions are above \
             {COMPLETIONS_SOFT_MAX} and used with backoff limit per index"
        );
        let many = [&parallelism, &failed].into_iter().filter(|at| above(at, WITH_MANY_COMPLETIONS_MAX));
        errors.extend(many.map(|at| at.invalid(text.clone())));
    }
    errors
}

/// What selects and makes the pods of a Job stays; where they may run can change before it starts.
pub fn validate_update(new: &Object, old: &Object) -> ErrorList {
    let (spec, was) = (At::field(new, "spec"), At::field(old, "spec"));
    let mut errors: ErrorList = validate_completions(&spec, &was).into_iter().collect();
    errors.extend(immutable(&spec.child("selector"), &was.child("selector")));
    let unstarted = was.child("suspend").is_true() && old.str(&["status", "startTime"]).is_empty();
    let template = |spec: &At| {
        let mut template = Object::from_value(spec.child("template").value.clone()).unwrap_or_default();
        if unstarted {
            SCHEDULING.iter().for_each(|path| drop(template.remove(path)));
        }
        template.into_value()
    };
    if !same(&template(&spec), &template(&was)) {
        errors.push(spec.child("template").invalid(crate::check::IMMUTABLE));
    }
    errors.extend(FIXED.iter().filter_map(|field| immutable(&spec.child(field), &was.child(field))));
    errors
}

/// An indexed Job may grow and shrink, as long as all of its pods may run at once.
fn validate_completions(spec: &At, was: &At) -> Option<Error> {
    let (completions, before) = (spec.child("completions"), was.child("completions"));
    let elastic = spec.child("completionMode").text() == "Indexed";
    match (elastic, completions.int() == before.int()) {
        (_, true) => None,
        (true, _) if completions.int() == spec.child("parallelism").int() => None,
        (true, _) => {
            let parallelism = spec.child("parallelism").int().unwrap_or(0);
            Some(completions.invalid(format!(
                "can only be modified in tandem with {} ({parallelism})",
                spec.child("parallelism").path
            )))
        }
        (false, _) => immutable(&completions, &before),
    }
}
