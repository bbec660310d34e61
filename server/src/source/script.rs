//! Writes an installation as a script.

use sqlx::postgres::PgConnection;

use super::install::{CLOSE, CLOSE_FUNCTIONS, FREE_NAME, MARK, OWE_LAST_SWEEPS, SCHEMA, parts};
use super::state::{State, fingerprint, known, state, whole};
use super::{InstallError, Source, triggers};

/// The statements of an installation, which can also be run by hand.
///
/// # Errors
/// See [`InstallError`].
pub(crate) async fn script(
    connection: &mut PgConnection,
    source: &Source,
) -> Result<Vec<String>, InstallError> {
    let (mut script, mut known_watches, mut known_feeds) = Default::default();
    if state(connection, source).await? == State::Absent {
        let schema = fingerprint(connection, &SCHEMA.concat()).await?;
        script = vec!["create schema if not exists dashboard".to_owned()];
        script.extend(SCHEMA.map(str::to_owned));
        script.push(CLOSE.to_owned());
        script.push(format!("comment on schema dashboard is {}", literal(MARK)));
        script.push(format!(
            "insert into dashboard.meta (schema, name) values ({}, {})",
            literal(&schema),
            literal(&source.name)
        ));
    } else {
        (known_watches, known_feeds) = known(connection).await?;
    }
    script.push(triggers::NOT_A_KEY.to_owned());
    let mut next = known_watches.values().max().map_or(1, |last| last + 1);
    for watch in source.watches() {
        let number = known_watches.get(watch).copied().unwrap_or(next);
        if number == next {
            next += 1;
            let key: Vec<_> = watch.key.iter().map(|column| literal(column)).collect();
            script.push(format!(
                "insert into dashboard.watches (number, table_name, key_columns)
                 overriding system value values ({number}, {}, array[{}])",
                literal(&watch.table),
                key.join(", ")
            ));
        }
        script.extend(triggers::functions(watch, number));
        for (table, has_parts) in parts(connection, &watch.table).await? {
            script.extend(triggers::triggers(&table, has_parts, number));
        }
    }
    let (mut next, mut feeds) = (known_feeds.values().max().map_or(1, |last| last + 1), Vec::new());
    for feed in &source.feeds {
        let kind = feed.kind.name();
        let known = known_feeds.get(&(feed.name.clone(), kind.to_owned())).copied();
        let number = known.unwrap_or(next);
        if known.is_none() {
            next += 1;
            script.push(format!("{FREE_NAME}{}", literal(&feed.name)));
            script.push(format!(
                "insert into dashboard.feeds (number, name, kind)
                 overriding system value values ({number}, {}, {})",
                literal(&feed.name),
                literal(kind)
            ));
        }
        feeds.push(number.to_string());
    }
    for table in ["watches", "feeds"] {
        script.push(format!(
            "select setval(pg_get_serial_sequence('dashboard.{table}', 'number'), max(number))
             from dashboard.{table}"
        ));
    }
    script.push(CLOSE_FUNCTIONS.to_owned());
    let feeds = feeds.join(", ");
    script.push(format!(
        "update dashboard.meta
         set source = {}, swept = null, is_complete = is_complete and not exists (
                 select from dashboard.feeds where number in ({feeds}) and not is_projected
             )",
        literal(&fingerprint(connection, &whole(source)).await?)
    ));
    script.push(format!("update dashboard.feeds set is_projected = number in ({feeds})"));
    script.push(format!(
        "insert into dashboard.sweeps (feed) select unnest(array[{feeds}])
         on conflict (feed) do update set again = true"
    ));
    script.push(OWE_LAST_SWEEPS.to_owned());
    Ok(script)
}

/// A text for SQL. The text may hold any characters.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
