//! Messages of documents that belong to no kind of the table: what there is (`apidiscovery.k8s.io/v2`), and how much is
//! used (`metrics.k8s.io/v1beta1`).

use crate::table::meta_v1::{ListMeta, ObjectMeta};
use crate::{Field, Message, Shape, Type, Wire};

/// Sorted by name.
pub static ALL: &[&Message] = &[
    &GROUP,
    &GROUP_LIST,
    &RESOURCE,
    &SUBRESOURCE,
    &VERSION,
    &CONTAINER_METRICS,
    &NODE_METRICS,
    &NODE_METRICS_LIST,
    &POD_METRICS,
    &POD_METRICS_LIST,
];

/// Not in [`ALL`]: it is never a document of its own.
static GROUP_VERSION_KIND: Message = Message {
    name: "io.k8s.apimachinery.pkg.apis.meta.v1.GroupVersionKind",
    atomic: false,
    wire: &[0, 2, 1],
    fields: &[text("group", 1), text("kind", 3), text("version", 2)],
};

const API_VERSION: Field = Field { json: "apiVersion", ..Field::TEXT };
const KIND: Field = Field { json: "kind", ..Field::TEXT };

const fn text(json: &'static str, tag: u32) -> Field {
    Field { json, tag, ..Field::TEXT }
}

const fn texts(json: &'static str, tag: u32) -> Field {
    Field { shape: Shape::List, ..text(json, tag) }
}

const fn message(json: &'static str, tag: u32, of: &'static Message) -> Field {
    Field { of: Type::Message(of), wire: Wire::Message, ..text(json, tag) }
}

const fn messages(json: &'static str, tag: u32, of: &'static Message) -> Field {
    Field { shape: Shape::List, ..message(json, tag, of) }
}

/// One that may be missing.
const fn optional(field: Field) -> Field {
    Field { pointer: true, ..field }
}

const fn of_type(json: &'static str, tag: u32, of: Type) -> Field {
    Field { of, wire: Wire::Message, ..text(json, tag) }
}

static GROUP_LIST: Message = Message {
    name: "io.k8s.api.apidiscovery.v2.APIGroupDiscoveryList",
    atomic: false,
    wire: &[3, 1],
    fields: &[API_VERSION, messages("items", 2, &GROUP), KIND, message("metadata", 1, &ListMeta)],
};

static GROUP: Message = Message {
    name: "io.k8s.api.apidiscovery.v2.APIGroupDiscovery",
    atomic: false,
    wire: &[2, 3],
    fields: &[API_VERSION, KIND, message("metadata", 1, &ObjectMeta), messages("versions", 2, &VERSION)],
};

static VERSION: Message = Message {
    name: "io.k8s.api.apidiscovery.v2.APIVersionDiscovery",
    atomic: false,
    wire: &[2, 1, 0],
    fields: &[text("freshness", 3), messages("resources", 2, &RESOURCE), text("version", 1)],
};

static RESOURCE: Message = Message {
    name: "io.k8s.api.apidiscovery.v2.APIResourceDiscovery",
    atomic: false,
    wire: &[1, 2, 3, 5, 7, 4, 0, 6],
    fields: &[
        texts("categories", 7),
        text("resource", 1),
        optional(message("responseKind", 2, &GROUP_VERSION_KIND)),
        text("scope", 3),
        texts("shortNames", 6),
        text("singularResource", 4),
        messages("subresources", 8, &SUBRESOURCE),
        texts("verbs", 5),
    ],
};

static SUBRESOURCE: Message = Message {
    name: "io.k8s.api.apidiscovery.v2.APISubresourceDiscovery",
    atomic: false,
    wire: &[2, 1, 0, 3],
    fields: &[
        messages("acceptedTypes", 3, &GROUP_VERSION_KIND),
        optional(message("responseKind", 2, &GROUP_VERSION_KIND)),
        text("subresource", 1),
        texts("verbs", 4),
    ],
};

static NODE_METRICS: Message = Message {
    name: "io.k8s.metrics.pkg.apis.metrics.v1beta1.NodeMetrics",
    atomic: false,
    wire: &[2, 3, 5, 4],
    fields: &[
        API_VERSION,
        KIND,
        message("metadata", 1, &ObjectMeta),
        of_type("timestamp", 2, Type::Time),
        Field { shape: Shape::Map, ..of_type("usage", 4, Type::Quantity) },
        of_type("window", 3, Type::Duration),
    ],
};

static NODE_METRICS_LIST: Message = Message {
    name: "io.k8s.metrics.pkg.apis.metrics.v1beta1.NodeMetricsList",
    atomic: false,
    wire: &[3, 1],
    fields: &[API_VERSION, messages("items", 2, &NODE_METRICS), KIND, message("metadata", 1, &ListMeta)],
};

static POD_METRICS: Message = Message {
    name: "io.k8s.metrics.pkg.apis.metrics.v1beta1.PodMetrics",
    atomic: false,
    wire: &[3, 4, 5, 1],
    fields: &[
        API_VERSION,
        messages("containers", 4, &CONTAINER_METRICS),
        KIND,
        message("metadata", 1, &ObjectMeta),
        of_type("timestamp", 2, Type::Time),
        of_type("window", 3, Type::Duration),
    ],
};

static POD_METRICS_LIST: Message = Message {
    name: "io.k8s.metrics.pkg.apis.metrics.v1beta1.PodMetricsList",
    atomic: false,
    wire: &[3, 1],
    fields: &[API_VERSION, messages("items", 2, &POD_METRICS), KIND, message("metadata", 1, &ListMeta)],
};

static CONTAINER_METRICS: Message = Message {
    name: "io.k8s.metrics.pkg.apis.metrics.v1beta1.ContainerMetrics",
    atomic: false,
    wire: &[0, 1],
    fields: &[text("name", 1), Field { shape: Shape::Map, ..of_type("usage", 2, Type::Quantity) }],
};
