//! The `verigate` program.

use std::process::ExitCode;

use verigate::cli::Cli;

#[tokio::main]
async fn main() -> ExitCode {
    Cli::read().run().await
}
