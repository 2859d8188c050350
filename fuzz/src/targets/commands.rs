//! A step's output. However it is cut into chunks the items are the same, no line is too long, and a known secret never
//! comes out in the log, an annotation or the summary.

use slipway_agent::steps::commands::CommandOptions;
use slipway_agent::steps::lines::{MAX_LINE_BYTES, Stream};
use slipway_agent::steps::mask::Masks;
use slipway_agent::steps::output::{Item, StepOutput};

const SECRET: &str = "correct horse battery";

pub(super) const CORPUS: &[&[u8]] = &[
    b"plain\n::group::Build\nhello correct horse battery\n::endgroup::\n",
    b"::error file=a.rs,line=1,endLine=2,col=3,title=T%3A::message %0A two\n::warning::w\n::notice::n\n",
    b"::add-mask::token\ntoken\n::set-output name=a::b\n::save-state name=s::v\n",
    b"::stop-commands::abcdefgh\n::error::no\n::abcdefgh::\n::error::yes\n",
    b"::echo::on\n##[debug]d\n##[group]g\n::debug::d\n  ::notice::indented\n",
    b"::add-matcher::m.json\n::remove-matcher owner=x::\n::set-env name=A::b\n::add-path::/x\n",
    b"\x1b[31mred\x1b[0m\r\nprogress 1\rprogress 2\r\n",
];

pub(super) const DICTIONARY: &[&[u8]] = &[
    b"::",
    b"##[",
    b"]",
    b"\n",
    b"\r\n",
    b"\r",
    b" ",
    b",",
    b"=",
    b"%0A",
    b"%0D",
    b"%25",
    b"%3A",
    b"%2C",
    b"%",
    b"error",
    b"warning",
    b"notice",
    b"debug",
    b"group",
    b"endgroup",
    b"add-mask",
    b"stop-commands",
    b"::stop-commands::abcdefgh\n",
    b"::abcdefgh::\n",
    b"echo::on",
    b"echo::off",
    b"set-output name=",
    b"save-state name=",
    b"set-env name=",
    b"add-path::",
    b"add-matcher::",
    b"remove-matcher",
    b"file=",
    b"line=1",
    b"line=-1",
    b"line=99999999999",
    b"endLine=",
    b"col=0",
    b"title=",
    b"name=",
    b"correct horse battery",
    b"correct horse",
    b" battery",
    b"Y29ycmVjdCBob3JzZSBiYXR0ZXJ5",
    b"::add-mask::x\n",
    b"::add-mask::\n",
    b"\0",
    b"\xff",
    b"\xf0\x9f\x98\x80",
    b"\x1b[0m",
    b"::debug::",
];

pub(super) fn run(input: &[u8]) {
    let options = CommandOptions {
        debug: input.len().is_multiple_of(2),
        workspace: "/w".to_owned(),
        ..CommandOptions::default()
    };
    let whole = items(input, input.len().max(1), &options);
    let cut = items(input, 1 + input.len() / 7, &options);
    assert_eq!(whole, cut, "the items depend on how the output is cut");
    for item in &whole {
        let shown = match item {
            Item::Line { text, .. } => {
                assert!(text.len() <= MAX_LINE_BYTES + SECRET.len(), "a line of {} bytes", text.len());
                text.to_vec()
            }
            Item::Annotation(annotation) => format!("{annotation:?}").into_bytes(),
            Item::Summary(text) => text.clone(),
            Item::Effect(_) => continue,
        };
        let leaks = shown.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
        assert!(!leaks, "a secret came out: {}", String::from_utf8_lossy(&shown));
    }
}

fn items(input: &[u8], chunk: usize, options: &CommandOptions) -> Vec<Item<'static>> {
    let mut masks = Masks::new([SECRET]);
    let mut output = StepOutput::default();
    let mut items = Vec::new();
    let mut emit = |item: Item<'_>| items.push(item.into_owned());
    for piece in input.chunks(chunk) {
        output.push(options, &mut masks, Stream::Stdout, 1, piece, &mut emit);
    }
    output.finish(options, &mut masks, &mut emit);
    items
}
