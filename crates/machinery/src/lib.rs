//! apimachinery: what every object of the API has in common, whatever its kind.
//!
//! Objects are JSON trees ([`Object`]). What a field is comes from the `schema` crate; what a kind is
//! comes from `kinds`. Nothing here does I/O.

pub mod apply;
pub mod decode;
pub mod error;
pub mod field;
pub mod jsonpath;
pub mod names;
pub mod object;
pub mod patch;
pub mod percent;
pub mod protobuf;
pub mod quantity;
pub mod selector;
pub mod semver;
pub mod strconv;
pub mod user;
pub mod validation;

pub use error::{ApiError, Cause, Reason};
pub use names::{GroupResource, GroupVersion, GroupVersionKind, GroupVersionResource};
pub use object::Object;
pub use quantity::Quantity;
pub use user::UserInfo;
