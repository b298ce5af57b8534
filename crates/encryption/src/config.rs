//! `apiserver.config.k8s.io/v1` EncryptionConfiguration: read, checked, and made into rules.
//! (upstream: apiserver/pkg/apis/apiserver/validation, server/options/encryptionconfig)

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use machinery::field::{Error, ErrorList, Path as FieldPath};
use machinery::strconv::parse_duration;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cipher::{AesCbc, Cipher, SecretBox};
use crate::kms::Kms;
use crate::provider::{Provider, Providers};
use crate::resources::Resources;
use crate::{Rule, Rules};

/// (upstream: apiserver/pkg/apis/apiserver/v1/defaults.go)
const KMS_TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{0}: {1}")]
    File(String, std::io::Error),
    #[error("{0}: {1}")]
    Syntax(String, String),
    #[error("invalid encryption configuration: {0}")]
    Invalid(String),
    #[error("KMS plugin {0}: {1}")]
    Kms(String, String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Configuration {
    api_version: String,
    kind: String,
    #[serde(default)]
    resources: Vec<ResourceRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResourceRule {
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    providers: Vec<ProviderConfig>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProviderConfig {
    aesgcm: Option<Keys>,
    aescbc: Option<Keys>,
    secretbox: Option<Keys>,
    identity: Option<Value>,
    kms: Option<KmsConfig>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    #[serde(default)]
    keys: Vec<Key>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    #[serde(default)]
    name: String,
    #[serde(default)]
    secret: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct KmsConfig {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    endpoint: String,
    timeout: Option<String>,
    cachesize: Option<i64>,
}

/// Reads the file and makes its rules; plugins are not asked anything yet.
pub(crate) fn read(path: &Path) -> Result<Rules, ConfigError> {
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| ConfigError::File(shown.clone(), error))?;
    let configuration = parse(&text).map_err(|error| ConfigError::Syntax(shown, error))?;
    let problems = validate(&configuration);
    if !problems.is_empty() {
        let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
        return Err(ConfigError::Invalid(texts.join(", ")));
    }
    configuration.resources.iter().map(rule).collect::<Result<_, _>>().map(Rules)
}

fn parse(text: &str) -> Result<Configuration, String> {
    let configuration: Configuration = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    match (configuration.api_version.as_str(), configuration.kind.as_str()) {
        ("apiserver.config.k8s.io/v1" | "v1", "EncryptionConfiguration" | "EncryptionConfig") => Ok(configuration),
        (version, kind) => Err(format!("no kind \"{kind}\" is registered for version \"{version}\"")),
    }
}

fn rule(config: &ResourceRule) -> Result<Rule, ConfigError> {
    let providers = config.providers.iter().map(provider).collect::<Result<_, _>>()?;
    Ok(Rule {
        resources: Resources::parse(config.resources.iter().map(String::as_str)),
        providers: Providers(providers),
    })
}

fn provider(config: &ProviderConfig) -> Result<Provider, ConfigError> {
    Ok(match config {
        ProviderConfig { aesgcm: Some(keys), .. } => keyed("k8s:enc:aesgcm:v1:", keys, Cipher::gcm)?,
        ProviderConfig { aescbc: Some(keys), .. } => {
            keyed("k8s:enc:aescbc:v1:", keys, |key| AesCbc::new(key).map(Cipher::Cbc))?
        }
        ProviderConfig { secretbox: Some(keys), .. } => {
            keyed("k8s:enc:secretbox:v1:", keys, |key| SecretBox::new(key).map(Cipher::SecretBox))?
        }
        ProviderConfig { kms: Some(kms), .. } => {
            let socket = kms.endpoint.strip_prefix("unix://").unwrap_or_default();
            let timeout = kms.timeout.as_deref().and_then(|text| parse_duration(text).ok()).unwrap_or(KMS_TIMEOUT);
            Provider::Kms(Kms::start(&kms.name, Path::new(socket), timeout))
        }
        ProviderConfig { .. } => Provider::Identity,
    })
}

fn keyed(prefix: &'static str, keys: &Keys, cipher: impl Fn(&[u8]) -> Option<Cipher>) -> Result<Provider, ConfigError> {
    let named = keys.keys.iter().map(|key| {
        let made = STANDARD.decode(&key.secret).ok().and_then(|secret| cipher(&secret));
        made.map(|cipher| (key.name.clone(), cipher)).ok_or_else(|| ConfigError::Invalid(format!("key {}", key.name)))
    });
    Ok(Provider::Keyed { prefix, keys: named.collect::<Result<_, _>>()? })
}

fn validate(configuration: &Configuration) -> ErrorList {
    let root = FieldPath::new("resources");
    if configuration.resources.is_empty() {
        return vec![Error::required(&root, "at least one resources is required")];
    }
    let mut errors = ErrorList::new();
    let mut kms_names: Vec<&str> = Vec::new();
    for (index, rule) in configuration.resources.iter().enumerate() {
        let (resources, providers) = (root.index(index).child("resources"), root.index(index).child("providers"));
        errors.extend(validate_resources(&rule.resources, &resources));
        if rule.providers.is_empty() {
            errors.push(Error::required(&providers, format!("at least one {providers} is required")));
        }
        for (index, provider) in rule.providers.iter().enumerate() {
            errors.extend(validate_provider(provider, &providers.index(index), &mut kms_names));
        }
    }
    errors
}

fn validate_resources(names: &[String], path: &FieldPath) -> ErrorList {
    let mut errors = ErrorList::new();
    if names.is_empty() {
        errors.push(Error::required(path, format!("at least one {path} is required")));
    }
    let split = |name: &'_ str| -> (String, String) {
        let (resource, group) = name.split_once('.').unwrap_or((name, ""));
        (resource.to_owned(), group.to_owned())
    };
    let pairs = || names.iter().enumerate().flat_map(|(at, one)| names[at + 1..].iter().map(move |other| (one, other)));
    if pairs().any(|(one, other)| one == other) {
        errors.push(Error::invalid(path, json!(names), "the same resource cannot be specified multiple times"));
    }
    let masks = |one: &str, other: &str| {
        let (one, other) = (split(one), split(other));
        one != other && one.0 == "*" && (one.1 == "*" || one.1 == other.1)
    };
    if pairs().any(|(one, other)| masks(one, other) || masks(other, one)) {
        let text = "using overlapping resources such as 'secrets' and '*.' in the same resource list is not allowed \
                    as they will be masked";
        errors.push(Error::invalid(path, json!(names), text));
    }
    let wrong = names.iter().enumerate().filter_map(|(index, name)| {
        let text = wrong_name(name, &split(name))?;
        Some(Error::invalid(&path.index(index), name.as_str(), text))
    });
    errors.extend(wrong);
    errors
}

fn wrong_name(name: &str, (resource, group): &(String, String)) -> Option<&'static str> {
    Some(match (name, resource.as_str(), group.as_str()) {
        _ if name.to_lowercase() != name => "resource name should not contain capital letters",
        ("*", ..) => "use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources",
        ("apiserveripinfo" | "serviceipallocations" | "servicenodeportallocations", ..) => {
            "resources which do not have REST API/s cannot be encrypted"
        }
        (_, _, "events.k8s.io") => {
            "'*.events.k8s.io' objects are stored using the 'events' API group in etcd. Use 'events' instead in the \
             config file"
        }
        (_, _, "extensions") => "'extensions' group has been removed and cannot be used for encryption",
        (_, resource, "*") if resource != "*" => "encrypting the same resource across groups is not supported",
        _ => return None,
    })
}

fn validate_provider<'a>(provider: &'a ProviderConfig, path: &FieldPath, kms_names: &mut Vec<&'a str>) -> ErrorList {
    let ProviderConfig { aesgcm, aescbc, secretbox, identity, kms } = provider;
    let keyed =
        [("aesgcm", aesgcm, &[16, 24, 32][..]), ("aescbc", aescbc, &[16, 24, 32]), ("secretbox", secretbox, &[32])];
    let found = keyed.iter().filter(|(_, keys, _)| keys.is_some()).count();
    match found + usize::from(identity.is_some()) + usize::from(kms.is_some()) {
        0 => {
            let text =
                "provider does not contain any of the expected providers: KMS, AESGCM, AESCBC, Secretbox, Identity";
            return vec![Error::invalid(path, Value::Null, text)];
        }
        1 => {}
        _ => {
            let text =
                "more than one provider specified in a single element, should split into different list elements";
            return vec![Error::invalid(path, Value::Null, text)];
        }
    }
    let mut errors = ErrorList::new();
    for (name, keys, lengths) in keyed {
        errors.extend(keys.iter().flat_map(|keys| validate_keys(&keys.keys, &path.child(name).child("keys"), lengths)));
    }
    if let Some(kms) = kms {
        errors.extend(validate_kms(kms, &path.child("kms"), kms_names));
        kms_names.push(&kms.name);
    }
    errors
}

