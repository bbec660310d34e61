//! Writes as two careless importers and their users do: any value that a type allows, in any statement.

use rand::RngExt;
use rand::prelude::IndexedRandom;
use rand::rngs::StdRng;
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

/// Makes up statements. Ids come from a small pool, so that rows meet.
#[derive(Default)]
pub(super) struct Writer {
    count: u64,
}

impl Writer {
    /// One of several: the ids that it makes up are in no other's.
    pub(super) fn numbered(number: u64) -> Self {
        Self { count: number * 1_000_000_000 }
    }
}

/// Few values, and some of them often: a MOC is partly covered only where much meets.
const USERS: [&str; 6] = ["ada", "ada", "ada", "ada", "bob", ""];
const PARTS: [&str; 5] = ["3001", "3001", "3001", "3002", "3001 "];
const COLORS: [&str; 4] = ["red", "red", "red", "Red"];
const QUANTITIES: [i32; 12] = [1, 1, 2, 2, 3, 3, 5, 5, 8, 0, -3, i32::MAX];

impl Writer {
    /// Runs one transaction. Returns its statements. One that the database refuses has done nothing, which
    /// is as good a transaction as any other.
    pub(super) async fn write(
        &mut self,
        random: &mut StdRng,
        connection: &mut PgConnection,
    ) -> Vec<String> {
        let statements: Vec<_> =
            (0..*[1, 1, 1, 2, 4].choose(random).unwrap()).map(|_| self.statement(random)).collect();
        let shape = random.random_range(0..10);
        let run: Vec<String> = match shape {
            0..=5 => statements,
            6..=7 => [&["begin".to_owned()][..], &statements, &["commit".to_owned()]].concat(),
            8 => {
                let level = "begin isolation level serializable".to_owned();
                [&[level][..], &statements, &["commit".to_owned()]].concat()
            }
            _ => {
                let undone = ["savepoint s", "rollback to s", "commit"].map(str::to_owned);
                let lost = self.statement(random);
                [&["begin".to_owned()][..], &statements, &undone[..1], &[lost], &undone[1..]]
                    .concat()
            }
        };
        for statement in &run {
            let ran =
                sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(&mut *connection).await;
            if let Err(error) = ran {
                assert!(error.as_database_error().is_some(), "{statement}: {error}");
                sqlx::raw_sql("rollback").execute(&mut *connection).await.unwrap();
                break;
            }
        }
        run
    }

    fn statement(&mut self, random: &mut StdRng) -> String {
        self.count += 1;
        let values = Values::new(self.count, random);
        match random.random_range(0..36) {
            0..=10 => values.of_mocs(random),
            11..=24 => values.of_parts(random),
            25..=34 => values.of_others(random),
            _ => values.of_many(random),
        }
    }
}

/// All values that the types allow, as SQL.
struct Values {
    n: u64,
    id: String,
    other: String,
    user: String,
    part: String,
    color: String,
    quantity: i32,
    title: String,
    theme: &'static str,
    status: &'static str,
    flag: &'static str,
    time: &'static str,
    stated: &'static str,
    set_status: &'static str,
    /// Columns and values of a MOC.
    moc: String,
    /// Any list and any MOC that is there.
    list: String,
    any_moc: String,
    times: u32,
}

