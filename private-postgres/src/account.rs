//! Chooses the account that the server runs under: our own, or an unprivileged one when we are root,
//! because `PostgreSQL` refuses to run as root.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Error;
use crate::files::Layout;

/// Whom to run `PostgreSQL`'s programs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Account {
    /// As ourselves.
    Own,
    /// We are root: as this one.
    Other { name: String, uid: u32, gid: u32 },
}

impl Account {
    /// Chooses for a program whose files in the data directory show who it is. As root, data that
    /// exists stays with its owner. Data of an account that the server cannot run under is refused
    /// here: `PostgreSQL` would only say that its owner is wrong.
    pub(crate) fn choose(layout: &Layout) -> Result<Self, Error> {
        let uid = effective_uid(&layout.root).map_err(|error| explain(error, layout))?;
        Self::of(uid, layout)
    }

    /// The same without a file, where the system says who we are.
    pub(crate) fn foresee(layout: &Layout) -> Result<Self, Error> {
        owner(Path::new("/proc/self")).map_or(Ok(Self::Own), |uid| Self::of(uid, layout))
    }

    fn of(uid: u32, layout: &Layout) -> Result<Self, Error> {
        let owner = owner(&layout.cluster());
        let account = if uid == 0 {
            Self::among(&accounts(), owner.unwrap_or(0)).ok_or(Error::NoAccount)?
        } else {
            Self::Own
        };
        let runs_as = if let Self::Other { uid, .. } = account { uid } else { uid };
        match owner {
            Some(owner) if owner != runs_as => Err(foreign(owner, layout)),
            _ => Ok(account),
        }
    }

    fn among(accounts: &str, owner: u32) -> Option<Self> {
        let find = |fits: &dyn Fn(&str, u32) -> bool| {
            accounts.lines().find_map(|line| {
                let mut fields = line.split(':');
                let (name, _password) = (fields.next()?, fields.next()?);
                let uid = fields.next()?.parse().ok()?;
                let gid = fields.next()?.parse().ok()?;
                (uid != 0 && fits(name, uid)).then(|| Self::Other { name: name.into(), uid, gid })
            })
        };
        find(&|_, uid| uid == owner)
            .or_else(|| find(&|name, _| name == "postgres"))
            .or_else(|| find(&|name, _| name == "nobody"))
    }

    /// Makes a command run as this account.
    pub(crate) fn apply(&self, command: &mut Command) {
        if let Self::Other { uid, gid, .. } = self {
            command.uid(*uid).gid(*gid);
        }
    }

    /// Makes a folder for this account alone, or takes an existing one over.
    pub(crate) fn own_folder(&self, folder: &Path) -> Result<(), Error> {
        if !folder.is_dir() {
            fs::create_dir(folder).map_err(Error::io("create the folder", folder))?;
        }
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
            .map_err(Error::io("set the mode of", folder))?;
        if let Self::Other { uid, gid, .. } = self {
            chown(folder, Some(*uid), Some(*gid))
                .map_err(Error::io("change the owner of", folder))?;
        }
        Ok(())
    }

    /// Checks that this account may enter every folder above `path`: `PostgreSQL`'s own message
    /// does not say which one is closed.
    pub(crate) fn check_reach(&self, path: &Path) -> Result<(), Error> {
        let Self::Other { name, uid, gid } = self else { return Ok(()) };
        let closed = path.ancestors().skip(1).find(|folder| {
            fs::metadata(folder).is_ok_and(|meta| {
                let mode = meta.mode();
                let may_enter = match () {
                    () if meta.uid() == *uid => mode & 0o100,
                    () if meta.gid() == *gid => mode & 0o010,
                    () => mode & 0o001,
                };
                may_enter == 0
            })
        });
        closed.map_or(Ok(()), |folder| {
            Err(Error::Unreachable { folder: PathBuf::from(folder), account: name.clone() })
        })
    }
}

/// What an error in the data directory means: something there that may not be written to is another
/// account's.
pub(crate) fn explain(error: Error, layout: &Layout) -> Error {
    let Error::Io { path, source, .. } = &error else { return error };
    if source.kind() != ErrorKind::PermissionDenied {
        return error;
    }
    // What is not there could not be made: then it is the folder that is another's. What is our own
    // was closed by its mode, and the error says so already.
    let owner_of =
        |path: &Path| owner(path).filter(|uid| owner(Path::new("/proc/self")) != Some(*uid));
    let theirs = if path.exists() { owner_of(path) } else { owner_of(&layout.root) };
    theirs.map_or(error, |owner| foreign(owner, layout))
}

fn foreign(owner: u32, layout: &Layout) -> Error {
    let owner = name(&accounts(), owner).unwrap_or_else(|| format!("number {owner}"));
    Error::Foreign { data_dir: layout.root.clone(), owner }
}

fn owner(path: &Path) -> Option<u32> {
    fs::metadata(path).ok().map(|meta| meta.uid())
}

fn accounts() -> String {
    fs::read_to_string("/etc/passwd").unwrap_or_default()
}

fn name(accounts: &str, uid: u32) -> Option<String> {
    let uid = uid.to_string();
    let mut lines = accounts.lines().map(|line| line.split(':'));
    lines.find_map(|mut fields| {
        let name = fields.next()?;
        (fields.nth(1) == Some(uid.as_str())).then(|| name.to_owned())
    })
}

/// Our user id, by the owner of a file that we have just made: the standard library has no call
/// for it.
fn effective_uid(data_dir: &Path) -> Result<u32, Error> {
    let probe = data_dir.join(format!("account-{}", std::process::id()));
    let made = fs::File::create(&probe).and_then(|file| file.metadata());
    let uid = made.map_err(Error::io("write to", data_dir))?.uid();
    fs::remove_file(&probe).map_err(Error::io("remove", &probe))?;
    Ok(uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNTS: &str = "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n\
                            ada:x:1000:1001::/home/ada:/bin/sh\nbroken\n\
                            postgres:x:101:104::/var/lib/postgresql:/bin/bash\n";

    fn name(account: Option<Account>) -> Option<String> {
        match account {
            Some(Account::Other { name, .. }) => Some(name),
            _ => None,
        }
    }

    #[test]
    fn accounts_have_names() {
        assert_eq!(super::name(ACCOUNTS, 1000).as_deref(), Some("ada"));
        assert_eq!(super::name(ACCOUNTS, 1001), None, "a group's number is none of an account");
    }

    #[test]
    fn as_root_the_owner_of_the_data_comes_first_then_postgres_then_nobody() {
        assert_eq!(name(Account::among(ACCOUNTS, 1000)).as_deref(), Some("ada"));
        assert_eq!(name(Account::among(ACCOUNTS, 0)).as_deref(), Some("postgres"));
        let without = ACCOUNTS.replace("postgres:", "mysql:");
        assert_eq!(name(Account::among(&without, 0)).as_deref(), Some("nobody"));
        assert_eq!(Account::among("root:x:0:0::/root:/bin/sh\n", 0), None);
    }
}
