//! The program `mainstay`: the built-in status site, run by the library as any user's application
//! is.

mod site;

use std::process::ExitCode;

fn main() -> ExitCode {
    mainstay::builder().name("mainstay").version(env!("CARGO_PKG_VERSION")).serve(site::app)
}
