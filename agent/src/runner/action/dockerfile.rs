//! What a Dockerfile may not ask of the engine on an agent that runs code from outside.
//!
//! Its `RUN` lines run in the job's network. But `ADD` of an address is done by the engine itself, in the network of the machine, as is
//! what a base image has it do on build (`ONBUILD`): it would fetch what the machine's own services and the cloud's metadata
//! service tell the machine alone. A server may redirect there, so no address is better than another.
//!
//! The text is read more coarsely than the engine reads it: what may become an address counts as one.

use crate::docker::Engine;
use crate::docker::build::BuildError;
use crate::failure::Cause;

/// Refuses a Dockerfile that has the engine fetch something from an address.
///
/// # Errors
/// See [`BuildError`].
pub(super) async fn vet(engine: &Engine, platform: Option<&str>, text: &str) -> Result<(), BuildError> {
    let refused = |what: &str| {
        BuildError::Work(format!(
            "`{what}` has the engine fetch something in the machine's own network, which is not allowed on an agent with --accept-untrusted: use \
             `RUN` with curl or wget, or another agent"
        ))
    };
    if let Some(instruction) = fetches(text) {
        return Err(refused(&instruction));
    }
    for base in bases(text) {
        let name = match base {
            Base::Image(name) => name,
            Base::Unknown(written) => {
                return Err(BuildError::Work(format!(
                    "`FROM {written}` names an image that is known only on build, which is not allowed on an agent with --accept-untrusted: \
                     give it a default with `ARG`, or use another agent"
                )));
            }
        };
        let image = match engine.ensure_image(&name, platform, None, drop).await {
            Ok(image) => image,
            Err(failure) if failure.cause == Cause::ImageNotFound => {
                return Err(BuildError::Work(failure.message));
            }
            Err(failure) => return Err(failure.into()),
        };
        let on_build = image.on_build.join("\n");
        if let Some(instruction) = fetches(&on_build) {
            return Err(refused(&format!("ONBUILD {instruction} of {name}")));
        }
    }
    Ok(())
}

/// Lines end with a backslash or, where a Dockerfile says so, with a backtick to go on.
const CONTINUES: [char; 2] = ['\\', '`'];

/// A base image in a Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Base {
    /// An image of this name.
    Image(String),
    /// It depends on what only the engine knows.
    Unknown(String),
}

/// Instructions of a Dockerfile, without comments: name in upper case, and the rest.
fn instructions(text: &str) -> Vec<(String, String)> {
    let mut whole: Vec<String> = Vec::new();
    let mut goes_on = false;
    for line in text.lines() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let next = line.ends_with(CONTINUES);
        let part = line.trim_end_matches(CONTINUES);
        match whole.last_mut().filter(|_| goes_on) {
            Some(last) => last.push_str(part),
            None => whole.push(part.to_owned()),
        }
        goes_on = next;
    }
    whole.iter().map(|line| named(line)).collect()
}

/// An instruction's name and the rest; of `ONBUILD` the one that it holds.
fn named(line: &str) -> (String, String) {
    let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    if name.eq_ignore_ascii_case("ONBUILD") {
        named(rest.trim())
    } else {
        (name.to_ascii_uppercase(), rest.trim().to_owned())
    }
}

/// The first instruction that has the engine fetch something: from a Dockerfile, or from what an image does on build.
pub(super) fn fetches(text: &str) -> Option<String> {
    instructions(text).into_iter().find_map(|(name, rest)| {
        let plain = rest.replace(['"', '\'', '[', ']', ','], " ");
        // `--chown=$USER` is no source, and the last word is where they go.
        let mut sources: Vec<&str> =
            plain.split_whitespace().filter(|word| !word.starts_with("--")).collect();
        sources.pop();
        let remote = |word: &&str| word.contains("//") || word.contains(['$', '\\', '`']);
        let quoted_apart = rest.contains(['"', '\'']) && rest.replace(['"', '\''], "").contains("//");
        (name == "ADD" && (sources.iter().any(remote) || quoted_apart)).then(|| format!("ADD {rest}"))
    })
}

/// The base images, without those that the Dockerfile makes itself.
pub(super) fn bases(text: &str) -> Vec<Base> {
    let (mut arguments, mut stages, mut bases) = (Vec::new(), vec!["scratch".to_owned()], Vec::new());
    for (name, rest) in instructions(text) {
        if name == "ARG" {
            let (key, value) = rest.split_once('=').unwrap_or((&rest, ""));
            arguments.push((key.trim().to_owned(), value.trim().trim_matches(['"', '\'']).to_owned()));
        }
        if name != "FROM" {
            continue;
        }
        let words: Vec<&str> = rest.split_whitespace().filter(|word| !word.starts_with("--")).collect();
        let Some(written) = words.first() else { continue };
        let mut image = (*written).to_owned();
        for (key, value) in &arguments {
            image = image.replace(&format!("${{{key}}}"), value);
        }
        // Longest first, as `$A` begins `$AB`.
        let mut by_length = arguments.clone();
        by_length.sort_by_key(|(key, _)| std::cmp::Reverse(key.len()));
        for (key, value) in &by_length {
            image = image.replace(&format!("${key}"), value);
        }
        if !stages.iter().any(|stage| stage.eq_ignore_ascii_case(&image)) {
            let plain = !image.is_empty() && !image.contains(['$', '\\', '"', '\'']);
            bases.push(if plain { Base::Image(image) } else { Base::Unknown((*written).to_owned()) });
        }
        if let [_, _as, stage, ..] = words.as_slice() {
            stages.push((*stage).to_owned());
        }
    }
    bases
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_seen_however_it_is_written() {
        for text in [
            "FROM a\nADD http://169.254.169.254/ /x",
            "FROM a\nadd HTTPS://h/x /x",
            "FROM a\nAD\\\nD \\\n http://h /x",
            "# escape=`\nFROM a\nADD `\n# between\nhttp://h /x",
            "FROM a\nENV A=http\nADD ${A}://h /x",
            "FROM a\nENV A=http://h\nADD $A /x",
            "FROM a\nADD [\"http:\\u002f\\u002fh\", \"/x\"]",
            "FROM a\nADD http:\"/\"/h /x",
            "FROM a\nADD \"http:/\"/h /x",
            "FROM a AS b\nONBUILD ADD http://h /x\nFROM b",
            "FROM a\n  ADD --chown=a:b http://h /x",
        ] {
            assert!(fetches(text).is_some(), "{text}");
        }
    }

    #[test]
    fn files_of_the_action_may_be_added() {
        for text in [
            "FROM a\nADD app.tar.gz /opt\nRUN curl http://h/x",
            "FROM a\nADD --chown=$USER a b /x/\n# ADD http://h /x",
            "FROM a\nCOPY a /b\nENV URL=http://h",
            "FROM a\nADD [\"a b\", \"/x\"]",
        ] {
            assert_eq!(fetches(text), None, "{text}");
        }
    }

    #[test]
    fn bases_are_found_through_arguments_and_stages() {
        let image = |name: &str| Base::Image(name.to_owned());
        let text = "ARG VERSION=3.9\nARG V=x\nFROM --platform=linux/amd64 python:${VERSION} AS one\nFROM one\nFROM $V\nFROM scratch\n\
                    FROM python:$VERSION-slim as two";
        assert_eq!(bases(text), [image("python:3.9"), image("x"), image("python:3.9-slim")]);
        assert_eq!(bases("FROM $NOTHING"), [Base::Unknown("$NOTHING".to_owned())]);
        assert_eq!(bases("FROM ${A:-b}"), [Base::Unknown("${A:-b}".to_owned())]);
    }
}
