//! Which form of an answer a client accepts, and which form its body has.

use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use kinds::KindDef;
use machinery::{ApiError, Reason};
use registry::table::MetaVersion;

use crate::query::Query;

/// How an answer is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Format {
    #[default]
    Json,
    Yaml,
    Protobuf,
}

impl Format {
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Yaml => "application/yaml",
            Self::Protobuf => "application/vnd.kubernetes.protobuf",
        }
    }
}

/// What an answer shows of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Shape {
    #[default]
    Whole,
    Table,
    /// PartialObjectMetadata, or a list of it.
    Metadata,
    /// The aggregated discovery document.
    Discovery,
}

/// How the client wants to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Accept {
    pub format: Format,
    pub shape: Shape,
    /// Of a table, or of metadata alone.
    pub version: MetaVersion,
    pub pretty: bool,
}

/// What an endpoint can answer with besides JSON and YAML.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    /// Besides [`Shape::Whole`].
    shapes: &'static [Shape],
    /// Whole objects in protobuf.
    protobuf: bool,
}

impl Offer {
    pub const PLAIN: Self = Self { shapes: &[], protobuf: true };
    pub const DISCOVERY: Self = Self { shapes: &[Shape::Discovery], protobuf: true };

    /// Objects of a kind; one that is not in the schema table has no message of its own.
    pub fn of(kind: &KindDef) -> Self {
        Self { shapes: &[Shape::Table, Shape::Metadata], protobuf: schema::message(kind.schema).is_some() }
    }

    fn has(self, format: Format, shape: Shape) -> bool {
        match shape {
            Shape::Whole => format != Format::Protobuf || self.protobuf,
            Shape::Metadata | Shape::Discovery => self.shapes.contains(&shape),
            Shape::Table => format != Format::Protobuf && self.shapes.contains(&shape),
        }
    }

    fn media_types(self) -> &'static str {
        if self.protobuf { READ } else { READ_CUSTOM }
    }
}

/// Picks the first clause of the `Accept` header, by its weight, that can be served.
pub fn accept(headers: &HeaderMap, query: &Query, offer: Offer) -> Result<Accept, ApiError> {
    let pretty = wants_pretty(headers, query);
    let header: Vec<&str> = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let header = header.join(",");
    if header.trim().is_empty() {
        return Ok(Accept { pretty, ..Accept::default() });
    }
    let mut clauses: Vec<Clause<'_>> = header.split(',').map(Clause::parse).collect();
    clauses.sort_by(|a, b| b.weight.total_cmp(&a.weight).then(a.wildcards().cmp(&b.wildcards())));
    let served = clauses.iter().find_map(|clause| Some((clause.served(offer)?, clause)));
    let ((format, shape, version), clause) = served.ok_or_else(|| not_acceptable(offer.media_types()))?;
    Ok(Accept { format, shape, version, pretty: pretty || clause.param("pretty") == "1" })
}

pub fn not_acceptable(accepted: &str) -> ApiError {
    let message = format!("only the following media types are accepted: {accepted}");
    ApiError::new(Reason::NotAcceptable, message)
}

/// Asked for, or not said by a browser or a tool that people read the output of.
fn wants_pretty(headers: &HeaderMap, query: &Query) -> bool {
    if query.has("pretty") {
        return query.flag("pretty");
    }
    let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    ["curl", "Wget", "Mozilla/5.0"].iter().any(|prefix| agent.starts_with(prefix))
}

struct Clause<'a> {
    media: &'a str,
    params: Vec<(&'a str, &'a str)>,
    weight: f32,
}

impl<'a> Clause<'a> {
    fn parse(text: &'a str) -> Self {
        let mut pieces = text.split(';').map(str::trim);
        let media = pieces.next().unwrap_or_default();
        let params: Vec<(&str, &str)> = pieces.filter_map(|piece| piece.split_once('=')).collect();
        let weight = params.iter().find(|(name, _)| *name == "q").and_then(|(_, q)| q.parse().ok()).unwrap_or(1.0);
        Self { media, params, weight }
    }

    fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(key, _)| *key == name).map(|(_, value)| *value).unwrap_or_default()
    }

    /// Clauses that say less stand behind those of the same weight that say more.
    fn wildcards(&self) -> usize {
        self.media.matches('*').count()
    }

    fn served(&self, offer: Offer) -> Option<(Format, Shape, MetaVersion)> {
        let format = match self.media {
            "application/json" | "*/*" | "application/*" => Format::Json,
            "application/yaml" => Format::Yaml,
            "application/vnd.kubernetes.protobuf" => Format::Protobuf,
            _ => return None,
        };
        if !["", "watch"].contains(&self.param("stream")) {
            return None;
        }
        let version = if self.param("v") == "v1beta1" { MetaVersion::V1Beta1 } else { MetaVersion::V1 };
        let shape = match (self.param("g"), self.param("v"), self.param("as")) {
            (_, _, "") => Shape::Whole,
            ("meta.k8s.io", "v1" | "v1beta1", "Table") => Shape::Table,
            ("meta.k8s.io", "v1" | "v1beta1", "PartialObjectMetadata" | "PartialObjectMetadataList") => Shape::Metadata,
            ("apidiscovery.k8s.io", "v2", "APIGroupDiscoveryList") => Shape::Discovery,
            _ => return None,
        };
        offer.has(format, shape).then_some((format, shape, version))
    }
}

