//! Options of reads and deletions, from the query or the body.

use kinds::Propagation;
use machinery::field::{self, Path};
use machinery::validation::{validate_dry_run, validate_field_manager, validate_field_validation};
use machinery::{ApiError, GroupVersionKind, Object};
use registry::{DeleteOptions, ListOptions, VersionMatch, WatchOptions};
use serde_json::Value;

use crate::query::Query;

pub fn list(query: &Query) -> Result<ListOptions, ApiError> {
    let options = list_options(query)?;
    check("ListOptions", &list_problems(query, &options))?;
    Ok(options)
}

fn list_options(query: &Query) -> Result<ListOptions, ApiError> {
    query.int("timeoutSeconds")?;
    let limit = query.int("limit")?.unwrap_or(0);
    Ok(ListOptions {
        label_selector: query.get("labelSelector").to_owned(),
        field_selector: query.get("fieldSelector").to_owned(),
        limit: usize::try_from(limit).unwrap_or(0),
        continue_token: query.get("continue").to_owned(),
        resource_version: query.get("resourceVersion").to_owned(),
        version_match: version_match(query),
    })
}

pub fn watch(query: &Query) -> Result<WatchOptions, ApiError> {
    // The old paths of watches are those of lists to upstream, with their rules and without their defaults.
    let by_path = !query.flag("watch");
    let problems = if by_path { list_problems(query, &list_options(query)?) } else { watch_problems(query) };
    check("ListOptions", &problems)?;
    let asked = query.has("sendInitialEvents").then(|| query.flag("sendInitialEvents"));
    let from_anywhere = ["", "0"].contains(&query.get("resourceVersion"));
    Ok(WatchOptions {
        label_selector: query.get("labelSelector").to_owned(),
        field_selector: query.get("fieldSelector").to_owned(),
        resource_version: query.get("resourceVersion").to_owned(),
        allow_bookmarks: query.flag("allowWatchBookmarks"),
        send_initial_events: asked.or((from_anywhere && !by_path).then_some(true)),
        deadline: None,
    })
}

fn version_match(query: &Query) -> Option<VersionMatch> {
    match query.get("resourceVersionMatch") {
        "NotOlderThan" => Some(VersionMatch::NotOlderThan),
        "Exact" => Some(VersionMatch::Exact),
        _ => None,
    }
}

fn list_problems(query: &Query, options: &ListOptions) -> field::ErrorList {
    let path = Path::new("resourceVersionMatch");
    let given = query.get("resourceVersionMatch");
    if given.is_empty() {
        return initial_events_problem(query);
    }
    let mut problems = Vec::new();
    if options.resource_version.is_empty() {
        problems.push(field::Error::forbidden(
            &path,
            "resourceVersionMatch is forbidden unless resourceVersion is provided",
        ));
    }
    if !options.continue_token.is_empty() {
        problems.push(field::Error::forbidden(&path, "resourceVersionMatch is forbidden when continue is provided"));
    }
    if options.version_match.is_none() {
        problems.push(field::Error::not_supported(&path, given, &["Exact", "NotOlderThan", ""]));
    }
    if options.version_match == Some(VersionMatch::Exact) && options.resource_version == "0" {
        let why = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
        problems.push(field::Error::forbidden(&path, why));
    }
    problems.extend(initial_events_problem(query));
    problems
}

fn initial_events_problem(query: &Query) -> field::ErrorList {
    let why = "sendInitialEvents is forbidden for list";
    let problem = || field::Error::forbidden(&Path::new("sendInitialEvents"), why);
    query.has("sendInitialEvents").then(problem).into_iter().collect()
}

