//! What tests of the users of a store need.

mod etcd;
mod faulty;

pub use etcd::{MemberTls, Members, Place, own_loopback};
pub use faulty::{Fault, Faulty};
