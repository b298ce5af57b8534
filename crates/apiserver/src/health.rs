//! `/healthz`, `/livez`, `/readyz`

use http::StatusCode;
use machinery::ApiError;

use crate::call::Call;
use crate::respond::{self, Answer};
use crate::server::Server;

const ENDPOINTS: [&str; 3] = ["healthz", "livez", "readyz"];

/// One check by name, and what is wrong.
type Check = (&'static str, Result<(), &'static str>);

impl Server {
    /// `path` is one of the three, or a single check below it.
    pub(crate) async fn serve_health(&self, call: &Call, path: &str) -> Result<Answer, ApiError> {
        let mut parts = path.trim_start_matches('/').splitn(2, '/');
        let endpoint = parts.next().unwrap_or_default();
        let checks = self.checks(endpoint).await;
        self.count(endpoint, &checks);
        if let Some(name) = parts.next() {
            let check = checks.into_iter().find(|check| check.0 == name).ok_or_else(ApiError::no_such_path)?;
            return Ok(report(name, &[check], false));
        }
        let excluded: Vec<&str> = call.query.all("exclude").collect();
        let checks: Vec<Check> = checks.into_iter().filter(|check| !excluded.contains(&check.0)).collect();
        Ok(report(endpoint, &checks, call.query.has("verbose")))
    }

    fn count(&self, endpoint: &str, checks: &[Check]) {
        let Some(endpoint) = ENDPOINTS.into_iter().find(|known| *known == endpoint) else { return };
        checks.iter().for_each(|(name, outcome)| self.counts().checked(endpoint, name, outcome.is_ok()));
    }

    async fn checks(&self, endpoint: &str) -> Vec<Check> {
        // Under upstream's name, whatever the store is.
        let store = if self.registry().store_answers().await { Ok(()) } else { Err("the store does not answer") };
        let mut checks: Vec<Check> = vec![("ping", Ok(())), ("log", Ok(())), ("etcd", store)];
        if endpoint == "readyz" {
            let closing = self.stopping().is_cancelled();
            checks.push(("shutdown", if closing { Err("process is shutting down") } else { Ok(()) }));
        }
        checks
    }
}

/// Upstream's text: `ok`, or a line for each check where asked for or where one fails.
fn report(endpoint: &str, checks: &[Check], verbose: bool) -> Answer {
    let failed = checks.iter().any(|(_, outcome)| outcome.is_err());
    if !failed && !verbose {
        return respond::text(StatusCode::OK, "ok");
    }
    let lines: String = checks
        .iter()
        .map(|(name, outcome)| match outcome {
            Ok(()) => format!("[+]{name} ok\n"),
            Err(_) => format!("[-]{name} failed: reason withheld\n"),
        })
        .collect();
    let (status, outcome) =
        if failed { (StatusCode::INTERNAL_SERVER_ERROR, "failed") } else { (StatusCode::OK, "passed") };
    respond::text(status, format!("{lines}{endpoint} check {outcome}\n"))
}
