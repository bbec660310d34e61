//! Defines the groups of tests, in the order in which they run: the quick and telling ones first.

use std::num::NonZero;
use std::process::Command;

use super::counts::{self, Counts};
use super::session::Session;
use crate::build::PRODUCT;
use crate::steps::Outcome;
use crate::supply::{self, Verdict};
use crate::workspace::{self, cargo, command, npm};
use crate::{planted, size, tools};

/// A part of the tests that is counted separately.
pub(super) struct Group {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    pub(super) run: fn(&mut Session) -> anyhow::Result<Counts>,
}

/// Every group.
pub(super) const GROUPS: [Group; 14] = [
    Group { name: "format", what: "rustfmt, and Biome on TypeScript and CSS", run: format },
    Group { name: "clippy", what: "Clippy with warnings denied, host and wasm32", run: clippy },
    Group { name: "generated", what: "generated files are what codegen writes", run: generated },
    Group { name: "rust", what: "tests of the Rust crates (nextest)", run: rust },
    Group { name: "simulation", what: "100,000 lives of the client's core", run: simulation },
    Group { name: "planted", what: "the simulation finds bugs that are planted", run: plant },
    Group { name: "docs", what: "examples in the Rust documentation", run: docs },
    Group { name: "wasm", what: "the SDK's tests in headless Chromium (wasm-pack)", run: wasm },
    Group { name: "npm", what: "types and tests of the npm package (Vitest)", run: npm_package },
    Group { name: "app", what: "types and tests of the app (Vitest)", run: app },
    Group { name: "package", what: "the packed npm package in fresh projects", run: package },
    Group { name: "e2e", what: "the whole system, official clients, Chromium", run: end_to_end },
    Group { name: "ops", what: "alerts, dashboard, handbook, dependencies", run: operators },
    Group { name: "size", what: "the WASM module and its glue stay below the limit", run: size },
];

/// What people type to test the SDK in a browser. It has to be enough as it is.
const BROWSER_TESTS: &str = "wasm-pack test --headless --chrome client-sdk";

fn format(session: &mut Session) -> anyhow::Result<Counts> {
    let rust = check(session, "Check the format of Rust", &mut cargo(["fmt", "--all", "--check"]))?;
    session.builder.node_modules()?;
    let web = check(session, "Lint and check the format of TypeScript", &mut npm(["run", "lint"]))?;
    Ok(rust.and(web))
}

fn clippy(session: &mut Session) -> anyhow::Result<Counts> {
    tools::openssl(&mut session.builder.steps)?;
    let deny = ["--", "--deny", "warnings"];
    let mut host = cargo(["clippy", "--workspace", "--all-targets"]);
    let host = check(session, "Clippy on the workspace", host.args(deny))?;

    tools::wasm_target(&mut session.builder.steps)?;
    let mut browser = cargo(["clippy", "--package", "client-sdk", "--all-targets"]);
    browser.args(["--target", "wasm32-unknown-unknown"]);
    browser.args(["--no-default-features", "--features", "browser"]).args(deny);
    let browser = check(session, "Clippy on the SDK for browsers", &mut browser)?;

    // Alone: together with tests, what it depends on is built with the standard library.
    let mut module = cargo(["clippy", "--package", "client-module"]);
    module.args(["--target", "wasm32-unknown-unknown"]).args(deny);
    let module = check(session, "Clippy on the module for browsers", &mut module)?;
    Ok(host.and(browser).and(module))
}

fn generated(session: &mut Session) -> anyhow::Result<Counts> {
    tools::nextest(&mut session.builder.steps)?;
    let mut tests = cargo(["nextest", "run", "--package", "codegen"]);
    let tests = nextest(session, "Test codegen", &mut tests)?;
    let mut fresh = cargo(["run", "--quiet", "--package", "codegen", "--", "--check"]);
    Ok(tests.and(check(session, "Check the generated files", &mut fresh)?))
}

fn rust(session: &mut Session) -> anyhow::Result<Counts> {
    session.builder.rust_tests()?;
    // The demo measures pages, and its tests see that it does.
    session.builder.browser()?;
    let mut tests = cargo(["nextest", "run"]);
    let filter = format!("not package(e2e-tests) and not ({SIMULATION})");
    tests.args(PRODUCT).args(["--filterset", &filter]);
    tests.env("DATABASE_URL", session.database_url()?);
    nextest(session, "Run the tests of the crates", &mut tests)
}

