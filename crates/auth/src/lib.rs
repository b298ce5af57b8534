//! Who makes a request, whether they may, and the certificates and tokens that prove it.
//!
//! Authenticators turn [`Credentials`] into a user; authorizers turn [`Attributes`] into a [`Decision`].
//! Both read the cluster through [`View`], synchronously and from the watch cache, so that deciding
//! needs no I/O and can be tested on a handful of objects.

pub mod authn;
pub mod authz;
mod cache;
pub mod csr;
pub mod jwt;
mod kubeconfig;
pub mod lineage;
pub mod metrics;
pub mod pki;
pub mod policy;
mod retry;
pub mod rotation;
mod signer;
pub mod tls;
pub mod tokens;
pub mod view;

pub use authn::{Authenticator, Credentials, Refused};
pub use authz::{Attributes, Authorizer, Decision};
pub use kubeconfig::{KubeconfigError, KubeconfigUser, KubeconfigUsers};
pub use policy::bootstrap_policy;
pub use view::View;
