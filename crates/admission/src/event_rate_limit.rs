//! Where it is switched on, no more events are taken than a configuration allows: of the whole server, of a
//! namespace, of a user, or about one object from one source.
//!
//! upstream: plugin/pkg/admission/eventratelimit

use std::collections::HashMap;

use machinery::field::{Error, ErrorList, Path, aggregate};
use machinery::{ApiError, Object, Reason};
use parking_lot::Mutex;
use registry::Operation;
use serde_json::Value;
use tokio::time::Instant;

use crate::Admit;
use crate::configuration::hold_to;

const KNOWN: [(&str, &str); 1] = [("eventratelimit.admission.k8s.io/v1alpha1", "Configuration")];
const TYPES: [&str; 4] = ["Namespace", "Server", "SourceAndObject", "User"];
/// Keys that a limit remembers where its configuration does not say.
const KEYS_MAX: usize = 4096;

#[derive(Default)]
pub struct Limits(Vec<Limit>);

struct Limit {
    /// One of [`TYPES`].
    of: String,
    /// Events in a second.
    rate: f64,
    /// Events at once.
    burst: f64,
    keys_max: usize,
    buckets: Mutex<HashMap<String, Bucket>>,
}

struct Bucket {
    tokens: f64,
    seen: Instant,
}

impl Limits {
    /// The error says what is wrong with the configuration.
    pub fn parse(config: &Value) -> Result<Self, String> {
        hold_to(config, &KNOWN)?;
        let path = Path::new("limits");
        let limits = config["limits"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut errors = ErrorList::new();
        if limits.is_empty() {
            errors.push(Error::invalid(&path, Value::Null, "must not be empty"));
        }
        let parsed =
            limits.iter().enumerate().map(|(index, limit)| Limit::parse(limit, &path.index(index), &mut errors));
        let parsed: Vec<Limit> = parsed.collect();
        if errors.is_empty() { Ok(Self(parsed)) } else { Err(aggregate(&errors)) }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Limit {
    fn parse(limit: &Value, path: &Path, errors: &mut ErrorList) -> Self {
        let of = limit["type"].as_str().unwrap_or_default();
        if !TYPES.contains(&of) {
            errors.push(Error::not_supported(&path.child("type"), of, &TYPES));
        }
        let mut number = |field: &str, least: i64, why: &str| {
            let number = limit[field].as_i64().unwrap_or_default();
            if number < least {
                errors.push(Error::invalid(&path.child(field), number, why));
            }
            number
        };
        let (burst, rate) = (number("burst", 1, "must be positive"), number("qps", 1, "must be positive"));
        let keys = if of == "Server" { 1 } else { number("cacheSize", 0, "must not be negative") };
        let keys_max = usize::try_from(keys).ok().filter(|keys| *keys > 0).unwrap_or(KEYS_MAX);
        Self { of: of.to_owned(), rate: rate as f64, burst: burst as f64, keys_max, buckets: Mutex::default() }
    }

    fn takes(&self, key: &str, now: Instant) -> bool {
        let mut buckets = self.buckets.lock();
        if buckets.len() >= self.keys_max && !buckets.contains_key(key) {
            let oldest = buckets.iter().min_by_key(|(_, bucket)| bucket.seen).map(|(key, _)| key.clone());
            oldest.map(|oldest| buckets.remove(&oldest));
        }
        let bucket = buckets.entry(key.to_owned()).or_insert(Bucket { tokens: self.burst, seen: now });
        let gained = now.duration_since(bucket.seen).as_secs_f64() * self.rate;
        *bucket = Bucket { tokens: (bucket.tokens + gained).min(self.burst), seen: now };
        let takes = bucket.tokens >= 1.0;
        if takes {
            bucket.tokens -= 1.0;
        }
        takes
    }
}

/// Each limit counts an event, whether another has refused it or not.
pub fn validate(admit: &Admit<'_>, event: Option<&Object>) -> Result<(), ApiError> {
    let request = admit.request;
    let writes = matches!(request.operation, Operation::Create | Operation::Update) && !request.context.dry_run;
    let Some(event) = event.filter(|_| writes && request.kind.kind == "Event") else { return Ok(()) };
    let now = clock::monotonic();
    let mut outcome = Ok(());
    for limit in &admit.options.event_limits.0 {
        let key = key(admit, &limit.of, event);
        if !limit.takes(&key, now) {
            let why = format!("Too many requests: limit reached on type {} for key {key}", limit.of);
            outcome = Err(ApiError::new(Reason::TooManyRequests, why));
        }
    }
    outcome
}

fn key(admit: &Admit<'_>, of: &str, event: &Object) -> String {
    let request = admit.request;
    match of {
        "Namespace" => request.namespace.to_owned(),
        "User" => request.context.user.name.clone(),
        "SourceAndObject" => {
            let (source, about) = if request.kind.group.is_empty() {
                ("source", "involvedObject")
            } else {
                ("deprecatedSource", "regarding")
            };
            let source = ["component", "host"].map(|field| event.str(&[source, field]));
            let about = ["kind", "namespace", "name", "uid", "apiVersion"].map(|field| event.str(&[about, field]));
            source.concat() + &about.concat()
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::testing::{Case, object};

    fn limits(limits: Value) -> Result<Limits, String> {
        let (version, kind) = KNOWN[0];
        Limits::parse(&json!({"apiVersion": version, "kind": kind, "limits": limits}))
    }

    #[test]
    fn limits_are_checked() {
        for (given, why) in [
            (json!([]), "limits: Invalid value: null: must not be empty"),
            (
                json!([{"type": "Pod", "qps": 1, "burst": 1}]),
                "limits[0].type: Unsupported value: \"Pod\": supported values: \"Namespace\", \"Server\", \"SourceAndObject\", \"User\"",
            ),
            (
                json!([{"type": "User", "qps": 0, "burst": -1, "cacheSize": -2}]),
                "[limits[0].burst: Invalid value: -1: must be positive, limits[0].qps: Invalid value: 0: must be positive, \
                 limits[0].cacheSize: Invalid value: -2: must not be negative]",
            ),
        ] {
            assert_eq!(limits(given).err().as_deref(), Some(why));
        }
    }

    #[test]
    fn events_are_counted_by_what_a_limit_is_of() {
        let event = |name: &str| object(&format!(r#"{{"involvedObject":{{"kind":"Pod","name":"{name}"}}}}"#));
        for (of, others, key) in [
            ("Server", false, ""),
            ("Namespace", true, "dev"),
            ("User", true, "jane"),
            ("SourceAndObject", true, "Poda"),
        ] {
            let mut case = Case::create("events", "dev");
            case.options.event_limits = limits(json!([{"type": of, "qps": 1, "burst": 2}])).unwrap();
            let sent = |name: &str| case.validate(validate, Some(&event(name)));
            assert_eq!([sent("a"), sent("a")], [Ok(()), Ok(())], "{of}");
            let why = format!("Too many requests: limit reached on type {of} for key {key}");
            assert_eq!(sent("a"), Err(ApiError::new(Reason::TooManyRequests, why)));
            let about = if of == "SourceAndObject" { "b" } else { "a" };
            let mut other = Case::create("events", if of == "Namespace" { "prod" } else { "dev" });
            other = other.user(if of == "User" { "joe" } else { "jane" }, &[]);
            other.options = std::mem::take(&mut case.options);
            assert_eq!(other.validate(validate, Some(&event(about))).is_ok(), others, "{of}");
        }
        assert_eq!(Case::create("pods", "dev").validate(validate, Some(&event("a"))), Ok(()));
    }

    #[test]
    fn a_bucket_fills_again_and_the_oldest_is_forgotten() {
        let limits = limits(json!([{"type": "User", "qps": 2, "burst": 1, "cacheSize": 2}])).unwrap();
        let start = clock::monotonic();
        let takes = |key: &str, millis: u64| limits.0[0].takes(key, start + Duration::from_millis(millis));
        assert!(takes("a", 0) && !takes("a", 100) && takes("a", 700));
        assert!(takes("b", 800) && takes("c", 900), "the third takes the place of the first");
        assert!(takes("a", 901), "which begins anew");
        assert_eq!(limits.0[0].buckets.lock().len(), 2);
    }
}
