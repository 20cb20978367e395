//! The program `mainstay`: the built-in status site, run by the library as any user's application
//! is.

mod site;

use std::process::ExitCode;

/// What the site needs and nobody has to set: a file of SQLite beside it, kept up to date.
const DEFAULTS: &str = "[database]\nurl = \"sqlite:mainstay.db\"\nmigrate = \"on-start\"\n";

fn main() -> ExitCode {
    let mut builder = mainstay::builder()
        .name("mainstay")
        .version(env!("CARGO_PKG_VERSION"))
        .defaults(DEFAULTS)
        .migrations(site::MIGRATIONS)
        .command("user", "Add, list, disable and enable users", mainstay::security::command);
    for (name, template) in site::ERROR_PAGES {
        builder = builder.error_page(*name, *template);
    }
    builder.serve(site::app)
}