impl Values {
    fn new(n: u64, random: &mut StdRng) -> Self {
        let mut one_of = |choices: &[&'static str]| *choices.choose(random).unwrap();
        let user = quoted(one_of(&USERS));
        let (part, color) = (quoted(one_of(&PARTS)), quoted(one_of(&COLORS)));
        let theme = one_of(&[
            "null",
            "''",
            "'  '",
            "' City '",
            "'Space'",
            "repeat('x', 300)",
            "repeat('🧱', 150)",
        ]);
        let tags = one_of(&[
            "null",
            r#"'["Red", "castle"]'"#,
            r#"'["CASTLE", null, 7, {"a": 1}]'"#,
            r#"'"castle"'"#,
            r#"'{"castle": 1}'"#,
            "'[]'",
        ]);
        let kind = one_of(&["moc", "MOC", "moc", "moc", "SET"]);
        let status = one_of(&[
            "instructions_added",
            "building",
            "complete",
            "parted_out",
            "parted_out",
            "odd",
        ]);
        let flag = one_of(&["true", "false", "false", "null"]);
        let time = one_of(&[
            "now()",
            "'infinity'",
            "'-infinity'",
            "'2026-01-02 03:04:05.678'",
            "'0044-03-15 BC'",
        ]);
        let stated = one_of(&["null", "'12'", "'0'", "'1234567890'", "'a lot'", "' 7'"]);
        let set_status = one_of(&["owned", "wanted", "Owned", "sold"]);
        let title = match random.random_range(0..8) {
            0 => "''".to_owned(),
            1 => format!("repeat('é', 201) || '{n}'"),
            2 => format!("'{n}' || repeat('🧱', 150)"),
            3 => "'The same'".to_owned(),
            _ => format!("'Title {n}'"),
        };
        let mut id = || {
            let place = random.random_range(0..12);
            format!("'{}'", Uuid::from_u128(0x4000_8000_0000_0000_0000 + place))
        };
        let (id, other) = (id(), id());
        let moc = format!(
            "(id, user_id, title, type, theme, tags, build_status, want_to_build, created_at)
             values ({id}, {user}, {title}, '{kind}', {theme}, {tags}, '{status}', {flag}, {time})"
        );
        let any = |table: &str| {
            format!("(select id from public.{table} order by md5(id::text || '{n}') limit 1)")
        };
        Self {
            n,
            list: any("moc_parts_lists"),
            any_moc: any("moc_instructions where title not like 'many %'"),
            id,
            other,
            user,
            part,
            color,
            quantity: *QUANTITIES.choose(random).unwrap(),
            title,
            theme,
            status,
            flag,
            time,
            stated,
            set_status,
            moc,
            times: random.random_range(1..4),
        }
    }

    fn of_mocs(&self, random: &mut StdRng) -> String {
        let Self { id, other, user, title, theme, status, flag, time, moc, .. } = self;
        match random.random_range(0..12) {
            0..=3 => format!("insert into public.moc_instructions {moc}"),
            4 => format!(
                "insert into public.moc_instructions {moc}
                 on conflict (user_id, title) do update
                 set theme = excluded.theme, build_status = excluded.build_status"
            ),
            5 => format!(
                "insert into public.moc_instructions {moc}
                 on conflict (id) do update set title = excluded.title, user_id = excluded.user_id"
            ),
            6 => format!(
                "update public.moc_instructions set build_status = '{status}',
                 want_to_build = {flag}, updated_at = {time} where id = {id}"
            ),
            7 => format!("update public.moc_instructions set user_id = {user} where id = {id}"),
            8 => format!("update public.moc_instructions set id = {other} where id = {id}"),
            9 => format!(
                "update public.moc_instructions set title = {title}, theme = {theme}
                 where id = {id}"
            ),
            10 => "update public.moc_instructions set updated_at = clock_timestamp()".to_owned(),
            _ => format!("delete from public.moc_instructions where build_status = '{status}'"),
        }
    }

    fn of_parts(&self, random: &mut StdRng) -> String {
        let Self { n, part, color, quantity, flag, stated, list, any_moc, times, .. } = self;
        match random.random_range(0..14) {
            0..=3 => format!(
                "insert into public.moc_parts_lists (id, moc_id, purchased, total_parts_count)
                 select md5('{n}-' || i)::uuid, {any_moc}, {flag}, {stated}
                 from generate_series(1, {times}) as i"
            ),
            4 => {
                format!("update public.moc_parts_lists set purchased = {flag} where id = {list}")
            }
            5 => format!("update public.moc_parts_lists set moc_id = {any_moc} where id = {list}"),
            6 => format!("delete from public.moc_parts_lists where id = {list}"),
            7..=10 => format!(
                "insert into public.moc_parts (parts_list_id, part_id, color, quantity)
                 select {list}, {part}, {color}, {quantity} from generate_series(1, {times})"
            ),
            11 => format!(
                "update public.moc_parts set quantity = {quantity}, part_id = {part}
                 where parts_list_id = {list}"
            ),
            12 => {
                format!("update public.moc_parts set parts_list_id = {list} where color = {color}")
            }
            _ => format!("delete from public.moc_parts where part_id = {part} and color = {color}"),
        }
    }

    fn of_others(&self, random: &mut StdRng) -> String {
        let Self { id, other, user, part, color, quantity, theme, set_status, .. } = self;
        let tag = ["red", "castle", "Castle", "7", "x"].choose(random).unwrap();
        let mapped = [" ", "Keep", "Abbey", " Zoo"].choose(random).unwrap();
        match random.random_range(0..11) {
            0..=1 => format!(
                "insert into public.parts_inventory (user_id, part_number, color, quantity)
                 values ({user}, {part}, {color}, {quantity})"
            ),
            2 => format!(
                "update public.parts_inventory set quantity = {quantity}, color = {color}
                 where user_id = {user}"
            ),
            3 => format!("delete from public.parts_inventory where part_number = {part}"),
            4 => format!(
                "insert into public.sets (id, user_id, status, theme)
                 values ({id}, {user}, '{set_status}', {theme})
                 on conflict (id) do update set status = excluded.status"
            ),
            5 => format!(
                "insert into public.wishlist_items (id, user_id) values ({id}, {user})
                 on conflict (id) do update set user_id = excluded.user_id"
            ),
            6 => format!(
                "merge into public.sets as s
                 using (values ({id}::uuid), ({other}::uuid)) as v (id) on s.id = v.id
                 when matched then delete
                 when not matched then insert (id, user_id, status)
                     values (v.id, {user}, '{set_status}')"
            ),
            7 => format!("delete from public.wishlist_items where id = {id}"),
            8 => format!("delete from public.tag_theme_mappings where tag = '{tag}'"),
            9 => format!(
                "update public.tag_theme_mappings set tag = '{tag}' where theme = '{mapped}'"
            ),
            _ => format!(
                "insert into public.tag_theme_mappings (tag, theme) values ('{tag}', '{mapped}')"
            ),
        }
    }

    /// More than one note can hold, and all there is.
    fn of_many(&self, random: &mut StdRng) -> String {
        let Self { n, user, .. } = self;
        match random.random_range(0..5) {
            0 => "truncate public.moc_parts".to_owned(),
            1 => "truncate public.tag_theme_mappings, public.sets".to_owned(),
            2 => "truncate public.moc_instructions cascade".to_owned(),
            3 => format!(
                "insert into public.moc_instructions (id, user_id, title, type, theme)
                 select md5('{n}-' || i)::uuid, {user}, 'many {n}-' || i, 'moc', 'City'
                 from generate_series(1, 700) as i"
            ),
            _ => "delete from public.moc_instructions where title like 'many %'".to_owned(),
        }
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
