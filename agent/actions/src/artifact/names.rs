//! What artifacts and the files in them may be called, and what kind a file is by its name.

use crate::failure::Failure;

/// Characters that some file system does not take, with what they are called.
const FORBIDDEN: [(char, &str); 9] = [
    ('"', " Double quote \""),
    (':', " Colon :"),
    ('<', " Less than <"),
    ('>', " Greater than >"),
    ('|', " Vertical bar |"),
    ('*', " Asterisk *"),
    ('?', " Question mark ?"),
    ('\r', " Carriage return \\r"),
    ('\n', " Line feed \\n"),
];

/// Those of names alone: a path has slashes.
const SLASHES: [(char, &str); 2] = [('\\', " Backslash \\"), ('/', " Forward slash /")];

/// Whether an artifact can have this name.
///
/// # Errors
/// Which character it can't have.
pub(super) fn check_name(name: &str) -> Result<(), Failure> {
    if name.is_empty() {
        return Err(Failure::new("Provided artifact name input during validation is empty"));
    }
    let forbidden: Vec<(char, &str)> = FORBIDDEN.into_iter().chain(SLASHES).collect();
    check(name, &forbidden, "The artifact name is not valid", "the artifact name")
}

/// Whether a file in an artifact can have this path.
///
/// # Errors
/// Which character it can't have.
pub(super) fn check_path(path: &str) -> Result<(), Failure> {
    if path.is_empty() {
        return Err(Failure::new("Provided file path input during validation is empty"));
    }
    check(
        path,
        &FORBIDDEN,
        "The path for one of the files in artifact is not valid",
        "files that are uploaded",
    )
}

fn check(text: &str, forbidden: &[(char, &str)], wrong: &str, place: &str) -> Result<(), Failure> {
    let Some((_, called)) = forbidden.iter().find(|(character, _)| text.contains(*character)) else {
        return Ok(());
    };
    let all: Vec<&str> = forbidden.iter().map(|(_, called)| *called).collect();
    Err(Failure::new(format!(
        "{wrong}: {text}. Contains the following character: {called}\n\nInvalid characters include: {}\n\nThese characters \
         are not allowed in {place}: some file systems, such as NTFS, do not take them, and the artifact could not be \
         downloaded there.",
        all.join(",")
    )))
}

/// The media type of a file, by the end of its name.
pub(super) fn media_type(name: &str) -> &'static str {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    match extension.as_deref().unwrap_or_default() {
        "txt" => "text/plain",
        "html" | "htm" => "text/html",
        "css" => "text/css",
        "csv" => "text/csv",
        "xml" => "text/xml",
        "md" => "text/markdown",
        "js" | "mjs" => "application/javascript",
        "json" => "application/json",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "svg" => "image/svg+xml",
        "webp" => "image/webp",
        "pdf" => "application/pdf",
        "mp4" => "video/mp4",
        "webm" => "video/webm",
        "zip" => "application/zip",
        "tar" => "application/x-tar",
        "gz" => "application/gzip",
        "wasm" => "application/wasm",
        "yaml" | "yml" => "application/x-yaml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn names_are_refused_with_the_character() {
        assert!(check_name("linux-größe 1.0").is_ok() && check_path("/a/b c").is_ok());
        for (name, called) in [("a/b", "Forward slash /"), ("a:b", "Colon :"), ("a\nb", "Line feed \\n")] {
            let message = check_name(name).unwrap_err().to_string();
            let expected = format!(
                "The artifact name is not valid: {name}. Contains the following character:  {called}"
            );
            assert!(message.starts_with(&expected), "{message}");
        }
        let message = check_path("/a?b").unwrap_err().to_string();
        assert!(
            message.contains("The path for one of the files in artifact is not valid: /a?b"),
            "{message}"
        );
        assert!(check_name("").is_err());
        assert_eq!(
            (media_type("a.zip"), media_type("B.HTML"), media_type("x")),
            ("application/zip", "text/html", "application/octet-stream")
        );
    }
}
