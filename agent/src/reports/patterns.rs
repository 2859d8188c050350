//! Where reports are looked for: test reports by patterns of their own, and all other kinds by theirs.

use slipway_glob::{Options, Pattern, PatternError};

/// The variable of a job or workflow that replaces the patterns: one a line, `!` takes matches away; empty: none are read.
pub const VARIABLE: &str = "SLIPWAY_TEST_REPORTS";

/// What is read where nobody said anything. Wide, since a file whose root element is another one is left alone: these are the
/// names that the documentation of pytest, Jest, gotestsum, cargo-nextest, Surefire, Gradle, PHPUnit, RSpec, Mocha and
/// Playwright, and CI systems' guides for them, use.
const DEFAULTS: &str = "
    **/*junit*.xml
    **/*junit*/**/*.xml
    **/TEST-*.xml
    **/*test*.xml
    **/*report*.xml
    **/*result*.xml
    **/*spec*.xml
    **/test-results/**/*.xml
    **/test-reports/**/*.xml
    **/test_results/**/*.xml
    **/surefire-reports/*.xml
    **/failsafe-reports/*.xml
    # TestNG's own copies of what Surefire has written.
    !**/surefire-reports/junitreports/**
    !**/surefire-reports/testng-junit-results/**
    !**/node_modules/**
    !**/.git/**
";

/// The variable that replaces the patterns of all other reports, in the same way.
pub const OTHERS_VARIABLE: &str = "SLIPWAY_REPORTS";

/// The same for reports of coverage, findings and components: the names that the documentation of LCOV, cargo-llvm-cov,
/// Istanbul, coverage.py, gcovr, Coverlet, of tools that write SARIF, and of those that write CycloneDX or SPDX uses.
const OTHERS: &str = "
    **/lcov.info
    **/*.lcov
    **/lcov*.info
    **/coverage*.info
    **/cobertura*.xml
    **/*.cobertura.xml
    **/cobertura-coverage.xml
    **/coverage.xml
    **/coverage*.xml
    **/*.sarif
    **/*.sarif.json
    **/*.cdx.json
    **/bom.json
    **/*.bom.json
    **/sbom.json
    **/*.spdx.json
    !**/node_modules/**
    !**/.git/**
";

/// How the names of files end that the usual patterns match.
const ENDINGS: [&str; 5] = [".xml", ".info", ".lcov", ".sarif", ".json"];

/// Which files are wanted.
#[derive(Debug)]
pub(super) struct Patterns {
    patterns: Vec<Pattern>,
    /// The workspace as the job's steps see it: names from the root.
    workspace: Vec<String>,
    /// Somebody wrote them: what is no report after all is worth a word.
    pub(super) written: bool,
}

impl Patterns {
    /// What a job's variable says, if it has one; none: nothing is to be read. `workspace`: its path for the job's steps.
    ///
    /// # Errors
    /// When a pattern can't be used.
    pub(super) fn tests(variable: Option<&str>, workspace: &str) -> Result<Option<Self>, PatternError> {
        Self::new(variable, DEFAULTS, workspace)
    }

    /// The same for all other reports.
    ///
    /// # Errors
    /// When a pattern can't be used.
    pub(super) fn others(variable: Option<&str>, workspace: &str) -> Result<Option<Self>, PatternError> {
        Self::new(variable, OTHERS, workspace)
    }

    fn new(variable: Option<&str>, usual: &str, workspace: &str) -> Result<Option<Self>, PatternError> {
        let text = variable.unwrap_or(usual);
        let workspace = slipway_glob::names(workspace);
        // A folder that somebody names means what is in it.
        let options = Options { folder: &workspace, home: None, descendants: variable.is_some() };
        let patterns = slipway_glob::parse([text], options)?;
        let some = patterns.iter().any(|pattern| !pattern.is_negated());
        Ok(some.then_some(Self { patterns, workspace, written: variable.is_some() }))
    }

    /// Whether a file of this name may be wanted at all; judging its path costs more.
    pub(super) fn may_want(&self, name: &str) -> bool {
        self.written || ENDINGS.iter().any(|ending| name.ends_with(ending))
    }

    /// Whether a file is wanted, by its path in the workspace.
    pub(super) fn wants_file(&self, path: &[String]) -> bool {
        slipway_glob::judge(&self.patterns, &self.whole(path)).file
    }

    /// Whether something in a folder may be wanted.
    pub(super) fn wants_in(&self, path: &[String]) -> bool {
        slipway_glob::judge(&self.patterns, &self.whole(path)).descend
    }

    fn whole(&self, path: &[String]) -> Vec<String> {
        [&self.workspace, path].concat()
    }
}

/// Both sets, for one walk.
#[derive(Debug, Default)]
pub(super) struct Sets {
    /// Of test reports.
    pub(super) tests: Option<Patterns>,
    /// Of all others.
    pub(super) others: Option<Patterns>,
}

impl Sets {
    fn any(&self, wants: impl Fn(&Patterns) -> bool) -> bool {
        [&self.tests, &self.others].into_iter().flatten().any(wants)
    }

    /// Whether a file of this name may be wanted at all.
    pub(super) fn may_want(&self, name: &str) -> bool {
        self.any(|set| set.may_want(name))
    }

    /// Whether a file is wanted.
    pub(super) fn wants_file(&self, path: &[String]) -> bool {
        self.any(|set| set.wants_file(path))
    }

    /// Whether something in a folder may be wanted.
    pub(super) fn wants_in(&self, path: &[String]) -> bool {
        self.any(|set| set.wants_in(path))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn wants(variable: Option<&str>, path: &str) -> bool {
        let patterns = Patterns::tests(variable, "/home/runner/work/r/r").unwrap().unwrap();
        let path = slipway_glob::names(path);
        patterns.may_want(path.last().unwrap()) && patterns.wants_file(&path)
    }

    #[test]
    fn reports_of_common_tools_are_found() {
        for path in [
            "junit.xml",
            "target/nextest/ci/junit.xml",
            "report.xml",
            "pytest-report.xml",
            "unit-tests.xml",
            "target/surefire-reports/TEST-org.example.SumsTest.xml",
            "module/build/test-results/test/TEST-a.xml",
            "build/test-results/test/binary/x.xml",
            "test-reports/a.xml",
            "reports/junit/js.xml",
            "test-results/results.xml",
            "rspec.xml",
        ] {
            assert!(wants(None, path), "{path}");
        }
        for path in [
            "pom.xml",
            "coverage.xml",
            "junit.xml.txt",
            "node_modules/a/junit.xml",
            "a/node_modules/b/test.xml",
            ".git/junit.xml",
            "target/surefire-reports/junitreports/TEST-a.xml",
        ] {
            assert!(!wants(None, path), "{path}");
        }
    }

    #[test]
    fn a_variable_takes_their_place() {
        assert!(wants(Some("out/*.xml\n!out/no.xml"), "out/a.xml"));
        assert!(!wants(Some("out/*.xml\n!out/no.xml"), "out/no.xml"));
        assert!(!wants(Some("out/*.xml"), "junit.xml"));
        assert!(wants(Some("out"), "out/deep/a.txt"), "a folder means what is in it");
        assert!(wants(Some("/home/runner/work/r/r/a.xml"), "a.xml"));
        for off in ["", "  \n", "# nothing", "!a.xml"] {
            assert!(Patterns::tests(Some(off), "/w/r").unwrap().is_none(), "{off:?}");
        }
        assert!(Patterns::tests(Some("../*.xml"), "/w/r").is_err());
    }

    #[test]
    fn other_reports_of_common_tools_are_found() {
        let set = Patterns::others(None, "/w/r").unwrap().unwrap();
        let wants = |path: &str| {
            let path = slipway_glob::names(path);
            set.may_want(path.last().unwrap()) && set.wants_file(&path)
        };
        for path in [
            "lcov.info",
            "coverage/lcov.info",
            "a/coverage.lcov",
            "coverage.xml",
            "TestResults/1/coverage.cobertura.xml",
            "cobertura-coverage.xml",
            "results/js.sarif",
            "clippy.sarif.json",
            "bom.json",
            "a.cdx.json",
            "a.spdx.json",
        ] {
            assert!(wants(path), "{path}");
        }
        for path in ["package.json", "junit.xml", "node_modules/a/bom.json", "x.info"] {
            assert!(!wants(path), "{path}");
        }
    }
}
