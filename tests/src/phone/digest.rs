//! Digest authentication (RFC 2617 with MD5) as a phone does it.

use md5::{Digest, Md5};

/// The answer to a challenge, ready for an `Authorization` or `Proxy-Authorization` header; `None` when the challenge
/// is not one this phone can meet (no realm or nonce, or not MD5).
pub(crate) fn authorise(challenge: &str, method: &str, uri: &str, user: &str, password: &str) -> Option<String> {
    let fields = challenge.trim().strip_prefix("Digest")?;
    let realm = field(fields, "realm")?;
    let nonce = field(fields, "nonce")?;
    if field(fields, "algorithm").is_some_and(|a| !a.eq_ignore_ascii_case("MD5")) {
        return None;
    }
    let ha1 = hex(&format!("{user}:{realm}:{password}"));
    let ha2 = hex(&format!("{method}:{uri}"));
    let mut answer =
        format!(r#"Digest username="{user}", realm="{realm}", nonce="{nonce}", uri="{uri}", algorithm=MD5"#);
    if field(fields, "qop").is_some_and(|q| q.split(',').any(|one| one.trim() == "auth")) {
        let cnonce = super::token();
        let response = hex(&format!("{ha1}:{nonce}:00000001:{cnonce}:auth:{ha2}"));
        answer.push_str(&format!(
            r#", response="{response}", qop=auth, nc=00000001, cnonce="{cnonce}""#
        ));
    } else {
        answer.push_str(&format!(r#", response="{}""#, hex(&format!("{ha1}:{nonce}:{ha2}"))));
    }
    if let Some(opaque) = field(fields, "opaque") {
        answer.push_str(&format!(r#", opaque="{opaque}""#));
    }
    Some(answer)
}

fn field(fields: &str, name: &str) -> Option<String> {
    for part in split_outside_quotes(fields) {
        let Some((key, value)) = part.split_once('=') else {
            continue;
        };
        if key.trim().eq_ignore_ascii_case(name) {
            return Some(value.trim().trim_matches('"').to_owned());
        }
    }
    None
}

fn split_outside_quotes(text: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c| {
        if c == '"' {
            quoted = !quoted;
        }
        c == ',' && !quoted
    })
}

fn hex(text: &str) -> String {
    Md5::digest(text.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_2617_without_qop_is_met() {
        let answer = authorise(
            r#"Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093""#,
            "GET",
            "/dir/index.html",
            "Mufasa",
            "Circle Of Life",
        )
        .expect("an MD5 challenge");
        assert!(
            answer.contains(r#"response="670fd8c2df070c60b045671b8b24ff02""#),
            "{answer}"
        );
    }

    #[test]
    fn a_comma_inside_quotes_does_not_split_a_field() {
        assert_eq!(
            field(r#" realm="a,b", qop="auth,auth-int""#, "qop").as_deref(),
            Some("auth,auth-int")
        );
    }
}