fn validate_keys(keys: &[Key], path: &FieldPath, lengths: &[usize]) -> ErrorList {
    if keys.is_empty() {
        return vec![Error::required(path, "at least one keys is required")];
    }
    keys.iter().enumerate().flat_map(|(index, key)| validate_key(key, &path.index(index), lengths)).collect()
}

/// What is wrong with a secret is told without showing it.
fn validate_key(key: &Key, path: &FieldPath, lengths: &[usize]) -> ErrorList {
    let mut errors = ErrorList::new();
    let (name, secret) = (path.child("name"), path.child("secret"));
    if key.name.is_empty() {
        errors.push(Error::required(&name, "name is a mandatory field for a key"));
    }
    if key.secret.is_empty() {
        errors.push(Error::required(&secret, "secret is a mandatory field for a key"));
        return errors;
    }
    match STANDARD.decode(&key.secret).map(|secret| secret.len()) {
        Err(_) => errors.push(Error::invalid(&secret, "REDACTED", "secrets must be base64 encoded")),
        Ok(length) if !lengths.contains(&length) => {
            let expected = lengths.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
            let text = format!("secret is not of the expected length, got {length}, expected one of [{expected}]");
            errors.push(Error::invalid(&secret, "REDACTED", text));
        }
        Ok(_) => {}
    }
    errors
}

