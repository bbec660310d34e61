//! Tests what is written between two steps of the projector: between a look and the taking, and between two looks
//! at rows of which one depends on the other.

use sqlx::{Connection, PgConnection};
use tokio::time::timeout;

use super::Host;
use crate::support::{PATIENCE, pause};

const WISH: &str = "insert into public.wishlist_items (user_id) values ('ada')";
const NOTES: &str = "select count(*) from dashboard.outbox";
const WISHES: &str = "select count(*) from dashboard.wishlist_items";

impl Host {
    async fn number(&mut self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(&mut self.connection).await.unwrap()
    }

    async fn assert_projected(&mut self) {
        let (projected, expected) = (self.projected().await, self.expected().await);
        let (more, less) = (projected.minus(&expected), expected.minus(&projected));
        assert!(projected == expected, "projected: {more:#?}\nexpected: {less:#?}");
    }
}

/// The look finds a later transaction, and this one has committed when the notes are taken.
#[tokio::test]
async fn a_note_that_becomes_visible_between_the_look_and_the_taking_is_taken() {
    const WAITS: &str = "
        select exists (
            select from pg_locks where relation = 'dashboard.meta'::regclass and not granted
        )";
    let mut host = Host::new(&[]).await;
    host.settle().await;
    let mut earlier = PgConnection::connect(&host.url).await.unwrap();
    let mut earlier = earlier.begin().await.unwrap();
    sqlx::query(WISH).execute(&mut *earlier).await.unwrap();
    host.write(WISH).await;
    // Taking the turn reads this table. Looking does not.
    let mut holder = PgConnection::connect(&host.url).await.unwrap();
    let mut held = holder.begin().await.unwrap();
    sqlx::query("lock table dashboard.meta").execute(&mut *held).await.unwrap();
    sqlx::query("set lock_timeout = '1min'").execute(&mut host.node).await.unwrap();
    // Without a cursor, as after a loss of the connection.
    host.projector.reconnected();
    let between = async {
        while !sqlx::query_scalar::<_, bool>(WAITS).fetch_one(&mut host.connection).await.unwrap() {
            pause().await;
        }
        earlier.commit().await.unwrap();
        held.rollback().await.unwrap();
    };
    let (pass, ()) = tokio::join!(host.projector.pass(&mut host.node), between);
    pass.unwrap();
    host.settle().await;
    assert_eq!((host.number(NOTES).await, host.number(WISHES).await), (0, 2));
    holder.close().await.ok();
    host.end().await;
}

/// As a dump of another cluster brings them. It is what the look without the cursor is for.
#[tokio::test]
async fn a_note_that_the_cursor_passes_over_is_taken_all_the_same() {
    let mut host = Host::new(&[]).await;
    host.write(WISH).await;
    host.settle().await;
    host.write(&format!("{WISH}; update dashboard.outbox set xid = '10'")).await;
    let taken = async {
        while host.number(NOTES).await > 0 {
            host.settle().await;
            pause().await;
        }
    };
    timeout(PATIENCE, taken).await.unwrap();
    assert_eq!(host.number(WISHES).await, 2);
    host.end().await;
}

