//! Makes jobs on a schedule. (upstream: pkg/controller/cronjob)

mod decide;
mod schedule;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use control::error::{ApiErrorExt, ignore_already_exists};
use control::{Change, Controller, Error, Informer, ObjectKey, Recorder, Requeue, Shell, Watches, events, meta, pods};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, CronJobStatus, Job};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{PostParams, PropagationPolicy};
use kube::{Api, Client, ResourceExt};

use crate::podset::owner_key;
use decide::{Action, Concurrency, JobView, View, decide};
pub use schedule::Schedule;

/// The annotation of a job with the time that it was meant for.
const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";

pub struct CronJobController {
    client: Client,
    recorder: Recorder,
    cron_jobs: Informer<CronJob>,
    jobs: Informer<Job>,
}

impl CronJobController {
    pub fn new(shell: &Shell) -> Self {
        Self {
            client: shell.client(),
            recorder: Recorder::new(shell.client(), "cronjob-controller", ""),
            cron_jobs: shell.informers.get(),
            jobs: shell.informers.get(),
        }
    }

    fn jobs_of(&self, cron: &CronJob) -> Vec<Arc<Job>> {
        let mut jobs = self.jobs.owned_by(meta::uid(&cron.metadata));
        jobs.retain(|job| meta::is_controlled_by(&job.metadata, &cron.metadata));
        jobs
    }

    /// Reads schedule and zone; what cannot be read is told once for each change.
    fn schedule(&self, cron: &CronJob, spec: &CronJobSpec) -> Option<(Schedule, TimeZone)> {
        let zone = spec.time_zone.as_deref().filter(|name| !name.is_empty());
        let zone = match zone.map(TimeZone::get).transpose() {
            Ok(zone) => zone.unwrap_or(TimeZone::UTC),
            Err(error) => {
                let message = format!("invalid timeZone: {:?}: {error}", spec.time_zone.as_deref().unwrap_or_default());
                self.recorder.warning(cron, "UnknownTimeZone", message);
                return None;
            }
        };
        match Schedule::parse(&spec.schedule) {
            Ok(schedule) => {
                if schedule.names_zone() {
                    let message = format!(
                        "CRON_TZ or TZ used in schedule {:?} is not officially supported, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details",
                        spec.schedule
                    );
                    self.recorder.warning(cron, "UnsupportedSchedule", message);
                }
                Some((schedule, zone))
            }
            Err(problem) => {
                let message = format!("unparseable schedule: {:?} : {problem}", spec.schedule);
                self.recorder.warning(cron, "UnparseableSchedule", message);
                None
            }
        }
    }

    async fn apply(&self, cron: &CronJob, status: &mut CronJobStatus, action: &Action) -> Result<(), Error> {
        match action {
            Action::Tell { warning: true, reason, message } => self.recorder.warning(cron, reason, message.as_str()),
            Action::Tell { warning: false, reason, message } => self.recorder.normal(cron, reason, message.as_str()),
            Action::Delete { job, uid } => {
                let api = Api::<Job>::namespaced(self.client.clone(), &cron.namespace().unwrap_or_default());
                let background = Some(PropagationPolicy::Background);
                control::write::delete_uid(&api, job, uid, background).await?;
                self.recorder.normal(cron, "SuccessfulDelete", format!("Deleted job {job}"));
                status.active.iter_mut().for_each(|active| active.retain(|known| known.uid.as_ref() != Some(uid)));
            }
            Action::Start { at } => self.start(cron, status, *at).await?,
        }
        Ok(())
    }

    async fn start(&self, cron: &CronJob, status: &mut CronJobStatus, at: Timestamp) -> Result<(), Error> {
        let api = Api::<Job>::namespaced(self.client.clone(), &cron.namespace().unwrap_or_default());
        let job = new_job(cron, at);
        match ignore_already_exists(api.create(&PostParams::default(), &job).await) {
            Ok(Some(job)) => {
                self.recorder.normal(cron, "SuccessfulCreate", format!("Created job {}", job.name_any()));
                status.active.get_or_insert_default().push(events::reference(&job));
            }
            // Made by an earlier try whose status was not written.
            Ok(None) => {}
            Err(error) if error.is_namespace_terminating() => return Ok(()),
            Err(error) => {
                let message = format!("Error creating job: {}", crate::reason_text(&error));
                self.recorder.warning(cron, "FailedCreate", message);
                return Err(error.into());
            }
        }
        status.last_schedule_time = Some(Time(at));
        Ok(())
    }

