//! A step's environment files. Names are never empty, values for the environment have no NUL, and a file that is wrong
//! fails the step.

use slipway_agent::steps::commands::Effect;
use slipway_agent::steps::env_files::{EnvFile, parse_pairs, process};

pub(super) const CORPUS: &[&[u8]] = &[
    b"A=b\nC=d=e\n\nF=\n",
    b"A<<EOF\nline 1\nline 2\nEOF\nB=1\n",
    b"A<<EOF\nEOF\n",
    b"/usr/local/bin\n/opt/x\r\n",
    b"# Summary\n\n| a | b |\n",
    b"\xef\xbb\xbfA=b\nNODE_OPTIONS=x\n",
];

pub(super) const DICTIONARY: &[&[u8]] = &[
    b"=",
    b"<<",
    b"<<EOF",
    b"EOF",
    b"EOF\n",
    b"\n",
    b"\r\n",
    b"\r",
    b"A=",
    b"A<<",
    b"<<<",
    b"=<<",
    b" ",
    b"'",
    b"\"",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\xf0\x9f\x98\x80",
    b"GITHUB_X=1\n",
    b"NODE_OPTIONS=1\n",
    b"PATH=x\n",
    b"/bin\n",
    b"ghadelimiter_x",
];

pub(super) fn run(input: &[u8]) {
    for file in EnvFile::ALL {
        for effect in process(file, input).effects {
            // Only commands know matchers.
            let of_commands = matches!(
                effect,
                Effect::AddMatchers(_) | Effect::RemoveMatcher(_) | Effect::RemoveMatchers(_)
            );
            assert!(!of_commands, "{effect:?}");
            match effect {
                Effect::SetEnv { name, value } => {
                    assert!(
                        !name.is_empty() && !name.contains('\0') && !value.contains('\0'),
                        "{name:?}={value:?}"
                    );
                    assert!(!name.eq_ignore_ascii_case("NODE_OPTIONS"));
                }
                Effect::SetOutput { name, .. } | Effect::SaveState { name, .. } => assert!(!name.is_empty()),
                Effect::AddPath(path) => assert!(!path.is_empty() && !path.contains(['\0', '\n', '\r'])),
                Effect::Summary(text) => assert_eq!(text, input),
                Effect::AddMask(_) | Effect::Annotate(_) | Effect::FailStep => {}
                Effect::AddMatchers(_) | Effect::RemoveMatcher(_) | Effect::RemoveMatchers(_) => {}
            }
        }
    }
    let text = String::from_utf8_lossy(input);
    let pairs = parse_pairs(&text);
    let bytes: usize = pairs.pairs.iter().map(|(name, value)| name.len() + value.len()).sum();
    assert!(bytes <= text.len(), "{bytes} bytes out of {}", text.len());
}
