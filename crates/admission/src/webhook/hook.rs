//! One webhook of a configuration, ready to be called.

use std::time::Duration;

use machinery::Object;
use serde_json::Value;

use super::answer::Version;
use super::breaker::Breaker;
use super::target::Target;
use crate::conditions::Conditions;
use crate::matching::Matching;

const TIMEOUT_SECONDS: u64 = 10;
/// An administrator who says `off` holds the cluster's own components to the failure policy too.
pub const BREAKER_ANNOTATION: &str = "keelson.io/webhook-breaker";

pub struct Hook {
    /// Of its configuration.
    pub configuration: String,
    pub configuration_uid: String,
    pub name: String,
    pub target: Result<Target, String>,
    /// Where the Service lies by which it is called.
    pub namespace: Option<String>,
    pub matching: Matching,
    pub conditions: Conditions,
    pub ignores_failures: bool,
    /// Whether it may be called where nothing must come of it.
    pub dry_run: bool,
    pub timeout: Duration,
    /// The first that both sides know.
    pub version: Option<Version>,
    /// Whether it wants to see what others changed after it.
    pub reinvocable: bool,
    pub breaker: Breaker,
}

/// The webhooks of a configuration, in their order.
pub fn compile(configuration: &Object) -> Vec<Hook> {
    configuration.list(&["webhooks"]).iter().map(|webhook| Hook::new(configuration, webhook)).collect()
}

impl Hook {
    fn new(configuration: &Object, webhook: &Value) -> Self {
        let text = |field: &str| webhook[field].as_str().unwrap_or_default();
        let client = &webhook["clientConfig"];
        let versions = webhook["admissionReviewVersions"].as_array().into_iter().flatten().filter_map(Value::as_str);
        Self {
            configuration: configuration.name().to_owned(),
            configuration_uid: configuration.uid().to_owned(),
            name: text("name").to_owned(),
            target: Target::from_client_config(client),
            namespace: client["service"]["namespace"].as_str().map(str::to_owned),
            matching: Matching::of_webhook(webhook),
            conditions: Conditions::new(&webhook["matchConditions"], false),
            ignores_failures: text("failurePolicy") == "Ignore",
            dry_run: matches!(text("sideEffects"), "None" | "NoneOnDryRun"),
            timeout: Duration::from_secs(webhook["timeoutSeconds"].as_u64().unwrap_or(TIMEOUT_SECONDS)),
            version: versions.filter_map(Version::named).next(),
            reinvocable: text("reinvocationPolicy") == "IfNeeded",
            breaker: Breaker::new(configuration.annotation(BREAKER_ANNOTATION) != Some("off")),
        }
    }

    /// Tells webhooks apart.
    pub fn key(&self) -> String {
        format!("{}/{}", self.configuration, self.name)
    }
}
