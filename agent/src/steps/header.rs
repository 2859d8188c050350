//! The lines with which a `run` step's log begins: what is run, with which shell, in which environment.

use super::contexts::first_line;
use super::values::Values;

/// Lines as GitHub prints them, not masked yet. `shell` is [`super::shell::Launch::display`], `env` the step's `env`
/// context.
pub fn header(script: &str, shell: &str, env: &Values) -> Vec<String> {
    let mut lines = vec![format!("##[group]Run {}", first_line(script))];
    let script = script.replace("\r\n", "\n");
    // Bright cyan, as GitHub shows scripts.
    lines
        .extend(script.trim_end_matches('\n').split('\n').map(|line| format!("\u{1b}[36;1m{line}\u{1b}[0m")));
    lines.push(format!("shell: {shell}"));
    if !env.is_empty() {
        lines.push("env:".to_owned());
        for (name, value) in env.iter() {
            lines.extend(format!("  {name}: {value}").split('\n').map(str::to_owned));
        }
    }
    lines.push("##[endgroup]".to_owned());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_github_prints_it() {
        let env: Values = [("A", "one\ntwo")].into_iter().collect();
        assert_eq!(
            header("\n  echo a\r\necho b\n\n", "bash -e {0}", &env),
            [
                "##[group]Run echo a",
                "\u{1b}[36;1m\u{1b}[0m",
                "\u{1b}[36;1m  echo a\u{1b}[0m",
                "\u{1b}[36;1mecho b\u{1b}[0m",
                "shell: bash -e {0}",
                "env:",
                "  A: one",
                "two",
                "##[endgroup]",
            ]
        );
        assert_eq!(header("x", "sh -e {0}", &Values::default()).len(), 4);
    }
}
