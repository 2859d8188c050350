#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

fn argv(shell: Option<&str>, semantics: Semantics) -> Vec<String> {
    launch(shell, semantics, "echo hi\r\n", "/t/s").unwrap().argv
}

#[test]
fn githubs_templates() {
    let cases: [(Option<&str>, Semantics, &[&str]); 12] = [
        (None, Semantics::Host, &["bash", "-e", "/t/s.sh"]),
        (Some(""), Semantics::Host, &["bash", "-e", "/t/s.sh"]),
        (None, Semantics::Container, &["sh", "-e", "/t/s.sh"]),
        (
            Some("bash"),
            Semantics::Container,
            &["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "/t/s.sh"],
        ),
        (
            Some("bash "),
            Semantics::Host,
            &["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "/t/s.sh"],
        ),
        (Some("sh"), Semantics::Host, &["sh", "-e", "/t/s.sh"]),
        (Some("python"), Semantics::Host, &["python", "/t/s.py"]),
        (Some("pwsh"), Semantics::Host, &["pwsh", "-command", ". '/t/s.ps1'"]),
        (Some("bash -euxo pipefail {0}"), Semantics::Host, &["bash", "-euxo", "pipefail", "/t/s.sh"]),
        (Some("perl {0}"), Semantics::Host, &["perl", "/t/s"]),
        (Some("cp {0} Dockerfile"), Semantics::Host, &["cp", "/t/s", "Dockerfile"]),
        (
            Some("script -q -e -c \"bash --noprofile --norc -eo pipefail {0}\""),
            Semantics::Host,
            &["script", "-q", "-e", "-c", "bash --noprofile --norc -eo pipefail /t/s"],
        ),
    ];
    for (shell, semantics, expected) in cases {
        assert_eq!(argv(shell, semantics), expected, "{shell:?}");
    }
}

#[test]
fn the_default_falls_back_to_sh_only_on_the_host() {
    let host = launch(None, Semantics::Host, "", "/t/s").unwrap();
    assert_eq!(host.fallback.unwrap(), ["sh", "-e", "/t/s.sh"]);
    assert_eq!(host.display, "bash -e {0}");
    assert_eq!(launch(None, Semantics::Container, "", "/t/s").unwrap().fallback, None);
    assert_eq!(launch(Some("bash"), Semantics::Host, "", "/t/s").unwrap().fallback, None);
}

#[test]
fn scripts_keep_their_bytes_but_for_pwsh() {
    assert_eq!(launch(None, Semantics::Host, "a\r\nb", "/t/s").unwrap().script, b"a\r\nb");
    let pwsh = launch(Some("pwsh"), Semantics::Host, "a", "/t/s").unwrap();
    assert_eq!(
        String::from_utf8(pwsh.script).unwrap(),
        "$ErrorActionPreference = 'stop'\na\nif ((Test-Path -LiteralPath variable:\\LASTEXITCODE)) { exit $LASTEXITCODE }"
    );
}

#[test]
fn refusals() {
    let refused = |shell: &str| launch(Some(shell), Semantics::Host, "", "/t/s").unwrap_err();
    assert_eq!(refused("cmd"), ShellError::WindowsOnly("cmd".into()));
    assert_eq!(refused("PowerShell"), ShellError::WindowsOnly("PowerShell".into()));
    assert_eq!(refused("fish"), ShellError::NoPlaceholder);
    assert_eq!(refused("bash -e"), ShellError::NoPlaceholder);
    assert!(
        refused("bash {0} {1}").to_string().contains("'bash {0} {1}'")
            || matches!(refused("bash {0} {1}"), ShellError::Format(_))
    );
    assert!(matches!(refused("bash {0} {"), ShellError::Format(_)));
    assert_eq!(refused("bash {0} \0"), ShellError::Nul);
    assert_eq!(
        refused("fish").to_string(),
        "Invalid shell option. Shell must be a valid built-in (bash, sh, cmd, powershell, pwsh) or a format string containing '{0}'"
    );
}

#[test]
fn arguments_split_as_dotnet_does() {
    let cases: [(&str, &[&str]); 9] = [
        ("a  b\tc", &["a", "b", "c"]),
        (r#""a b" c"#, &["a b", "c"]),
        (r#"a"b c"d"#, &["ab cd"]),
        (r#""a""b""#, &[r#"a"b"#]),
        (r#"\"a\" b"#, &[r#""a""#, "b"]),
        (r#"a\\b "c\\" d"#, &[r"a\\b", r"c\", "d"]),
        (r#""" x"#, &["", "x"]),
        ("'a b'", &["'a", "b'"]),
        ("  ", &[]),
    ];
    for (line, expected) in cases {
        assert_eq!(split_arguments(line), expected, "{line}");
    }
    assert_eq!(fill("{{{0}}}", "p").unwrap(), "{p}");
}

proptest! {
    #[test]
    fn any_text_gives_a_command_or_an_error(shell in "\\PC*|[bash {}0\"\\\\ ]{0,20}", script in any::<String>()) {
        if let Ok(launch) = launch(Some(&shell), Semantics::Host, &script, "/t/s") {
            prop_assert!(!launch.argv.is_empty());
        }
    }
}
