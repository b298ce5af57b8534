//! CronJob.

use machinery::Object;
use machinery::field::{Error, ErrorList, Path};
use serde_json::Value;

use super::job_validate::validate_spec;
use crate::apps::validate_counts;
use crate::check::{At, required_one_of};
use crate::columns::{AGE, NAME, NONE, container_images, container_names, format_selector, text_or_none};
use crate::core::pod::defaults::default_template;
use crate::core::pod::warnings::of_template_at;
use crate::def::Description::{Field, Text};
use crate::def::{Column, KindDef, Strategy, Subresource};
use crate::duration::human_since;
use crate::tree::{child_or_new, default, default_text};

pub static CRON_JOB: KindDef = KindDef {
    group: "batch",
    kind: "CronJob",
    resource: "cronjobs",
    singular: "cronjob",
    short_names: &["cj"],
    categories: &["all"],
    schema: "io.k8s.api.batch.v1.CronJob",
    subresources: &[Subresource::Status],
    columns: &[
        NAME,
        Column::string("Schedule", Field("spec.schedule"), |object| object.str(&["spec", "schedule"]).into()),
        Column::string("Timezone", Field("spec.timeZone"), |object| text_or_none(object, &["spec", "timeZone"])),
        Column::string("Suspend", Field("spec.suspend"), |object| {
            if object.bool(&["spec", "suspend"]) { "True" } else { "False" }.into()
        })
        .of_type("boolean"),
        Column::integer("Active", Field("status.active"), |object| object.list(&["status", "active"]).len().into()),
        Column::string("Last Schedule", Field("status.lastScheduleTime"), last_schedule),
        AGE,
        Column::string("Containers", Text("Names of each container in the template."), |object| {
            container_names(template(object)).into()
        })
        .wide(),
        Column::string("Images", Text("Images referenced by each container in the template."), |object| {
            container_images(template(object)).into()
        })
        .wide(),
        Column::string("Selector", Field("spec.jobTemplate.spec.selector"), selector).wide(),
    ],
    strategy: Strategy {
        default: default_cron_job,
        validate,
        validate_create,
        validate_update,
        warnings,
        ..Strategy::WITH_STATUS
    },
    ..KindDef::PLAIN
};

fn default_cron_job(object: &mut Object) {
    let spec = child_or_new(&mut object.0, "spec");
    default_text(spec, "concurrencyPolicy", "Allow");
    default(spec, "suspend", false);
    default(spec, "successfulJobsHistoryLimit", 3);
    default(spec, "failedJobsHistoryLimit", 1);
    let job = child_or_new(spec, "jobTemplate");
    child_or_new(job, "metadata");
    default_template(child_or_new(job, "spec"), "template");
}

fn last_schedule(object: &Object) -> Value {
    match object.str(&["status", "lastScheduleTime"]) {
        "" => NONE.into(),
        time => human_since(time).into(),
    }
}

fn template(object: &Object) -> &Value {
    object.get(&["spec", "jobTemplate", "spec", "template"]).unwrap_or(&Value::Null)
}

fn selector(object: &Object) -> Value {
    object.get(&["spec", "jobTemplate", "spec", "selector"]).map_or_else(|| NONE.to_owned(), format_selector).into()
}

/// Jobs get a timestamp after the name, so it must be shorter than other names.
const NAME_MAX: usize = 52;
const ZONE_PART_MAX: usize = 14;
const DESCRIPTORS: [&str; 8] =
    ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly", "@every"];

fn validate(object: &Object) -> ErrorList {
    let spec = At::field(object, "spec");
    let mut errors: ErrorList = validate_schedule(&spec.child("schedule")).into_iter().collect();
    errors.extend(validate_counts(&spec, &["startingDeadlineSeconds"]));
    errors.extend(required_one_of(&spec.child("concurrencyPolicy"), &["Allow", "Forbid", "Replace"]));
    let job = spec.child("jobTemplate").child("spec");
    errors.extend(validate_spec(&job));
    let (selector, manual) = (job.child("selector"), job.child("manualSelector"));
    errors.extend(selector.is_set().then(|| selector.invalid("`selector` will be auto-generated")));
    errors.extend(manual.is_true().then(|| manual.not_supported(&["nil", "false"])));
    errors.extend(validate_counts(&spec, &["successfulJobsHistoryLimit", "failedJobsHistoryLimit"]));
    errors
}

