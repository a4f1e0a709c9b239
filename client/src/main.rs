//! `markstein`: the program of agencies and citizens.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
