//! Tests that what the contract cannot express is corrected and counted: text that is too long as JavaScript
//! counts, and pictures whose address no URL can be made of.

use dashboard_server::source::{Source, check_installed, load};
use serde_json::{Map, Value};
use sqlx::AssertSqlSafe;

use super::Host;
use crate::support::EXAMPLE;

/// By what becomes of them.
const ADDRESSES: &str = include_str!("addresses.json");
/// As in `dashboard.mocs`.
const ODD_TITLE: i32 = 4;
const ODD_THEME: i32 = 8;
const ODD_PICTURE: i32 = 16;

/// MOCs with their description for a picture.
fn with_pictures() -> Source {
    const MANIFEST: &str = "name = 'test'\n[mocs]\ntable = 'public.moc_instructions'\nkey = 'id'";
    const QUERY: &str = "
        select id, user_id, title, theme, 'ADDED' as build_status, description as cover_image_url,
               created_at, updated_at, 0 as covered_parts, 0 as total_parts
        from public.moc_instructions
        where id = any ($1::uuid[])";
    Source::read(MANIFEST, |_| Ok(Some(QUERY.to_owned()))).unwrap()
}

#[tokio::test]
async fn text_is_cut_as_javascript_counts_and_between_letters() {
    let mut host = Host::of(&with_pictures(), EXAMPLE, &[]).await;
    let texts = [
        "Keep".to_owned(),
        "x".repeat(200),
        "x".repeat(201),
        "é".repeat(200),
        "é".repeat(201),
        "語".repeat(201),
        "🧱".repeat(100),
        "🧱".repeat(101),
        "🧱".repeat(150),
        "🧱".repeat(3_000),
        format!("x{}", "🧱".repeat(100)),
        format!("{}🧱", "x".repeat(198)),
        format!("{}🧱", "x".repeat(199)),
        format!("{}🧱x", "x".repeat(198)),
        format!("{}\u{10ffff}", "\u{ffff}".repeat(199)),
        "👩‍👩‍👧".repeat(40),
    ];
    for text in &texts {
        sqlx::query(
            "insert into public.moc_instructions (user_id, title, theme, type)
             values ('ada', $1, $1, 'moc')",
        )
        .bind(text)
        .execute(&mut host.connection)
        .await
        .unwrap();
    }
    host.settle().await;
    for text in &texts {
        let units: Vec<u16> = text.encode_utf16().take(200).collect();
        // Half a letter is none.
        let kept = String::from_utf16(&units)
            .unwrap_or_else(|_| String::from_utf16(&units[..199]).unwrap());
        let (title, theme, oddities): (String, String, i32) = sqlx::query_as(
            "select projected.title, projected.theme, projected.oddities
             from public.moc_instructions as moc
             join dashboard.mocs as projected on projected.key = moc.id::text
             where moc.title = $1",
        )
        .bind(text)
        .fetch_one(&mut host.connection)
        .await
        .unwrap();
        assert_eq!((&title, &theme), (&kept, &kept), "{text}");
        let expected = if kept == *text { 0 } else { ODD_TITLE | ODD_THEME };
        assert_eq!(oddities, expected, "{text}");
    }
    host.end().await;
}

#[tokio::test]
async fn pictures_without_a_possible_address_are_left_out_and_counted() {
    let mut host = Host::of(&with_pictures(), EXAMPLE, &[]).await;
    let addresses: Map<String, Value> = serde_json::from_str(ADDRESSES).unwrap();
    let addresses: Vec<(&str, &str)> = addresses
        .iter()
        .flat_map(|(kind, list)| {
            list.as_array().unwrap().iter().map(|one| (kind.as_str(), one.as_str().unwrap()))
        })
        .collect();
    for (_, address) in &addresses {
        sqlx::query(
            "insert into public.moc_instructions (user_id, title, description, type)
             values ('ada', $1, $1, 'moc')",
        )
        .bind(address)
        .execute(&mut host.connection)
        .await
        .unwrap();
    }
    host.settle().await;
    let mut wrong = Vec::new();
    for (kind, address) in &addresses {
        let (picture, oddities): (Option<String>, i32) = sqlx::query_as(AssertSqlSafe(format!(
            "select projected.cover_image_url, projected.oddities & {ODD_PICTURE}
             from public.moc_instructions as moc
             join dashboard.mocs as projected on projected.key = moc.id::text
             where moc.description = $1"
        )))
        .bind(address)
        .fetch_one(&mut host.connection)
        .await
        .unwrap();
        // What needs a library to tell is let through here, and left out where it is read.
        let is_kept = matches!(*kind, "shown" | "refusedLate");
        let expected = if is_kept { (Some(*address), 0) } else { (None, ODD_PICTURE) };
        if (picture.as_deref(), oddities) != expected {
            wrong.push((kind, address, picture));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let installed = load(&mut host.node, &with_pictures()).await.unwrap();
    let found = check_installed(&mut host.node, &installed).await.unwrap();
    let count =
        |kinds: [&str; 2]| addresses.iter().filter(|(kind, _)| kinds.contains(kind)).count();
    for (count, why) in [
        (count(["refused", "unusual"]), "cover_image_url is no http(s) address"),
        (count(["refusedLate", ""]), "cover_image_url has no possible host"),
    ] {
        let told = format!("mocs.sql: {count} rows shown without a picture: {why}");
        assert!(found.iter().any(|one| one.what.starts_with(&told)), "{told}: {found:#?}");
    }
    host.end().await;
}
