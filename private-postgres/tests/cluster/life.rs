//! Tests a cluster from its first start to its last stop, with one owner that behaves.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::{Folder, mode};
use private_postgres::{Cluster, Error, running_url};

#[test]
fn data_survives_a_restart() {
    let folder = Folder::new();
    let mut steps = Vec::new();
    let first = Cluster::start(&folder.options(), &mut |step| steps.push(step.to_owned())).unwrap();
    assert!(steps.iter().any(|step| step.starts_with("Initialising a private PostgreSQL")));
    first.execute("create table kept (n int)").unwrap();
    first.execute("insert into kept values (7)").unwrap();
    let first_url = first.url("dashboard");
    first.stop().unwrap();
    assert!(!folder.file("url").exists());

    let again = Cluster::start(&folder.options(), &mut |step| panic!("{step}")).unwrap();
    again.execute("select 1 / (select count(*) from kept where n = 7)").unwrap();
    assert_ne!(again.url("dashboard"), first_url, "the password is new at each start");
}

#[test]
fn dropping_the_cluster_stops_the_server() {
    let folder = Folder::new();
    let cluster = folder.start().unwrap();
    let pid = cluster.pid().unwrap();
    assert!(crate::support::serves(pid, &folder));
    drop(cluster);
    assert!(!crate::support::serves(pid, &folder));
    assert!(!folder.file("cluster/postmaster.pid").exists(), "it stopped cleanly");
}

#[test]
fn creating_a_database_that_exists_changes_nothing() {
    let folder = Folder::new();
    let cluster = folder.start().unwrap();
    cluster.create_database("it's \"odd\"").unwrap();
    cluster.create_database("it's \"odd\"").unwrap();
    let error = cluster.create_database("bad\0name").unwrap_err();
    assert!(matches!(error, Error::Sql { .. } | Error::Failed { .. }), "{error}");
    let error = cluster.execute("select 1 / 0").unwrap_err();
    assert_eq!(error.to_string(), "PostgreSQL refused (22012): division by zero");
}

#[test]
fn the_network_side_is_loopback_and_asks_for_scram() {
    let folder = Folder::new();
    let durable = private_postgres::Options::new(&folder.0);
    let cluster = private_postgres::Cluster::start(&durable, &mut |_| {}).unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", cluster.port())).unwrap();
    let mut startup = vec![0, 0, 0, 0, 0, 3, 0, 0];
    startup.extend_from_slice(b"user\0dashboard\0database\0postgres\0\0");
    startup[3] = u8::try_from(startup.len()).unwrap();
    stream.write_all(&startup).unwrap();
    let mut answer = [0; 9];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!((answer[0], answer[8]), (b'R', 10), "AuthenticationSASL");

    let listening = fs::read_to_string(folder.file("cluster/postmaster.pid")).unwrap();
    assert_eq!(listening.lines().nth(5), Some("127.0.0.1"));
}

#[test]
fn the_address_of_a_running_cluster_is_for_its_owner_only() {
    let folder = Folder::new();
    assert_eq!(running_url(&folder.0), None);
    let cluster = folder.start().unwrap();
    assert_eq!(running_url(&folder.0), Some(cluster.url("dashboard")));
    assert_eq!(mode(&folder.file("url")), 0o600);
    assert_eq!(mode(&folder.file("cluster")), 0o700);
    assert_eq!(mode(&folder.file("postgres.log")), 0o600);
    cluster.stop().unwrap();
    assert_eq!(running_url(&folder.0), None);
    assert_eq!(running_url(&folder.file("nowhere")), None);
}

/// They show it to all who run under their account, and to superusers by SQL.
#[cfg(target_os = "linux")]
#[test]
fn the_server_does_not_get_its_owners_secrets() {
    use crate::support::{Owner, command, server_pid};

    let folder = Folder::new();
    let mut command = command(&folder);
    let secrets = ["DASHBOARD_JWT_HS256_SECRET", "DATABASE_URL", "PGPASSWORD", "NOTIFY_SOCKET"];
    command.envs(secrets.map(|name| (name, "hush"))).env("LC_TIME", "C");
    let owner = Owner::started_by(command);
    let server = fs::read(format!("/proc/{}/environ", server_pid(&folder))).unwrap();
    owner.stop();
    let server = String::from_utf8_lossy(&server);
    let names: Vec<_> =
        server.split_terminator('\0').map(|v| v.split('=').next().unwrap()).collect();
    assert!(!server.contains("hush"), "{names:?}");
    for kept in ["PATH", "LC_TIME", "LC_ALL"] {
        assert!(names.contains(&kept), "{kept} {names:?}");
    }
}

#[test]
fn a_folder_with_a_long_path_works() {
    let folder = Folder::new();
    let deep = folder.0.join("long-".repeat(20)).join("name-".repeat(20));
    let options = private_postgres::Options::throwaway(&deep);
    let cluster = Cluster::start(&options, &mut |_| {}).unwrap();
    cluster.execute("select 1").unwrap();
}

#[test]
fn many_clusters_start_at_once() {
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let folder = Folder::new();
                let cluster = folder.start().unwrap();
                cluster.execute("select 1").unwrap();
            });
        }
    });
}
