//! Which form of an answer a client accepts, and which form its body has.

use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use machinery::{ApiError, Reason};

use crate::query::Query;

/// How an answer is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Format {
    #[default]
    Json,
    Yaml,
}

impl Format {
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Yaml => "application/yaml",
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
    pub pretty: bool,
}

/// The shapes an endpoint can give besides whole objects.
pub const OBJECT_SHAPES: &[Shape] = &[Shape::Table, Shape::Metadata];
pub const DISCOVERY_SHAPES: &[Shape] = &[Shape::Discovery];

const ACCEPTED: &str = "application/json, application/yaml";

/// Picks the first clause of the `Accept` header, by its weight, that can be served.
pub fn accept(headers: &HeaderMap, query: &Query, shapes: &[Shape]) -> Result<Accept, ApiError> {
    let pretty = wants_pretty(headers, query);
    let header: Vec<&str> = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let header = header.join(",");
    if header.trim().is_empty() {
        return Ok(Accept { pretty, ..Accept::default() });
    }
    let mut clauses: Vec<Clause<'_>> = header.split(',').map(Clause::parse).collect();
    clauses.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    let served = clauses.iter().find_map(|clause| clause.served(shapes));
    let (format, shape) = served.ok_or_else(not_acceptable)?;
    Ok(Accept { format, shape, pretty })
}

fn not_acceptable() -> ApiError {
    let message = format!("only the following media types are accepted: {ACCEPTED}");
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

    fn served(&self, shapes: &[Shape]) -> Option<(Format, Shape)> {
        let format = match self.media {
            "application/json" | "*/*" | "application/*" => Format::Json,
            "application/yaml" => Format::Yaml,
            _ => return None,
        };
        let shape = match (self.param("g"), self.param("v"), self.param("as")) {
            (_, _, "") => Shape::Whole,
            ("meta.k8s.io", "v1", "Table") => Shape::Table,
            ("meta.k8s.io", "v1", "PartialObjectMetadata" | "PartialObjectMetadataList") => Shape::Metadata,
            ("apidiscovery.k8s.io", "v2", "APIGroupDiscoveryList") => Shape::Discovery,
            _ => return None,
        };
        (shape == Shape::Whole || shapes.contains(&shape)).then_some((format, shape))
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

const READ: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";

pub fn body_format(headers: &HeaderMap) -> Result<BodyFormat, ApiError> {
    match content_type(headers) {
        "application/json" => Ok(BodyFormat::Json),
        "application/yaml" | "application/x-yaml" | "text/yaml" => Ok(BodyFormat::Yaml),
        "application/vnd.kubernetes.protobuf" => Ok(BodyFormat::Protobuf),
        _ => Err(unsupported_media_type(READ)),
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

    fn negotiated(header: &str, shapes: &[Shape]) -> Result<(Format, Shape), u16> {
        let mut headers = HeaderMap::new();
        if !header.is_empty() {
            headers.insert(ACCEPT, header.parse().unwrap());
        }
        let accept = accept(&headers, &Query::default(), shapes).map_err(|error| error.code())?;
        Ok((accept.format, accept.shape))
    }

    #[test]
    fn the_first_form_that_can_be_served_wins() {
        let json = Ok((Format::Json, Shape::Whole));
        assert_eq!(negotiated("", &[]), json);
        assert_eq!(negotiated("*/*", &[]), json);
        assert_eq!(negotiated("application/vnd.kubernetes.protobuf,application/json", &[]), json);
        assert_eq!(negotiated("text/html,application/xhtml+xml,*/*;q=0.8", &[]), json);
        assert_eq!(negotiated("application/json;q=0.5,application/yaml", &[]), Ok((Format::Yaml, Shape::Whole)));
        assert_eq!(negotiated("application/vnd.kubernetes.protobuf", &[]), Err(406));
    }

    #[test]
    fn a_shape_is_given_where_the_endpoint_has_it() {
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
        assert_eq!(negotiated(table, OBJECT_SHAPES), Ok((Format::Json, Shape::Table)));
        assert_eq!(negotiated(table, DISCOVERY_SHAPES), Err(406));
        let kubectl = format!("{table},application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json");
        assert_eq!(negotiated(&kubectl, &[]), Ok((Format::Json, Shape::Whole)));
        let aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
        assert_eq!(negotiated(aggregated, DISCOVERY_SHAPES), Ok((Format::Json, Shape::Discovery)));
    }
}
