//! Collects the findings of a check and prints them.

use std::fmt::{self, Display};

use clap::builder::styling::{AnsiColor, Style};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// The server runs, but this may cause trouble.
    Warn,
    /// The server does not start, or no client can use it.
    Fail,
}

/// One part of the installation that was checked.
#[derive(Clone, Debug)]
pub struct Finding {
    /// How bad it is.
    pub verdict: Verdict,
    /// What was checked, in a word or two.
    pub subject: &'static str,
    /// What was found. If it is not right, also what to do. One line, without secrets.
    pub text: String,
}

/// Everything that was found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// In the order in which they were checked.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether a server would start and could be used.
    #[must_use]
    pub fn is_fit(&self) -> bool {
        self.count(Verdict::Fail) == 0
    }

    /// The report as text with styles: a line for each finding, and one that sums up. With a width,
    /// longer lines are broken there and indented.
    #[must_use]
    pub fn render(&self, width: Option<usize>) -> String {
        let subject = self.findings.iter().map(|f| f.subject.len()).max().unwrap_or_default();
        let mut text = String::new();
        for finding in &self.findings {
            let style = finding.verdict.style();
            let indent = 6 + subject + 2;
            let lines = wrap(&finding.text, width.map(|width| width.saturating_sub(indent)));
            let lines = lines.join(&format!("\n{:indent$}", ""));
            // The colour ends with the word, the column does not.
            let (word, name) = (finding.verdict.word(), finding.subject);
            let line = [
                format!("{style}{word}{style:#}{:gap$}", "", gap = 6 - word.len()),
                format!("{name:<subject$}  {lines}\n"),
            ];
            text.extend(line);
        }
        text + &self.summary()
    }

    pub(crate) fn ok(&mut self, subject: &'static str, text: impl Display) {
        self.add(Verdict::Ok, subject, &text);
    }

    pub(crate) fn warn(&mut self, subject: &'static str, text: impl Display) {
        self.add(Verdict::Warn, subject, &text);
    }

    pub(crate) fn fail(&mut self, subject: &'static str, text: impl Display) {
        self.add(Verdict::Fail, subject, &text);
    }

    fn add(&mut self, verdict: Verdict, subject: &'static str, text: &dyn Display) {
        // Messages of others may have several lines.
        let text = text.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        self.findings.push(Finding { verdict, subject, text });
    }

    fn count(&self, verdict: Verdict) -> usize {
        self.findings.iter().filter(|finding| finding.verdict == verdict).count()
    }

    fn summary(&self) -> String {
        let (fails, warnings) = (self.count(Verdict::Fail), self.count(Verdict::Warn));
        let (verdict, text) = match (fails, warnings) {
            (0, 0) => (Verdict::Ok, "Ready to start.".to_owned()),
            (0, 1) => (Verdict::Warn, "Ready to start, with 1 warning.".to_owned()),
            (0, _) => (Verdict::Warn, format!("Ready to start, with {warnings} warnings.")),
            (1, _) => (Verdict::Fail, "Not ready: 1 thing to correct.".to_owned()),
            _ => (Verdict::Fail, format!("Not ready: {fails} things to correct.")),
        };
        let style = verdict.style();
        format!("\n{style}{text}{style:#}\n")
    }
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }

    fn style(self) -> Style {
        match self {
            Self::Ok => AnsiColor::Green.on_default(),
            Self::Warn => AnsiColor::Yellow.on_default().bold(),
            Self::Fail => AnsiColor::Red.on_default().bold(),
        }
    }
}

impl fmt::Display for Report {
    /// Without styles.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&anstream::adapter::strip_str(&self.render(None)).to_string())
    }
}

/// Breaks a text between words. A word that is too long gets a separate line.
fn wrap(text: &str, width: Option<usize>) -> Vec<String> {
    let Some(width) = width else {
        return vec![text.to_owned()];
    };
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::default();
        report.ok("keys", "3 keys");
        report.warn("open files", "too few\n  are allowed");
        report
    }

    #[test]
    fn a_finding_is_a_line_and_the_last_line_sums_up() {
        let mut report = report();
        let expected = "ok    keys        3 keys\n\
                        warn  open files  too few are allowed\n\n\
                        Ready to start, with 1 warning.\n";
        assert_eq!(report.to_string(), expected);
        assert!(report.is_fit());
        report.fail("database", "is away");
        assert!(
            report
                .to_string()
                .ends_with("FAIL  database    is away\n\nNot ready: 1 thing to correct.\n")
        );
        assert!(!report.is_fit());
    }

    #[test]
    fn long_lines_are_broken_and_indented() {
        let text = anstream::adapter::strip_str(&report().render(Some(31))).to_string();
        let expected = "warn  open files  too few are\n                  allowed\n";
        assert!(text.contains(expected), "{text}");
    }
}
