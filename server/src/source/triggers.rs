//! Writes the triggers on an application's tables. They note which keys were touched, and cannot fail.
//!
//! Only the gathering of the keys could fail, after a column was renamed or became another type. An exception
//! block catches that, and the note then says "any row". The insertion stands after the block. Inside it, each
//! statement would cost the application a subtransaction. A trigger names only the key's column, and looks it up
//! when it runs. So nothing here depends on the column, and no migration is held up.
//!
//! Statement triggers do not fire for rows that replication applies. So each table also has a row trigger that
//! fires for nothing else.

use super::{Watch, identifier};

/// How many rows' keys one note holds: more would be slow to store and to read.
const KEYS_A_NOTE: usize = 500;
/// What a statement touches beyond this is not named: the application's session would hold it in memory.
const MAX_ROWS: usize = 1_000_000;
/// What keys may be.
pub(crate) const KEY_TYPES: [&str; 6] = ["uuid", "text", "varchar", "int2", "int4", "int8"];
/// How long a key may be. A row with a longer one is left out.
pub(crate) const MAX_KEY_BYTES: usize = 1_000;
/// What the triggers call for any other type: within their exception block.
pub(super) const NOT_A_KEY: &str = "
    create or replace function dashboard.not_a_key() returns text
    language plpgsql set search_path = pg_catalog, pg_temp as
    $not$ begin raise exception 'not a key'; end $not$;
    revoke all on function dashboard.not_a_key() from public";
/// What all our triggers' names begin with.
pub(super) const PREFIX: &str = "dashboard_note";

/// A kind of statement, the transition tables that its triggers see, and how to name it.
const STATEMENTS: [(&str, &[&str], &str); 3] = [
    ("insert", &["new_rows"], "new table as new_rows"),
    ("update", &["old_rows", "new_rows"], "old table as old_rows new table as new_rows"),
    ("delete", &["old_rows"], "old table as old_rows"),
];

/// Functions for the triggers of the watch with that number. They run with their owner's rights: the
/// application's writers need none on the outbox.
pub(super) fn functions(watch: &Watch, number: i16) -> Vec<String> {
    let width = watch.key.len();
    // As text before they are compared: what a type takes for equal may be written in two ways.
    let texts = |of: &str| {
        let texts: Vec<_> =
            watch.key.iter().map(|column| text(&format!("{of}{}", identifier(column)))).collect();
        texts.join(", ")
    };
    let mut functions: Vec<_> = STATEMENTS
        .iter()
        .map(|(event, tables, _)| {
            let rows: Vec<_> =
                tables.iter().map(|table| format!("select {} from {table}", texts(""))).collect();
            // `union` takes each row once. So must the single table be read.
            let rows = match &rows[..] {
                [one] => one.replacen("select", "select distinct", 1),
                both => both.join(" union "),
            };
            let gather = if width == 1 {
                format!("array({rows} limit {})", MAX_ROWS + 1)
            } else {
                let names: Vec<_> = (1..=width).map(|place| format!("key_{place}")).collect();
                let names = names.join(", ");
                format!(
                    "array(select unnest(array[{names}])
                           from ({rows} limit {}) as touched ({names}))",
                    MAX_ROWS + 1
                )
            };
            // Many statements touch no row: an upsert fires the triggers of an insertion and of an update, and a
            // cascade deletes by a statement for each row that others may refer to. A look is cheaper than
            // gathering nothing.
            let unless = match (*event, *tables) {
                ("update", _) => String::new(),
                (_, tables) => {
                    format!("if not exists (select from {}) then return null; end if;", tables[0])
                }
            };
            function(number, width, event, &unless, &gather)
        })
        .collect();
    let row = format!(
        "case tg_op when 'INSERT' then array[{new}] when 'DELETE' then array[{old}]
              else array[{old}, {new}] end",
        new = texts("new."),
        old = texts("old.")
    );
    // Where all triggers were switched off and on again, this one fires for ordinary writes, too.
    let unless = "if current_setting('session_replication_role') <> 'replica' then
        return null;
    end if;";
    functions.push(function(number, width, "replicated", unless, &row));
    functions.push(function(number, width, "truncate", "", "null"));
    for event in ["insert", "update", "delete", "replicated", "truncate"] {
        let name = function_name(number, event);
        functions.push(format!("revoke all on function {name}() from public"));
    }
    functions
}

