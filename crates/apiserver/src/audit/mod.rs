//! The audit log: who did what, as `audit.k8s.io/v1` Events. Without a policy nothing here runs.
//! (upstream: apiserver/pkg/audit, endpoints/filters/audit.go)

mod event;
mod log;
mod policy;

use std::collections::BTreeMap;
use std::path::Path;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body::Frame;
use http_body_util::BodyExt as _;
use machinery::{ApiError, UserInfo};
use prometheus_client::registry::Registry as Metrics;
use registry::Annotation;

use crate::body;
use crate::call::Call;
use crate::respond::Answer;
use event::Record;
use log::Log;
use policy::{Level, Policy, Stage};

pub use log::LogOptions;

/// What answers carry, and what clients may choose.
pub(crate) const AUDIT_ID: &str = "audit-id";
const DECISION: &str = "authorization.k8s.io/decision";
const REASON: &str = "authorization.k8s.io/reason";
/// Bytes of an answer that are recorded; it is held until they are there.
const RESPONSE_MAX: usize = 4 << 20;
/// Says that an answer was longer. (upstream: plugin/audit/truncate)
const TRUNCATED: &str = "audit.k8s.io/truncated";

/// Records requests as a policy says.
pub struct Audit {
    policy: Policy,
    log: std::sync::Arc<Log>,
}

/// One request that is recorded, on its way. Kept in its [`Call`].
pub(crate) struct Auditing {
    record: Record,
    omit_stages: Vec<Stage>,
    log: std::sync::Arc<Log>,
}

#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error("audit policy {0}: {1}")]
    Policy(String, String),
    #[error("audit log: {0}")]
    Log(std::io::Error),
}

impl Audit {
    pub fn open(policy: &Path, log: LogOptions) -> Result<Self, AuditError> {
        let shown = || policy.display().to_string();
        let text = std::fs::read_to_string(policy).map_err(|error| AuditError::Policy(shown(), error.to_string()))?;
        let parsed = Policy::parse(&text).map_err(|error| AuditError::Policy(shown(), error))?;
        Ok(Self { policy: parsed, log: std::sync::Arc::new(Log::start(log).map_err(AuditError::Log)?) })
    }

    pub(crate) fn register(&self, metrics: &mut Metrics) {
        // The printer adds `_total` to counters.
        metrics.register("apiserver_audit_event", "Audit events that were taken on", self.log.events.clone());
        metrics.register("apiserver_audit_error", "Audit events that were lost", self.log.errors.clone());
    }

    /// Begins to record the request, if the policy says so.
    pub(crate) fn begin(&self, call: &Call) -> Option<Auditing> {
        let verdict = self.policy.judge(&call.user, &call.info);
        if verdict.level == Level::None {
            return None;
        }
        let record = Record::new(call, verdict.level, verdict.omit_managed_fields);
        let auditing = Auditing { record, omit_stages: verdict.omit_stages, log: self.log.clone() };
        auditing.write(Stage::RequestReceived);
        Some(auditing)
    }

    pub(crate) fn flush(&self) {
        self.log.flush();
    }
}

impl Auditing {
    fn write(&self, stage: Stage) {
        if !self.omit_stages.contains(&stage) {
            self.log.write(self.record.line(stage, clock::now()));
        }
    }

    pub fn impersonate(&mut self, user: &UserInfo) {
        self.record.impersonated = Some(user.clone());
    }

    pub fn decide(&mut self, allowed: bool, reason: &str) {
        let decision = if allowed { "allow" } else { "forbid" };
        self.record.annotations.insert(DECISION.to_owned(), decision.to_owned());
        self.record.annotations.insert(REASON.to_owned(), reason.to_owned());
    }

    /// Takes on what admission says; of the body only where that is recorded too.
    pub fn annotate(&mut self, annotations: BTreeMap<String, Annotation>) {
        let recorded = self.record.level >= Level::Request;
        let said = annotations.into_iter().filter(|(_, annotation)| recorded || !annotation.of_body);
        for (key, annotation) in said {
            self.record.annotations.entry(key).or_insert(annotation.value);
        }
    }

    /// Keeps what was sent, if the policy wants to see it.
    pub fn request_body(&mut self, bytes: &Bytes) {
        if self.record.level >= Level::Request {
            self.record.request = Some(bytes.clone());
        }
    }

    pub fn panicked(mut self, answer: Answer) -> Answer {
        self.record.status = Some(event::status(answer.status(), None));
        self.write(Stage::Panic);
        answer
    }

    /// The answer is ready. One that goes on for long is complete when its body ends, however it ends.
    pub async fn answered(mut self, mut answer: Answer, error: Option<&ApiError>, long_running: bool) -> Answer {
        self.record.status = Some(event::status(answer.status(), error));
        if long_running && answer.status() != StatusCode::UNAUTHORIZED {
            self.write(Stage::ResponseStarted);
            return answer.map(|body| body::guarded(body, Completion(self)));
        }
        if self.record.level == Level::RequestResponse {
            answer = self.keep_response(answer).await;
        }
        self.write(Stage::ResponseComplete);
        answer
    }

    /// Records the body, up to [`RESPONSE_MAX`]; of a longer one it says that it left it out, and sends it on as it
    /// is made.
    async fn keep_response(&mut self, answer: Answer) -> Answer {
        let (parts, mut body) = answer.into_parts();
        let mut read = BytesMut::new();
        while let Some(frame) = body.frame().await {
            match frame.map(Frame::into_data) {
                Ok(Ok(data)) => read.extend_from_slice(&data),
                Ok(Err(_)) => {}
                Err(error) => {
                    tracing::warn!(%error, "an answer could not be recorded");
                    return Answer::from_parts(parts, body::empty());
                }
            }
            if read.len() > RESPONSE_MAX {
                self.record.annotations.insert(TRUNCATED.to_owned(), "true".to_owned());
                return Answer::from_parts(parts, body::preceded(read.freeze(), body));
            }
        }
        let bytes = read.freeze();
        self.record.response = event::plain(&parts.headers, &bytes);
        Answer::from_parts(parts, body::full(bytes))
    }
}

/// Records the end of an answer that goes on for long.
struct Completion(Auditing);

impl Drop for Completion {
    fn drop(&mut self) {
        self.0.write(Stage::ResponseComplete);
    }
}
