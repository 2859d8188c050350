#![allow(clippy::unwrap_used)]

use super::super::lines::{Line, Stream};
use super::*;
use proptest::prelude::*;

fn line(text: &[u8]) -> Line<'_> {
    Line { stream: Stream::Stdout, time_ms: 1, text: text.into(), continues: false, partial: false }
}

fn options() -> CommandOptions {
    CommandOptions { workspace: "/w".to_owned(), ..CommandOptions::default() }
}

fn run(commands: &mut Commands, text: &str) -> (Vec<String>, Vec<Effect>) {
    run_with(commands, text, &options())
}

fn run_with(commands: &mut Commands, text: &str, options: &CommandOptions) -> (Vec<String>, Vec<Effect>) {
    let outcome = commands.interpret(&line(text.as_bytes()), options);
    (outcome.texts.into_iter().map(|text| String::from_utf8(text).unwrap()).collect(), outcome.effects)
}

fn once(text: &str) -> (Vec<String>, Vec<Effect>) {
    run(&mut Commands::default(), text)
}

#[test]
fn plain_text_stays() {
    for text in [
        "hello",
        "",
        "std::vec::Vec",
        "::unknown::x",
        "::error",
        "x ::error::y",
        "##[nope]x",
        "##[error",
        ":: error::x",
    ] {
        assert_eq!(once(text), (vec![text.to_owned()], vec![]), "{text}");
    }
    let bytes = [0xff, 0xfe, b'a'];
    assert_eq!(Commands::default().interpret(&line(&bytes), &options()).texts, [bytes.to_vec()]);
}

#[test]
fn annotations_and_groups() {
    let (texts, effects) = once("  ::ERROR file=/w/a.rs,line=3,title=T%2C%3A::one%0Atwo%25");
    assert_eq!(texts, ["##[error]one", "two%"]);
    let [Effect::Annotate(annotation)] = effects.as_slice() else { unreachable!("{effects:?}") };
    assert_eq!((annotation.file.as_str(), annotation.line, annotation.title.as_str()), ("a.rs", 3, "T,:"));
    assert_eq!(annotation.message, "one\ntwo%");
    assert_eq!(once("::group::My group"), (vec!["##[group]My group".to_owned()], vec![]));
    assert_eq!(once("##[endgroup]ignored"), (vec!["##[endgroup]".to_owned()], vec![]));
    assert_eq!(once("text before ##[group]G%5D").0, ["##[group]G]"]);
    assert_eq!(once("::warning::"), (vec![], vec![]));
    assert_eq!(
        once("::add-matcher::.github/x.json"),
        (vec![], vec![Effect::AddMatchers(".github/x.json".to_owned())])
    );
    assert_eq!(once("::remove-matcher owner=x::"), (vec![], vec![Effect::RemoveMatcher("x".to_owned())]));
    assert_eq!(once("::remove-matcher::x.json"), (vec![], vec![Effect::RemoveMatchers("x.json".to_owned())]));
}

#[test]
fn debug_shows_only_when_asked_for() {
    assert_eq!(once("::debug::x"), (vec![], vec![]));
    let debug = CommandOptions { debug: true, ..options() };
    assert_eq!(run_with(&mut Commands::default(), "::debug::x%0Ay", &debug).0, ["##[debug]x", "##[debug]y"]);
}

#[test]
fn outputs_and_state_work_and_warn() {
    let (texts, effects) = once("::set-output name=a::v%0Aw");
    assert!(texts[0].starts_with("##[warning]The `set-output` command is deprecated"));
    assert_eq!(effects[1], Effect::SetOutput { name: "a".into(), value: "v\nw".into() });
    let (_, effects) = once("::save-state name=a::v");
    assert_eq!(effects[1], Effect::SaveState { name: "a".into(), value: "v".into() });
    let (texts, effects) = once("::set-output::v");
    assert_eq!(texts[1], "##[error]Unable to process command '::set-output::v' successfully.");
    assert_eq!(texts[2], "##[error]Required field 'name' is missing in ##[set-output] command.");
    assert_eq!(effects.last(), Some(&Effect::FailStep));
}

#[test]
fn unsecure_commands_need_the_switch() {
    for command in ["::set-env name=A::b", "::add-path::/x"] {
        let (texts, effects) = once(command);
        assert!(texts[1].contains("command is disabled"), "{texts:?}");
        assert_eq!(effects.last(), Some(&Effect::FailStep));
    }
    let allowed = CommandOptions::new(false, "/w", [("ACTIONS_ALLOW_UNSECURE_COMMANDS", "True")]);
    let run = |text: &str| run_with(&mut Commands::default(), text, &allowed);
    assert_eq!(run("::set-env name=A::b").1, [Effect::SetEnv { name: "A".into(), value: "b".into() }]);
    assert_eq!(run("::add-path::/x").1, [Effect::AddPath("/x".into())]);
    let (texts, effects) = run("::set-env name=node_options::b");
    assert_eq!(texts, ["##[error]Can't update NODE_OPTIONS environment variable using ::set-env:: command."]);
    assert!(!effects.contains(&Effect::FailStep));
}

