//! Parameters that all writes take.

use serde_json::json;

use crate::field::{Error, ErrorList, Path};

const FIELD_MANAGER_MAX: usize = 128;

pub fn validate_field_manager(manager: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if manager.len() > FIELD_MANAGER_MAX {
        errors.push(Error::too_long(path, FIELD_MANAGER_MAX));
    }
    for (at, c) in manager.char_indices().filter(|(_, c)| c.is_control()) {
        let detail = format!("invalid character U+{:04X} (at position {at})", u32::from(c));
        errors.push(Error::invalid(path, manager, detail));
    }
    errors
}

pub fn validate_dry_run(dry_run: &[String], path: &Path) -> ErrorList {
    if dry_run.iter().all(|value| value == "All") {
        return ErrorList::new();
    }
    vec![Error::not_supported(path, json!(dry_run), &["All"])]
}

pub fn validate_field_validation(value: &str, path: &Path) -> ErrorList {
    const SUPPORTED: &[&str] = &["", "Ignore", "Strict", "Warn"];
    if SUPPORTED.contains(&value) { ErrorList::new() } else { vec![Error::not_supported(path, value, SUPPORTED)] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_values_pass() {
        let path = Path::new("dryRun");
        assert!(validate_dry_run(&["All".to_owned()], &path).is_empty());
        let errors = validate_dry_run(&["Some".to_owned()], &path);
        assert_eq!(errors[0].to_string(), r#"dryRun: Unsupported value: ["Some"]: supported values: "All""#);
        assert_eq!(validate_field_manager("a\nb", &Path::new("fieldManager")).len(), 1);
        assert_eq!(validate_field_validation("strict", &Path::new("fieldValidation")).len(), 1);
    }
}
