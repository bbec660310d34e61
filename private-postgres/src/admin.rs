//! Sends one statement to our own server, over its Unix socket.
//!
//! The socket lies in the cluster's folder, which only the server's account (and root) can enter. So
//! the server trusts each process that reaches the socket, and asks for no password. The module speaks
//! only the part of the frontend protocol that a statement without result rows needs.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::error::Error;

/// The role that owns the cluster.
pub(crate) const ROLE: &str = "dashboard";

const PROTOCOL_3: i32 = 196_608;
const PATIENCE: Duration = Duration::from_mins(1);
const MESSAGE_MAX: usize = 1 << 20;

/// Runs a statement in the database `postgres`.
pub(crate) fn execute(cluster: &Path, port: u16, statement: &str) -> Result<(), Error> {
    let said = |error: io::Error| Error::Failed {
        doing: "talk to the PostgreSQL server",
        said: error.to_string(),
    };
    let mut stream = connect(cluster, port).map_err(said)?;
    stream.write_all(&startup()).map_err(said)?;
    until_ready(&mut stream).map_err(said)??;
    stream.write_all(&message(b'Q', statement)).map_err(said)?;
    until_ready(&mut stream).map_err(said)?
}

/// Quotes an identifier.
pub(crate) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn connect(cluster: &Path, port: u16) -> io::Result<UnixStream> {
    let name = format!(".s.PGSQL.{port}");
    // A socket's path has room for about 100 bytes. Through /proc it is short wherever it lies.
    let folder = File::open(cluster)?;
    let short = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string());
    let path = if short.exists() { short } else { cluster.to_owned() };
    let stream = UnixStream::connect(path.join(name))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn startup() -> Vec<u8> {
    let parameters = format!("user\0{ROLE}\0database\0postgres\0\0");
    let mut body = PROTOCOL_3.to_be_bytes().to_vec();
    body.extend_from_slice(parameters.as_bytes());
    with_length(&body)
}

fn message(kind: u8, text: &str) -> Vec<u8> {
    let mut body = text.as_bytes().to_vec();
    body.push(0);
    let mut bytes = vec![kind];
    bytes.extend(with_length(&body));
    bytes
}

fn with_length(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("statements are short");
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend_from_slice(body);
    bytes
}

/// Reads answers up to `ReadyForQuery`. A refusal of the connection has no such end.
fn until_ready(stream: &mut impl Read) -> io::Result<Result<(), Error>> {
    let mut outcome = Ok(());
    loop {
        let mut head = [0; 5];
        match stream.read_exact(&mut head) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && outcome.is_err() => {
                return Ok(outcome);
            }
            read => read?,
        }
        let [kind, length @ ..] = head;
        let length = u32::from_be_bytes(length) as usize;
        if !(4..=MESSAGE_MAX).contains(&length) {
            return Err(io::Error::other("it does not speak the protocol of PostgreSQL"));
        }
        let mut body = vec![0; length - 4];
        stream.read_exact(&mut body)?;
        match kind {
            b'Z' => return Ok(outcome),
            b'E' => outcome = Err(refusal(&body)),
            b'R' if body != [0; 4] => {
                return Err(io::Error::other("it asks for a password on its own socket"));
            }
            _ => {}
        }
    }
}

fn refusal(body: &[u8]) -> Error {
    let field = |kind: u8| {
        let fields = body.split(|byte| *byte == 0);
        let found =
            fields.filter_map(|field| field.split_first()).find(|(first, _)| **first == kind);
        found.map(|(_, text)| String::from_utf8_lossy(text).into_owned()).unwrap_or_default()
    };
    Error::Sql { code: field(b'C'), message: field(b'M') }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READY: &[u8] = b"Z\0\0\0\x05I";

    #[test]
    fn a_refused_statement_gives_code_and_message() {
        let body = b"SERROR\0C42P04\0Mdatabase \"x\" already exists\0\0";
        let mut wire = vec![b'E'];
        wire.extend(with_length(body));
        wire.extend(READY);
        let outcome = until_ready(&mut wire.as_slice()).unwrap();
        let Err(Error::Sql { code, message }) = outcome else { panic!("{outcome:?}") };
        assert_eq!((code.as_str(), message.as_str()), ("42P04", "database \"x\" already exists"));
    }

    #[test]
    fn a_refused_connection_ends_without_ready() {
        let mut wire = vec![b'E'];
        wire.extend(with_length(b"SFATAL\0C53300\0Mtoo many clients\0\0"));
        assert!(matches!(until_ready(&mut wire.as_slice()).unwrap(), Err(Error::Sql { .. })));
    }

    #[test]
    fn a_cut_connection_and_another_protocol_are_errors() {
        assert!(until_ready(&mut [b'C', 0, 0].as_slice()).is_err());
        assert!(until_ready(&mut b"HTTP/1.1 400 Bad Request\r\n".as_slice()).is_err());
        assert!(until_ready(&mut b"R\0\0\0\x08\0\0\0\x0a".as_slice()).is_err());
    }

    #[test]
    fn identifiers_are_quoted() {
        assert_eq!(identifier("a\"b; drop"), "\"a\"\"b; drop\"");
    }
}
