//! Writes what other languages and tools read of the wire contract: TypeScript types, `OpenAPI` and
//! `AsyncAPI` documents. Run it as `cargo xtask codegen`. With `--check` it writes nothing and names
//! the files that are stale.
//!
//! Everything flows one way: Rust types → [`typescript`] and [`schemas`] → text → files. Do not edit a
//! file that this program owns.

mod asyncapi;
mod format;
mod openapi;
mod schemas;
mod typescript;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// A generated file: where it belongs, and what must stand in it.
struct Generated {
    path: &'static str,
    text: String,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("unknown argument {0:?}; the only one is --check")]
    Argument(String),
    #[error("the TypeScript declaration of a type cannot be laid out: {0}")]
    Format(#[from] format::FormatError),
    #[error("{path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    #[error("a document cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

fn main() -> ExitCode {
    match run() {
        Ok(stale) if stale.is_empty() => ExitCode::SUCCESS,
        Ok(stale) => {
            for path in stale {
                eprintln!("stale: {path}");
            }
            eprintln!("Run `cargo xtask codegen` and commit the result.");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns the stale files when asked only to check. Otherwise writes them and returns none.
fn run() -> Result<Vec<&'static str>, Error> {
    let mut check = false;
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--check" => check = true,
            _ => return Err(Error::Argument(argument)),
        }
    }

    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let files = generate()?;
    let mut stale = Vec::new();
    for file in &files {
        let path = root.join(file.path);
        // An absent file and an unreadable one are both replaced. Writing reports what is wrong.
        if std::fs::read_to_string(&path).is_ok_and(|text| text == file.text) {
            continue;
        }
        if check {
            stale.push(file.path);
        } else {
            write(&path, &file.text)?;
            println!("wrote {}", file.path);
        }
    }
    println!("{} generated files, {} stale", files.len(), stale.len());
    Ok(stale)
}

fn generate() -> Result<Vec<Generated>, Error> {
    Ok(vec![
        Generated { path: "npm-package/src/generated/wire.ts", text: typescript::wire()? },
        Generated { path: "npm-package/src/generated/state.ts", text: typescript::state()? },
        Generated { path: "docs/openapi.json", text: document(&openapi::document())? },
        Generated { path: "docs/asyncapi.json", text: document(&asyncapi::document())? },
    ])
}

fn document(value: &serde_json::Value) -> Result<String, Error> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    let failed = |source| Error::File { path: path.to_owned(), source };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    std::fs::write(path, text).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generating_twice_gives_the_same_text() {
        let (first, second) = (generate().unwrap(), generate().unwrap());
        assert!(first.iter().zip(&second).all(|(a, b)| a.text == b.text));
    }

    #[test]
    fn documents_have_no_dangling_reference() {
        for document in [openapi::document(), asyncapi::document()] {
            let mut references = Vec::new();
            collect_references(&document, &mut references);
            assert!(references.len() > 10);
            for reference in references {
                let pointer = reference.strip_prefix('#').expect("a local reference");
                assert!(document.pointer(pointer).is_some(), "{reference}");
            }
        }
    }

    fn collect_references(value: &serde_json::Value, found: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(members) => {
                for (key, member) in members {
                    match member {
                        serde_json::Value::String(target) if key == "$ref" => {
                            found.push(target.clone());
                        }
                        _ => collect_references(member, found),
                    }
                }
            }
            serde_json::Value::Array(items) => {
                for item in items {
                    collect_references(item, found);
                }
            }
            _ => {}
        }
    }
}
