//! The citywire binary: reads the arguments, runs the command, tells what went wrong, and gives the exit code.

use std::process::ExitCode;

use citywire::cli::Cli;
use clap::Parser;

/// 0: done. 1: something was found wrong, or failed. 2: wrong usage.
fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // Help and version come this way too, with exit code 0; that nobody reads them any more is no failure.
        Err(usage) => {
            let _ = usage.print();
            return ExitCode::from(u8::try_from(usage.exit_code()).unwrap_or(2));
        }
    };
    match cli.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
