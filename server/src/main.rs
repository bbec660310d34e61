//! `dashboard-server`: reads the configuration, runs the server, stops it on a signal.

use std::io::{ErrorKind, Write};
use std::num::NonZero;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use dashboard_server::commands::check::check;
use dashboard_server::commands::source::{self, CommandError};
use dashboard_server::config::Place;
use dashboard_server::telemetry::logs;
use dashboard_server::{Config, Environment, LogFormat, Secret, Server};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

/// How long work that cannot be interrupted may take when everything else has ended.
const LAST_WORK: Duration = Duration::from_secs(1);

/// The exit code for settings that have to be corrected first: another start would not help.
const MISCONFIGURED: u8 = 2;

/// The system's own allocator keeps what a crowd of clients once took (docs/decisions/0041).
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Serves one user's dashboard as a snapshot (REST) and pushes every later change (Socket.IO).
#[derive(Parser)]
#[command(name = "dashboard-server", version, about, long_about = None)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    config: Config,
}

#[derive(Subcommand)]
enum Command {
    /// Looks at settings, database, keys, files and addresses, says what to correct, and changes
    /// nothing. Takes the same settings as a start.
    Check(Check),
    /// What dashboards come from: the tables of an application, and how they are read.
    #[command(subcommand)]
    Source(SourceCommand),
}

#[derive(Subcommand)]
enum SourceCommand {
    /// The sources that come with this program.
    List,
    /// The files of a source, to read or to begin one of your own with.
    Show {
        /// A source that comes with this program.
        name: String,
        /// Writes them into a new folder instead.
        #[arg(long, value_name = "FOLDER")]
        into: Option<PathBuf>,
    },
    /// Looks whether the source fits the database, and whether it hears of changes. Changes nothing.
    Check(Place),
    /// Puts triggers onto the source's tables, and makes the schema "dashboard".
    Install {
        #[command(flatten)]
        place: Place,
        /// Prints the SQL instead.
        #[arg(long)]
        dry_run: bool,
    },
    /// Has all rows looked at again by a running server, and waits until it has.
    Reconcile(Place),
    /// Takes all triggers off, and the schema "dashboard" away. The application's tables stay.
    Uninstall {
        #[command(flatten)]
        place: Place,
        /// Prints the SQL instead.
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Args)]
struct Check {
    #[command(flatten)]
    config: Box<Config>,
}

fn main() -> ExitCode {
    raise_open_files();
    let environment = Environment::read(std::env::vars_os());
    let matches = environment.prepare(Cli::command()).get_matches();
    let environment = environment.completed_by(&matches);
    match Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit()) {
        Cli { command: Some(Command::Check(Check { config })), .. } => {
            run_check(*config, &environment)
        }
        Cli { command: Some(Command::Source(command)), .. } => run_source(command, &environment),
        Cli { command: None, config } => serve(config.without_blanks(), &environment),
    }
}

fn serve(config: Config, environment: &Environment) -> ExitCode {
    let faults = environment.faults(&config);
    let filter = config.log_filter().map(|filter| logs::init(filter, config.log_format));
    let can_log = filter.is_ok();
    if !faults.is_empty() {
        for fault in faults {
            complain(&fault, if can_log { config.log_format } else { LogFormat::Pretty });
        }
        return ExitCode::from(MISCONFIGURED);
    }
    for unknown in environment.unknown() {
        let (variable, nearest) = (&unknown.variable, &unknown.nearest);
        tracing::warn!(variable, nearest, "an environment variable is not a setting");
    }
    for variable in environment.trimmed() {
        tracing::warn!(variable, "white space around a secret was left out");
    }
    std::panic::set_hook(Box::new(|panic| {
        // Where, not what: messages of panics may hold data.
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(location, "panic");
    }));
    let format = config.log_format;
    let threads = environment
        .worker_threads()
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, NonZero::get));
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(threads).enable_all().build();
    let ended = match runtime {
        Ok(runtime) => {
            let ended = runtime.block_on(run(config));
            // A file system or a name server that hangs does not hold up the end.
            runtime.shutdown_timeout(LAST_WORK);
            ended
        }
        Err(error) => Err(error.into()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string(), format);
            ExitCode::FAILURE
        }
    }
}