/// A separate group, because it needs both processors for a while.
const SIMULATION: &str = "package(client-sdk) and test(/^simulation::/)";

fn simulation(session: &mut Session) -> anyhow::Result<Counts> {
    session.builder.rust_tests()?;
    let mut tests = cargo(["nextest", "run", "--no-capture"]);
    tests.args(PRODUCT).args(["--filterset", SIMULATION]);
    let title = "Lead a hundred thousand lives";
    let outcome = nextest_outcome(session, title, &mut tests)?;
    for line in outcome.log.lines().filter_map(|line| line.strip_prefix("simulation: ")) {
        println!("     {line}");
    }
    Ok(told(&outcome, counts::of_nextest(&outcome.log), title))
}

fn plant(session: &mut Session) -> anyhow::Result<Counts> {
    let found = planted::run(&mut session.builder.steps)?;
    Ok(found.into_iter().fold(Counts::default(), |counts, found| {
        counts.and(found.map_or_else(Counts::failure, |()| Counts::success()))
    }))
}

fn docs(session: &mut Session) -> anyhow::Result<Counts> {
    let mut tests = cargo(["test", "--doc"]);
    tests.args(PRODUCT);
    let outcome = session.builder.steps.attempt("Run the examples", &mut tests)?;
    Ok(told(&outcome, counts::of_libtest(&outcome.log), "Run the examples"))
}

fn wasm(session: &mut Session) -> anyhow::Result<Counts> {
    let steps = &mut session.builder.steps;
    tools::wasm_target(steps)?;
    tools::wasm_bindgen(steps)?;
    tools::wasm_pack(steps)?;
    tools::browser(steps)?;
    let mut words = BROWSER_TESTS.split_whitespace();
    let mut tests = command(words.next().unwrap_or_default());
    tests.args(words);
    let title = "Run the SDK's tests in Chromium";
    let outcome = session.builder.steps.attempt(title, &mut tests)?;
    Ok(told(&outcome, counts::of_libtest(&outcome.log), title))
}

fn npm_package(session: &mut Session) -> anyhow::Result<Counts> {
    session.builder.sdk()?;
    let types = types(session, "npm-package", "Check the types of the npm package")?;
    Ok(types.and(vitest(session, "npm-package", "Test the npm package")?))
}

fn app(session: &mut Session) -> anyhow::Result<Counts> {
    // The app sees the package as its users do: built.
    session.builder.sdk()?;
    let types = types(session, "dashboard-app", "Check the types of the app")?;
    Ok(types.and(vitest(session, "dashboard-app", "Test the app")?))
}

fn package(session: &mut Session) -> anyhow::Result<Counts> {
    session.builder.sdk()?;
    session.builder.package_tools()?;
    session.builder.browser()?;
    vitest_script(session, "npm-package", "test:package", "Test the packed npm package")
}

fn end_to_end(session: &mut Session) -> anyhow::Result<Counts> {
    session.builder.app()?;
    session.builder.gallery()?;
    session.builder.oracles()?;
    session.builder.browser()?;
    session.builder.rust_tests()?;
    let mut tests = cargo(["nextest", "run"]);
    let filter = format!("package(e2e-tests) and not ({OPERATORS})");
    tests.args(PRODUCT).args(["--filterset", &filter]);
    tests.env("DATABASE_URL", session.database_url()?);
    nextest(session, "Run the end-to-end tests", &mut tests)
}

/// What operators get, held against a running server.
const OPERATORS: &str = "package(e2e-tests) and test(/^ops::/)";

