//! Lists the modules of a crate, each with the modules that it imports. None may import in a circle or upward.
//!
//! `lib.rs` declares modules in paragraphs, each below a comment that names it. A module may import those of
//! the same paragraph and of the paragraphs above.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Context as _;

use crate::workspace;

const CRATES: [&str; 2] = ["server/src", "client-sdk/src"];
/// What stands before a module's name.
const ROOT: &str = "crate::";

/// A top-level module.
#[derive(Debug, Default, PartialEq, Eq)]
struct Module {
    name: String,
    /// The number of its paragraph in `lib.rs`.
    paragraph: usize,
    /// The first sentence of its documentation.
    about: String,
    imports: BTreeSet<String>,
}

/// Prints the modules of our crates. Fails where they import each other in a circle, or upward.
///
/// # Errors
///
/// Where that is so, or a file cannot be read.
pub(crate) fn run() -> anyhow::Result<()> {
    let mut faults = Vec::new();
    for source in CRATES {
        let modules = read(&workspace::path(source))?;
        print!("{source}\n{}", table(&modules));
        faults.extend(self::faults(&modules).into_iter().map(|fault| format!("{source}: {fault}")));
    }
    anyhow::ensure!(faults.is_empty(), "{}", faults.join("\n"));
    println!("No module imports another in a circle, or one of a later paragraph of its lib.rs.");
    Ok(())
}

fn read(source: &Path) -> anyhow::Result<Vec<Module>> {
    let text = |path: &Path| {
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
    };
    let mut modules = declared(&text(&source.join("lib.rs"))?);
    let names: BTreeSet<_> = modules.iter().map(|module| module.name.clone()).collect();
    for module in &mut modules {
        let file = source.join(&module.name).with_extension("rs");
        let root = text(&file)?;
        module.about = about(&root);
        let mut found = imports(&root);
        let mut folders = vec![source.join(&module.name)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten() {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if !path.ends_with("tests.rs") && !path.ends_with("testing.rs") {
                    found.extend(imports(&text(&path)?));
                }
            }
        }
        module.imports = found.intersection(&names).cloned().collect();
        module.imports.remove(&module.name);
    }
    Ok(modules)
}

/// The modules that `lib.rs` declares, with the number of their paragraph.
fn declared(lib: &str) -> Vec<Module> {
    let (mut modules, mut paragraph, mut is_new) = (Vec::new(), 0, true);
    for line in lib.lines() {
        let words = line.trim_start_matches("pub(crate) ").trim_start_matches("pub ");
        if let Some(name) = words.strip_prefix("mod ").and_then(|rest| rest.strip_suffix(';')) {
            modules.push(Module { name: name.to_owned(), paragraph, ..Module::default() });
        } else if line.starts_with("// ") && is_new {
            paragraph += 1;
        }
        is_new = line.is_empty();
    }
    modules
}

fn about(text: &str) -> String {
    let lines = text.lines().map_while(|line| line.strip_prefix("//! "));
    let text = lines.collect::<Vec<_>>().join(" ");
    text.split_inclusive(". ").next().unwrap_or_default().trim_end().to_owned()
}

/// The names that follow `crate::` in the code, without comments and tests.
fn imports(text: &str) -> BTreeSet<String> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let code = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let mut found = BTreeSet::new();
    for line in code {
        for (place, _) in line.match_indices(ROOT) {
            let is_other = line[..place].ends_with(|before| is_part(before) || before == ':');
            let name: String =
                line[place + ROOT.len()..].chars().take_while(|&c| is_part(c)).collect();
            if !is_other {
                found.insert(name);
            }
        }
    }
    found
}

fn table(modules: &[Module]) -> String {
    let mut table = String::new();
    let mut paragraph = 0;
    for module in modules {
        if std::mem::replace(&mut paragraph, module.paragraph) != module.paragraph {
            table.push('\n');
        }
        let imports: Vec<_> = module.imports.iter().map(String::as_str).collect();
        writeln!(table, "  {:<12}{}", module.name, module.about).expect("a string takes all");
        if !imports.is_empty() {
            writeln!(table, "  {:<12}  imports {}", "", imports.join(", "))
                .expect("a string takes all");
        }
    }
    table.push('\n');
    table
}

/// What is wrong, in words.
fn faults(modules: &[Module]) -> Vec<String> {
    let by_name: BTreeMap<_, _> =
        modules.iter().map(|module| (module.name.as_str(), module)).collect();
    let mut faults = Vec::new();
    for module in modules {
        for import in module.imports.iter().filter_map(|name| by_name.get(name.as_str())) {
            if import.paragraph > module.paragraph {
                faults
                    .push(format!("{} imports {}, of a later paragraph", module.name, import.name));
            }
        }
        if let Some(circle) = circle(module, &by_name) {
            faults.push(circle);
        }
    }
    faults
}

/// The shortest way from a module back to itself. Reported once, by the first module on it.
fn circle(module: &Module, by_name: &BTreeMap<&str, &Module>) -> Option<String> {
    let mut ways = std::collections::VecDeque::from([vec![module]]);
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop_front() {
        for import in way.last()?.imports.iter().filter_map(|name| by_name.get(name.as_str())) {
            if import.name == module.name {
                let names: Vec<_> = way.iter().map(|module| module.name.as_str()).collect();
                let is_first = names.iter().min() == Some(&module.name.as_str());
                return is_first
                    .then(|| format!("a circle: {} → {}", names.join(" → "), module.name));
            }
            if seen.insert(&import.name) {
                ways.push_back([&way[..], &[import]].concat());
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(name: &str, paragraph: usize, imports: &[&str]) -> Module {
        let imports = imports.iter().map(|name| (*name).to_owned()).collect();
        Module { name: name.to_owned(), paragraph, about: String::new(), imports }
    }

    #[test]
    fn our_crates_import_neither_in_a_circle_nor_upward() {
        for source in CRATES {
            let modules = read(&workspace::path(source)).unwrap();
            assert!(modules.len() > 10, "{source}: {modules:?}");
            assert_eq!(faults(&modules), [""; 0], "{source}");
        }
    }

    #[test]
    fn circles_and_arrows_upward_are_found() {
        let modules = [
            module("time", 1, &[]),
            module("limits", 2, &["time", "http"]),
            module("auth", 2, &["limits"]),
            module("http", 3, &["auth"]),
        ];
        let expected =
            ["limits imports http, of a later paragraph", "a circle: auth → limits → http → auth"];
        assert_eq!(faults(&modules), expected);
    }

    #[test]
    fn imports_are_read_from_code_alone() {
        let text = "//! [`crate::doc`]\nuse crate::auth::Keys;\n    crate::time::now(); other_crate::no::f();\n\
                    // crate::comment\n#[cfg(test)]\nmod tests {\n    use crate::config;\n}";
        let names: Vec<_> = imports(text).into_iter().collect();
        assert_eq!(names, ["auth", "time"]);
        let lib = "//! Doc.\n\n// One.\nmod a;\npub mod b;\n\n// Two.\npub(crate) mod c;\nuse x;\n";
        let declared: Vec<_> =
            declared(lib).into_iter().map(|one| (one.name, one.paragraph)).collect();
        assert_eq!(declared, [("a".to_owned(), 1), ("b".to_owned(), 1), ("c".to_owned(), 2)]);
    }
}