fn complain(error: &str, format: LogFormat) {
    match format {
        LogFormat::Pretty => eprintln!("dashboard-server: {error}"),
        // The reader of this log expects objects, most of all now.
        LogFormat::Json => tracing::error!(error, "cannot start"),
    }
}

/// Takes as many open files as the system grants: each socket is one, and what programs begin with
/// is 1,024 on many systems, for the sake of programs that this is none of.
fn raise_open_files() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).ok();
    }
}

/// Colours and line breaks are for terminals.
fn run_check(config: Config, environment: &Environment) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("dashboard-server: {error}");
            return ExitCode::FAILURE;
        }
    };
    let report = runtime.block_on(check(config, environment));
    let width = terminal_size::terminal_size_of(std::io::stdout());
    let width = width.map(|(width, _)| usize::from(width.0));
    let shown = write!(anstream::stdout(), "{}", report.render(width));
    if report.is_fit() && shown.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run_source(command: SourceCommand, environment: &Environment) -> ExitCode {
    let needs_place = !matches!(command, SourceCommand::List | SourceCommand::Show { .. });
    let faults = environment.misread_of(&Place::VARIABLES);
    if needs_place && !faults.is_empty() {
        for fault in faults {
            eprintln!("dashboard-server: {fault}");
        }
        return ExitCode::from(MISCONFIGURED);
    }
    let done = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(source_command(command)),
        Err(error) => Err(error.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // The reader has seen enough.
        Err(CommandError::Output(error)) if error.kind() == ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("dashboard-server: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn source_command(command: SourceCommand) -> Result<(), CommandError> {
    let mut out = std::io::stdout();
    let at = |place: Place| {
        let url = place.database_url.as_ref().map(Secret::expose);
        source::Place::new(url, place.source.as_deref())
    };
    match command {
        SourceCommand::List => source::list(&mut out),
        SourceCommand::Show { name, into } => source::show(&name, into.as_deref(), &mut out),
        SourceCommand::Check(place) => source::run_check(&at(place)?, &mut out).await,
        SourceCommand::Install { place, dry_run } => {
            source::run_install(&at(place)?, dry_run, &mut out).await
        }
        SourceCommand::Reconcile(place) => source::run_reconcile(&at(place)?, &mut out).await,
        SourceCommand::Uninstall { place, dry_run } => {
            source::run_uninstall(&at(place)?, dry_run, &mut out).await
        }
    }
}

async fn run(config: Config) -> Result<(), Box<dyn std::error::Error>> {
    let format = config.log_format;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let server = tokio::select! {
        server = Server::start(config) => server?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    let (address, admin, scheme) = (server.addr(), server.admin_addr(), server.scheme());
    tracing::info!(%address, %admin, version = env!("CARGO_PKG_VERSION"), "started");
    let line = match format {
        LogFormat::Pretty => {
            format!("dashboard-server listening on {scheme}://{address}, admin http://{admin}")
        }
        // Where both outputs end up in one journal, each of its lines is an object.
        LogFormat::Json => serde_json::json!({
            "message": "listening",
            "address": format!("{scheme}://{address}"),
            "admin": format!("http://{admin}"),
        })
        .to_string(),
    };
    writeln!(std::io::stdout(), "{line}")?;
    let failed = tokio::select! {
        _ = terminate.recv() => false,
        _ = interrupt.recv() => false,
        () = server.failed() => true,
    };
    tracing::info!("stopping");
    tokio::select! {
        () = server.shutdown() => tracing::info!("stopped"),
        // A second signal means that the operator does not want to wait.
        _ = interrupt.recv() => tracing::warn!("stopped at once"),
    }
    // Not a success, so that the program that started this process starts another.
    if failed { Err("a part of the server broke; see the log".into()) } else { Ok(()) }
}
