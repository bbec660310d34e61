//! Reads the environment's part of the settings.
//!
//! Clap leaves two kinds of variables to this module. A variable that is set to nothing counts as not
//! set, as compose files and shells write it. Variables that cannot be read are reported by their names,
//! all at once, where clap would name only the first, as a flag that the operator never typed. A name
//! that looks like a setting's but is not one is reported with the name that may have been meant.

use std::collections::BTreeSet;
use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::ops::RangeInclusive;

use clap::builder::{PossibleValue, Resettable};
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, CommandFactory, Id};

use super::values::{bare, is_of_form, trimmed, whole};
use super::{Config, ConfigError};

/// What our names begin with.
const PREFIX: &str = "DASHBOARD_";
/// Variables that libraries read on their own, with bounds of ours: beyond them they allocate without end, or spin.
const OTHERS: [(&str, RangeInclusive<u64>); 4] = [
    ("OTEL_BSP_EXPORT_TIMEOUT", 1..=3_600_000),
    ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 1..=100_000),
    ("OTEL_BSP_MAX_QUEUE_SIZE", 1..=100_000),
    ("OTEL_BSP_SCHEDULE_DELAY", 1..=3_600_000),
];
/// The runtime panics over what it cannot read there, and over nothing, so it gets the number from here.
const THREADS: &str = "TOKIO_WORKER_THREADS";
/// How alike two names must be for one to be taken for the other, from 0 to 1.
const ALIKE: f64 = 0.8;
/// Longer values are not repeated in full.
const SHOWN_CHARS: usize = 80;

/// What an environment says besides what can be read.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// Variables to be taken for not set.
    left_out: BTreeSet<String>,
    misread: Vec<Misread>,
    unknown: Vec<Unknown>,
    /// Secrets that had white space around them.
    trimmed: Vec<String>,
    worker_threads: Option<usize>,
}

/// A variable whose value cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misread {
    variable: String,
    argument: Id,
    /// None for what may be a secret.
    value: Option<String>,
    reason: String,
}

/// A variable that looks like a setting, and is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// Its name.
    pub variable: String,
    /// The setting that is named most like it, if any is.
    pub nearest: Option<String>,
}

impl Environment {
    /// Looks through these variables.
    #[must_use]
    pub fn read(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let settings = Config::command().args(OTHERS.map(|(name, bounds)| {
            Arg::new(name).long(name).env(name).value_parser(bare::<u64>(bounds))
        }));
        let threads = Arg::new(THREADS).long(THREADS).env(THREADS);
        let settings = settings.arg(threads.value_parser(whole::<u64>(1..=1_024)));
        let arguments: Vec<_> = settings.get_arguments().collect();
        let mut environment = Self::default();
        for (name, value) in variables {
            let Some(name) = name.to_str() else { continue };
            if name == THREADS {
                let threads = value.to_str().and_then(|value| trimmed(value).parse().ok());
                environment.worker_threads = threads;
            }
            match arguments.iter().find(|argument| variable(argument) == Some(name)) {
                Some(argument) => environment.judge(name, argument, &value),
                None if name.starts_with(PREFIX) && !is_known(name) => {
                    let settings = arguments.iter().filter_map(|argument| variable(argument));
                    let nearest = nearest(name, settings);
                    environment.unknown.push(Unknown { variable: name.to_owned(), nearest });
                }
                None => {}
            }
        }
        // The system keeps them in no known order.
        environment.misread.sort_by(|a, b| a.variable.cmp(&b.variable));
        environment.unknown.sort_by(|a, b| a.variable.cmp(&b.variable));
        environment
    }

    /// Makes a command, and those below it, ignore the variables that count as not set.
    #[must_use]
    pub fn prepare(&self, command: Command) -> Command {
        let command = command.mut_args(|argument| {
            let is_left_out = variable(&argument).is_some_and(|name| self.left_out.contains(name));
            if is_left_out { argument.env(Resettable::Reset) } else { argument }
        });
        command.mut_subcommands(|command| self.prepare(command))
    }

    /// What the command line adds: it overrules variables that cannot be read, and it shows which secrets count in
    /// the end.
    #[must_use]
    pub fn completed_by(mut self, mut matches: &ArgMatches) -> Self {
        while let Some((_, inner)) = matches.subcommand() {
            matches = inner;
        }
        let settings = Config::command();
        for secret in settings.get_arguments().filter(|argument| argument.is_hide_env_values_set())
        {
            let raw = matches.try_get_raw(secret.get_id().as_str()).ok().flatten();
            let mut texts = raw.into_iter().flatten().filter_map(|raw| raw.to_str());
            if texts.any(|text| trimmed(text) != text) {
                self.trimmed.extend(variable(secret).map(str::to_owned));
            }
        }
        let typed = |id: &Id| {
            matches.try_contains_id(id.as_str()).is_ok()
                && matches.value_source(id.as_str()) == Some(ValueSource::CommandLine)
        };
        self.misread.retain(|misread| !typed(&misread.argument));
        self
    }

