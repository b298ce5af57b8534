//! The product's binary as far as real containers need it: `supervisor` and `container-init`.

use std::ffi::OsString;

fn main() {
    let mut args = std::env::args_os().skip(1);
    match args.next().as_deref().and_then(|verb| verb.to_str()) {
        Some("supervisor") => containers::supervisor_main(args.collect::<Vec<OsString>>()),
        Some("container-init") => containers::init_main(args.collect::<Vec<OsString>>()),
        _ => std::process::exit(2),
    }
}
