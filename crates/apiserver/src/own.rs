//! `/keelson/revision?at=TIME`: which resource version there was at a time. For administrators, as all paths that nobody
//! is given by name.

use std::time::Duration;

use jiff::Timestamp;
use machinery::ApiError;
use machinery::strconv::parse_duration;
use serde_json::json;

use crate::call::Call;
use crate::respond::{self, Answer};
use crate::server::Server;

impl Server {
    /// Paths that upstream's servers do not have.
    pub(crate) async fn serve_own(&self, call: &Call, path: &str) -> Result<Answer, ApiError> {
        if path != "/keelson/revision" {
            return Err(ApiError::no_such_path());
        }
        let at = parse(call.query.get("at"))?;
        let revision = self.registry().revision_at(at).await?;
        Ok(respond::json(call, &json!({"resourceVersion": revision.to_string()})))
    }
}

/// A time as `2026-11-26T04:55:00Z`, or how long ago it was, as `5m`.
fn parse(text: &str) -> Result<Timestamp, ApiError> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let ago = parse_duration(text).ok().and_then(|ago: Duration| clock::now().checked_sub(ago).ok());
    ago.ok_or_else(|| {
        ApiError::bad_request(format!(
            "at: {text:?} is neither a time such as 2026-11-26T04:55:00Z nor a duration such as 5m"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_durations_are_read() {
        assert_eq!(parse("2026-11-26T04:55:00+01:00").unwrap().to_string(), "2026-11-26T03:55:00Z");
        let ago = clock::now().duration_since(parse("1h30m").unwrap());
        assert!((ago.as_secs() - 5400).abs() < 60, "{ago:?}");
        for wrong in ["", "yesterday", "-5m"] {
            assert!(parse(wrong).is_err_and(|error| error.message.contains("is neither a time")), "{wrong}");
        }
    }
}
