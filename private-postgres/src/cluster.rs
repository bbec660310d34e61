//! Runs a cluster, from start to stop.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::account::{self, Account};
use crate::error::Error;
use crate::files::{self, Layout};
use crate::postmaster::{self, Postmaster, Runner};
use crate::{Durability, Options, admin, binaries};

/// The database of the address that [`running_url`] tells.
const DATABASE: &str = "dashboard";
/// `SQLSTATE` of a database that exists, as `CREATE DATABASE` tells it, alone or in a race.
const EXISTS: [&str; 2] = ["42P04", "23505"];

/// A cluster that runs as long as this value lives. Dropping it stops the server.
#[derive(Debug)]
pub struct Cluster {
    runner: Runner,
    durability: Durability,
    postmaster: Option<Postmaster>,
    port: u16,
    password: String,
    /// Held until the server has ended.
    _lock: File,
}

impl Cluster {
    /// Starts the cluster, and makes what is missing. Takes a second or two the first time, some
    /// 50 ms later. `progress` gets a sentence for each step that a person may have to wait for.
    ///
    /// Blocks. Call it from a thread that may.
    ///
    /// # Errors
    ///
    /// See [`Error`]. Each says what to do.
    pub fn start(options: &Options, progress: &mut dyn FnMut(&str)) -> Result<Self, Error> {
        let layout = Layout::create(&options.data_dir)?;
        let lock = files::take(&layout).map_err(|error| account::explain(error, &layout))?;
        files::remove(&layout.url()).map_err(|error| account::explain(error, &layout))?;
        let account = Account::choose(&layout)?;
        if account != Account::Own {
            // The server's account must get through to its own folder and no further.
            fs::set_permissions(&layout.root, fs::Permissions::from_mode(0o711))
                .map_err(Error::io("set the mode of", &layout.root))?;
            account.check_reach(&layout.cluster())?;
        }
        let binaries = binaries::find(options, &layout, progress)?;
        let runner = Runner { binaries, account, layout };
        runner.prepare(options.durability, progress)?;
        let durability = options.durability;
        let (postmaster, port) = runner.launch(durability, None)?;
        let (postmaster, password) = (Some(postmaster), random_password()?);
        let cluster = Self { runner, durability, postmaster, port, password, _lock: lock };
        cluster.publish()?;
        Ok(cluster)
    }

    /// The address of a database of this cluster, with the password. The database need not exist.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        let (role, password, port) = (admin::ROLE, &self.password, self.port);
        let database = percent_encoded(database);
        format!("postgres://{role}:{password}@127.0.0.1:{port}/{database}")
    }

    /// The TCP port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The major version of the server, such as 15.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.runner.binaries.major
    }

    /// The folder of the programs in use.
    #[must_use]
    pub fn binaries(&self) -> &Path {
        &self.runner.binaries.folder
    }

    /// The process id of the server.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.postmaster.as_ref().map(Postmaster::pid)
    }

    /// Creates a database. One that exists is left as it is.
    ///
    /// # Errors
    ///
    /// [`Error::Sql`] where the server refuses, such as for a name that is too long.
    pub fn create_database(&self, name: &str) -> Result<(), Error> {
        match self.execute(&format!("create database {}", admin::identifier(name))) {
            Err(Error::Sql { code, .. }) if EXISTS.contains(&code.as_str()) => Ok(()),
            outcome => outcome,
        }
    }

    /// Runs a statement as the cluster's owner in the database `postgres`, and drops what it returns.
    ///
    /// # Errors
    ///
    /// [`Error::Sql`] where the server refuses.
    pub fn execute(&self, statement: &str) -> Result<(), Error> {
        admin::execute(&self.runner.layout.cluster(), self.port, statement)
    }

    /// Whether the server has ended without us: it crashed, or another process killed it.
    pub fn has_ended(&mut self) -> bool {
        self.postmaster.as_mut().is_none_or(Postmaster::has_ended)
    }

    /// Starts a server that has ended again, and waits until it has recovered. Address and password
    /// stay as they were, unless another program has taken the port in between.
    ///
    /// Blocks. Call it from a thread that may.
    ///
    /// # Errors
    ///
    /// See [`Error`]. It may be tried again.
    pub fn restart(&mut self) -> Result<(), Error> {
        if let Some(mut former) = self.postmaster.take() {
            former.stop(&self.runner)?;
        }
        self.runner.prepare(self.durability, &mut |_| {})?;
        let (postmaster, port) = self.runner.launch(self.durability, Some(self.port))?;
        (self.postmaster, self.port) = (Some(postmaster), port);
        files::write_private(&self.runner.layout.url(), &format!("{}\n", self.url(DATABASE)))
    }

    /// Stops the server: its connections are ended, what was committed is kept.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] where the operating system does not let us end it.
    pub fn stop(mut self) -> Result<(), Error> {
        self.end()
    }

    fn publish(&self) -> Result<(), Error> {
        let role = admin::identifier(admin::ROLE);
        self.execute(&format!("alter role {role} password '{}'", self.password))?;
        files::write_private(&self.runner.layout.url(), &format!("{}\n", self.url(DATABASE)))
    }

    fn end(&mut self) -> Result<(), Error> {
        let Some(mut postmaster) = self.postmaster.take() else { return Ok(()) };
        files::remove(&self.runner.layout.url())?;
        postmaster.stop(&self.runner)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // There is no receiver left to inform. The next start recovers what remains.
        let _ = self.end();
    }
}

/// The address of the database `dashboard` of the cluster in that folder, if it runs now, whichever
/// program owns it.
#[must_use]
pub fn running_url(data_dir: &Path) -> Option<String> {
    let layout = Layout::open(data_dir).ok()?;
    let url = fs::read_to_string(layout.url()).ok()?;
    postmaster::is_running(&layout.cluster()).then(|| url.trim().to_owned())
}

impl Runner {
    /// Brings the cluster's folder into a state that a server can start from.
    fn prepare(&self, durability: Durability, progress: &mut dyn FnMut(&str)) -> Result<(), Error> {
        let cluster = self.layout.cluster();
        if !cluster.exists() {
            progress(&format!(
                "Initialising a private PostgreSQL {} in {}.",
                self.binaries.major,
                self.layout.root.display()
            ));
            return self.initialise(admin::ROLE, durability);
        }
        if self.stop_orphan()? {
            progress("Stopped a private PostgreSQL that an earlier run had left behind.");
        }
        Ok(())
    }
}

/// 192 random bits as text that needs no escaping anywhere.
fn random_password() -> Result<String, Error> {
    let source = PathBuf::from("/dev/urandom");
    let mut bytes = [0; 24];
    let read = File::open(&source).and_then(|mut random| random.read_exact(&mut bytes));
    read.map_err(Error::io("read", &source))?;
    Ok(bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(hex_digit).collect())
}

fn hex_digit(value: u8) -> char {
    char::from(b"0123456789abcdef"[usize::from(value)])
}

fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push(hex_digit(byte >> 4).to_ascii_uppercase());
            encoded.push(hex_digit(byte & 15).to_ascii_uppercase());
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_differ_and_need_no_escaping() {
        let (one, two) = (random_password().unwrap(), random_password().unwrap());
        assert_ne!(one, two);
        assert!(one.len() == 48 && one.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }

    #[test]
    fn names_in_addresses_are_encoded() {
        assert_eq!(percent_encoded("dash_board-1"), "dash_board-1");
        assert_eq!(percent_encoded("a/b ü"), "a%2Fb%20%C3%BC");
    }
}
