//! Calls webhooks that convert custom resources, in the way in which those of admission are called.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use auth::View;
use kinds::custom::Webhook;
use registry::Converter;
use serde_json::Value;

use crate::webhook::{Clients, Target};

/// How long an answer may take. (upstream: the default of webhook clients)
const TIMEOUT: Duration = Duration::from_secs(30);

pub struct ConversionWebhooks(Clients);

impl ConversionWebhooks {
    /// Services are looked up in `view`.
    pub fn new(view: Arc<dyn View>) -> Self {
        Self(Clients::new(view))
    }
}

#[async_trait]
impl Converter for ConversionWebhooks {
    async fn call(&self, webhook: &'static Webhook, review: &Value) -> Result<Value, String> {
        let target = Target::from_client_config(&webhook.client)?;
        self.0.post(&target, review.to_string().into(), TIMEOUT).await.map_err(|error| error.to_string())
    }
}
