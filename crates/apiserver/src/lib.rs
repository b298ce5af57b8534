//! HTTP over the registry: TLS, routing, authentication and authorization of each request, content
//! negotiation, watches, connections to nodes, discovery and health.
//!
//! A request goes `Server::handle` → authenticate → impersonate → authorize → dispatch → the verb. The same service
//! answers the network ([`Server::serve`]) and the components of this process ([`Server::client`]).

mod access;
mod aggregation;
mod audit;
mod body;
mod bootstrap;
mod call;
mod connect;
mod counts;
mod decode;
mod digest;
mod discovery;
mod encoded;
mod exposition;
mod fairness;
mod health;
mod identity;
mod info;
mod limits;
mod local;
mod metrics;
mod negotiate;
mod openapi;
mod options;
mod own;
mod pace;
mod process;
mod query;
mod respond;
mod review;
mod serve;
mod server;
mod spans;
mod subresource;
mod verbs;
mod version;
mod watch;

pub use audit::{Audit, AuditError, LogOptions as AuditLogOptions};
pub use auth::authn::ClientCertificate;
pub use body::{Body, BoxError};
pub use bootstrap::{Bootstrap, Proxies, bootstrap, tell_authorities};
pub use identity::{Renewal, identity};
pub use limits::Limits;
pub use local::{LocalApi, LocalService};
pub use metrics::{ServerMetrics, SharedMetrics};
pub use server::{ApiService, LocalClient, Server, ServerConfig};
pub use version::{GIT_VERSION, Version};
