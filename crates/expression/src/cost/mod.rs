//! What expressions cost: before, from types and sizes; and while they are evaluated.

pub mod actual;
pub mod estimate;

/// Of passing over a string once, for each character.
pub const STRING_FACTOR: f64 = 0.1;
/// Of a pattern, for each of its characters.
pub const PATTERN_FACTOR: f64 = 0.25;
/// An authorization check: an expression can afford two.
pub const CHECK_COST: u64 = 350_000;
/// For each character of a selector, at worst.
pub const SELECTOR_REQUIREMENTS: f64 = 0.5;
pub const SELECTOR_REQUIREMENT_COST: f64 = 50.0;
/// What upstream takes for the longest pattern behind a named format.
pub const FORMAT_PATTERN_MAX: u64 = 128;
pub const FORMAT_SIZE_MAX: u64 = 64;
pub const LIST_COST: u64 = 10;
pub const MAP_COST: u64 = 30;
pub const MESSAGE_COST: u64 = 40;

/// Functions that cost one whatever they work on.
pub const NOMINAL: &[&str] = &[
    "serviceAccount",
    "path",
    "group",
    "resource",
    "subresource",
    "namespace",
    "name",
    "allowed",
    "reason",
    "error",
    "errored",
    "masked",
    "prefixLength",
    "family",
    "isUnspecified",
    "isLoopback",
    "isLinkLocalMulticast",
    "isLinkLocalUnicast",
    "isGlobalUnicast",
    "format.named",
    "sign",
    "asInteger",
    "isInteger",
    "asApproximateFloat",
    "isGreaterThan",
    "isLessThan",
    "compareTo",
    "add",
    "sub",
    "major",
    "minor",
    "patch",
    "getScheme",
    "getHostname",
    "getHost",
    "getPort",
    "getEscapedPath",
    "getQuery",
];
