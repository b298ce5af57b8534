//! The node agent with the real API server: once with containers that are only remembered, once with real ones.

mod real;
mod simulated;
mod support;
