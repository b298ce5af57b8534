//! The paths of a kind, as its verbs and subresources give them.

use kinds::{KindDef, Subresource, Verb};
use machinery::GroupVersionKind;
use serde_json::{Map, Value};

use super::Kinds;
use super::definitions::Definitions;
use super::dialect::Dialect;
use super::operations::{Operation, Subject};
use super::parameters::{BELOW, NAME, NAMESPACE, PRETTY, Parameter, of_connection};

const SCALE: &str = "io.k8s.api.autoscaling.v1.Scale";

/// `/api/v1`, `/apis/GROUP/VERSION`.
pub(super) fn base(group: &str, version: &str) -> String {
    if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") }
}

/// The `paths` of a document; what they refer to is added to the definitions.
pub(super) fn document(kinds: Kinds<'_>, dialect: Dialect, definitions: &mut Definitions<'_>) -> Value {
    let mut paths = Map::new();
    for path in kinds.iter().flat_map(|kind| of_kind(kind)) {
        for operation in &path.operations {
            definitions.add_operation(operation);
        }
        paths.insert(path.path.clone(), item(&path, dialect));
    }
    Value::Object(paths)
}

fn item(path: &Path, dialect: Dialect) -> Value {
    let operations = path.operations.iter();
    let mut item: Map<String, Value> =
        operations.map(|operation| (operation.method.to_owned(), dialect.operation(operation))).collect();
    let parameters = path.parameters.iter().map(|parameter| dialect.parameter(parameter)).collect();
    item.insert("parameters".to_owned(), parameters);
    Value::Object(item)
}

struct Path {
    path: String,
    parameters: Vec<Parameter>,
    operations: Vec<Operation>,
}

fn of_kind(kind: &KindDef) -> Vec<Path> {
    let base = base(kind.group, kind.version);
    let (root, scope) = match kind.namespaced() {
        true => (format!("{base}/namespaces/{{namespace}}/{}", kind.resource), vec![NAMESPACE]),
        false => (format!("{base}/{}", kind.resource), Vec::new()),
    };
    let subject = Subject::kind(kind);
    let operations = |verbs: &[Verb]| -> Vec<Operation> {
        verbs.iter().filter(|verb| kind.allows(**verb)).filter_map(|verb| subject.operation(*verb)).collect()
    };
    let path = |path: String, own: &[Parameter], operations| Path {
        path,
        parameters: own.iter().chain(&scope).copied().chain([PRETTY]).collect(),
        operations,
    };
    let one = format!("{root}/{{name}}");
    let mut paths = vec![
        path(root, &[], operations(&[Verb::List, Verb::Create, Verb::DeleteCollection])),
        path(one.clone(), &[NAME], operations(&[Verb::Get, Verb::Update, Verb::Patch, Verb::Delete])),
    ];
    for subresource in kind.subresources {
        let (below, operations) = (format!("{one}/{}", subresource.name()), subresource_operations(kind, subresource));
        match subresource {
            Subresource::Connect { name, .. } => paths.extend(of_connected(below, name, &scope, operations)),
            _ => paths.push(path(below, &[NAME], operations)),
        }
    }
    if kind.namespaced() && kind.allows(Verb::List) {
        let list = subject.list_everywhere().into_iter().collect();
        paths.push(Path { path: format!("{base}/{}", kind.resource), parameters: vec![PRETTY], operations: list });
    }
    paths.retain(|path| !path.operations.is_empty());
    paths
}

/// The path of a connection, and for a proxied object that of everything below it.
fn of_connected(path: String, name: &str, scope: &[Parameter], operations: Vec<Operation>) -> Vec<Path> {
    let parameters: Vec<Parameter> = [NAME].iter().chain(scope).chain(of_connection(name)).copied().collect();
    let mut paths = Vec::new();
    if name == "proxy" {
        let with_path =
            |operation: &Operation| Operation { id: format!("{}WithPath", operation.id), ..operation.clone() };
        paths.push(Path {
            path: format!("{path}/{{path}}"),
            parameters: parameters.iter().copied().chain([BELOW]).collect(),
            operations: operations.iter().map(with_path).collect(),
        });
    }
    paths.push(Path { path, parameters, operations });
    paths
}

fn subresource_operations(kind: &KindDef, subresource: &Subresource) -> Vec<Operation> {
    let own = Subject::subresource(kind, subresource.name());
    match subresource {
        Subresource::Status => operations_of(&own, &[Verb::Get, Verb::Update, Verb::Patch]),
        Subresource::Scale(_) => {
            let gvk = GroupVersionKind::new("autoscaling", "v1", "Scale");
            let scale = Subject { gvk, definition: SCALE.to_owned(), ..own };
            operations_of(&scale, &[Verb::Get, Verb::Update, Verb::Patch])
        }
        Subresource::Other(other) if other.kind == kind.kind => operations_of(&own, other.verbs),
        Subresource::Other(other) => {
            let (group, version) = match other.version {
                "" => (kind.group, kind.version),
                version => (other.group, version),
            };
            let gvk = GroupVersionKind::new(group, version, other.kind);
            let definition = super::definitions::message_name(&gvk);
            operations_of(&Subject { gvk, definition, ..own }, other.verbs)
        }
        Subresource::Connect { name: "log", .. } => {
            let read = own.operation(Verb::Get);
            read.map(|read| Operation { answer: String::new(), ..read }).into_iter().collect()
        }
        Subresource::Connect { kind: options, verbs, .. } => {
            // A connection is about its options: kubectl takes any PATCH of the object's kind for one that takes its
            // parameters.
            let gvk = GroupVersionKind::new(kind.group, kind.version, *options);
            let connection = Subject { gvk, ..own };
            verbs.iter().filter_map(|verb| connection.connection(verb)).collect()
        }
    }
}

fn operations_of(subject: &Subject<'_>, verbs: &[Verb]) -> Vec<Operation> {
    verbs.iter().filter_map(|verb| subject.operation(*verb)).collect()
}
