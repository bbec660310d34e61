//! The triggers on an application's tables: they note which keys were touched, and cannot fail.
//!
//! What could go wrong is gathering the keys: a column that was renamed or that became another type. An
//! exception block holds it, and the note then says "any row". The insertion stands after the block: inside,
//! each statement would cost the application a subtransaction. No column is named but the key's, and it
//! is looked for when the trigger runs, so nothing here depends on it and no migration is held up.
//!
//! Statement triggers do not fire for rows that replication applies, so beside them stands one by row that
//! fires for nothing else.

use super::{Watch, identifier};

/// How many rows' keys one note holds: more would be slow to store and to read.
const KEYS_A_NOTE: usize = 500;
/// What all our triggers' names begin with.
pub(super) const PREFIX: &str = "dashboard_note";

/// A kind of statement, the transition tables that its triggers see, and how to name it.
const STATEMENTS: [(&str, &[&str], &str); 3] = [
    ("insert", &["new_rows"], "new table as new_rows"),
    ("update", &["old_rows", "new_rows"], "old table as old_rows new table as new_rows"),
    ("delete", &["old_rows"], "old table as old_rows"),
];

/// Functions for the triggers of the watch with that number. They run with their owner's rights: those who
/// write need none on the outbox.
pub(super) fn functions(watch: &Watch, number: i16) -> Vec<String> {
    let columns: Vec<_> = watch.key.iter().map(|column| identifier(column)).collect();
    let texts = |of: &str| {
        let texts: Vec<_> = columns.iter().map(|column| format!("{of}{column}::text")).collect();
        texts.join(", ")
    };
    let mut functions: Vec<_> = STATEMENTS
        .iter()
        .map(|(event, tables, _)| {
            let columns = columns.join(", ");
            let rows: Vec<_> =
                tables.iter().map(|table| format!("select {columns} from {table}")).collect();
            // `union` takes each row once. So must the single table be read.
            let rows = match &rows[..] {
                [one] => one.replacen("select", "select distinct", 1),
                both => both.join(" union "),
            };
            let gather = match &watch.key[..] {
                [_] => format!("select {} from ({rows}) as touched", texts("")),
                _ => format!("select unnest(array[{}]) from ({rows}) as touched", texts("")),
            };
            function(number, watch.key.len(), event, &format!("array({gather})"))
        })
        .collect();
    let row = format!(
        "case tg_op when 'INSERT' then array[{new}] when 'DELETE' then array[{old}]
              else array[{old}, {new}] end",
        new = texts("new."),
        old = texts("old.")
    );
    functions.push(function(number, watch.key.len(), "replicated", &row));
    functions.push(function(number, watch.key.len(), "truncate", "null"));
    for event in ["insert", "update", "delete", "replicated", "truncate"] {
        let name = function_name(number, event);
        functions.push(format!("revoke all on function {name}() from public"));
    }
    functions
}

/// The triggers that call them, on a table: the watch's, or a part of it.
///
/// A trigger by row on a partitioned table is on its partitions by itself, also on those to come; one by
/// statement is not.
pub(super) fn triggers(table: &str, is_partition: bool, number: i16) -> Vec<String> {
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
    if !is_partition {
        triggers.push(create("replicated", "insert or update or delete", "for each row"));
        let replicated = trigger("replicated");
        triggers.push(format!("alter table {table} enable replica trigger {replicated}"));
    }
    triggers
}

/// The triggers of a table, and when each fires, as `pg_trigger.tgenabled` says it.
pub(super) fn expected(number: i16) -> [(String, &'static str); 5] {
    let states =
        [("insert", "O"), ("update", "O"), ("delete", "O"), ("truncate", "A"), ("replicated", "R")];
    states.map(|(event, state)| (format!("{PREFIX}_{number}_{event}"), state))
}

fn function_name(number: i16, event: &str) -> String {
    format!("dashboard.note_{number}_{event}")
}

/// `keys` is an expression for what was touched: an array of text, which is empty where nothing was, and
/// null where it may have been anything.
fn function(number: i16, columns: usize, event: &str, keys: &str) -> String {
    let name = function_name(number, event);
    let values = KEYS_A_NOTE * columns;
    format!(
        "create or replace function {name}() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $note$
#variable_conflict use_column
declare
    keys text[];
begin
    begin
        keys := {keys};
    exception when others then
        keys := null;
    end;
    if keys is null then
        insert into dashboard.outbox (watch) values ({number});
    elsif cardinality(keys) = 0 then
        null;
    elsif cardinality(keys) <= {values} then
        insert into dashboard.outbox (watch, size, keys)
        values ({number}, cardinality(keys) / {columns}, keys);
    else
        insert into dashboard.outbox (watch, size, keys)
        select {number}, count(*) / {columns}, array_agg(key order by place)
        from unnest(keys) with ordinality as noted (key, place)
        group by (place - 1) / {values};
    end if;
    return null;
end $note$"
    )
}