    /// Variables whose values cannot be read.
    #[must_use]
    pub fn misread(&self) -> &[Misread] {
        &self.misread
    }

    /// What cannot be read of these variables, in words for the operator.
    #[must_use]
    pub fn misread_of(&self, variables: &[&str]) -> Vec<String> {
        let misread = self.misread.iter();
        let misread = misread.filter(|misread| variables.contains(&misread.variable.as_str()));
        misread.map(Misread::to_string).collect()
    }

    /// Variables that look like settings, and are none.
    #[must_use]
    pub fn unknown(&self) -> &[Unknown] {
        &self.unknown
    }

    /// Secrets that had white space around them, which does not count, by their variables.
    #[must_use]
    pub fn trimmed(&self) -> &[String] {
        &self.trimmed
    }

    /// How many threads the runtime is to have, where that is set.
    #[must_use]
    pub fn worker_threads(&self) -> Option<usize> {
        self.worker_threads
    }

    /// All that is to be corrected in the settings, in words for the operator: what cannot be read, and
    /// what does not fit together in the rest.
    #[must_use]
    pub fn faults(&self, config: &Config) -> Vec<String> {
        let contradictions = config.check().err().unwrap_or_default();
        let contradictions = contradictions.iter().map(ConfigError::to_string);
        // A complaint about a variable that could not be read is about its default.
        let is_founded =
            |text: &String| !self.misread.iter().any(|misread| text.contains(&misread.variable));
        let misread = self.misread.iter().map(Misread::to_string);
        misread.chain(contradictions.filter(is_founded)).collect()
    }

    fn judge(&mut self, name: &str, argument: &Arg, value: &OsStr) {
        let reason = if is_blank(value) { None } else { refusal(argument, value) };
        if is_blank(value) || reason.is_some() {
            self.left_out.insert(name.to_owned());
        }
        if let Some(reason) = reason {
            // An address may hold a password, and no other reason is ever given for one.
            let is_hidden = argument.is_hide_env_values_set() || is_of_form(&reason);
            let value = (!is_hidden).then(|| value.to_string_lossy().into_owned());
            let (variable, argument) = (name.to_owned(), argument.get_id().clone());
            self.misread.push(Misread { variable, argument, value, reason });
        }
    }
}

impl fmt::Display for Misread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.variable)?;
        if let Some(value) = &self.value {
            let (shown, is_cut) = match value.char_indices().nth(SHOWN_CHARS) {
                Some((end, _)) => (&value[..end], "…"),
                None => (value.as_str(), ""),
            };
            write!(f, " is {shown:?}{is_cut}, and")?;
        }
        write!(f, " {}", self.reason)
    }
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not a setting, and has no effect", self.variable)?;
        self.nearest.as_ref().map_or(Ok(()), |name| write!(f, "; did you mean {name}?"))
    }
}

fn variable(argument: &Arg) -> Option<&str> {
    argument.get_env()?.to_str()
}

fn is_blank(value: &OsStr) -> bool {
    value.to_str().is_some_and(|text| trimmed(text).is_empty())
}

/// Names that are ours and no flag's.
fn is_known(name: &str) -> bool {
    name == private_postgres::BINARIES_VARIABLE
        || cfg!(debug_assertions) && name == crate::supervisor::PANIC_VARIABLE
}

/// Why a setting does not take that value, if so. Its own parser is asked, in a command that knows
/// nothing else.
fn refusal(argument: &Arg, value: &OsStr) -> Option<String> {
    let mut typed = OsString::from(format!("--{}=", argument.get_long()?));
    typed.push(value);
    let alone = Command::new("alone").arg(argument.clone().env(Resettable::Reset));
    let error = alone.try_get_matches_from([OsString::from("alone"), typed]).err()?;
    let allowed = argument.get_possible_values();
    let allowed: Vec<_> =
        allowed.iter().filter(|value| !value.is_hide_set()).map(PossibleValue::get_name).collect();
    Some(match error.source() {
        _ if error.kind() == ErrorKind::InvalidUtf8 => "must be text in UTF-8".to_owned(),
        _ if !allowed.is_empty() => format!("must be {}", allowed.join(" or ")),
        Some(reason) => reason.to_string(),
        None => format!("cannot be read ({})", error.kind()),
    })
}

