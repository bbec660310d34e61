//! Tests the application's kinds of writes, one after the other, and what open sockets get of each: exactly the
//! events of the sections that show something else, and nothing where no card does.

use serde_json::Value;

use crate::support::{Client, TestDb, TestServer, installed, start, with_application};

/// A kind of write, and the types of the events that follow it.
struct Write {
    kind: &'static str,
    statements: &'static str,
    /// Lines for a `copy … from stdin`.
    lines: Option<&'static str>,
    to_ada: &'static [&'static str],
    to_bob: &'static [&'static str],
}

const USERS: [&str; 3] = ["ada", "bob", "carol"];
const SUMMARY: &str = "summaryUpdated";
const THEMES: &str = "themeBreakdownUpdated";
const ADDED: &str = "recentMocAdded";
const RECENT: &str = "recentMocsUpdated";
const PARTIAL: &str = "partialPartsUpdated";

/// Ada has three MOCs, the last of them with half of its parts. Bob and Carol have one each.
const START: &str = "
    insert into public.moc_instructions (id, user_id, title, type, theme, tags, created_at) values
        ('00000000-0000-4000-8000-00000000000a', 'ada', 'Castle', 'moc', 'City', null, '2026-01-01'),
        ('00000000-0000-4000-8000-00000000000b', 'ada', 'Keep', 'moc', null, '[\"tower\"]', '2026-01-02'),
        ('00000000-0000-4000-8000-00000000000c', 'ada', 'Gate', 'moc', 'City', null, '2026-01-03'),
        ('00000000-0000-4000-8000-00000000000d', 'bob', 'Mill', 'moc', '', '[\"Tower\", 7]', '2026-01-04'),
        ('00000000-0000-4000-8000-00000000000e', 'carol', 'Barn', 'moc', 'Farm', '[\"tower\"]', '2026-01-05');
    insert into public.moc_parts_lists (id, moc_id) values
        ('00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-00000000000b'),
        ('00000000-0000-4000-8000-0000000000c1', '00000000-0000-4000-8000-00000000000c');
    insert into public.moc_parts (parts_list_id, part_id, color, quantity)
    values ('00000000-0000-4000-8000-0000000000c1', '3001', 'red', 10);
    insert into public.parts_inventory (user_id, part_number, color, quantity) values ('ada', '3001', 'red', 5);
    insert into public.sets (id, user_id, status, theme)
    values ('00000000-0000-4000-8000-0000000000f1', 'ada', 'wanted', 'Space')";

/// One of each user's, shown in one section.
const WISHES: &str = "insert into public.sets (user_id, status)
                      values ('ada', 'wanted'), ('bob', 'wanted'), ('carol', 'wanted')";