#[test]
fn masks() {
    assert_eq!(once("::add-mask::s3cret"), (vec![], vec![Effect::AddMask("s3cret".into())]));
    assert!(once("::add-mask::  ").0[0].contains("empty string"));
    let mut commands = Commands::default();
    run(&mut commands, "::echo::on");
    assert_eq!(run(&mut commands, "::add-mask::x").0, ["::add-mask::***"]);
}

#[test]
fn echo() {
    let mut commands = Commands::default();
    assert_eq!(run(&mut commands, "::echo::ON").0, Vec::<String>::new());
    assert_eq!(run(&mut commands, "::set-output name=a::v").0[0], "::set-output name=a::v");
    assert_eq!(run(&mut commands, "::error::v").0, ["##[error]v"]);
    assert_eq!(run(&mut commands, "::group::v").0, ["::group::v", "##[group]v"]);
    run(&mut commands, "::echo::off");
    assert_eq!(run(&mut commands, "::group::v").0, ["##[group]v"]);
    assert!(run(&mut commands, "::echo::maybe").1.contains(&Effect::FailStep));
}

#[test]
fn stopping_and_resuming() {
    let mut commands = Commands::default();
    let (texts, effects) = run(&mut commands, "::stop-commands::token-1");
    assert_eq!(
        (texts, effects),
        (vec!["::stop-commands::token-1".into()], vec![Effect::AddMask("token-1".into())])
    );
    assert_eq!(run(&mut commands, "::error::x"), (vec!["::error::x".to_owned()], vec![]));
    assert_eq!(run(&mut commands, "::stop-commands::other").0, ["::stop-commands::other"]);
    let saved = serde_json::to_string(&commands).unwrap();
    let mut commands: Commands = serde_json::from_str(&saved).unwrap();
    assert_eq!(run(&mut commands, "::TOKEN-1::").0, ["::TOKEN-1::"]);
    assert_eq!(run(&mut commands, "::error::x").0, ["##[error]x"]);
    assert_eq!(run(&mut commands, "::token-1::").0, ["::token-1::"]);
    assert_eq!(run(&mut commands, "::stop-commands::short").1, []);
    for bad in ["", "pause-logging", "ERROR"] {
        let (texts, effects) = once(&format!("::stop-commands::{bad}"));
        assert!(texts[1].starts_with("##[error]You cannot use a endToken"), "{texts:?}");
        assert!(effects.contains(&Effect::FailStep));
    }
}

#[test]
fn commands_too_long_are_refused_and_hidden() {
    let mut commands = Commands::default();
    let piece = |text: &'static [u8], continues, partial| Line { continues, partial, ..line(text) };
    let first = commands.interpret(&piece(b"::add-mask::abc", false, true), &options());
    assert_eq!(first.effects.last(), Some(&Effect::FailStep));
    assert!(!first.texts.iter().any(|text| text.ends_with(b"abc")));
    assert_eq!(commands.interpret(&piece(b"more", true, true), &options()), LineOutcome::default());
    assert_eq!(commands.interpret(&piece(b"end", true, false), &options()), LineOutcome::default());
    assert_eq!(commands.interpret(&line(b"next"), &options()).texts, [b"next".to_vec()]);
    let long_error = commands.interpret(&piece(b"::error::abc", false, true), &options());
    assert_eq!(long_error, LineOutcome { texts: vec![b"::error::abc".to_vec()], effects: vec![] });
    assert_eq!(commands.interpret(&piece(b"::error::x", true, false), &options()).texts.len(), 1);
}

#[test]
fn properties_as_dotnet_splits_them() {
    let command = parse::parse("::error a=1,b==2,=c=3,d=,e, f=x==::", |_| true).unwrap();
    let get = |key: &str| command.properties.get(key);
    assert_eq!((get("a"), get("b"), get("c")), (Some("1"), Some("2"), Some("3")));
    assert_eq!((get("d"), get("e"), get("f"), get(" f")), (None, None, None, Some("x==")));
}

proptest! {
    #[test]
    fn never_panics_and_plain_lines_are_kept(
        texts in proptest::collection::vec(
            prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..40),
                "(::|##\\[)(error|add-mask|echo|stop-commands|set-env|x)[ a-z=,;%0-9]{0,12}(::|\\])?.{0,8}".prop_map(String::into_bytes),
            ],
            0..20,
        )
    ) {
        let mut commands = Commands::default();
        for text in texts {
            let outcome = commands.interpret(&line(&text), &options());
            if !parse::may_be_command(&text) {
                prop_assert_eq!(outcome.texts, [text]);
            }
        }
    }
}
