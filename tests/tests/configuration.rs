//! Holds `docs/configuration.md` against the server's flags: every variable is there with its default,
//! and none that does not exist.

use std::collections::BTreeMap;
use std::path::Path;

use clap::CommandFactory as _;
use dashboard_server::Config;

#[test]
fn every_setting_is_documented_with_its_default() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let page = std::fs::read_to_string(page).unwrap();
    let documented: BTreeMap<_, _> = page.lines().filter_map(row).collect();
    let command = Config::command();
    let defined: BTreeMap<_, _> = command
        .get_arguments()
        .filter_map(|argument| {
            let variable = argument.get_env()?.to_str()?.to_owned();
            let default = argument.get_default_values().first();
            Some((variable, default.map_or("none", |value| value.to_str().unwrap()).to_owned()))
        })
        .collect();
    assert!(defined.len() > 20, "the flags were not found: {defined:?}");
    assert_eq!(documented, defined);
}

/// `` | `VARIABLE` | `default` or none | … | ``
fn row(line: &str) -> Option<(String, String)> {
    let mut cells = line.strip_prefix("| `")?.split('|').map(|cell| cell.trim().trim_matches('`'));
    let variable = cells.next().filter(|name| {
        name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    })?;
    Some((variable.to_owned(), cells.next()?.to_owned()))
}
