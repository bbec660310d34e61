//! Checks what the product is made of, and whether that is fit to be delivered: `cargo deny`,
//! `npm audit`, bills of materials.
//!
//! Known vulnerabilities are looked up in places that not every machine reaches. Where a place cannot
//! be reached, the report says so, and the check neither passes nor fails.

use std::fs;

use anyhow::Context;

use crate::steps::{Steps, shown};
use crate::tools;
use crate::workspace::{self, cargo, npm};

/// The result of a search for known vulnerabilities.
pub(crate) enum Verdict {
    /// Nothing is known against what we use.
    Clean,
    /// Something is known. The program's words were shown.
    Found,
    /// The place that knows could not be asked.
    NotAsked,
}

/// Holds the crates against the advisories that are known. `deny.toml` says which are accepted.
///
/// # Errors
///
/// Where the program cannot be run.
pub(crate) fn advisories(steps: &mut Steps) -> anyhow::Result<Verdict> {
    let fetched = cargo(["deny", "fetch", "db"]).output().context("cargo deny")?;
    let folder = workspace::path("target/xtask/advisory-dbs");
    // What a failed attempt leaves behind is a lock, and no database.
    let is_there = fs::read_dir(folder)
        .is_ok_and(|entries| entries.flatten().any(|entry| entry.path().is_dir()));
    if !fetched.status.success() {
        let reason = String::from_utf8_lossy(&fetched.stderr);
        let reason = reason.lines().rfind(|line| line.starts_with("fatal: ")).unwrap_or_default();
        println!("     the database of advisories cannot be fetched: {reason}");
        if !is_there {
            steps.note("NOT CHECKED: known vulnerabilities of the crates");
            return Ok(Verdict::NotAsked);
        }
        println!("     the copy that was fetched before is used");
    }
    let mut check = cargo(["deny", "--offline", "check", "advisories"]);
    let outcome = steps.attempt("Look up known vulnerabilities of the crates", &mut check)?;
    if outcome.success {
        return Ok(Verdict::Clean);
    }
    println!("{}", outcome.excerpt());
    Ok(Verdict::Found)
}

/// Holds the npm packages that are shipped against the registry's advisories.
///
/// # Errors
///
/// Where npm cannot be run.
pub(crate) fn npm_audit(steps: &mut Steps) -> anyhow::Result<Verdict> {
    let output = npm(["audit", "--omit=dev", "--json"]).output().context("npm")?;
    let report = String::from_utf8_lossy(&output.stdout);
    // A report says so. An answer that is none is the registry's, or the network's.
    if !report.contains("\"auditReportVersion\"") {
        let reason = report.lines().find(|line| line.contains("\"message\"")).unwrap_or_default();
        println!("     the registry does not answer audits: {}", reason.trim());
        steps.note("NOT CHECKED: known vulnerabilities of the npm packages");
        return Ok(Verdict::NotAsked);
    }
    steps.note("Look up known vulnerabilities of the npm packages");
    if output.status.success() {
        return Ok(Verdict::Clean);
    }
    println!("{report}");
    Ok(Verdict::Found)
}

/// Writes `CycloneDX` documents of the server, the npm package and the app into target/sbom.
///
/// # Errors
///
/// Where a program fails.
pub(crate) fn sbom(steps: &mut Steps) -> anyhow::Result<()> {
    const NAME: &str = "written-by-xtask.cdx";
    tools::node()?;
    tools::cargo_cyclonedx(steps)?;
    let folder = workspace::target().join("sbom");
    fs::create_dir_all(&folder).with_context(|| shown(&folder))?;

    let mut server = cargo(["cyclonedx", "--manifest-path", "server/Cargo.toml"]);
    server.args(["--format", "json", "--spec-version", "1.5", "--override-filename", NAME]);
    steps.run("Write what the server is made of", &mut server)?;
    // It writes one beside the manifest of every crate in the workspace.
    for entry in fs::read_dir(workspace::root())? {
        let written = entry?.path().join(format!("{NAME}.json"));
        if written.is_file() {
            if written.starts_with(workspace::path("server")) {
                fs::copy(&written, folder.join("dashboard-server.cdx.json"))?;
            }
            fs::remove_file(&written).with_context(|| shown(&written))?;
        }
    }
    for package in ["npm-package", "dashboard-app"] {
        let mut sbom = npm(["sbom", "--package-lock-only", "--sbom-format", "cyclonedx"]);
        sbom.args(["--omit", "dev", "--workspace", package]);
        let output = sbom.output().context("npm")?;
        let reason = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "npm sbom of {package}: {reason}");
        fs::write(folder.join(format!("{package}.cdx.json")), output.stdout)?;
    }
    for entry in fs::read_dir(&folder)? {
        println!("     wrote {}", shown(&entry?.path()));
    }
    Ok(())
}