/// The setting whose name is most like that one. What all names begin with is no likeness.
fn nearest<'a>(name: &str, settings: impl Iterator<Item = &'a str>) -> Option<String> {
    let own = |name: &'a str| name.strip_prefix(PREFIX).unwrap_or(name);
    let name = name.strip_prefix(PREFIX).unwrap_or(name);
    settings
        .map(|setting| (strsim::jaro_winkler(name, own(setting)), setting))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, setting)| setting.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use clap::FromArgMatches;

    use super::*;

    fn read(variables: &[(&str, &str)]) -> Environment {
        Environment::read(variables.iter().map(|(name, value)| (name.into(), value.into())))
    }

    fn misread(variables: &[(&str, &str)]) -> Vec<String> {
        read(variables).misread().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn all_unreadable_variables_are_reported_at_once_by_name() {
        let long = "x".repeat(1000);
        let said = misread(&[
            ("DASHBOARD_LOG_FORMAT", "jsn"),
            ("DASHBOARD_BEHIND_PROXY", "perhaps"),
            ("DASHBOARD_BIND", "localhost:9112"),
            ("DASHBOARD_MAX_SOCKETS", "0"),
            ("DASHBOARD_POLL_INTERVAL_MS", "-1"),
            ("DASHBOARD_DRAIN_WINDOW_MS", &long),
            ("OTEL_TRACES_SAMPLER_ARG", "NaN"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "18446744073709551615"),
            ("TOKIO_WORKER_THREADS", "0"),
            ("OTEL_BSP_SCHEDULE_DELAY", "5000"),
            ("DASHBOARD_DATABASE_CONNECTIONS", "20"),
        ]);
        let expected = [
            "DASHBOARD_BEHIND_PROXY is \"perhaps\", and must be true or false".to_owned(),
            "DASHBOARD_BIND is \"localhost:9112\", and must be an IP address with a port, such as \
             127.0.0.1:9112 or [::1]:9112 (names such as localhost are not looked up)"
                .to_owned(),
            format!(
                "DASHBOARD_DRAIN_WINDOW_MS is \"{}\"…, and must be a whole number from 0 to 600000",
                &long[..80]
            ),
            "DASHBOARD_LOG_FORMAT is \"jsn\", and must be pretty or json".to_owned(),
            "DASHBOARD_MAX_SOCKETS is \"0\", and must be a whole number from 1 to 10000000"
                .to_owned(),
            "DASHBOARD_POLL_INTERVAL_MS is \"-1\", and must be a whole number from 1 to 10000"
                .to_owned(),
            "OTEL_BSP_MAX_QUEUE_SIZE is \"18446744073709551615\", and must be a whole number from 1 to 100000".to_owned(),
            "OTEL_TRACES_SAMPLER_ARG is \"NaN\", and must be a number from 0 to 1".to_owned(),
            "TOKIO_WORKER_THREADS is \"0\", and must be a whole number from 1 to 1024".to_owned(),
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn values_that_are_no_text_are_reported_without_secrets() {
        let odd = || OsString::from_vec(vec![b'h', 0xff]);
        let names = ["DASHBOARD_JWT_HS256_SECRET", "DASHBOARD_JWT_ISSUER"];
        let environment = Environment::read(names.map(|name| (name.into(), odd())));
        let said: Vec<_> = environment.misread().iter().map(ToString::to_string).collect();
        let expected = [
            "DASHBOARD_JWT_HS256_SECRET must be text in UTF-8",
            "DASHBOARD_JWT_ISSUER is \"h\u{fffd}\", and must be text in UTF-8",
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn values_in_quotation_marks_are_reported_without_the_value() {
        let said = misread(&[
            ("DASHBOARD_ALLOWED_ORIGINS", "'https://a.example,https://b.example'"),
            ("DASHBOARD_JWT_HS256_SECRET", "\"hush\"\n"),
            ("DASHBOARD_JWT_JWKS_URL", "\"https://u:hush@idp.example/keys\""),
            ("DASHBOARD_JWT_ISSUER", "https://hush\nhttps://hush"),
            ("DASHBOARD_MAX_SOCKETS", " 5\r\n"),
            ("OTEL_BSP_SCHEDULE_DELAY", "5000\n"),
            ("TOKIO_WORKER_THREADS", "2\n"),
        ]);
        let names = ["ALLOWED_ORIGINS", "JWT_HS256_SECRET", "JWT_ISSUER", "JWT_JWKS_URL"];
        for (line, name) in said.iter().zip(names) {
            assert!(line.starts_with(&format!("DASHBOARD_{name} must ")), "{said:?}");
            assert!(!line.contains("hush") && !line.contains("example"), "{said:?}");
        }
        // A library reads it as it is.
        let last =
            "OTEL_BSP_SCHEDULE_DELAY is \"5000\\n\", and must be a whole number from 1 to 3600000";
        assert_eq!(said[names.len()..], [last]);
    }

    #[test]
    fn secrets_with_white_space_around_them_are_named_wherever_they_come_from() {
        let named = |line: &[&str], variables: &[(&str, &str)]| {
            let environment = read(variables);
            let command = Command::new("all").subcommand(Config::command().name("inner"));
            let line = ["all", "inner"].iter().chain(line);
            let matches = environment.prepare(command).try_get_matches_from(line).unwrap();
            environment.completed_by(&matches).trimmed().to_vec()
        };
        let secret = "DASHBOARD_JWT_HS256_SECRET";
        assert_eq!(named(&["--jwt-hs256-secret", "hush "], &[]), [secret]);
        let none: [String; 0] = [];
        assert_eq!(named(&["--jwt-hs256-secret", "hush", "--log", "info "], &[]), none);
        assert_eq!(named(&[], &[(secret, "\n")]), none);
    }

    #[test]
    fn the_runtime_gets_the_configured_number_of_threads() {
        let threads = |value| read(&[("TOKIO_WORKER_THREADS", value)]).worker_threads();
        assert_eq!([" 3\n", "", "\n", "no"].map(threads), [Some(3), None, None, None]);
    }

    #[test]
    fn every_setting_may_be_set_to_nothing() {
        let settings = Config::command();
        let names: Vec<_> = settings.get_arguments().filter_map(variable).collect();
        assert!(names.len() > 30);
        for blank in ["", "  ", "\r\n", "\u{feff}"] {
            let all: Vec<_> = names.iter().map(|name| (*name, blank)).collect();
            let environment = read(&all);
            assert_eq!(environment.misread(), []);
            assert!(names.iter().all(|name| environment.left_out.contains(*name)));
            let left = environment.prepare(Config::command());
            assert_eq!(left.get_arguments().find_map(variable), None);
        }
    }

    #[test]
    fn the_command_line_overrules_what_cannot_be_read() {
        let environment = read(&[("DASHBOARD_LOG_FORMAT", "jsn"), ("DASHBOARD_BIND", "here")]);
        let command = environment.prepare(Config::command());
        let line = ["dashboard-server", "--log-format", "json"];
        let matches = command.try_get_matches_from(line).unwrap();
        let config = Config::from_arg_matches(&matches).unwrap();
        assert_eq!(config.log_format, crate::config::LogFormat::Json);
        let environment = environment.completed_by(&matches);
        let left: Vec<_> = environment.misread().iter().map(|m| m.variable.as_str()).collect();
        assert_eq!(left, ["DASHBOARD_BIND"]);
    }

    #[test]
    fn defaults_are_not_blamed_for_what_could_not_be_read() {
        let environment = read(&[("DASHBOARD_DATABASE_CONNECTIONS", "many")]);
        let mut config = <Config as clap::Parser>::parse_from(["dashboard-server"]);
        config.jwt_hs256_secret = Some(crate::Secret::from("short".to_owned()));
        config.refresh_concurrency = 20;
        let faults = environment.faults(&config);
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].starts_with("DASHBOARD_DATABASE_CONNECTIONS is \"many\""), "{faults:?}");
        assert!(faults[1].starts_with("DASHBOARD_JWT_HS256_SECRET must have"), "{faults:?}");
    }

    #[test]
    fn unknown_names_are_reported_with_the_nearest_one() {
        let names = [
            ("DASHBOARD_BIND", None),
            ("DASHBOARD_PG_BIN", None),
            ("DASHBOARD_TLS_CERTIFICATE", Some("DASHBOARD_TLS_CERT")),
            ("DASHBOARD_JWT_HS265_SECRET", Some("DASHBOARD_JWT_HS256_SECRET")),
            ("DASHBOARD_JWT_JWKS", Some("DASHBOARD_JWT_JWKS_URL")),
            ("DASHBOARD_DATABASE_URL", Some("DATABASE_URL")),
            ("DASHBOARD_ALLOWED_ORIGIN", Some("DASHBOARD_ALLOWED_ORIGINS")),
            ("DASHBOARD_LOGLEVEL", Some("DASHBOARD_LOG")),
            ("DASHBOARD_BASEPATH", Some("DASHBOARD_BASE_PATH")),
            ("DASHBOARD_X", Some("")),
            ("OTHER_BIND", None),
        ];
        let environment = read(&names.map(|(name, _)| (name, "127.0.0.1:1")));
        for (name, nearest) in names {
            let said = environment.unknown().iter().find(|unknown| unknown.variable == name);
            let said = said.map(|unknown| unknown.nearest.as_deref().unwrap_or_default());
            assert_eq!(said, nearest, "{name}");
        }
    }
}
