//! The parameters that requests take.

#[derive(Clone, Copy, Debug)]
pub(super) struct Parameter {
    pub name: &'static str,
    pub description: &'static str,
    pub of_type: &'static str,
    pub place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Query,
    Path,
}

impl Place {
    pub fn name(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Path => "path",
        }
    }

    pub fn is_required(self) -> bool {
        self == Self::Path
    }
}

const fn query(name: &'static str, of_type: &'static str, description: &'static str) -> Parameter {
    Parameter { name, description, of_type, place: Place::Query }
}

const fn path(name: &'static str, description: &'static str) -> Parameter {
    Parameter { name, description, of_type: "string", place: Place::Path }
}

pub(super) const NAME: Parameter = path("name", "name of the object");
pub(super) const NAMESPACE: Parameter = path("namespace", "object name and auth scope, such as for teams and projects");
pub(super) const PRETTY: Parameter =
    query("pretty", "string", "Prints the answer over several lines when 'true', or when a browser or curl asks.");

const DRY_RUN: Parameter = query(
    "dryRun",
    "string",
    "'All': every stage of the request runs, but nothing is stored. No other value is valid.",
);
const FIELD_MANAGER: Parameter = query(
    "fieldManager",
    "string",
    "Who makes the change: up to 128 printable characters. Apply requests must give it.",
);
const FIELD_VALIDATION: Parameter = query(
    "fieldValidation",
    "string",
    "What becomes of unknown and duplicate fields: 'Ignore' drops them, 'Warn' (the default) drops them with a \
     warning each, 'Strict' fails the request.",
);
const FORCE: Parameter = query("force", "boolean", "Takes over fields that others manage. Only for apply requests.");
const CONTINUE: Parameter = query(
    "continue",
    "string",
    "The token of the page before, to read the next one. All other parameters must stay the same.",
);
const FIELD_SELECTOR: Parameter =
    query("fieldSelector", "string", "Restricts the answer to objects with these fields. Defaults to everything.");
const LABEL_SELECTOR: Parameter =
    query("labelSelector", "string", "Restricts the answer to objects with these labels. Defaults to everything.");
const LIMIT: Parameter =
    query("limit", "integer", "How many objects a page holds at most; the answer has a token for the next one.");
const RESOURCE_VERSION: Parameter =
    query("resourceVersion", "string", "The version that the answer must show, or that a watch begins after.");
const RESOURCE_VERSION_MATCH: Parameter =
    query("resourceVersionMatch", "string", "How resourceVersion counts for a list: 'Exact' or 'NotOlderThan'.");
const SEND_INITIAL_EVENTS: Parameter = query(
    "sendInitialEvents",
    "boolean",
    "A watch begins with an event for every present object, then a bookmark that says so.",
);
const TIMEOUT: Parameter = query("timeoutSeconds", "integer", "Ends the list or watch after this time.");
const WATCH: Parameter = query("watch", "boolean", "Answers with a stream of changes instead of a list.");
const BOOKMARKS: Parameter =
    query("allowWatchBookmarks", "boolean", "Sends BOOKMARK events in a watch, which carry the version reached.");
const GRACE: Parameter = query(
    "gracePeriodSeconds",
    "integer",
    "The time until the object is gone; zero deletes it at once. Defaults to what the object says.",
);
const IGNORE_READ_ERROR: Parameter = query(
    "ignoreStoreReadErrorWithClusterBreakingPotential",
    "boolean",
    "Deletes an object that cannot be read from the store, without what its deletion would wait for.",
);
const ORPHAN: Parameter =
    query("orphanDependents", "boolean", "Deprecated: use propagationPolicy. Whether dependents stay.");
const PROPAGATION: Parameter = query(
    "propagationPolicy",
    "string",
    "What becomes of dependents: 'Orphan' lets them stay, 'Background' deletes them after the object, 'Foreground' \
     before it.",
);

pub(super) const LIST: &[Parameter] = &[
    BOOKMARKS,
    CONTINUE,
    FIELD_SELECTOR,
    LABEL_SELECTOR,
    LIMIT,
    RESOURCE_VERSION,
    RESOURCE_VERSION_MATCH,
    SEND_INITIAL_EVENTS,
    TIMEOUT,
    WATCH,
];
pub(super) const DELETE: &[Parameter] = &[DRY_RUN, GRACE, IGNORE_READ_ERROR, ORPHAN, PROPAGATION];
pub(super) const DELETE_COLLECTION: &[Parameter] = &[
    CONTINUE,
    DRY_RUN,
    FIELD_SELECTOR,
    GRACE,
    IGNORE_READ_ERROR,
    LABEL_SELECTOR,
    LIMIT,
    ORPHAN,
    PROPAGATION,
    RESOURCE_VERSION,
    RESOURCE_VERSION_MATCH,
    SEND_INITIAL_EVENTS,
    TIMEOUT,
];
/// Creations and updates.
pub(super) const WRITE: &[Parameter] = &[DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION];
pub(super) const PATCH: &[Parameter] = &[DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION, FORCE];

const CONTAINER: Parameter =
    query("container", "string", "The container. Defaults to the only one there is, or to the first.");
const STDIN: Parameter = query("stdin", "boolean", "Sends the client's input.");
const STDOUT: Parameter = query("stdout", "boolean", "Sends the output back.");
const STDERR: Parameter = query("stderr", "boolean", "Sends the error output back.");
const TTY: Parameter = query("tty", "boolean", "Asks for a terminal.");

const ATTACH: &[Parameter] = &[CONTAINER, STDERR, STDIN, STDOUT, TTY];
const EXEC: &[Parameter] = &[
    query("command", "string", "The program and its arguments, one a parameter; no shell reads it."),
    CONTAINER,
    STDERR,
    STDIN,
    STDOUT,
    TTY,
];
const LOG: &[Parameter] = &[
    CONTAINER,
    query("follow", "boolean", "Goes on with what is written from now on."),
    query("insecureSkipTLSVerifyBackend", "boolean", "Does not ask who the node is that sends the log."),
    query("limitBytes", "integer", "Ends after this many bytes."),
    PRETTY,
    query("previous", "boolean", "The log of the container before its last restart."),
    query("sinceSeconds", "integer", "Only what was written in the last so many seconds."),
    query("stream", "string", "Which output: 'All', 'Stdout' or 'Stderr'."),
    query("tailLines", "integer", "Only so many lines from the end."),
    query("timestamps", "boolean", "Puts its time before each line."),
];
const PORT_FORWARD: &[Parameter] = &[query("ports", "integer", "The ports to forward. Needed with WebSockets.")];
const PROXY: &[Parameter] = &[query("path", "string", "The part of the URL that the target sees.")];

/// What is below a proxied object in a path.
pub(super) const BELOW: Parameter = path("path", "path to the resource");

/// What a connection takes, by the subresource's name.
pub(super) fn of_connection(name: &str) -> &'static [Parameter] {
    match name {
        "attach" => ATTACH,
        "exec" => EXEC,
        "log" => LOG,
        "portforward" => PORT_FORWARD,
        _ => PROXY,
    }
}
