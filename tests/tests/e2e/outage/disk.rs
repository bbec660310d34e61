//! A full disk: a small file system below what writers note for the server.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::chown;
use std::path::PathBuf;
use std::process::Command;

use e2e_tests::{OwnCluster, Process, writer};
use sqlx::{Connection, PgConnection};

use super::{Site, USER};

#[tokio::test]
async fn writers_are_refused_snapshots_go_on_and_changes_arrive_once_there_is_room() {
    let mut site = Site::open(&[]).await;
    let disk = Disk::of(&site.cluster, 4 << 20);
    let tablespace = format!("create tablespace small location '{}'", disk.0.display());
    site.cluster.execute(&tablespace).await;
    site.cluster.execute("alter table dashboard.outbox set tablespace small").await;
    writer::add_wish(&mut site.db, USER, "Titanic").await;
    site.until_wishes(1).await;
    disk.fill();
    // What room there is in the table's own pages is soon gone: a note that was taken leaves a pointer.
    let mut wishes = 1;
    let refused = loop {
        let statement = "insert into collection.wishlist_items (user_id, title) values ($1, 'x')";
        match sqlx::query(statement).bind(USER).execute(&mut site.db).await {
            Ok(_) => wishes += 1,
            Err(error) => break error,
        }
    };
    let code = refused.as_database_error().and_then(sqlx::error::DatabaseError::code).unwrap();
    println!("disk full: {} commits fitted, then a writer was refused with {code}", wishes - 1);
    assert_eq!(code, "53100", "{refused}");
    site.until_wishes(wishes).await;
    assert_eq!(site.ask().await.status, 200);
    disk.free();
    writer::add_wish(&mut site.db, USER, "Galaxy Explorer").await;
    site.until_wishes(wishes + 1).await;
    site.assert_undisturbed().await;
    // The cluster lets go of the file system before it is unmounted.
    drop(site);
}

#[tokio::test]
async fn a_full_disk_at_the_start_is_reported_as_such() {
    let cluster = OwnCluster::start().await;
    let disk = Disk::of(&cluster, 24 << 20);
    let tablespace = format!("create tablespace small location '{}'", disk.0.display());
    cluster.execute(&tablespace).await;
    cluster.execute("create database crowded tablespace small").await;
    let url = cluster.url();
    let crowded = format!("{}/crowded", url.rsplit_once('/').unwrap().0);
    // The first connection to a database writes files too.
    PgConnection::connect(&crowded).await.unwrap().close().await.unwrap();
    disk.fill();
    let said = Process::refused_unforeseen(&crowded, &[]).await;
    println!("{}", said.lines().last().unwrap_or_default());
    assert!(said.contains("no room left on its disk"), "{said}");
    drop(cluster);
}

/// A file system of that size; unmounted with this value.
struct Disk(PathBuf);

impl Disk {
    fn of(cluster: &OwnCluster, bytes: u32) -> Self {
        let folder = std::env::temp_dir().join(format!("e2e-disk-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&folder).unwrap();
        let size = format!("size={bytes},mode=0700");
        let mut mount = Command::new("mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&folder).output();
        let mounted = mounted.unwrap();
        assert!(
            mounted.status.success(),
            "this test mounts a small tmpfs, and may not: run it as root, in a container that may \
             mount ({})",
            String::from_utf8_lossy(&mounted.stderr)
        );
        let (uid, gid) = cluster.owner();
        chown(&folder, Some(uid), Some(gid)).unwrap();
        Self(folder)
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    /// Leaves no block free.
    fn fill(&self) {
        let mut file = File::create(self.filler()).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
        assert!(File::create(self.0.join("more")).and_then(|mut f| f.write_all(b"x")).is_err());
    }

    fn free(&self) {
        fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a process that still has a file open keeps it until then.
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        let gone = unmounted.is_ok_and(|status| status.success());
        assert!((gone && fs::remove_dir(&self.0).is_ok()) || std::thread::panicking());
    }
}