/// A key as text. Of another type than these it is none: its text would depend on the writer's session, or
/// be made by a function that its owner wrote, which would run with our rights. Nor is a text that is long: a
/// role that may write rows could fill the outbox with it.
fn text(column: &str) -> String {
    format!(
        "case when pg_typeof({column}) = 'uuid'::regtype then {column}::text collate \"C\"
              when pg_typeof({column}) <> all ('{{{}}}'::regtype[]) then dashboard.not_a_key()
              when octet_length({column}::text) > {MAX_KEY_BYTES} then dashboard.not_a_key()
              else {column}::text collate \"C\" end",
        KEY_TYPES.join(",")
    )
}

/// The triggers that call them, on a table: the watch's, or a part of it.
///
/// A partitioned table has no row trigger, but its partitions have: PostgreSQL would also put it on new partitions
/// automatically, and only those who may call its function could make one.
pub(super) fn triggers(table: &str, has_parts: bool, number: i16) -> Vec<String> {
    let trigger = |event: &str| format!("{PREFIX}_{number}_{event}");
    let create = |event: &str, when: &str, each: &str| {
        format!(
            "create or replace trigger {} after {when} on {table} {each} execute function {}()",
            trigger(event),
            function_name(number, event)
        )
    };
    let mut triggers: Vec<_> = STATEMENTS
        .iter()
        .map(|(event, _, referencing)| {
            create(event, event, &format!("referencing {referencing} for each statement"))
        })
        .collect();
    triggers.push(create("truncate", "truncate", "for each statement"));
    triggers.push(format!("alter table {table} enable always trigger {}", trigger("truncate")));
    if !has_parts {
        triggers.push(create("replicated", "insert or update or delete", "for each row"));
        let replicated = trigger("replicated");
        triggers.push(format!("alter table {table} enable replica trigger {replicated}"));
    }
    triggers
}

/// The triggers of a table, and when each fires, as `pg_trigger.tgenabled` says it.
pub(super) fn expected(number: i16, has_parts: bool) -> Vec<(String, &'static str)> {
    let states =
        [("insert", "O"), ("update", "O"), ("delete", "O"), ("truncate", "A"), ("replicated", "R")];
    let count = if has_parts { states.len() - 1 } else { states.len() };
    let trigger = |(event, state)| (format!("{PREFIX}_{number}_{event}"), state);
    states.into_iter().take(count).map(trigger).collect()
}

fn function_name(number: i16, event: &str) -> String {
    format!("dashboard.note_{number}_{event}")
}

/// `gather` is an expression for what was touched: an array of text, which is empty where nothing was, and
/// null where it may have been anything.
fn function(number: i16, width: usize, event: &str, unless: &str, gather: &str) -> String {
    let name = function_name(number, event);
    let (values, most) = (KEYS_A_NOTE * width, MAX_ROWS * width);
    // The variable has a name that no column has: one that was dropped would be taken for it.
    format!(
        "create or replace function {name}() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $note$
#variable_conflict use_column
declare
    dashboard_noted text[];
begin
    {unless}
    begin
        dashboard_noted := {gather};
    exception when others then
        dashboard_noted := null;
    end;
    if dashboard_noted is null or cardinality(dashboard_noted) > {most} then
        insert into dashboard.outbox (watch) values ({number});
    elsif cardinality(dashboard_noted) = 0 then
        null;
    elsif cardinality(dashboard_noted) <= {values} then
        insert into dashboard.outbox (watch, size, keys)
        values ({number}, cardinality(dashboard_noted) / {width}, dashboard_noted);
    else
        insert into dashboard.outbox (watch, size, keys)
        select {number}, count(*) / {width}, array_agg(noted.key order by noted.place)
        from unnest(dashboard_noted) with ordinality as noted (key, place)
        group by (noted.place - 1) / {values};
    end if;
    return null;
end $note$"
    )
}
