//! Holds what people and CI call, as `cargo xtask …`: the demo, the tests, code generation.
//!
//! The commands install what they need, below `target/` where they can, and skip what is up to date.
//! Other programs do the work itself. This one decides which, in what order, and says so. [`steps`] runs
//! them with progress and logs, [`tools`] brings them, [`build`] and [`wasm`] know the order of the
//! builds, and [`test`] knows the groups and counts.

mod bench;
mod build;
mod demo;
mod fuzz;
mod gallery;
mod planted;
mod psql;
mod reach;
mod size;
mod soak;
mod stamp;
mod steps;
mod structure;
mod supply;
mod test;
mod tools;
mod wasm;
mod workspace;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::build::Builder;
use crate::steps::Steps;

/// Builds, shows and tests the dashboard.
///
/// Everything needed beyond Rust, Node 20 and npm is installed on the way. Logs of the single steps
/// are kept in target/xtask/logs.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Cli {
    /// Show what the called programs print, as they print it.
    #[arg(long, short, global = true)]
    verbose: bool,
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build everything and show it: a realistic collection, changed by SQL every few seconds.
    ///
    /// The server runs on a private database (data in .data/demo) and begins afresh each time.
    /// Ctrl-C stops everything.
    Demo {
        /// Do the same headless: look at the page in Chromium, measure, save screenshots, exit.
        #[arg(long)]
        check: bool,
        /// Take the README's pictures, too, into this folder: docs/pictures.
        #[arg(long, value_name = "FOLDER", requires = "check")]
        pictures: Option<PathBuf>,
        /// Watch open pages at three widths for this time, too, while the collection changes: what jumps,
        /// and how long their threads are busy.
        #[arg(long, value_name = "MINUTES", requires = "check")]
        watch_minutes: Option<u64>,
    },
    /// Show every state and size of the app without a server, at an address on this machine.
    ///
    /// Follows what is edited in dashboard-app. Ctrl-C stops it.
    Gallery {
        /// Photograph every scene, and fail where one differs from its picture in tests/pictures.
        #[arg(long, conflicts_with = "accept")]
        check: bool,
        /// Photograph every scene, and replace the pictures that differ.
        #[arg(long)]
        accept: bool,
    },
    /// Open a shell (psql) on the database of the running demo, or of a running server.
    Psql {
        /// Arguments for psql, such as: -c 'select count(*) from collection.mocs'
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Run every check and test; ends with a table of counts.
    Test {
        /// Run only these groups (may be repeated).
        #[arg(long, value_name = "GROUP", value_parser = test::group_names())]
        only: Vec<String>,
        /// Name the groups and what each one does, and exit.
        #[arg(long)]
        list: bool,
    },
    /// Lead as many simulated lives of the client as there is time for, and count what befell them.
    ///
    /// Ctrl-C ends it with the table so far. A life that fails is shrunk and told, and its seed
    /// is added to client-sdk/tests/machine/simulation/seeds.txt.
    Soak {
        /// For how long.
        #[arg(long, default_value_t = 10)]
        minutes: u64,
        /// The first seed; by default one that no earlier run has come to.
        #[arg(long, value_name = "SEED")]
        seed_from: Option<u64>,
    },
    /// Feed the decoders, the checks of tokens and the frames of both sides with odd input.
    ///
    /// An input that fails is named, with how to replay it.
    Fuzz {
        /// For how long, each target.
        #[arg(long, default_value_t = 120)]
        seconds: u64,
        /// Only this target.
        #[arg(long, value_name = "NAME", value_parser = fuzz::target_names())]
        target: Option<String>,
        /// Add what leads to new places to the checked-in corpora, minimised.
        #[arg(long)]
        keep: bool,
    },
    /// Plant known bugs in copies of the SDK, and see that the simulation finds each of them.
    Planted,
    /// Write the TypeScript types and API documents from the Rust types.
    Codegen {
        /// Write nothing; fail and name the files that are stale.
        #[arg(long)]
        check: bool,
    },
    /// Build the WASM module into npm-package/wasm.
    Wasm,
    /// Print what the shipped WASM module and its glue weigh, part by part; fail above the limit.
    Size,
    /// Measure what users feel, on this machine. Never a test: machines differ.
    Bench {
        /// What is measured.
        #[arg(default_value = "server")]
        what: bench::Bench,
        /// Arguments for the measurement, such as: -- --rounds 1 --only latency
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Print the modules of the server and the SDK, and what each imports; fail where one imports in a circle
    /// or upward.
    Structure,
    /// Write bills of materials (`CycloneDX`) of what is shipped into target/sbom.
    Sbom,
    /// Install everything that the other commands need, and build nothing.
    ///
    /// Links wasm-pack and what it calls into cargo's folder of programs, so that
    /// `wasm-pack test --headless --chrome client-sdk` works in any shell.
    Setup,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let mut builder = Builder::new(Steps::new(cli.verbose));
    match cli.task {
        Task::Demo { check, pictures, watch_minutes } => {
            demo::run(&mut builder, check, pictures.as_deref(), watch_minutes)?;
        }
        Task::Gallery { check: false, accept: false } => gallery::serve(&mut builder)?,
        Task::Gallery { accept, .. } => gallery::photograph(&mut builder, accept)?,
        Task::Psql { arguments } => psql::run(&arguments)?,
        Task::Test { list: true, .. } => test::list(),
        Task::Test { only, .. } => return test::run(builder, &only),
        Task::Soak { minutes, seed_from } => return soak::run(&mut builder, minutes, seed_from),
        Task::Fuzz { seconds, target, keep } => {
            return fuzz::run(&mut builder.steps, seconds, target.as_deref(), keep);
        }
        Task::Planted => {
            let missed = planted::run(&mut builder.steps)?.into_iter().filter_map(Result::err);
            let missed: Vec<String> = missed.collect();
            if !missed.is_empty() {
                anyhow::bail!("{}", missed.join("\n"));
            }
        }
        Task::Codegen { check } => builder.codegen(check)?,
        Task::Wasm => builder.wasm()?,
        Task::Size => {
            builder.sdk()?;
            size::gate()?;
        }
        Task::Bench { what, arguments } => bench::run(&mut builder, what, &arguments)?,
        Task::Structure => structure::run()?,
        Task::Sbom => supply::sbom(&mut builder.steps)?,
        Task::Setup => builder.install_everything()?,
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_meant_for_psql_needs_no_separator() {
        let of = |line: &str| {
            let words = ["xtask"].into_iter().chain(line.split(' '));
            match Cli::try_parse_from(words).map(|cli| cli.task) {
                Ok(Task::Psql { arguments }) => arguments,
                other => panic!("{line}: {:?}", other.err()),
            }
        };
        assert_eq!(of("psql"), [""; 0]);
        assert_eq!(of("psql -q"), ["-q"]);
        assert_eq!(of("psql -Atc select --verbose"), ["-Atc", "select", "--verbose"]);
        assert_eq!(of("psql -- -q"), ["-q"]);
    }
}
