//! `/version`

use machinery::ApiError;
use serde_json::json;

use crate::call::Call;
use crate::respond::{self, Answer};
use crate::server::Server;

/// The Kubernetes version served, and what serves it.
#[derive(Clone, Debug)]
pub struct Version {
    pub git_commit: String,
    /// RFC 3339
    pub build_date: String,
}

/// The Kubernetes version whose API is served, and our own behind it.
pub const GIT_VERSION: &str = concat!("v1.35.0+keelson", env!("CARGO_PKG_VERSION"));

impl Default for Version {
    fn default() -> Self {
        Self { git_commit: String::new(), build_date: "1970-01-01T00:00:00Z".to_owned() }
    }
}

impl Server {
    pub(crate) fn serve_version(&self, call: &Call) -> Result<Answer, ApiError> {
        let version = &self.config().version;
        let document = json!({
            "major": "1", "minor": "35", "emulationMajor": "1", "emulationMinor": "35",
            "minCompatibilityMajor": "1", "minCompatibilityMinor": "34",
            "gitVersion": GIT_VERSION, "gitCommit": version.git_commit, "gitTreeState": "clean",
            "buildDate": version.build_date, "goVersion": "none", "compiler": "rustc",
            "platform": format!("linux/{}", architecture()),
        });
        Ok(respond::json(call, &document))
    }
}

/// The machine in Go's words, which clients expect.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
