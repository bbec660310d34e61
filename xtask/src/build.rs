//! Builds what other steps need: each part once, and only where it changed.

use std::collections::BTreeMap;

use anyhow::{Context, anyhow};

use crate::stamp::Stamp;
use crate::steps::Steps;
use crate::workspace::{self, cargo, npm};
use crate::{reach, tools, wasm};

/// Builds the parts in the order in which they need each other. Every method may be called often.
/// The work is done once, and a failure is remembered.
pub(crate) struct Builder {
    /// Runs and tells.
    pub(crate) steps: Steps,
    outcomes: BTreeMap<&'static str, Result<(), String>>,
}

impl Builder {
    pub(crate) fn new(steps: Steps) -> Self {
        Self { steps, outcomes: BTreeMap::new() }
    }

    /// The packages that the workspace's `package-lock.json` names.
    pub(crate) fn node_modules(&mut self) -> anyhow::Result<()> {
        self.once("npm packages", |this| this.npm_ci("npm-ci", ".", &MANIFESTS))
    }

    /// The packages of the test oracles: the official Socket.IO client and server, and python-socketio.
    pub(crate) fn oracles(&mut self) -> anyhow::Result<()> {
        self.once("npm packages of the test oracles", |this| {
            this.npm_ci("npm-ci-oracles", "tests/oracles", &["package.json"])
        })?;
        self.once("Python packages of the test oracles", |this| {
            let folder = workspace::path("tests/oracles");
            let (wanted, packages) =
                (folder.join("requirements.txt"), folder.join("site-packages"));
            let python = tools::python(&mut this.steps)?;
            let stamp = Stamp::of("pip-oracles", std::slice::from_ref(&wanted), &python)?;
            if stamp.is_fresh(std::slice::from_ref(&packages)) {
                return Ok(());
            }
            tools::python_packages(&mut this.steps, &wanted, &packages)?;
            stamp.note()
        })
    }

    /// The bundlers, compilers and checkers that the packed npm package is tried with.
    pub(crate) fn package_tools(&mut self) -> anyhow::Result<()> {
        self.once("npm packages that the npm package is tried with", |this| {
            let folder = "npm-package/tests/package/tools";
            this.npm_ci("npm-ci-package-tools", folder, &["package.json"])
        })
    }

    /// The WASM module with its glue, in npm-package/wasm.
    pub(crate) fn wasm(&mut self) -> anyhow::Result<()> {
        self.once("WASM module", |this| {
            this.node_modules()?;
            tools::wasm_target(&mut this.steps)?;
            let version = tools::wasm_bindgen(&mut this.steps)?;
            wasm::build(&mut this.steps, &version)
        })
    }

    /// The npm package, in npm-package/dist.
    pub(crate) fn sdk(&mut self) -> anyhow::Result<()> {
        self.once("npm package", |this| {
            this.wasm()?;
            this.npm_build("npm-package", ["build", "dist"], "Build the npm package", &[])
        })
    }

    /// The React app, in dashboard-app/dist.
    pub(crate) fn app(&mut self) -> anyhow::Result<()> {
        self.once("app", |this| {
            this.sdk()?;
            this.npm_build(
                "dashboard-app",
                ["build", "dist"],
                "Build the app",
                &["npm-package/dist"],
            )
        })
    }

    /// The app's gallery, in dashboard-app/gallery/dist.
    pub(crate) fn gallery(&mut self) -> anyhow::Result<()> {
        self.once("gallery", |this| {
            this.sdk()?;
            let script = ["build:gallery", "gallery/dist"];
            this.npm_build("dashboard-app", script, "Build the gallery", &["npm-package/dist"])
        })
    }

    /// Chromium and its driver.
    pub(crate) fn browser(&mut self) -> anyhow::Result<()> {
        self.once("browser", |this| tools::browser(&mut this.steps))
    }

    /// The server and the demo.
    pub(crate) fn demo(&mut self) -> anyhow::Result<()> {
        self.once("server and demo", |this| {
            let mut build = cargo(["build", "--package", "dashboard-server", "--package", "demo"]);
            this.steps.run("Build the server and the demo", &mut build)?;
            Ok(())
        })
    }

