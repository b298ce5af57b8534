//! A server that is killed between any two writes of a request, or of what controllers make of it, leaves nothing that
//! keeps the request from being made again, nor anything else for good.

mod cluster;
mod requests;