    /// Takes ended and lost jobs off the list of active ones.
    fn refresh(&self, cron: &CronJob, status: &mut CronJobStatus, jobs: &[Arc<Job>]) {
        let find = |uid: &str| jobs.iter().find(|job| meta::uid(&job.metadata) == uid);
        let mut active: Vec<ObjectReference> = status.active.take().unwrap_or_default();
        active.retain(|known| {
            let Some(job) = known.uid.as_deref().and_then(find) else { return false };
            let Some(result) = result(job) else { return true };
            let message = format!(
                "Saw completed job: {}, condition: {}",
                job.name_any(),
                if result { "Complete" } else { "Failed" }
            );
            self.recorder.normal(cron, "SawCompletedJob", message);
            false
        });
        for job in jobs.iter().filter(|job| result(job).is_none()) {
            if !active.iter().any(|known| known.uid == job.metadata.uid) {
                active.push(events::reference(&**job));
            }
        }
        status.active = (!active.is_empty()).then_some(active);
        let succeeded = jobs.iter().filter(|job| result(job) == Some(true));
        let last = succeeded.filter_map(|job| job.status.as_ref()?.completion_time.clone()).max();
        status.last_successful_time = last.max(status.last_successful_time.take());
    }
}

/// Whether an ended job succeeded.
fn result(job: &Job) -> Option<bool> {
    let mut all = job.status.as_ref()?.conditions.iter().flatten().filter(|condition| condition.status == "True");
    all.find_map(|condition| match condition.type_.as_str() {
        "Complete" => Some(true),
        "Failed" => Some(false),
        _ => None,
    })
}

/// The name holds the scheduled minute, so that a time is never acted on twice.
fn new_job(cron: &CronJob, at: Timestamp) -> Job {
    let template = cron.spec.as_ref().map(|spec| spec.job_template.clone()).unwrap_or_default();
    let given = template.metadata.unwrap_or_default();
    let mut annotations = given.annotations.unwrap_or_default();
    annotations.insert(SCHEDULED.to_owned(), clock::format_time(at));
    Job {
        metadata: ObjectMeta {
            name: Some(format!("{}-{}", cron.name_any(), at.as_second() / 60)),
            namespace: cron.namespace(),
            labels: given.labels,
            annotations: Some(annotations),
            owner_references: Some(vec![meta::controller_ref(cron)]),
            ..ObjectMeta::default()
        },
        spec: template.spec,
        status: None,
    }
}

fn job_view(job: &Job) -> JobView {
    let started = job.status.as_ref().and_then(|status| status.start_time.as_ref()).map(|time| time.0);
    JobView {
        name: job.name_any(),
        uid: job.uid().unwrap_or_default(),
        started: started.or_else(|| meta::created_at(&job.metadata)).unwrap_or_default(),
        ended: result(job),
    }
}

fn limit(value: Option<i32>, default: usize) -> usize {
    value.map_or(default, |value| usize::try_from(value).unwrap_or_default())
}

fn view<'a>(
    cron: &CronJob,
    spec: &CronJobSpec,
    schedule: &'a Schedule,
    zone: TimeZone,
    jobs: &[Arc<Job>],
    now: Timestamp,
) -> View<'a> {
    let last = cron.status.as_ref().and_then(|status| status.last_schedule_time.as_ref()).map(|time| time.0);
    View {
        schedule,
        zone,
        created: meta::created_at(&cron.metadata).unwrap_or(now),
        last_scheduled: last,
        suspended: spec.suspend.unwrap_or_default(),
        deleting: meta::is_terminating(&cron.metadata),
        starting_deadline: spec.starting_deadline_seconds.map(pods::seconds),
        concurrency: match spec.concurrency_policy.as_deref() {
            Some("Forbid") => Concurrency::Forbid,
            Some("Replace") => Concurrency::Replace,
            _ => Concurrency::Allow,
        },
        keep_succeeded: limit(spec.successful_jobs_history_limit, 3),
        keep_failed: limit(spec.failed_jobs_history_limit, 1),
        jobs: jobs.iter().map(|job| job_view(job)).collect(),
        now,
    }
}

#[async_trait]
impl Controller for CronJobController {
    type Key = ObjectKey;

    fn name(&self) -> &'static str {
        "cronjob"
    }

    fn watches(&self, watches: &mut Watches<ObjectKey>) {
        watches.on(|change: &Change<CronJob>| [ObjectKey::of(&change.object().metadata)]);
        watches.on(|change: &Change<Job>| owner_key::<CronJob>(&change.object().metadata));
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Requeue, Error> {
        let Some(cron) = self.cron_jobs.get(key) else { return Ok(Requeue::No) };
        let Some(spec) = cron.spec.clone() else { return Ok(Requeue::No) };
        let jobs = self.jobs_of(&cron);
        let mut status = cron.status.clone().unwrap_or_default();
        self.refresh(&cron, &mut status, &jobs);
        let mut outcome = Ok(());
        let mut requeue_after = None;
        if let Some((schedule, zone)) = self.schedule(&cron, &spec) {
            let plan = decide(&view(&cron, &spec, &schedule, zone, &jobs, clock::now()));
            requeue_after = plan.requeue_after;
            for action in &plan.actions {
                outcome = self.apply(&cron, &mut status, action).await;
                if outcome.is_err() {
                    break;
                }
            }
        }
        if Some(&status) != cron.status.as_ref() {
            let api = Api::<CronJob>::namespaced(self.client.clone(), &key.namespace);
            control::write::replace_status(&api, &CronJob { status: Some(status), ..(*cron).clone() }).await?;
        }
        outcome?;
        Ok(Requeue::maybe(requeue_after))
    }
}
