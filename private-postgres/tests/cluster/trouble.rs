//! Tests owners that die, folders in use, files with false content, and missing binaries.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{
    Folder, Owner, am_root, as_ordinary_user, command, output, server_pid, serves,
};
use private_postgres::{Cluster, Error, Options, Outlook, look, running_url};

#[test]
fn a_second_program_is_refused_until_the_first_has_stopped() {
    let folder = Folder::new();
    let owner = Owner::start(&folder);
    assert!(matches!(look(&folder.options()), Err(Error::InUse { .. })));
    let error = folder.start().unwrap_err();
    assert!(matches!(error, Error::InUse { .. }));
    let text = error.to_string();
    assert!(text.starts_with("another program is using the PostgreSQL data in "), "{text}");
    assert_eq!(running_url(&folder.0), Some(owner.url.clone()), "the refused one broke nothing");
    owner.stop();
    assert_eq!(look(&folder.options()).unwrap(), Outlook::Installed);
    folder.start().unwrap();
}

#[test]
fn a_server_whose_owner_was_killed_is_replaced_and_its_data_kept() {
    let folder = Folder::new();
    folder.start().unwrap().execute("create table kept (n int)").unwrap();
    let owner = Owner::start(&folder);
    let orphan = server_pid(&folder);
    let url = owner.url.clone();
    owner.kill();
    assert!(serves(orphan, &folder), "the server outlives its owner");
    assert_eq!(running_url(&folder.0), Some(url), "and can still be reached");

    let mut steps = Vec::new();
    let cluster =
        Cluster::start(&folder.options(), &mut |step| steps.push(step.to_owned())).unwrap();
    assert_eq!(steps, ["Stopped a private PostgreSQL that an earlier run had left behind."]);
    assert!(!serves(orphan, &folder));
    cluster.execute("insert into kept values (1)").unwrap();
}

#[test]
fn a_server_that_was_killed_is_recovered() {
    let folder = Folder::new();
    let cluster = folder.start().unwrap();
    cluster.execute("create table kept (n int)").unwrap();
    let pid = cluster.pid().unwrap();
    let killed = Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap();
    assert!(killed.success());
    // Its processes may still be ending: the next start waits for them automatically.
    cluster.stop().unwrap();
    assert!(folder.file("cluster/postmaster.pid").exists(), "it had no time to clean up");
    folder.start().unwrap().execute("insert into kept values (1)").unwrap();
}

#[test]
fn a_pid_file_that_names_another_process_is_ignored() {
    let folder = Folder::new();
    drop(folder.start().unwrap());
    let pid_file = folder.file("cluster/postmaster.pid");
    // Ourselves: alive, and no server. As root the server would ignore it. For anyone else it
    // would take us for its predecessor.
    fs::write(&pid_file, format!("{}\n/nowhere\n0\n5432\n.\n\n\n", std::process::id())).unwrap();
    assert_eq!(running_url(&folder.0), None);
    folder.start().unwrap().execute("select 1").unwrap();
    fs::write(&pid_file, "nonsense").unwrap();
    folder.start().unwrap().execute("select 1").unwrap();
}

#[test]
fn an_initialisation_that_was_cut_short_is_begun_anew() {
    let folder = Folder::new();
    fs::create_dir(folder.file("cluster.unfinished")).unwrap();
    fs::write(folder.file("cluster.unfinished/PG_VERSION"), "15\n").unwrap();
    folder.start().unwrap().execute("select 1").unwrap();
    assert!(!folder.file("cluster.unfinished").exists());
}

