//! Images: where they come from (archives, registries), where they are kept, and how layers become directories.

mod import;
mod layer;
mod pull;
mod reference;
mod store;

pub use layer::LayerError;
pub use pull::{Puller, Registries};
pub use reference::Name;
pub use store::{Manifest, Store, to_api};

/// What can go wrong with an image, before it is told which image.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Layer(#[from] LayerError),
    #[error("{0}: {1}")]
    Json(String, serde_json::Error),
    #[error("{0}")]
    Invalid(String),
}
