//! Prints the OpenAPI 2 document of the built-in kinds, as a server without custom resources serves it.

fn main() {
    println!("{}", registry::openapi::v2(kinds::all()));
}
