//! The file of an AdmissionConfiguration: what plugins are configured to, beside their names or in files of their own.
//!
//! upstream: apiserver/pkg/admission/config.go

use std::path::{Path, PathBuf};

use machinery::decode::parse_yaml;
use serde_json::Value;

const KNOWN: [(&str, &str); 2] =
    [("apiserver.config.k8s.io/v1", "AdmissionConfiguration"), ("apiserver.k8s.io/v1alpha1", "AdmissionConfiguration")];

/// The names of plugins, each with its own configuration; those that have none are left out.
pub fn read(file: &Path) -> Result<Vec<(String, Value)>, String> {
    let bytes = std::fs::read(file).map_err(|error| {
        format!("unable to read admission control configuration from {:?} [{}]", file, opening(file, &error))
    })?;
    let config = parse(&bytes)?;
    hold_to(&config, &KNOWN)?;
    let mut plugins = Vec::new();
    for plugin in config["plugins"].as_array().into_iter().flatten() {
        let name = plugin["name"].as_str().unwrap_or_default();
        let own = match (plugin.get("configuration").filter(|own| !own.is_null()), plugin["path"].as_str()) {
            (Some(own), _) => own.clone(),
            (None, None | Some("")) => continue,
            (None, Some(path)) => beside(file, path)?,
        };
        plugins.push((name.to_owned(), own));
    }
    Ok(plugins)
}

/// A plugin's own file; its path may be relative to the file that names it.
fn beside(file: &Path, path: &str) -> Result<Value, String> {
    let path: PathBuf = file.parent().unwrap_or(Path::new("")).join(path);
    let bytes = std::fs::read(&path).map_err(|error| {
        format!("Couldn't open admission plugin configuration {}: {}", path.display(), opening(&path, &error))
    })?;
    parse(&bytes).map_err(|why| format!("{}: {why}", path.display()))
}

fn parse(bytes: &[u8]) -> Result<Value, String> {
    parse_yaml(bytes).map(|(value, _)| value).map_err(|error| error.message)
}

fn opening(path: &Path, error: &std::io::Error) -> String {
    let why = match error.kind() {
        std::io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    };
    format!("open {}: {why}", path.display())
}

/// Whether a configuration is of one of these versions and kinds. The error says what it is instead.
pub fn hold_to(config: &Value, known: &[(&str, &str)]) -> Result<(), String> {
    let text = |field: &str| config[field].as_str().unwrap_or_default();
    match (text("apiVersion"), text("kind")) {
        (_, "") => Err(format!("Object 'Kind' is missing in '{config}'")),
        ("", _) => Err(format!("Object 'apiVersion' is missing in '{config}'")),
        of if known.contains(&of) => Ok(()),
        (version, kind) => Err(format!("no kind {kind:?} is registered for version {version:?}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn plugins_have_their_configuration_inline_or_in_files() {
        let files = tempfile::tempdir().unwrap();
        let file = files.path().join("admission.yaml");
        std::fs::write(files.path().join("own.yaml"), "{a: 1}").unwrap();
        let read = |text: &str| {
            std::fs::write(&file, text).unwrap();
            super::read(&file).map_err(|why| why.replace(&format!("{}/", files.path().display()), ""))
        };
        let whole = |plugins: &str| {
            format!("{{apiVersion: apiserver.config.k8s.io/v1, kind: AdmissionConfiguration, plugins: {plugins}}}")
        };
        let plugins = "[{name: A, path: own.yaml}, {name: B, configuration: {b: 2}, path: none}, {name: C}]";
        let expected = vec![("A".to_owned(), json!({"a": 1})), ("B".to_owned(), json!({"b": 2}))];
        assert_eq!(read(&whole(plugins)), Ok(expected));
        for (text, why) in [
            (
                whole("[{name: A, path: none}]"),
                "Couldn't open admission plugin configuration none: open none: no such file or directory",
            ),
            (
                "{kind: AdmissionConfiguration}".to_owned(),
                "Object 'apiVersion' is missing in '{\"kind\":\"AdmissionConfiguration\"}'",
            ),
            ("[]".to_owned(), "Object 'Kind' is missing in '[]'"),
            ("{apiVersion: v1, kind: Pod}".to_owned(), "no kind \"Pod\" is registered for version \"v1\""),
        ] {
            assert_eq!(read(&text), Err(why.to_owned()), "{text}");
        }
        assert!(read("{").is_err());
        let why = super::read(Path::new("/none/at/all")).unwrap_err();
        assert_eq!(
            why,
            "unable to read admission control configuration from \"/none/at/all\" [open /none/at/all: no such file or directory]"
        );
    }
}