#[test]
fn missing_binaries_are_reported_with_the_way_out() {
    let folder = Folder::new();
    let options = Options { binaries: Some(folder.file("empty")), ..folder.options() };
    let error = Cluster::start(&options, &mut |_| {}).unwrap_err().to_string();
    for part in [
        "no PostgreSQL to start",
        "apt-get install postgresql",
        "DASHBOARD_PG_BIN",
        "/empty: has no postgres",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn data_of_another_version_is_never_touched() {
    let folder = Folder::new();
    let cluster = folder.start().unwrap();
    let binaries = cluster.binaries().to_owned();
    drop(cluster);
    fs::write(folder.file("cluster/PG_VERSION"), "9\n").unwrap();
    let options = Options { binaries: Some(binaries), ..folder.options() };
    let error = Cluster::start(&options, &mut |_| {}).unwrap_err();
    assert!(matches!(error, Error::NoBinaries { wanted: Some(9), .. }), "{error}");
    assert!(error.to_string().contains("which does not fit"), "{error}");
}

#[test]
fn a_server_that_refuses_to_start_is_quoted() {
    let folder = Folder::new();
    drop(folder.start().unwrap());
    let config = folder.file("cluster/postgresql.conf");
    fs::write(config, "no_such_setting = 1\n").unwrap();
    let error = folder.start().unwrap_err().to_string();
    assert!(error.starts_with("could not start the PostgreSQL server"), "{error}");
    assert!(error.contains("no_such_setting"), "{error}");
}

#[test]
fn an_ordinary_user_can_own_a_cluster_and_root_can_take_it_over() {
    let folder = Folder::new();
    if am_root() {
        std::os::unix::fs::chown(&folder.0, Some(65534), Some(65534)).unwrap();
    }
    let (success, url, said) = output(as_ordinary_user(command(&folder)));
    assert!(success && url.starts_with("postgres://"), "{said}");
    folder.start().unwrap().execute("select 1").unwrap();
    let (success, _, said) = output(as_ordinary_user(command(&folder)));
    assert!(success || am_root(), "{said}");
}

#[test]
fn the_error_names_data_of_another_account_that_may_be_deleted() {
    // Only root can give folders away.
    if !am_root() {
        return;
    }
    let folder = Folder::new();
    drop(folder.start().unwrap());
    let root = folder.0.canonicalize().unwrap();
    let assert_told = |said: &str, owner: &str| {
        let words = format!("in {} belongs to another account ({owner})", root.display());
        let way_out = format!("delete the folder {}", root.display());
        assert!(said.contains(&words) && said.contains(&way_out), "{owner}: {said}");
    };
    // All of it root's, as after a start as root.
    let (success, _, said) = output(as_ordinary_user(command(&folder)));
    assert!(!success);
    assert_told(&said, "root");
    // Owned by an account that does not exist any more, or by root, as which PostgreSQL does not run.
    for (owner, name) in [(54_321, "number 54321"), (0, "root")] {
        std::os::unix::fs::chown(folder.file("cluster"), Some(owner), Some(owner)).unwrap();
        assert_told(&folder.start().unwrap_err().to_string(), name);
    }
    // A folder in which an ordinary user may not make anything. Its own is another matter.
    fs::remove_dir_all(folder.file("cluster")).unwrap();
    fs::remove_file(folder.file("lock")).unwrap();
    let (success, _, said) = output(as_ordinary_user(command(&folder)));
    assert!(!success);
    assert_told(&said, "root");
    std::os::unix::fs::chown(&folder.0, Some(65534), Some(65534)).unwrap();
    fs::set_permissions(&folder.0, std::os::unix::fs::PermissionsExt::from_mode(0o555)).unwrap();
    let (success, _, said) = output(as_ordinary_user(command(&folder)));
    assert!(!success && said.contains("lock: Permission denied"), "{said}");
}

#[test]
fn the_error_for_root_names_the_folder_that_is_closed_to_the_servers_account() {
    let folder = Folder::new();
    let closed = folder.file("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let options = Options::throwaway(closed.join("data"));
    let outcome = Cluster::start(&options, &mut |_| {});
    if am_root() {
        let error = outcome.unwrap_err().to_string();
        let way_out = format!("chmod o+x {}", closed.canonicalize().unwrap().display());
        assert!(error.contains(&way_out), "{error}");
    } else {
        outcome.unwrap();
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let options = Options::throwaway(Path::new("/proc/no-such-folder"));
    let error = Cluster::start(&options, &mut |_| {}).unwrap_err().to_string();
    assert!(error.starts_with("could not create the folder /proc/no-such-folder"), "{error}");
}
