//! Patches of an object's JSON, with upstream's limits and error texts.

mod json;
mod merge;
mod order;
mod strategic;

pub use json::json_patch;
pub use merge::merge_patch;
pub use strategic::strategic_merge_patch;
