//! Skips work whose inputs are what they were.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::steps::shown;
use crate::workspace;

/// Folders that hold results, never inputs.
const RESULTS: [&str; 5] = ["node_modules", "dist", "target", "coverage", ".git"];

/// The inputs of a piece of work, and the note of those it was last done with.
pub(crate) struct Stamp {
    file: PathBuf,
    fingerprint: String,
}

impl Stamp {
    /// For the work of that name with these inputs: files, or folders with all that is in them.
    /// `also` stands for what is no file, such as a tool's version.
    ///
    /// # Errors
    ///
    /// Where an input cannot be read.
    pub(crate) fn of(work: &str, inputs: &[PathBuf], also: &str) -> anyhow::Result<Self> {
        // The hasher is the same in every build of this program by one compiler. A false "changed"
        // costs time. A false "unchanged" needs a collision in 64 bits.
        let mut hasher = DefaultHasher::new();
        also.hash(&mut hasher);
        for input in inputs {
            hash_path(input, &mut hasher)?;
        }
        let file = workspace::target().join("xtask/stamps").join(work);
        Ok(Self { file, fingerprint: format!("{:016x}", hasher.finish()) })
    }

    /// Whether the work was last done with the same inputs and `results` are still there.
    pub(crate) fn is_fresh(&self, results: &[PathBuf]) -> bool {
        results.iter().all(|result| result.exists())
            && fs::read_to_string(&self.file).is_ok_and(|noted| noted == self.fingerprint)
    }

    /// Notes that the work was done.
    ///
    /// # Errors
    ///
    /// Where the note cannot be written.
    pub(crate) fn note(&self) -> anyhow::Result<()> {
        if let Some(folder) = self.file.parent() {
            fs::create_dir_all(folder).with_context(|| shown(folder))?;
        }
        fs::write(&self.file, &self.fingerprint).with_context(|| shown(&self.file))
    }
}

fn hash_path(path: &Path, hasher: &mut DefaultHasher) -> anyhow::Result<()> {
    if path.is_dir() {
        let entries = fs::read_dir(path).with_context(|| shown(path))?;
        let mut entries = entries.collect::<Result<Vec<_>, _>>().with_context(|| shown(path))?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let is_result = entry.file_name().to_str().is_some_and(|name| RESULTS.contains(&name));
            if !is_result {
                hash_path(&entry.path(), hasher)?;
            }
        }
        return Ok(());
    }
    path.hash(hasher);
    fs::read(path).with_context(|| shown(path))?.hash(hasher);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_input_is_noticed() {
        let folder = std::env::temp_dir().join(format!("xtask-stamp-{}", std::process::id()));
        fs::create_dir_all(folder.join("node_modules")).unwrap();
        let inputs = [folder.clone()];
        let stamp = |also| Stamp::of("own-test", &inputs, also).unwrap();
        fs::write(folder.join("a"), "1").unwrap();

        stamp("v1").note().unwrap();
        assert!(stamp("v1").is_fresh(&[folder.join("a")]));
        assert!(!stamp("v2").is_fresh(&[]), "another tool");
        assert!(!stamp("v1").is_fresh(&[folder.join("gone")]), "a lost result");
        fs::write(folder.join("node_modules/b"), "2").unwrap();
        assert!(stamp("v1").is_fresh(&[]), "results are no inputs");
        fs::write(folder.join("a"), "2").unwrap();
        assert!(!stamp("v1").is_fresh(&[]), "another content");

        fs::remove_dir_all(folder).unwrap();
    }
}