/// A MOC is taken apart and put together again before the projector has read it. In between, the projector
/// read another one that its parts would have covered.
#[tokio::test]
async fn what_came_and_went_between_two_looks_stays_in_no_row_that_depends_on_it() {
    const STATE: &str = "
        insert into public.moc_instructions (id, user_id, title, type)
        select ('00000000-0000-4000-8000-' || lpad(i::text, 12, '0'))::uuid, 'ada', 'MOC ' || i, 'moc'
        from generate_series(0, 2000) as i;
        insert into public.moc_parts_lists (id, moc_id)
        select ('00000000-0000-4000-9000-' || lpad(i::text, 12, '0'))::uuid,
               ('00000000-0000-4000-8000-' || lpad(i::text, 12, '0'))::uuid
        from unnest(array[0, 2000]) as i;
        insert into public.moc_parts (parts_list_id, part_id, color, quantity)
        select id, '3001', 'red', 4 from public.moc_parts_lists";
    const TAKEN_APART: &str = "
        begin;
        update public.moc_instructions set description = 'new' where title not in ('MOC 0', 'MOC 2000');
        update public.moc_instructions
        set build_status = 'parted_out', want_to_build = false
        where title = 'MOC 2000';
        commit";
    const LOOKED_AT: &str = "select count(*) from dashboard.facts";
    const TOGETHER: &str = "
        update public.moc_instructions
        set build_status = 'complete' where title = 'MOC 2000'";
    let mut host = Host::new(&[STATE]).await;
    host.settle().await;
    // A large transaction is read in pieces, and its last row is in none of the first.
    host.write(TAKEN_APART).await;
    host.projector.pass(&mut host.node).await.unwrap();
    host.write("update public.moc_instructions set theme = 'City' where title = 'MOC 0'").await;
    host.projector.pass(&mut host.node).await.unwrap();
    assert_eq!(host.number(LOOKED_AT).await, 0, "the last row has been looked at already");
    host.write(TOGETHER).await;
    host.settle().await;
    host.assert_projected().await;
    host.end().await;
}

/// A sweep that begins will read all rows, so nothing that waits for some of them is done beside it.
#[tokio::test]
async fn a_sweep_takes_over_what_waits_for_rows_of_its_feed() {
    const QUEUE: &str = "
        insert into dashboard.pending (feed, keys, is_bulk)
        select number, array(select id::text from public.moc_instructions), true
        from dashboard.feeds cross join generate_series(1, 200) where name = 'mocs'";
    const OWE: &str = "insert into dashboard.sweeps (feed) select number from dashboard.feeds where name = 'mocs'";
    let mut host = Host::new(&["
        insert into public.moc_instructions (user_id, title, type)
        select 'ada', 'MOC ' || i, 'moc' from generate_series(1, 2000) as i"])
    .await;
    host.settle().await;
    host.write(QUEUE).await;
    host.write(OWE).await;
    while host.number("select count(*) from dashboard.sweeps where after is null").await > 0 {
        host.projector.pass(&mut host.node).await.unwrap();
    }
    // What its first page has left is less than all rows, and there were 200 times as many.
    let keys = "select coalesce(sum(cardinality(keys)), 0) from dashboard.pending";
    assert!(host.number(keys).await < 2000);
    host.settle().await;
    host.assert_projected().await;
    host.end().await;
}

/// Many users who each change something are small work, however many they are: none waits behind an import.
#[tokio::test]
async fn small_changes_stay_small_work_when_many_come_at_once() {
    const QUEUE: &str = "
        insert into dashboard.pending (feed, keys, is_bulk, error)
        select number, array(select id::text from public.moc_instructions), true, 'of an import'
        from dashboard.feeds cross join generate_series(1, 200) where name = 'mocs'";
    const LEFT: &str = "
        select count(*) from public.moc_instructions as moc
        join dashboard.mocs as shown on shown.key = moc.id::text
        where moc.title <> shown.title";
    let mut host = Host::new(&["
        insert into public.moc_instructions (user_id, title, type)
        select 'user-' || i, 'MOC', 'moc' from generate_series(1, 1000) as i"])
    .await;
    host.settle().await;
    host.write(QUEUE).await;
    for user in 1..=500 {
        let change = "update public.moc_instructions set title = 'Keep'";
        host.write(&format!("{change} where user_id = 'user-{user}'")).await;
    }
    while host.number(LEFT).await > 0 {
        host.projector.pass(&mut host.node).await.unwrap();
        // The import is of a feed. What is noted by a statement is of a watch.
        let large = "select count(*) from dashboard.pending where is_bulk and watch is not null";
        assert_eq!(host.number(large).await, 0, "small work waits with the import");
    }
    host.end().await;
}