    /// Every Rust test program. One build for all groups: selecting other packages would select
    /// other features of the dependencies, and compile those again.
    pub(crate) fn rust_tests(&mut self) -> anyhow::Result<()> {
        self.once("Rust tests", |this| {
            tools::openssl(&mut this.steps)?;
            tools::nextest(&mut this.steps)?;
            let mut build = cargo(["nextest", "run", "--no-run"]);
            this.steps.run("Build the Rust tests", build.args(PRODUCT))?;
            Ok(())
        })
    }

    /// Generates the files that other languages read, or checks them.
    pub(crate) fn codegen(&mut self, check: bool) -> anyhow::Result<()> {
        let mut generate = cargo(["run", "--quiet", "--package", "codegen", "--"]);
        if check {
            self.steps.run("Check the generated files", generate.arg("--check"))?;
        } else {
            let outcome = self.steps.run("Generate types and documents", &mut generate)?;
            for line in outcome.log.lines().filter(|line| line.starts_with("wrote ")) {
                println!("     {line}");
            }
        }
        Ok(())
    }

    /// Brings all that any command needs and builds nothing of ours: for a machine that will have
    /// no network later.
    pub(crate) fn install_everything(&mut self) -> anyhow::Result<()> {
        self.node_modules()?;
        self.oracles()?;
        self.package_tools()?;
        self.browser()?;
        tools::openssl(&mut self.steps)?;
        tools::wasm_target(&mut self.steps)?;
        tools::wasm_bindgen(&mut self.steps)?;
        tools::wasm_pack(&mut self.steps)?;
        reach::link(&mut self.steps)?;
        tools::nextest(&mut self.steps)?;
        tools::promtool(&mut self.steps)?;
        tools::cargo_deny(&mut self.steps)?;
        self.steps.run("Fetch the Rust crates", &mut cargo(["fetch", "--locked"]))?;
        self.steps.note("Everything is there.");
        Ok(())
    }

    fn once(
        &mut self,
        name: &'static str,
        work: impl FnOnce(&mut Self) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        if !self.outcomes.contains_key(name) {
            let outcome = work(self).map_err(|error| format!("{error:#}"));
            self.outcomes.insert(name, outcome);
        }
        match self.outcomes.get(name) {
            Some(Err(reason)) => Err(anyhow!("{name}: {reason}")),
            _ => Ok(()),
        }
    }

    fn npm_ci(&mut self, work: &str, folder: &str, manifests: &[&str]) -> anyhow::Result<()> {
        let node = tools::node()?;
        let folder = workspace::path(folder);
        let lock = folder.join("package-lock.json");
        let inputs = manifests.iter().map(|manifest| folder.join(manifest));
        let inputs: Vec<_> = inputs.chain([lock]).collect();
        let stamp = Stamp::of(work, &inputs, &node)?;
        // npm writes this file last.
        let installed = folder.join("node_modules/.package-lock.json");
        if stamp.is_fresh(&[installed]) {
            return Ok(());
        }
        let title = format!("Install npm packages ({work})");
        let mut install = npm(["ci", "--no-audit", "--no-fund"]);
        self.steps.run(&title, install.current_dir(&folder))?;
        // Again: npm may have normalised a manifest.
        Stamp::of(work, &inputs, &node)?.note()
    }

    fn npm_build(
        &mut self,
        package: &'static str,
        [script, result]: [&str; 2],
        title: &str,
        more_inputs: &[&str],
    ) -> anyhow::Result<()> {
        let mut inputs = vec![workspace::path(package), workspace::path("package-lock.json")];
        inputs.extend(more_inputs.iter().map(|input| workspace::path(input)));
        let stamp = Stamp::of(&format!("{package}-{}", script.replace(':', "-")), &inputs, "")?;
        if stamp.is_fresh(&[workspace::path(package).join(result)]) {
            return Ok(());
        }
        self.steps.run(title, &mut npm(["run", script, "--workspace", package]))?;
        stamp.note().with_context(|| title.to_owned())
    }
}

/// The packages of the product and its tests: all but codegen, whose features would change what
/// everything else is compiled with.
pub(crate) const PRODUCT: [&str; 3] = ["--workspace", "--exclude", "codegen"];

const MANIFESTS: [&str; 3] =
    ["package.json", "npm-package/package.json", "dashboard-app/package.json"];
