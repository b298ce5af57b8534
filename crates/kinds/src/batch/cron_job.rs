//! CronJob.

use machinery::Object;
use serde_json::Value;

use crate::columns::{AGE, NAME, NONE, container_images, container_names, format_selector, text_or_none};
use crate::core::pod::defaults::default_template;
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
        Column::string("Schedule", "When it runs", |object| object.str(&["spec", "schedule"]).into()),
        Column::string("Timezone", "Time zone of the schedule", |object| text_or_none(object, &["spec", "timeZone"])),
        Column::string("Suspend", "Whether it rests", |object| {
            if object.bool(&["spec", "suspend"]) { "True" } else { "False" }.into()
        })
        .of_type("boolean"),
        Column::integer("Active", "Jobs that run now", |object| object.list(&["status", "active"]).len().into()),
        Column::string("Last Schedule", "Time since it last ran", last_schedule),
        AGE,
        Column::string("Containers", "Names of the containers", |object| container_names(template(object)).into())
            .wide(),
        Column::string("Images", "Images of the containers", |object| container_images(template(object)).into()).wide(),
        Column::string("Selector", "Labels that select the pods", selector).wide(),
    ],
    strategy: Strategy { default: default_cron_job, ..Strategy::WITH_STATUS },
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