fn watch_problems(query: &Query) -> field::ErrorList {
    let path = Path::new("resourceVersionMatch");
    let (given, initial) = (query.get("resourceVersionMatch"), query.has("sendInitialEvents"));
    let mut problems = Vec::new();
    let mut forbid = |why: &str| problems.push(field::Error::forbidden(&path, why));
    if initial && given != "NotOlderThan" {
        forbid("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
    }
    if !initial && !given.is_empty() {
        forbid("resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided");
    }
    if !["", "NotOlderThan"].contains(&given) {
        problems.push(field::Error::not_supported(&path, given, &["NotOlderThan"]));
    }
    if !given.is_empty() && !query.get("continue").is_empty() {
        problems.push(field::Error::forbidden(&path, "resourceVersionMatch is forbidden when continue is provided"));
    }
    problems
}

/// Refuses options of this kind where something is wrong with them.
pub fn check(kind: &str, problems: &[field::Error]) -> Result<(), ApiError> {
    if problems.is_empty() {
        return Ok(());
    }
    Err(ApiError::invalid(&GroupVersionKind::new("meta.k8s.io", "v1", kind), "", problems))
}

/// `DeleteOptions` of a deletion: the body where there is one, else the query. The flag says whether they
/// ask for a dry run.
pub fn delete(query: &Query, body: Option<&Object>) -> Result<(DeleteOptions, bool), ApiError> {
    let Some(body) = body else { return delete_from_query(query) };
    let dry_run: Vec<String> = body.list(&["dryRun"]).iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let precondition = |of| body.get(&["preconditions", of]).and_then(Value::as_str).map(str::to_owned);
    let policy = body.get(&["propagationPolicy"]).and_then(Value::as_str);
    let orphan = body.get(&["orphanDependents"]).and_then(Value::as_bool);
    check_delete(policy, orphan, &dry_run)?;
    let options = DeleteOptions {
        grace_seconds: body.int(&["gracePeriodSeconds"]),
        uid: precondition("uid"),
        resource_version: precondition("resourceVersion"),
        propagation: propagation(policy, orphan),
    };
    Ok((options, !dry_run.is_empty()))
}

fn delete_from_query(query: &Query) -> Result<(DeleteOptions, bool), ApiError> {
    let policy = query.has("propagationPolicy").then(|| query.get("propagationPolicy"));
    let orphan = query.has("orphanDependents").then(|| query.flag("orphanDependents"));
    let dry_run = dry_run(query);
    let grace_seconds = query.int("gracePeriodSeconds")?;
    check_delete(policy, orphan, &dry_run)?;
    let propagation = propagation(policy, orphan);
    Ok((DeleteOptions { grace_seconds, uid: None, resource_version: None, propagation }, !dry_run.is_empty()))
}

/// What the query says of dry runs.
pub fn dry_run(query: &Query) -> Vec<String> {
    query.all("dryRun").map(str::to_owned).collect()
}

/// What is wrong with the options of a write; `is_apply` tells of a patch whether it is a configuration to apply,
/// which must say by whom it is and alone can be forced.
pub fn write_problems(query: &Query, is_apply: Option<bool>) -> field::ErrorList {
    let (manager, manager_path) = (query.get("fieldManager"), Path::new("fieldManager"));
    let mut problems = match is_apply {
        Some(true) if manager.is_empty() => {
            vec![field::Error::required(&manager_path, "is required for apply patch")]
        }
        Some(false) if query.has("force") => {
            vec![field::Error::forbidden(&Path::new("force"), "may not be specified for non-apply patch")]
        }
        _ => Vec::new(),
    };
    problems.extend(validate_field_manager(manager, &manager_path));
    problems.extend(validate_dry_run(&dry_run(query), &Path::new("dryRun")));
    problems.extend(validate_field_validation(query.get("fieldValidation"), &Path::new("fieldValidation")));
    problems
}

fn check_delete(policy: Option<&str>, orphan: Option<bool>, dry_run: &[String]) -> Result<(), ApiError> {
    let (path, mut problems) = (Path::new("propagationPolicy"), Vec::new());
    if let (Some(policy), Some(_)) = (policy, orphan) {
        let why = "orphanDependents and deletionPropagation cannot be both set";
        problems.push(field::Error::invalid(&path, policy, why));
    }
    if let Some(policy) = policy.filter(|policy| !["Foreground", "Background", "Orphan"].contains(policy)) {
        let supported = ["Foreground", "Background", "Orphan", "nil"];
        problems.push(field::Error::not_supported(&path, policy, &supported));
    }
    problems.extend(validate_dry_run(dry_run, &Path::new("dryRun")));
    check("DeleteOptions", &problems)
}

fn propagation(policy: Option<&str>, orphan: Option<bool>) -> Option<Propagation> {
    match (policy, orphan) {
        (Some("Background"), _) | (None, Some(false)) => Some(Propagation::Background),
        (Some("Foreground"), _) => Some(Propagation::Foreground),
        (Some("Orphan"), _) | (None, Some(true)) => Some(Propagation::Orphan),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn list_options_are_checked_as_upstream_does() {
        let options = list(&Query::parse("labelSelector=a%3Db&limit=5&resourceVersion=7&resourceVersionMatch=Exact"));
        let options = options.unwrap();
        assert_eq!((options.label_selector.as_str(), options.limit), ("a=b", 5));
        assert_eq!(options.version_match, Some(VersionMatch::Exact));
        let error = list(&Query::parse("timeoutSeconds=x")).unwrap_err();
        assert_eq!(error.message, r#"strconv.ParseInt: parsing "x": invalid syntax"#);
        let error = list(&Query::parse("resourceVersionMatch=Exact")).unwrap_err();
        assert_eq!(
            error.message,
            "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: \
             resourceVersionMatch is forbidden unless resourceVersion is provided"
        );
    }

    #[test]
    fn the_resource_version_of_a_watch_says_whether_it_begins_with_what_is_there() {
        let initial = |text: &str| watch(&Query::parse(text)).unwrap().send_initial_events;
        assert_eq!(initial("watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"), Some(true));
        assert_eq!(initial("watch=1&sendInitialEvents=0&resourceVersionMatch=NotOlderThan"), Some(false));
        assert_eq!((initial("watch=1"), initial("watch=1&resourceVersion=0")), (Some(true), Some(true)));
        assert_eq!((initial("watch=1&resourceVersion=7"), initial("")), (None, None));
    }

    #[test]
    fn options_of_writes_are_checked_together() {
        let told = |query: &str, is_apply| field::aggregate(&write_problems(&Query::parse(query), is_apply));
        let (manager, force) = ("fieldManager: Required value: is required for apply patch", "force=1&dryRun=All");
        let dry_run = r#"dryRun: Unsupported value: ["wrong"]: supported values: "All""#;
        assert_eq!(told("dryRun=wrong", None), dry_run);
        assert_eq!(told("dryRun=wrong", Some(true)), format!("[{manager}, {dry_run}]"));
        assert_eq!(told(force, Some(false)), "force: Forbidden: may not be specified for non-apply patch");
        assert_eq!(
            (told(force, Some(true)), told("fieldManager=me&force=1", Some(true))),
            (manager.into(), "[]".into())
        );
        assert!(told("fieldValidation=strict&fieldManager=%01", None).starts_with("[fieldManager: Invalid value"));
    }

    #[test]
    fn a_body_says_how_to_delete() {
        let body = json!({
            "gracePeriodSeconds": 0, "propagationPolicy": "Foreground", "dryRun": ["All"],
            "preconditions": {"uid": "u", "resourceVersion": "12"},
        });
        let (options, dry_run) = delete(&Query::default(), Object::from_value(body).as_ref()).unwrap();
        assert!(dry_run);
        assert_eq!((options.grace_seconds, options.resource_version.as_deref()), (Some(0), Some("12")));
        assert_eq!((options.uid.as_deref(), options.propagation), (Some("u"), Some(Propagation::Foreground)));
    }

    #[test]
    fn a_query_says_how_to_delete_where_there_is_no_body() {
        let (options, _) = delete(&Query::parse("gracePeriodSeconds=5&orphanDependents=true"), None).unwrap();
        assert_eq!((options.grace_seconds, options.propagation), (Some(5), Some(Propagation::Orphan)));
    }

    #[test]
    fn options_of_deletions_that_make_no_sense_are_refused_wherever_they_are() {
        let rows = [
            (
                "propagationPolicy=x",
                json!({"propagationPolicy": "x"}),
                r#"propagationPolicy: Unsupported value: "x": supported values: "Foreground", "Background", "Orphan", "nil""#,
            ),
            (
                "propagationPolicy=",
                json!({"propagationPolicy": ""}),
                r#"propagationPolicy: Unsupported value: "": supported values: "Foreground", "Background", "Orphan", "nil""#,
            ),
            (
                "propagationPolicy=Orphan&orphanDependents=true",
                json!({"propagationPolicy": "Orphan", "orphanDependents": true}),
                r#"propagationPolicy: Invalid value: "Orphan": orphanDependents and deletionPropagation cannot be both set"#,
            ),
            (
                "dryRun=All&dryRun=x",
                json!({"dryRun": ["All", "x"]}),
                r#"dryRun: Unsupported value: ["All","x"]: supported values: "All""#,
            ),
        ];
        for (query, body, expected) in rows {
            let body = Object::from_value(body);
            for (query, body) in [(query, None), ("", body.as_ref())] {
                let error = delete(&Query::parse(query), body).unwrap_err();
                let expected = format!("DeleteOptions.meta.k8s.io \"\" is invalid: {expected}");
                assert_eq!((error.code(), error.message), (422, expected));
            }
        }
    }
}
