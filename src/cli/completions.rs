//! `citywire completions`: what a shell needs to complete our commands.

use std::io::{self, Write};

use clap::{Args, CommandFactory};

use super::{Cli, Failure};

/// Print completions for a shell.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  citywire completions bash > ~/.local/share/bash-completion/completions/citywire
  citywire completions zsh > ~/.zfunc/_citywire
  citywire completions fish > ~/.config/fish/completions/citywire.fish")]
pub struct Arguments {
    shell: clap_complete::Shell,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    // Into memory first: the generator would panic when nobody reads on.
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "citywire", &mut script);
    Ok(io::stdout().lock().write_all(&script)?)
}