/// In this order: what a write does depends on those before it.
const WRITES: [Write; 24] = [
    told(
        "a MOC is created by an upsert",
        "insert into public.moc_instructions (id, user_id, title, type, theme)
         values ('00000000-0000-4000-8000-0000000000aa', 'ada', 'Tower', 'moc', 'City')
         on conflict (user_id, title) do update set type = excluded.type",
        &[SUMMARY, THEMES, ADDED],
        &[],
    ),
    told(
        "an upsert changes what no card shows",
        "insert into public.moc_instructions (user_id, title, type, description)
         values ('ada', 'Tower', 'moc', 'Built in a day')
         on conflict (user_id, title) do update
         set description = excluded.description, updated_at = now() + interval '1 s'",
        &[],
        &[],
    ),
    told(
        "a build status changes",
        "update public.moc_instructions set build_status = 'building' where title = 'Tower'",
        &[SUMMARY, RECENT],
        &[],
    ),
    told(
        "a title is renamed",
        "update public.moc_instructions set title = 'Bell tower' where title = 'Tower'",
        &[RECENT],
        &[],
    ),
    told(
        "a tag of two users' MOCs gets a theme",
        "insert into public.tag_theme_mappings (tag, theme) values ('TOWER', 'Abbey')",
        &[THEMES, RECENT],
        &[THEMES, RECENT],
    ),
    told(
        "the parts of a list are imported from a file",
        "begin;
         delete from public.moc_parts where parts_list_id = '00000000-0000-4000-8000-0000000000b1';
         insert into public.moc_parts (parts_list_id, part_id, color, quantity)
         select '00000000-0000-4000-8000-0000000000b1', '3001', 'red', 1 from generate_series(1, 20);
         insert into public.moc_parts (parts_list_id, part_id, color, quantity)
         select '00000000-0000-4000-8000-0000000000b1', '3002', 'blue', 1 from generate_series(1, 20);
         update public.moc_parts_lists set total_parts_count = '40', updated_at = now()
         where id = '00000000-0000-4000-8000-0000000000b1';
         commit",
        &[SUMMARY, PARTIAL],
        &[],
    ),
    told(
        "an import fails and is rolled back",
        "begin;
         delete from public.moc_parts where parts_list_id = '00000000-0000-4000-8000-0000000000b1';
         insert into public.moc_parts (parts_list_id, part_id, color, quantity)
         select '00000000-0000-4000-8000-0000000000b1', '3003', 'red', 1 from generate_series(1, 20);
         rollback",
        &[],
        &[],
    ),
    told(
        "a lot is added to the inventory",
        "insert into public.parts_inventory (user_id, part_number, color, quantity)
         values ('ada', '3002', 'blue', 4)",
        &[PARTIAL],
        &[],
    ),
    told(
        "a lot changes",
        "update public.parts_inventory set quantity = 8 where part_number = '3002'",
        &[PARTIAL],
        &[],
    ),
    told(
        "a lot of which no MOC has need is added",
        "insert into public.parts_inventory (user_id, part_number, color, quantity)
         values ('ada', '3002', 'Blue', 4), ('carol', '3001', 'red', 4)",
        &[],
        &[],
    ),
    told(
        "a lot is deleted",
        "delete from public.parts_inventory where part_number = '3002' and color = 'blue'",
        &[PARTIAL],
        &[],
    ),
    told(
        "a reload deletes and inserts the same rows",
        "begin;
         create temporary table mocs on commit drop as
             select * from public.moc_instructions where user_id = 'ada';
         create temporary table lists on commit drop as
             select * from public.moc_parts_lists where moc_id in (select id from mocs);
         create temporary table parts on commit drop as
             select * from public.moc_parts where parts_list_id in (select id from lists);
         delete from public.moc_instructions where user_id = 'ada';
         insert into public.moc_instructions select * from mocs;
         insert into public.moc_parts_lists select * from lists;
         insert into public.moc_parts select * from parts;
         commit",
        &[],
        &[],
    ),
    told(
        "a MOC is taken apart and gives its parts to another",
        "update public.moc_instructions set build_status = 'parted_out', want_to_build = false
         where title = 'Gate'",
        &[SUMMARY, THEMES, RECENT, PARTIAL],
        &[],
    ),
    told(
        "a MOC that gave its parts is deleted with its lists and parts",
        "delete from public.moc_instructions where title = 'Gate'",
        &[PARTIAL],
        &[],
    ),
    told(
        "a list is purchased",
        "update public.moc_parts_lists set purchased = true
         where id = '00000000-0000-4000-8000-0000000000b1'",
        &[SUMMARY, PARTIAL],
        &[],
    ),
    told(
        "a MOC is deleted with its lists and parts",
        "delete from public.moc_instructions where title = 'Keep'",
        &[SUMMARY, THEMES, RECENT],
        &[],
    ),
    told(
        "a MOC is handed to another user",
        "update public.moc_instructions set user_id = 'bob' where title = 'Castle'",
        &[SUMMARY, THEMES, RECENT],
        &[SUMMARY, THEMES, RECENT],
    ),
    told(
        "a wanted set is bought",
        "update public.sets set status = 'owned' where theme = 'Space'",
        &[SUMMARY, THEMES],
        &[],
    ),
    told(
        "a wish is added",
        "insert into public.wishlist_items (id, user_id)
         values ('00000000-0000-4000-8000-0000000000f2', 'ada'),
                ('00000000-0000-4000-8000-0000000000f1', 'ada')",
        &[SUMMARY],
        &[],
    ),
    told(
        "wishes are put into another order",
        "update public.wishlist_items set sort_order = 'b' || sort_order, updated_at = now()",
        &[],
        &[],
    ),
    // The set of the second wish goes, so that it is a wish again.
    told(
        "sets are merged",
        "merge into public.sets as known
         using (values ('00000000-0000-4000-8000-0000000000f1'::uuid),
                       ('00000000-0000-4000-8000-0000000000f3')) as given (id) on known.id = given.id
         when matched then delete
         when not matched then insert (id, user_id, status, theme) values (given.id, 'bob', 'owned', 'Space')",
        &[SUMMARY, THEMES],
        &[THEMES],
    ),
    Write {
        kind: "wishes are copied in",
        statements: "copy public.wishlist_items (user_id) from stdin",
        lines: Some("ada\nada\nbob\n"),
        to_ada: &[SUMMARY],
        to_bob: &[SUMMARY],
    },
    told("a table is truncated", "truncate public.wishlist_items", &[SUMMARY], &[SUMMARY]),
    told(
        "a part of a transaction is taken back",
        "begin;
         savepoint before;
         insert into public.moc_instructions (user_id, title, type) values ('ada', 'Ghost', 'moc');
         delete from public.sets where user_id = 'bob';
         rollback to before;
         update public.moc_instructions set author = 'A. Builder' where user_id = 'ada';
         commit",
        &[],
        &[],
    ),
];

