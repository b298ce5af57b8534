//! What others decide: real issuers and webhooks over TLS on the loopback, and the configurations that name them.

mod authorizers;
mod configuration;
mod issuers;
mod support;
mod webhooks;
