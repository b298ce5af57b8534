//! Calls to webhooks, tried again where that may help. (upstream: apiserver pkg/util/webhook)

use std::time::Duration;

use http::StatusCode;
use serde_json::Value;
use webhook::Error;

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const FACTOR: f64 = 1.5;
const JITTER: f64 = 0.2;
const TRIES: u32 = 5;

/// The first answer, or the last failure.
pub(crate) async fn with_backoff<F>(call: impl Fn() -> F) -> Result<Value, Error>
where
    F: Future<Output = Result<Value, Error>>,
{
    let mut pause = FIRST_PAUSE;
    for _ in 1..TRIES {
        match call().await {
            Err(error) if may_help(&error) => tokio::time::sleep(clock::jitter(pause, JITTER)).await,
            answered => return answered,
        }
        pause = pause.mul_f64(FACTOR);
    }
    call().await
}

fn may_help(error: &Error) -> bool {
    match error {
        Error::Status { code, .. } => matches!(
            *code,
            StatusCode::INTERNAL_SERVER_ERROR | StatusCode::TOO_MANY_REQUESTS | StatusCode::GATEWAY_TIMEOUT
        ),
        Error::Failed { why, .. } => why.contains("connection reset"),
        Error::Timeout { .. } | Error::Config(_) | Error::NotJson(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_failures_that_may_pass_are_tried_again() {
        let status = |code| Error::Status { code, message: String::new() };
        for (error, tries) in [(status(StatusCode::INTERNAL_SERVER_ERROR), 5), (status(StatusCode::FORBIDDEN), 1)] {
            let tried = Cell::new(0);
            let call = || {
                tried.set(tried.get() + 1);
                std::future::ready(Err(error.clone()))
            };
            assert!(with_backoff(call).await.is_err());
            assert_eq!(tried.get(), tries, "{error:?}");
        }
    }
}