const fn told(
    kind: &'static str,
    statements: &'static str,
    to_ada: &'static [&'static str],
    to_bob: &'static [&'static str],
) -> Write {
    Write { kind, statements, lines: None, to_ada, to_bob }
}

impl Write {
    async fn run(&self, db: &TestDb) {
        let Some(lines) = self.lines else { return db.run(self.statements).await };
        let mut connection = db.connection().await;
        let mut copy = connection.copy_in_raw(self.statements).await.unwrap();
        copy.send(lines.as_bytes()).await.unwrap();
        copy.finish().await.unwrap();
    }
}

/// The part of a snapshot that an event of that type shows.
fn shown<'a>(view: &'a Value, event_type: &str) -> &'a Value {
    match event_type {
        SUMMARY => &view["summary"],
        THEMES => &view["themeBreakdown"],
        ADDED => &view["recentMocs"][0],
        RECENT => &view["recentMocs"],
        PARTIAL => &view["partialPartsMocs"],
        other => panic!("{other}"),
    }
}

/// That exactly these events arrive next, and show what a snapshot shows.
async fn assert_told(client: &mut Client, server: &TestServer, user: &str, types: &[&str]) {
    let events = client.events(types).await;
    let (view, revision) = server.snapshot(user).await;
    for (event, event_type) in events.iter().zip(types) {
        assert_eq!(event["revision"], revision, "{user}: {event}");
        assert_eq!(&event["payload"], shown(&view, event_type), "{user}: {event_type}");
    }
}

#[tokio::test]
async fn each_kind_of_write_is_announced_to_those_who_see_it_and_to_no_one_else() {
    with_application(|db, _| async move {
        db.run(START).await;
        let (running, server) = start(installed(&db).await).await;
        db.projected().await;
        let mut clients = Vec::new();
        for user in USERS {
            clients.push(server.connect(user).await);
        }
        // The rows from before may still be announced, with the first of these. The second comes alone.
        for _ in 0..2 {
            db.run(WISHES).await;
            db.projected().await;
            for (client, user) in clients.iter_mut().zip(USERS) {
                client.event_at(server.snapshot(user).await.1).await;
            }
        }
        // Servers before 15 have no such statement.
        let has_merge: bool =
            db.one("select current_setting('server_version_num')::integer >= 150000").await;
        for write in WRITES.iter().filter(|write| has_merge || write.kind != "sets are merged") {
            let told = [write.to_ada, write.to_bob, &[]];
            let mut before = Vec::new();
            for user in USERS {
                before.push(server.snapshot(user).await.1);
            }
            write.run(&db).await;
            println!("{:<62} {:<75} {}", write.kind, told[0].join(" "), told[1].join(" "));
            for ((client, user), types) in clients.iter_mut().zip(USERS).zip(told) {
                assert_told(client, &server, user, types).await;
            }
            // Whom it does not concern has no new revision, and the next event is that of another change.
            db.projected().await;
            for ((user, types), before) in USERS.into_iter().zip(told).zip(before) {
                let is_same = server.snapshot(user).await.1 == before;
                assert_eq!(is_same, types.is_empty(), "{}: {user}", write.kind);
            }
            db.run(WISHES).await;
            for (client, user) in clients.iter_mut().zip(USERS) {
                assert_told(client, &server, user, &[SUMMARY]).await;
            }
        }
        running.shutdown().await;
    })
    .await;
}
