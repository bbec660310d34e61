//! Links programs that people call without xtask to where their shell finds them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::steps::{Steps, shown};
use crate::workspace;

/// What `wasm-pack test --headless --chrome client-sdk` needs of ours. The first calls the others,
/// and would download them where it does not find them.
const PROGRAMS: [&str; 3] = ["wasm-pack", "wasm-bindgen", "wasm-bindgen-test-runner"];

/// Links them beside the machine's other cargo programs, except those that the machine has already:
/// whose they are is not for us to decide.
///
/// # Errors
///
/// Where the folder cannot be written.
pub(crate) fn link(steps: &mut Steps) -> anyhow::Result<()> {
    let (tools, folder) = (workspace::tools().join("bin"), cargo_programs()?);
    let mut foreign = Vec::new();
    for program in PROGRAMS {
        let ours = tools.join(program);
        match workspace::find_on_machine(program) {
            Some(found) if is_same(&found, &ours) => {}
            Some(_) => foreign.push(program),
            None => {
                link_unless_there(&ours, &folder.join(program))?;
                steps.note(&format!("Linked {program} into {}", folder.display()));
            }
        }
    }
    if !foreign.is_empty() {
        let (foreign, tools) = (foreign.join(", "), tools.display());
        steps.note(&format!(
            "This machine has its own {foreign}. To call ours: export PATH=\"{tools}:$PATH\""
        ));
    }
    Ok(())
}

/// Where `cargo install` puts programs, which is on `PATH` wherever rustup set it up.
fn cargo_programs() -> anyhow::Result<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    Ok(home.context("neither CARGO_HOME nor HOME is set")?.join("bin"))
}

fn is_same(one: &Path, other: &Path) -> bool {
    fs::canonicalize(one).is_ok_and(|one| fs::canonicalize(other).is_ok_and(|other| one == other))
}

fn link_unless_there(ours: &Path, link: &Path) -> anyhow::Result<()> {
    if link.exists() {
        return Ok(());
    }
    if let Some(folder) = link.parent() {
        fs::create_dir_all(folder).with_context(|| shown(folder))?;
    }
    if link.is_symlink() {
        // It leads nowhere: to a clone of this repository that was deleted, say.
        fs::remove_file(link).with_context(|| shown(link))?;
    }
    symlink(ours, link).with_context(|| shown(link))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_absent_is_linked_and_what_is_there_stays() {
        let folder = std::env::temp_dir().join(format!("xtask-reach-{}", std::process::id()));
        let (ours, link) = (folder.join("ours"), folder.join("bin/program"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(&ours, "ours").unwrap();

        link_unless_there(&ours, &link).unwrap();
        assert!(is_same(&link, &ours));

        // A link that leads nowhere is replaced.
        fs::remove_file(&link).unwrap();
        symlink(folder.join("gone"), &link).unwrap();
        link_unless_there(&ours, &link).unwrap();
        assert!(is_same(&link, &ours));

        fs::remove_file(&link).unwrap();
        fs::write(&link, "the machine's").unwrap();
        link_unless_there(&ours, &link).unwrap();
        assert_eq!(fs::read_to_string(&link).unwrap(), "the machine's");
        fs::remove_dir_all(&folder).unwrap();
    }
}
