//! Options of reads and deletions, from the query or the body.

use kinds::Propagation;
use machinery::field::{self, Path};
use machinery::{ApiError, GroupVersionKind, Object};
use registry::{DeleteOptions, ListOptions, VersionMatch, WatchOptions};
use serde_json::Value;

use crate::query::Query;

pub fn list(query: &Query) -> Result<ListOptions, ApiError> {
    let options = list_options(query)?;
    check(&list_problems(query, &options))?;
    Ok(options)
}

fn list_options(query: &Query) -> Result<ListOptions, ApiError> {
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
    check(&problems)?;
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

fn check(problems: &[field::Error]) -> Result<(), ApiError> {
    if problems.is_empty() {
        return Ok(());
    }
    Err(ApiError::invalid(&GroupVersionKind::new("meta.k8s.io", "v1", "ListOptions"), "", problems))
}

/// `DeleteOptions` of a deletion: the body where there is one, else the query. The flag says whether the
/// body asks for a dry run.
pub fn delete(query: &Query, body: Option<&Object>) -> Result<(DeleteOptions, bool), ApiError> {
    let Some(body) = body else { return Ok((delete_from_query(query)?, false)) };
    let dry_run = body.list(&["dryRun"]).iter().any(|value| value == "All");
    let precondition = |of| body.get(&["preconditions", of]).and_then(Value::as_str).map(str::to_owned);
    let options = DeleteOptions {
        grace_seconds: body.int(&["gracePeriodSeconds"]),
        uid: precondition("uid"),
        resource_version: precondition("resourceVersion"),
        propagation: propagation(
            body.str(&["propagationPolicy"]),
            body.get(&["orphanDependents"]).and_then(Value::as_bool),
        )?,
    };
    Ok((options, dry_run))
}

fn delete_from_query(query: &Query) -> Result<DeleteOptions, ApiError> {
    let orphan = query.has("orphanDependents").then(|| query.flag("orphanDependents"));
    Ok(DeleteOptions {
        grace_seconds: query.int("gracePeriodSeconds")?,
        uid: None,
        resource_version: None,
        propagation: propagation(query.get("propagationPolicy"), orphan)?,
    })
}

fn propagation(policy: &str, orphan: Option<bool>) -> Result<Option<Propagation>, ApiError> {
    let problem = match (policy, orphan) {
        ("", None) => return Ok(None),
        ("", Some(true)) => return Ok(Some(Propagation::Orphan)),
        ("", Some(false)) => return Ok(Some(Propagation::Background)),
        ("Background", None) => return Ok(Some(Propagation::Background)),
        ("Foreground", None) => return Ok(Some(Propagation::Foreground)),
        ("Orphan", None) => return Ok(Some(Propagation::Orphan)),
        (policy, Some(_)) => {
            let why = "orphanDependents and deletionPropagation cannot be both set";
            field::Error::invalid(&Path::new("propagationPolicy"), policy, why)
        }
        (policy, None) => {
            let supported = ["Background", "Foreground", "Orphan", ""];
            field::Error::not_supported(&Path::new("propagationPolicy"), policy, &supported)
        }
    };
    Err(ApiError::invalid(&GroupVersionKind::new("meta.k8s.io", "v1", "DeleteOptions"), "", &[problem]))
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
        assert_eq!(delete(&Query::parse("propagationPolicy=x"), None).unwrap_err().code(), 422);
    }
}
