//! Reads from the output of the different runners how many tests ran.

/// The outcome of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) passed: usize,
    pub(super) failed: usize,
    /// What failed, a line each. At least one where `failed` is not zero.
    pub(super) failures: Vec<String>,
}

impl Counts {
    /// One success.
    pub(super) fn success() -> Self {
        Self { passed: 1, ..Self::default() }
    }

    /// One failure.
    pub(super) fn failure(what: impl Into<String>) -> Self {
        Self { passed: 0, failed: 1, failures: vec![what.into()] }
    }

    /// Both together.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.passed += other.passed;
        self.failed += other.failed;
        self.failures.extend(other.failures);
        self
    }

    /// The same, except that nothing at all is a failure.
    pub(super) fn or_ran_nothing(self) -> Self {
        if self.passed + self.failed == 0 { Self::failure("ran nothing") } else { self }
    }

    /// The same, except that a runner which failed without naming a test has failed: it did not
    /// compile, or it crashed.
    pub(super) fn or_runner_failed(self, success: bool, title: &str) -> Self {
        if success || self.failed > 0 {
            self
        } else {
            self.and(Self::failure(format!("{title}: the runner failed")))
        }
    }
}

/// nextest's last word: `Summary [ 0.1s] 10 tests run: 8 passed, 1 failed, 1 timed out, 2 skipped`,
/// and a line for each failure after it.
pub(super) fn of_nextest(log: &str) -> Counts {
    let Some((_, summary)) = log.rsplit_once("Summary [") else { return Counts::default() };
    let Some((_, results)) = summary.split_once(" run: ") else { return Counts::default() };
    let (results, names) = results.split_once('\n').unwrap_or((results, ""));
    let mut counts = Counts::default();
    for result in results.split(',') {
        let Some((number, kind)) = result.trim().split_once(' ') else { continue };
        let number = number.parse().unwrap_or(0);
        match kind.split(" (").next().unwrap_or(kind) {
            "passed" => counts.passed = number,
            "skipped" => {}
            _ => counts.failed += number,
        }
    }
    for line in names.lines() {
        let Some((kind, rest)) = line.trim().split_once(" [") else { continue };
        let is_failure = ["FAIL", "TIMEOUT", "SIG", "ABORT", "LEAK-FAIL"].iter();
        if is_failure.clone().any(|prefix| kind.starts_with(prefix)) {
            let name = rest.split_once("] ").map_or(rest, |(_, name)| name);
            // `(10/10) crate test`: the place in the order says nothing.
            let name = name.trim_start().split_once(") ").map_or(name, |(_, name)| name);
            counts.failures.push(name.trim().to_owned());
        }
    }
    named(counts)
}

/// The lines `test result: ok. 3 passed; 0 failed; …` of the standard harness, added up; also
/// what wasm-bindgen's runner prints.
pub(super) fn of_libtest(log: &str) -> Counts {
    let mut counts = Counts::default();
    for line in log.lines() {
        if let Some((_, results)) = line.split_once("test result: ") {
            for part in results.split([';', '.']) {
                match part.trim().split_once(' ') {
                    Some((number, "passed")) => counts.passed += number.parse().unwrap_or(0),
                    Some((number, "failed")) => counts.failed += number.parse().unwrap_or(0),
                    _ => {}
                }
            }
        } else if let Some(test) = line.strip_prefix("test ") {
            let failed = ["... FAILED", "... FAIL"].iter().find_map(|end| test.strip_suffix(end));
            counts.failures.extend(failed.map(|name| name.trim().to_owned()));
        }
    }
    named(counts)
}

/// The head of Vitest's JSON report, and the failures that its console report names.
pub(super) fn of_vitest(json: &str, log: &str) -> Counts {
    let number = |key: &str| {
        let (_, rest) = json.split_once(&format!("\"{key}\":"))?;
        let digits = rest.trim_start().split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse::<usize>().ok()
    };
    let mut counts = Counts {
        passed: number("numPassedTests").unwrap_or(0),
        failed: number("numFailedTests").unwrap_or(0),
        failures: Vec::new(),
    };
    for line in log.lines() {
        if let Some(name) = line.trim().strip_prefix("FAIL ") {
            let name = name.trim().to_owned();
            if !counts.failures.contains(&name) {
                counts.failures.push(name);
            }
        }
    }
    named(counts)
}

/// Makes sure that a failure has a line, where the runner's names were not understood.
fn named(mut counts: Counts) -> Counts {
    if counts.failed > 0 && counts.failures.is_empty() {
        counts.failures.push(format!("{} tests; see the log", counts.failed));
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nextest_is_understood() {
        let log = "  PASS [ 0.004s] (1/2) a b\n────\n     Summary [   0.101s] 11 tests run: 8 \
                   passed (1 slow), 2 failed, 1 timed out, 3 skipped\n        FAIL [   0.077s] \
                   (10/10) shared-types::goldens rejected\n     TIMEOUT [  60.0s] (11/11) e2e slow\n\
                   error: test run failed";
        let counts = of_nextest(log);
        assert_eq!((counts.passed, counts.failed), (8, 3));
        assert_eq!(counts.failures, ["shared-types::goldens rejected", "e2e slow"]);
        assert_eq!(of_nextest("error: could not compile").or_ran_nothing().failed, 1);
    }

    #[test]
    fn libtest_is_added_up() {
        let log = "test src/a.rs - A (line 3) ... ok\ntest result: ok. 1 passed; 0 failed; 0 ignored\
                   \ntest x::y ... FAILED\ntest result: FAILED. 2 passed; 1 failed; 0 ignored";
        let counts = of_libtest(log);
        assert_eq!((counts.passed, counts.failed), (3, 1));
        assert_eq!(counts.failures, ["x::y"]);
    }

    #[test]
    fn vitest_is_understood() {
        let json = r#"{"numTotalTestSuites":3,"numPassedTests":41,"numFailedTests": 1,"x":[]}"#;
        let log = " FAIL  src/a.test.ts > shows\n FAIL  src/a.test.ts > shows\n";
        let counts = of_vitest(json, log);
        assert_eq!((counts.passed, counts.failed), (41, 1));
        assert_eq!(counts.failures, ["src/a.test.ts > shows"]);
    }

    #[test]
    fn a_runner_that_failed_without_a_name_counts() {
        let counts = of_libtest("").or_runner_failed(false, "doc tests");
        assert_eq!((counts.passed, counts.failed), (0, 1));
        assert_eq!(of_libtest("").or_ran_nothing().failures, ["ran nothing"]);
    }
}