fn validate_kms(kms: &KmsConfig, path: &FieldPath, names: &[&str]) -> ErrorList {
    let mut errors = ErrorList::new();
    let KmsConfig { api_version, name, endpoint, timeout, cachesize } = kms;
    let mut invalid =
        |field: &str, value: &str, text: String| errors.push(Error::invalid(&path.child(field), value, text));
    if name.contains(':') {
        invalid("name", name, format!("invalid KMS provider name {name}, must not contain ':'"));
    }
    if names.contains(&name.as_str()) {
        invalid("name", name, format!("duplicate KMS provider name {name}, names must be unique"));
    }
    if let Some(timeout) = timeout.as_deref().filter(|timeout| parse_duration(timeout).unwrap_or_default().is_zero()) {
        invalid("timeout", timeout, "timeout should be a positive value".to_owned());
    }
    match endpoint.split_once("://") {
        _ if endpoint.is_empty() => invalid("endpoint", "", "endpoint is a mandatory field for a kms".to_owned()),
        Some(("unix", _)) => {}
        scheme => {
            let scheme = scheme.map(|(scheme, _)| scheme).unwrap_or_default();
            let text = format!("unsupported scheme {scheme:?} for KMS provider, only unix is supported");
            invalid("endpoint", endpoint, text);
        }
    }
    // Version 1 keeps a key with each value; upstream has switched it off.
    if api_version != "v2" {
        let text = "unsupported apiVersion apiVersion for KMS provider, only v2 is supported".to_owned();
        invalid("apiVersion", api_version, text);
    }
    if let Some(size) = cachesize {
        invalid("cachesize", &size.to_string(), "cachesize is not supported in v2".to_owned());
    }
    if name.is_empty() {
        errors.push(Error::required(&path.child("name"), "name is a mandatory field for a provider"));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

    fn problems(resources: &str) -> String {
        let head = "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\n";
        let configuration = parse(&format!("{head}resources: {resources}")).unwrap();
        validate(&configuration).iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn what_upstream_takes_is_taken() {
        let keys = format!("{{keys: [{{name: k, secret: {KEY}}}]}}");
        let providers = format!(
            "[{{aesgcm: {keys}}}, {{aescbc: {keys}}}, {{secretbox: {keys}}}, {{identity: {{}}}}, \
             {{kms: {{apiVersion: v2, name: vault, endpoint: 'unix:///run/kms.sock', timeout: 5s}}}}]"
        );
        assert_eq!(problems(&format!("[{{resources: [secrets, '*.apps'], providers: {providers}}}]")), "");
    }

    #[test]
    fn what_upstream_refuses_is_refused_in_its_words() {
        let table = [
            ("[]", "resources: Required value: at least one resources is required"),
            (
                "[{resources: [secrets], providers: []}]",
                "resources[0].providers: Required value: at least one resources[0].providers is required",
            ),
            (
                "[{resources: ['*'], providers: [{identity: {}}]}]",
                "resources[0].resources[0]: Invalid value: \"*\": \
                 use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources",
            ),
            (
                "[{resources: [secrets], providers: [{aesgcm: {keys: [{name: k, secret: YQ==}]}}]}]",
                "resources[0].providers[0].aesgcm.keys[0].secret: Invalid value: \"REDACTED\": \
                 secret is not of the expected length, got 1, expected one of [16 24 32]",
            ),
            (
                "[{resources: [secrets], providers: [{kms: {apiVersion: v2, name: k, endpoint: 'tcp://a'}}]}]",
                "resources[0].providers[0].kms.endpoint: Invalid value: \"tcp://a\": \
                 unsupported scheme \"tcp\" for KMS provider, only unix is supported",
            ),
        ];
        for (resources, expected) in table {
            assert_eq!(problems(resources), expected, "{resources}");
        }
        let overlap = problems("[{resources: [secrets, '*.'], providers: [{identity: {}}]}]");
        assert!(overlap.contains("using overlapping resources such as 'secrets' and '*.'"), "{overlap}");
        let twice = problems("[{resources: [pods, pods], providers: [{identity: {}}]}]");
        assert!(twice.contains("the same resource cannot be specified multiple times"), "{twice}");
    }

    #[test]
    fn other_documents_and_unknown_fields_are_refused() {
        assert!(parse("apiVersion: v1\nkind: Pod\n").is_err());
        let unknown = "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresource: []\n";
        assert!(parse(unknown).is_err());
    }
}
