//! The body of Azure's *Put Block List*: which blocks, in which order.
//!
//! `<BlockList><Latest>AAAA</Latest>…</BlockList>`. Only this form is read, not XML at large: block ids are base64 and
//! need neither entities nor attributes. Whether a block was committed before makes no difference here.

use super::error::ResultsError;
use super::limits::{BLOCK_ID_MAX_CHARS, BLOCKS_MAX};

/// The ids, in order.
///
/// # Errors
/// [`ResultsError::Invalid`], [`ResultsError::TooLarge`].
pub(super) fn parse(body: &str) -> Result<Vec<String>, ResultsError> {
    let wrong = || {
        ResultsError::Invalid(
            "the body is no list of blocks: <BlockList><Latest>ID</Latest>…</BlockList>".to_owned(),
        )
    };
    let mut rest = body.trim_start_matches('\u{feff}').trim();
    if rest.starts_with("<?") {
        rest = rest.split_once("?>").ok_or_else(wrong)?.1.trim_start();
    }
    let inner = match rest.strip_prefix("<BlockList>") {
        Some(inner) => inner.strip_suffix("</BlockList>").ok_or_else(wrong)?,
        None if matches!(rest, "<BlockList/>" | "<BlockList />") => "",
        None => return Err(wrong()),
    };
    let mut blocks = Vec::new();
    let mut rest = inner.trim_start();
    while !rest.is_empty() {
        let (name, after) = rest.strip_prefix('<').and_then(|rest| rest.split_once('>')).ok_or_else(wrong)?;
        if !matches!(name, "Latest" | "Uncommitted" | "Committed") {
            return Err(wrong());
        }
        let (id, after) = after.split_once('<').ok_or_else(wrong)?;
        let after = after.strip_prefix('/').and_then(|after| after.strip_prefix(name)).ok_or_else(wrong)?;
        rest = after.strip_prefix('>').ok_or_else(wrong)?.trim_start();
        check_id(id)?;
        blocks.push(id.to_owned());
        if blocks.len() > BLOCKS_MAX {
            return Err(ResultsError::TooLarge(format!("an upload has at most {BLOCKS_MAX} blocks")));
        }
    }
    Ok(blocks)
}

/// Whether this can be a block's id.
///
/// # Errors
/// [`ResultsError::Invalid`].
pub(super) fn check_id(id: &str) -> Result<(), ResultsError> {
    let base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'-' | b'_');
    if id.is_empty() || id.len() > BLOCK_ID_MAX_CHARS || !id.bytes().all(base64) {
        return Err(ResultsError::Invalid(format!(
            "a block's id is base64 of 1 to {BLOCK_ID_MAX_CHARS} characters"
        )));
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::limits::{CACHE_ENTRY_MAX_BYTES, CALL_MAX_BYTES};
    use super::*;

    #[test]
    fn lists_as_clients_send_them() {
        let list = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?><BlockList><Latest>YQ==</Latest><Latest>Yg==</Latest></BlockList>";
        assert_eq!(parse(list).unwrap(), ["YQ==", "Yg=="]);
        let spaced =
            "<BlockList>\n  <Uncommitted>YQ==</Uncommitted>\n <Committed>Yg==</Committed>\n</BlockList>\n";
        assert_eq!(parse(spaced).unwrap(), ["YQ==", "Yg=="]);
        for empty in ["<BlockList></BlockList>", "<BlockList/>", "<BlockList />"] {
            assert!(parse(empty).unwrap().is_empty());
        }
    }

    #[test]
    fn the_largest_entry_fits_in_the_blocks_that_buildkit_sends() {
        const MEBIBYTE: u64 = 1 << 20;
        let block = format!("<Latest>{}</Latest>", "A".repeat(BLOCK_ID_MAX_CHARS));
        let list = |blocks: usize| format!("<BlockList>{}</BlockList>", block.repeat(blocks));
        let blocks = usize::try_from(CACHE_ENTRY_MAX_BYTES / MEBIBYTE).unwrap();
        assert!(list(blocks).len() <= CALL_MAX_BYTES);
        assert_eq!(parse(&list(blocks)).unwrap().len(), blocks);
        assert!(matches!(parse(&list(BLOCKS_MAX + 1)), Err(ResultsError::TooLarge(_))));
    }

    #[test]
    fn anything_else_is_refused() {
        for wrong in [
            "",
            "<",
            "<BlockList>",
            "<BlockList><Latest>YQ==</Latest>",
            "<BlockList><Latest></Latest></BlockList>",
            "<BlockList><Latest>YQ==</Uncommitted></BlockList>",
            "<BlockList><Other>YQ==</Other></BlockList>",
            "<BlockList><Latest>&lt;</Latest></BlockList>",
            "<?xml",
            "<BlockList>YQ==</BlockList>",
            "<BlockList><Latest>Y Q</Latest></BlockList>",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert!(check_id(&"A".repeat(BLOCK_ID_MAX_CHARS + 1)).is_err());
    }
}
