//! Our block in a file: found by its markers, replaced whole, and nothing else touched.

use super::StanzaError;

/// The line that begins our block.
pub const BEGIN: &str =
    "; BEGIN fed-node -- written by fed-node asterisk-config and replaced whole; keep your own lines outside";

/// The line that ends our block.
pub const END: &str = "; END fed-node";

const BEGIN_MARK: &str = "; BEGIN fed-node";

/// Where the block stands in the text, in bytes, its marker lines included.
fn find(text: &str) -> Result<Option<(usize, usize)>, StanzaError> {
    let mut at = 0;
    let mut begin = None;
    let mut found = None;
    for line in text.split_inclusive('\n') {
        let next = at + line.len();
        if line.starts_with(BEGIN_MARK) {
            if begin.is_some() || found.is_some() {
                return Err(StanzaError::BrokenMarkers { what: BEGIN_MARK });
            }
            begin = Some(at);
        } else if line.trim_end() == END {
            let Some(start) = begin.take() else {
                return Err(StanzaError::BrokenMarkers { what: END });
            };
            found = Some((start, next));
        }
        at = next;
    }
    if begin.is_some() {
        Err(StanzaError::BrokenMarkers { what: BEGIN_MARK })
    } else {
        Ok(found)
    }
}

/// The text without our block; with broken markers, the whole text.
pub(super) fn without_block(text: &str) -> String {
    remove(text).unwrap_or_else(|_| text.to_owned())
}

/// The file's text with our block holding `block`: in place of the one there is, else at the end. An empty block is taken out.
///
/// # Errors
/// [`StanzaError::BrokenMarkers`] where a marker has no partner; the text is then not touched.
pub fn install(text: &str, block: &str) -> Result<String, StanzaError> {
    if block.is_empty() {
        return remove(text);
    }
    let framed = format!("{BEGIN}\n{}\n{END}\n", block.trim_end_matches('\n'));
    Ok(match find(text)? {
        Some((start, end)) => format!("{}{framed}{}", &text[..start], &text[end..]),
        None if text.is_empty() => framed,
        None if text.ends_with('\n') => format!("{text}{framed}"),
        None => format!("{text}\n{framed}"),
    })
}

/// The file's text without our block.
///
/// # Errors
/// [`StanzaError::BrokenMarkers`] where a marker has no partner.
pub fn remove(text: &str) -> Result<String, StanzaError> {
    Ok(match find(text)? {
        Some((start, end)) => format!("{}{}", &text[..start], &text[end..]),
        None => text.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "[general]\n; mine\nstatic=yes\n\n[from-office]\nexten => 1,1,Answer()";

    #[test]
    fn a_block_is_replaced_and_every_other_byte_kept() {
        let once = install(OWN, "[fed-users]\nold=1\n").expect("installs");
        assert!(once.starts_with(OWN));
        let after = format!("{once}[below]\nkept=yes\n");
        let twice = install(&after, "[fed-users]\nnew=1\n").expect("installs");
        assert!(twice.starts_with(OWN) && twice.ends_with("[below]\nkept=yes\n"));
        assert!(twice.contains("new=1") && !twice.contains("old=1"));
        assert_eq!(
            install(&twice, "[fed-users]\nnew=1\n").expect("installs"),
            twice,
            "idempotent"
        );
    }

    #[test]
    fn taking_the_block_out_gives_the_file_back() {
        let own = format!("{OWN}\n");
        let with = install(&own, "[fed-users]\n").expect("installs");
        assert_eq!(remove(&with).expect("removes"), own);
        assert_eq!(install(&with, "").expect("installs nothing"), own);
    }

    #[test]
    fn markers_without_a_partner_are_refused() {
        for text in [
            format!("{BEGIN}\nx=1\n"),
            format!("x=1\n{END}\n"),
            format!("{BEGIN}\n{BEGIN}\n{END}\n"),
        ] {
            assert!(
                matches!(install(&text, "y=1"), Err(StanzaError::BrokenMarkers { .. })),
                "{text}"
            );
        }
    }
}
