//! The names that Asterisk has for codecs: a wrong one would be accepted by the map and refused by every Asterisk later.

/// Names in any Asterisk from 16 on (`core show codecs`): one that a module adds on some server would break the device at the others.
const KNOWN: &[&str] = &[
    "adpcm", "alaw", "all", "codec2", "g719", "g722", "g723", "g726", "g726aal2", "g729", "gsm", "h261", "h263",
    "h263p", "h264", "h265", "ilbc", "jpeg", "lpc10", "mpeg4", "opus", "png", "red", "silk12", "silk16", "silk24",
    "silk8", "siren14", "siren7", "slin", "slin12", "slin16", "slin192", "slin24", "slin32", "slin44", "slin48",
    "slin96", "speex", "speex16", "speex32", "t140", "testlaw", "ulaw", "vp8", "vp9",
];

/// What is wrong with the first name that no Asterisk knows; `None` where all are fine.
pub(super) fn unknown(codecs: &[String]) -> Option<String> {
    let wrong = codecs.iter().find(|codec| !KNOWN.contains(&codec.as_str()))?;
    let nearest = KNOWN
        .iter()
        .map(|known| (strsim::damerau_levenshtein(known, wrong), known))
        .min()
        .filter(|(distance, _)| *distance <= 2)
        .map(|(_, known)| format!("; did you mean {known}?"));
    Some(format!(
        "Asterisk has no codec {}{}",
        wrong.escape_debug(),
        nearest.unwrap_or_else(|| "; `asterisk -rx 'core show codecs'` lists them".to_owned())
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_codec_that_no_asterisk_knows_is_named_with_its_neighbour() {
        assert_eq!(unknown(&["alaw".into(), "opus".into()]), None);
        assert_eq!(
            unknown(&["alaw".into(), "ulwa".into()]).as_deref(),
            Some("Asterisk has no codec ulwa; did you mean ulaw?")
        );
        assert!(unknown(&["nonexistent".into()]).is_some_and(|why| why.contains("core show codecs")));
    }
}
