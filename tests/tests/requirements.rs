//! Holds `docs/requirements.md` against the code: every clause is there, and every test that it names
//! exists in the file that it names.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The clauses of the product's requirements: group and number of the last one.
const CLAUSES: [(&str, usize); 6] =
    [("FR", 17), ("DM", 4), ("API", 7), ("WS", 8), ("RES", 5), ("NFR", 4)];

#[test]
fn every_clause_has_a_row_and_a_test_that_exists() {
    let table = fs::read_to_string(root().join("docs/requirements.md")).unwrap();
    let rows = rows(&table);
    let mut faults = Vec::new();
    for clause in
        CLAUSES.iter().flat_map(|(group, last)| (1..=*last).map(move |n| format!("D-{group}-{n}")))
    {
        match rows.get(clause.as_str()) {
            None => faults.push(format!("{clause}: no row")),
            Some(row) if row.tests.is_empty() => faults.push(format!("{clause}: no test named")),
            Some(row) => {
                let places = row
                    .places
                    .iter()
                    .filter(|file| !root().join(file).exists())
                    .map(|file| format!("{clause}: no such place: {file}"));
                faults.extend(places);
                faults.extend(
                    row.tests
                        .iter()
                        .filter_map(|test| test.fault().map(|fault| format!("{clause}: {fault}"))),
                );
            }
        }
    }
    assert!(
        faults.is_empty(),
        "docs/requirements.md is out of step with the code:\n{}",
        faults.join("\n")
    );
}

struct Row<'a> {
    places: Vec<&'a str>,
    tests: Vec<TestName<'a>>,
}

/// `file::name of the test`
struct TestName<'a> {
    file: &'a str,
    name: &'a str,
}

impl TestName<'_> {
    fn fault(&self) -> Option<String> {
        let Ok(source) = fs::read_to_string(root().join(self.file)) else {
            return Some(format!("no such file: {}", self.file));
        };
        let found = if Path::new(self.file).extension().is_some_and(|extension| extension == "rs") {
            let definition = format!("fn {}(", self.name);
            source.find(&definition).is_some_and(|at| {
                // The attribute that makes it a test stands within the lines just above.
                let above = source[..at].lines().rev().take(8).collect::<Vec<_>>();
                above
                    .iter()
                    .any(|line| line.trim_start().starts_with("#[") && line.contains("test"))
            })
        } else {
            ["'", "\"", "`"].iter().any(|quote| {
                ["it(", "test("]
                    .iter()
                    .any(|call| source.contains(&format!("{call}{quote}{}", self.name)))
            })
        };
        (!found).then(|| format!("no test {:?} in {}", self.name, self.file))
    }
}

/// The rows of the table by clause: clause, what, places, tests as `file::name`.
fn rows(table: &str) -> BTreeMap<&str, Row<'_>> {
    let cells = |line| str::split(line, '|').map(str::trim).collect::<Vec<_>>();
    table
        .lines()
        .filter(|line| line.starts_with("| D-"))
        .map(cells)
        .map(|cells| {
            assert_eq!(cells.len(), 6, "a row has four cells: {cells:?}");
            let tests = quoted(cells[4]).map(|text| {
                let (file, name) = text.split_once("::").unwrap_or((text, ""));
                TestName { file, name }
            });
            (cells[1], Row { places: quoted(cells[3]).collect(), tests: tests.collect() })
        })
        .collect()
}

fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
