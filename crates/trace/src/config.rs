//! `apiserver.config.k8s.io` TracingConfiguration. (upstream: component-base/tracing/api/v1)

use std::path::Path;

use grpc::Endpoint;
use serde::Deserialize;

const VERSIONS: [&str; 3] =
    ["apiserver.config.k8s.io/v1", "apiserver.config.k8s.io/v1beta1", "apiserver.config.k8s.io/v1alpha1"];
/// Where a collector on the same machine listens.
const DEFAULT_ENDPOINT: &str = "localhost:4317";
/// What an endpoint without a port means to gRPC.
const DEFAULT_PORT: u16 = 443;
pub(crate) const MILLION: i32 = 1_000_000;

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("failed to read tracing config: unable to read tracing configuration from {0:?}: {1}")]
    File(String, std::io::Error),
    #[error("failed to read tracing config: unable to decode tracing configuration data: {0}")]
    Syntax(String),
    #[error("failed to validate tracing configuration: {0}")]
    Invalid(String),
}

/// Where spans go, and how many of a million requests begin a trace whose callers say nothing of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub(crate) endpoint: Endpoint,
    pub(crate) per_million: i32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    api_version: String,
    kind: String,
    endpoint: Option<String>,
    sampling_rate_per_million: Option<i32>,
}

impl Config {
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path);
        Self::parse(&text.map_err(|error| ConfigError::File(path.display().to_string(), error))?)
    }

    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let written: Written = serde_saphyr::from_str(text).map_err(|error| ConfigError::Syntax(error.to_string()))?;
        let Written { api_version, kind, endpoint, sampling_rate_per_million } = written;
        if !VERSIONS.contains(&api_version.as_str()) || kind != "TracingConfiguration" {
            return Err(ConfigError::Syntax(format!("no kind {kind:?} is registered for version {api_version:?}")));
        }
        let per_million = sampling_rate_per_million.unwrap_or(0);
        let problems: Vec<String> =
            [rate_problem(per_million), endpoint.as_deref().and_then(endpoint_problem)].into_iter().flatten().collect();
        match problems.as_slice() {
            [] => {
                let endpoint = endpoint.as_deref().filter(|text| !text.is_empty()).unwrap_or(DEFAULT_ENDPOINT);
                Ok(Self { endpoint: resolve(endpoint), per_million })
            }
            [problem] => Err(ConfigError::Invalid(problem.clone())),
            problems => Err(ConfigError::Invalid(format!("[{}]", problems.join(", ")))),
        }
    }
}

fn rate_problem(rate: i32) -> Option<String> {
    let why = match rate {
        ..0 => "sampling rate must be positive",
        0..=MILLION => return None,
        _ => "sampling rate per million must be less than or equal to one million",
    };
    Some(format!("samplingRatePerMillion: Invalid value: {rate}: {why}"))
}

fn endpoint_problem(endpoint: &str) -> Option<String> {
    let (before, _) = endpoint.split_once("//")?;
    let scheme = before.trim_end_matches(':');
    (!["dns", "unix", "unix-abstract"].contains(&scheme)).then(|| {
        format!(
            "endpoint: Invalid value: {endpoint:?}: unsupported scheme: {scheme}.  Options are none, dns, unix, or \
             unix-abstract.  See https://github.com/grpc/grpc/blob/master/doc/naming.md"
        )
    })
}

/// A target in gRPC's words: `host:port`, `dns:[//server/]host[:port]`, `unix:path`, `unix:///path`,
/// `unix-abstract:name`.
fn resolve(target: &str) -> Endpoint {
    if let Some(path) = target.strip_prefix("unix:") {
        return Endpoint::Unix(path.strip_prefix("//").unwrap_or(path).into());
    }
    if let Some(name) = target.strip_prefix("unix-abstract:") {
        return Endpoint::Unix(format!("\0{}", name.strip_prefix("//").unwrap_or(name)).into());
    }
    let host = target.strip_prefix("dns:").unwrap_or(target);
    let host = host.strip_prefix("//").map_or(host, |rest| rest.split_once('/').map_or(rest, |(_, host)| host));
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']') && port.parse::<u16>().is_ok());
    Endpoint::Tcp(if has_port { host.to_owned() } else { format!("{host}:{DEFAULT_PORT}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(fields: &str) -> Result<Config, String> {
        let text = format!("apiVersion: apiserver.config.k8s.io/v1\nkind: TracingConfiguration\n{fields}");
        Config::parse(&text).map_err(|error| error.to_string())
    }

    #[test]
    fn an_endpoint_is_a_target_of_grpc() {
        let table = [
            ("", Endpoint::Tcp("localhost:4317".to_owned())),
            ("endpoint: 127.0.0.1:9\n", Endpoint::Tcp("127.0.0.1:9".to_owned())),
            ("endpoint: '[::1]'\n", Endpoint::Tcp("[::1]:443".to_owned())),
            ("endpoint: dns:///collector:4317\n", Endpoint::Tcp("collector:4317".to_owned())),
            ("endpoint: unix:///run/otlp\n", Endpoint::Unix("/run/otlp".into())),
            ("endpoint: unix-abstract:otlp\n", Endpoint::Unix("\0otlp".into())),
        ];
        for (fields, expected) in table {
            assert_eq!(parsed(fields).unwrap(), Config { endpoint: expected, per_million: 0 }, "{fields}");
        }
    }

    #[test]
    fn what_upstream_refuses_is_refused() {
        assert_eq!(
            parsed("samplingRatePerMillion: 1000001\nendpoint: http://a\n").unwrap_err(),
            "failed to validate tracing configuration: [samplingRatePerMillion: Invalid value: 1000001: sampling rate \
             per million must be less than or equal to one million, endpoint: Invalid value: \"http://a\": \
             unsupported scheme: http.  Options are none, dns, unix, or unix-abstract.  See \
             https://github.com/grpc/grpc/blob/master/doc/naming.md]"
        );
        assert!(parsed("samplingRatePerMillion: -1\n").unwrap_err().contains("must be positive"));
        assert!(parsed("rate: 1\n").is_err());
        assert!(Config::parse("apiVersion: v1\nkind: Pod\n").is_err());
    }
}