fn validate_create(object: &Object) -> ErrorList {
    let spec = At::field(object, "spec");
    let mut errors = validate_zone(&spec.child("timeZone"));
    errors.extend(validate_no_zone(&spec.child("schedule")));
    if object.name().len() > NAME_MAX {
        let text = format!("must be no more than {NAME_MAX} characters");
        errors.push(Error::invalid(&Path::new("metadata").child("name"), object.name(), text));
    }
    errors
}

/// A time zone that stays is not looked up again; one in the schedule may stay, too.
fn validate_update(new: &Object, old: &Object) -> ErrorList {
    let (spec, was) = (At::field(new, "spec"), At::field(old, "spec"));
    let (zone, schedule) = (spec.child("timeZone"), spec.child("schedule"));
    let mut errors = ErrorList::new();
    if zone.value != was.child("timeZone").value {
        errors.extend(validate_zone(&zone));
    }
    if !was.child("schedule").text().contains("TZ") {
        errors.extend(validate_no_zone(&schedule));
    } else if schedule.text().contains("TZ") && zone.is_set() {
        errors.push(schedule.invalid("cannot use both timeZone field and TZ or CRON_TZ in schedule"));
    }
    errors
}

fn validate_no_zone(schedule: &At) -> Option<Error> {
    let text = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
    schedule.text().contains("TZ").then(|| schedule.invalid(text))
}

fn validate_zone(zone: &At) -> ErrorList {
    if !zone.is_set() {
        return ErrorList::new();
    }
    let is_part = |part: &str| {
        let known = |c: char| c.is_ascii_alphanumeric() || "._-+".contains(c);
        (1..=ZONE_PART_MAX).contains(&part.len())
            && part.chars().all(known)
            && !part.starts_with('-')
            && !matches!(part, "." | "..")
    };
    let unknown = format!("unknown time zone {}", zone.text());
    let text = match zone.text() {
        "" => "timeZone must be nil or non-empty string".to_owned(),
        name if !name.split('/').all(is_part) => unknown,
        name if name.eq_ignore_ascii_case("local") => {
            "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones".to_owned()
        }
        name if jiff::tz::TimeZone::get(name).is_err() => unknown,
        _ => return ErrorList::new(),
    };
    vec![zone.invalid(text)]
}

fn warnings(object: &Object) -> Vec<String> {
    let spec = At::field(object, "spec");
    let mut warnings = of_template_at(&spec.child("jobTemplate").child("spec").child("template"));
    let schedule = spec.child("schedule");
    if schedule.text().contains("TZ") {
        warnings.push(format!(
            "{}: CRON_TZ or TZ used in {} is not officially supported, see \
             https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details",
            schedule.path, schedule.path
        ));
    }
    warnings
}

/// The shape of a schedule: five fields, or a descriptor. What the fields mean is the controller's to know.
fn validate_schedule(schedule: &At) -> Option<Error> {
    let text = schedule.text();
    if text.is_empty() {
        return Some(schedule.required(""));
    }
    // A time zone in front is refused elsewhere, with its own words.
    let text = match text.split_once(' ') {
        Some((zone, rest)) if zone.starts_with("TZ=") || zone.starts_with("CRON_TZ=") => rest.trim_start(),
        _ => text,
    };
    if let Some(descriptor) = text.strip_prefix('@').and(text.split(' ').next()) {
        let known = DESCRIPTORS.contains(&descriptor);
        return (!known).then(|| schedule.invalid(format!("unrecognized descriptor: {text}")));
    }
    let fields: Vec<&str> = text.split_whitespace().collect();
    if fields.len() != 5 {
        let text = format!("expected exactly 5 fields, found {}: [{}]", fields.len(), fields.join(" "));
        return Some(schedule.invalid(text));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || "*/,-?".contains(c);
    let odd = fields.iter().find(|field| !field.chars().all(allowed))?;
    Some(schedule.invalid(format!("failed to parse int from {odd}: strconv.Atoi: parsing {odd:?}: invalid syntax")))
}