fn operators(session: &mut Session) -> anyhow::Result<Counts> {
    let steps = &mut session.builder.steps;
    tools::promtool(steps)?;
    tools::cargo_deny(steps)?;
    let mut counts = Counts::default();
    for (title, words, file) in [
        ("Check the alert rules", ["check", "rules"], "alerts.yml"),
        ("Test the alert rules", ["test", "rules"], "alerts.test.yml"),
        ("Check Prometheus' configuration", ["check", "config"], "prometheus.yml"),
        (
            "Check Prometheus' configuration for Docker",
            ["check", "config"],
            "prometheus.compose.yml",
        ),
    ] {
        let mut promtool = command("promtool");
        promtool.args(words).arg(file).current_dir(workspace::path("ops/prometheus"));
        counts = counts.and(check(session, title, &mut promtool)?);
    }

    let mut deny = cargo(["deny", "check", "bans", "licenses", "sources"]);
    counts = counts.and(check(session, "Check what the crates depend on", &mut deny)?);
    let steps = &mut session.builder.steps;
    for (what, verdict) in [
        ("advisories against crates", supply::advisories(steps)?),
        ("advisories against npm packages", supply::npm_audit(steps)?),
    ] {
        counts = counts.and(match verdict {
            Verdict::Clean => Counts::success(),
            Verdict::Found => Counts::failure(what),
            Verdict::NotAsked => Counts::default(),
        });
    }

    session.builder.rust_tests()?;
    let mut tests = cargo(["nextest", "run"]);
    tests.args(PRODUCT).args(["--filterset", OPERATORS]);
    tests.env("DATABASE_URL", session.database_url()?);
    Ok(counts.and(nextest(session, "Hold what operators get against a server", &mut tests)?))
}

fn size(session: &mut Session) -> anyhow::Result<Counts> {
    session.builder.sdk()?;
    Ok(match size::gate() {
        Ok(()) => Counts::success(),
        Err(error) => Counts::failure(format!("{error:#}")),
    })
}

fn types(session: &mut Session, package: &str, title: &str) -> anyhow::Result<Counts> {
    check(session, title, &mut npm(["run", "typecheck", "--workspace", package]))
}

fn vitest(session: &mut Session, package: &str, title: &str) -> anyhow::Result<Counts> {
    vitest_script(session, package, "test", title)
}

fn vitest_script(
    session: &mut Session,
    package: &str,
    script: &str,
    title: &str,
) -> anyhow::Result<Counts> {
    let name = format!("{package}-{}.json", script.replace(':', "-"));
    let report = workspace::target().join("xtask/reports").join(name);
    if report.exists() {
        // The counts of another run must not stand for this one.
        std::fs::remove_file(&report)?;
    }
    let mut tests = npm(["run", script, "--workspace", package, "--"]);
    tests.args(["--reporter=default", "--reporter=json"]);
    tests.arg(format!("--outputFile.json={}", report.display()));
    let outcome = session.builder.steps.attempt(title, &mut tests)?;
    let json = std::fs::read_to_string(&report).unwrap_or_default();
    Ok(told(&outcome, counts::of_vitest(&json, &outcome.log), title))
}

fn nextest(session: &mut Session, title: &str, run: &mut Command) -> anyhow::Result<Counts> {
    let outcome = nextest_outcome(session, title, run)?;
    Ok(told(&outcome, counts::of_nextest(&outcome.log), title))
}

fn nextest_outcome(
    session: &mut Session,
    title: &str,
    run: &mut Command,
) -> anyhow::Result<Outcome> {
    run.args(["--no-fail-fast", "--color", "never", "--status-level", "fail"]);
    run.arg("--test-threads").arg(test_threads().to_string());
    run.env("TMPDIR", session.scratch());
    // Deep inside the runtime they say little, and they bury what the assertion said.
    run.env("RUST_BACKTRACE", "0");
    session.builder.steps.attempt(title, run)
}

/// How many tests run at the same time. Most of them wait for something: a database, a socket, a browser.
/// With one or two for each processor, the processors are idle half of the time.
fn test_threads() -> usize {
    4 * std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// A program that passes or fails as a whole.
fn check(session: &mut Session, title: &str, run: &mut Command) -> anyhow::Result<Counts> {
    let outcome = session.builder.steps.attempt(title, run)?;
    let counts = if outcome.success { Counts::success() } else { Counts::failure(title) };
    Ok(told(&outcome, counts, title))
}

/// Shows why a step failed, and makes sure that it counts.
fn told(outcome: &Outcome, counts: Counts, title: &str) -> Counts {
    if !outcome.success {
        println!("{}", outcome.excerpt());
    }
    counts.or_runner_failed(outcome.success, title)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_for_qa_knows_every_group_and_the_command_for_browsers() {
        let page = std::fs::read_to_string(workspace::path("docs/qa.md")).unwrap();
        assert!(page.lines().any(|line| line.trim() == BROWSER_TESTS));
        for group in &GROUPS {
            assert!(page.contains(&format!("| `{}` |", group.name)), "{} is missing", group.name);
        }
    }
}