/// The media type of the body without its parameters; JSON when the client names none.
pub fn content_type(headers: &HeaderMap) -> &str {
    let header = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match header.split(';').next().unwrap_or_default().trim() {
        "" => "application/json",
        media => media,
    }
}

/// The form of a body that holds an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFormat {
    Json,
    Yaml,
    Protobuf,
}

const READ_CUSTOM: &str = "application/json, application/yaml";
const READ: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";

/// `protobuf` says whether the object has a message.
pub fn body_format(headers: &HeaderMap, protobuf: bool) -> Result<BodyFormat, ApiError> {
    match content_type(headers) {
        "application/json" => Ok(BodyFormat::Json),
        "application/yaml" => Ok(BodyFormat::Yaml),
        "application/vnd.kubernetes.protobuf" if protobuf => Ok(BodyFormat::Protobuf),
        _ => Err(unsupported_media_type(if protobuf { READ } else { READ_CUSTOM })),
    }
}

pub fn unsupported_media_type(accepted: &str) -> ApiError {
    let message =
        format!("the body of the request was in an unknown format - accepted media types include: {accepted}");
    ApiError::new(Reason::UnsupportedMediaType, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBJECTS: Offer = Offer { shapes: &[Shape::Table, Shape::Metadata], protobuf: true };
    const CUSTOM: Offer = Offer { protobuf: false, ..OBJECTS };

    fn negotiated(header: &str, offer: Offer) -> Result<(Format, Shape), String> {
        let mut headers = HeaderMap::new();
        if !header.is_empty() {
            headers.insert(ACCEPT, header.parse().unwrap());
        }
        let accept = accept(&headers, &Query::default(), offer).map_err(|error| error.message)?;
        Ok((accept.format, accept.shape))
    }

    #[test]
    fn the_first_form_that_can_be_served_wins() {
        let (json, protobuf) = (Ok((Format::Json, Shape::Whole)), Ok((Format::Protobuf, Shape::Whole)));
        assert_eq!(negotiated("", OBJECTS), json);
        assert_eq!(negotiated("*/*", OBJECTS), json);
        assert_eq!(negotiated("application/*", OBJECTS), json);
        assert_eq!(negotiated("application/vnd.kubernetes.protobuf,application/json", OBJECTS), protobuf);
        assert_eq!(negotiated("application/vnd.kubernetes.protobuf,application/json", CUSTOM), json);
        assert_eq!(negotiated("application/vnd.kubernetes.protobuf;stream=watch", OBJECTS), protobuf);
        assert_eq!(negotiated("*/*,application/vnd.kubernetes.protobuf", OBJECTS), protobuf);
        assert_eq!(negotiated("text/html,application/xhtml+xml,*/*;q=0.8", OBJECTS), json);
        assert_eq!(negotiated("application/json;q=0.5,application/yaml", OBJECTS), Ok((Format::Yaml, Shape::Whole)));
    }

    #[test]
    fn what_can_not_be_served_is_answered_with_what_can() {
        let refused = |list| Err(format!("only the following media types are accepted: {list}"));
        assert_eq!(negotiated("text/html", OBJECTS), refused(READ));
        assert_eq!(
            negotiated("application/vnd.kubernetes.protobuf", CUSTOM),
            refused("application/json, application/yaml")
        );
    }

    #[test]
    fn a_shape_is_given_where_the_endpoint_has_it() {
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
        assert_eq!(negotiated(table, OBJECTS), Ok((Format::Json, Shape::Table)));
        assert!(negotiated(table, Offer::DISCOVERY).is_err());
        let beta = "application/json;as=Table;v=v1beta1;g=meta.k8s.io";
        assert_eq!(negotiated(beta, OBJECTS), Ok((Format::Json, Shape::Table)));
        let kubectl = format!("{table},{beta},application/json");
        assert_eq!(negotiated(&kubectl, Offer::PLAIN), Ok((Format::Json, Shape::Whole)));
        let aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
        assert_eq!(negotiated(aggregated, Offer::DISCOVERY), Ok((Format::Json, Shape::Discovery)));
    }

    #[test]
    fn protobuf_has_metadata_but_no_tables() {
        let table = "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io,application/json";
        assert_eq!(negotiated(table, OBJECTS), Ok((Format::Json, Shape::Whole)));
        let metadata = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
        assert_eq!(negotiated(metadata, OBJECTS), Ok((Format::Protobuf, Shape::Metadata)));
        assert_eq!(negotiated(metadata, CUSTOM), Ok((Format::Protobuf, Shape::Metadata)));
    }
}
