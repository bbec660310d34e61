//! `private-postgres DIR [--throwaway]`: runs a private `PostgreSQL` until its standard input ends.
//!
//! Prints the address of the database `dashboard` as its only line on standard output. Use it to
//! give several programs one cluster. A program that needs a separate cluster uses the library.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use private_postgres::{Cluster, Options};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (folder, mode) = (arguments.next(), arguments.next());
    let options = match (folder.map(PathBuf::from), mode) {
        (Some(folder), None) if !folder.to_string_lossy().starts_with('-') => Options::new(folder),
        (Some(folder), Some(mode)) if mode == "--throwaway" => Options::throwaway(folder),
        _ => {
            eprintln!("usage: private-postgres DIR [--throwaway]");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Box<dyn std::error::Error>> {
    let cluster = Cluster::start(options, &mut |step| eprintln!("{step}"))?;
    cluster.create_database("dashboard")?;
    let mut out = std::io::stdout();
    writeln!(out, "{}", cluster.url("dashboard"))?;
    out.flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    cluster.stop()?;
    Ok(())
}
