//! Finds out what would keep a cluster from starting, without changing anything.

use std::env;

use crate::account::{self, Account};
use crate::binaries;
use crate::error::Error;
use crate::files::{self, Layout};
use crate::{Options, npm};

/// Where a start would have its programs from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// They are here.
    Installed,
    /// They would be fetched by npm, which takes a network.
    Fetched,
}

/// Whether a cluster can be started, as far as that shows without changing anything. It checks whether another
/// program has the folder, whose data it is, which account the server would run under, and where its programs
/// are. The caller checks whether the folder may be written to. Only the start shows that the server does start.
///
/// Blocks for some milliseconds. Call it from a thread that may.
///
/// # Errors
///
/// What [`Cluster::start`](crate::Cluster::start) would say.
pub fn look(options: &Options) -> Result<Outlook, Error> {
    let root = std::path::absolute(&options.data_dir);
    let root = root.map_err(Error::io("open the folder", &options.data_dir))?;
    // It may not be there yet.
    let layout = Layout::open(&root).unwrap_or(Layout { root });
    files::is_free(&layout).map_err(|error| account::explain(error, &layout))?;
    // A start opens this folder to the account, and those above stay as they are.
    Account::foresee(&layout)?.check_reach(&layout.root)?;
    let mut tried = Vec::new();
    let wanted = layout.cluster_version();
    if binaries::installed(options, wanted, &mut tried).is_some() {
        return Ok(Outlook::Installed);
    }
    if options.binaries.is_none() {
        let path = env::var_os("PATH").unwrap_or_default();
        let has_npm = env::split_paths(&path).any(|folder| folder.join("npm").is_file());
        match npm::foresee(&layout.npm(), wanted) {
            Ok(true) => return Ok(Outlook::Installed),
            Ok(false) if has_npm => return Ok(Outlook::Fetched),
            Ok(false) => tried.push("npm: is not there".to_owned()),
            Err(why) => tried.push(why),
        }
    }
    Err(Error::NoBinaries { wanted, tried })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_folder_that_is_not_there_is_not_made() {
        let folder = env::temp_dir().join(format!("outlook-{}", std::process::id()));
        let mut options = Options::new(folder.join("deep"));
        options.binaries = Some(Path::new("/nowhere").to_owned());
        let error = look(&options).unwrap_err();
        assert!(matches!(error, Error::NoBinaries { wanted: None, .. }), "{error}");
        assert!(!folder.exists());
    }
}
