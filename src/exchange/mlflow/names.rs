//! Names that MLflow takes, and back: Glisten's may hold any character, MLflow's may not.
//!
//! MLflow allows word characters, `/`, `.`, `-`, space and, since 2.17, `:`, at most 250 of them, and no name that is another
//! path once it is simplified (`a//b`, `./a`). Any other character is written as `_x` and its code point in hexadecimal and
//! `_`, as in `_x1F980_`; an underscore that would be read as the beginning of such a thing, likewise. So each name has one
//! form in MLflow, and [`decode`] gives the name back. A form of more than 250 characters is cut and ends in `_h` and a hash;
//! then the whole name stands in the tag `glisten.name.HASH`.

use sha2::{Digest, Sha256};

/// Characters of a key in MLflow.
const LONGEST: usize = 250;
/// Hexadecimal digits of the hash behind a name that was cut.
const HASH_DIGITS: usize = 16;
/// What the tags of an export begin with.
pub(in crate::exchange) const OURS: &str = "glisten.";
/// Prefix of the tag that holds a name that was cut.
pub(in crate::exchange) const NAME_TAG: &str = "glisten.name.";

/// A name's form in MLflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Encoded {
    pub(super) key: String,
    /// Key and value of the tag that goes with it, where the form had to be cut.
    pub(super) tag: Option<(String, String)>,
}

/// `name` as MLflow takes it; `with_colon` where the server allows `:`.
pub(super) fn encode(name: &str, with_colon: bool) -> Encoded {
    encode_with(name, with_colon, false)
}

/// The name of a user's tag as MLflow takes it. Of one that begins with `glisten.`, as those do that an export makes by
/// itself, the point is written as a code.
pub(super) fn encode_tag(name: &str, with_colon: bool) -> Encoded {
    encode_with(name, with_colon, name.starts_with(OURS))
}

fn encode_with(name: &str, with_colon: bool, mut first_point_as_code: bool) -> Encoded {
    let parts: Vec<&str> = name.split('/').collect();
    let mut key = String::new();
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            // A slash that path rules would take away is written as a code.
            let is_plain = !part.is_empty() && !parts[at - 1].is_empty();
            if is_plain { key.push('/') } else { push_code(&mut key, '/') }
        }
        let is_dots = matches!(*part, "." | "..");
        let characters: Vec<char> = part.chars().collect();
        for (at, &character) in characters.iter().enumerate() {
            let is_legal = match character {
                '_' => !begins_code(&characters[at..]),
                '.' => !std::mem::take(&mut first_point_as_code) && !is_dots,
                ':' => with_colon,
                '-' | ' ' => true,
                _ => is_word(character),
            };
            if is_legal { key.push(character) } else { push_code(&mut key, character) }
        }
    }
    if key.chars().count() <= LONGEST {
        return Encoded { key, tag: None };
    }
    let hash = hex::encode(Sha256::digest(name.as_bytes()))[..HASH_DIGITS].to_owned();
    let mut key: String = key.chars().take(LONGEST - HASH_DIGITS - 2).collect();
    key.push_str("_h");
    key.push_str(&hash);
    Encoded { key, tag: Some((format!("{NAME_TAG}{hash}"), name.to_owned())) }
}

/// The name behind a key of MLflow; `whole` knows the names that were cut, by their hashes.
pub(in crate::exchange) fn decode(key: &str, whole: impl Fn(&str) -> Option<String>) -> String {
    let hash = key.rfind("_h").map(|at| &key[at + 2..]).filter(|hash| hash.len() == HASH_DIGITS);
    if let Some(name) = hash.and_then(whole) {
        return name;
    }
    let mut name = String::new();
    let characters: Vec<char> = key.chars().collect();
    let mut at = 0;
    while at < characters.len() {
        match code(&characters[at..]) {
            Some((character, length)) => {
                name.push(character);
                at += length;
            }
            None => {
                name.push(characters[at]);
                at += 1;
            }
        }
    }
    name
}

/// What both Rust and Python's `\w` surely call a letter or a digit: of other scripts those whose letters are common.
fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric()
        || (character.is_alphanumeric()
            && matches!(character,
                'À'..='\u{24F}' | 'Ά'..='ώ' | 'Ѐ'..='ҁ' | 'Ҋ'..='ԯ' | 'ぁ'..='ゖ' | 'ァ'..='ヺ' | '一'..='\u{9FEF}' | '가'..='힣'))
}

fn push_code(key: &mut String, character: char) {
    key.push_str(&format!("_x{:X}_", u32::from(character)));
}

/// The character whose code `characters` begins with, and how many characters the code has.
fn code(characters: &[char]) -> Option<(char, usize)> {
    let ['_', 'x', rest @ ..] = characters else { return None };
    let n_digits = rest.iter().take_while(|c| matches!(c, '0'..='9' | 'A'..='F')).count();
    if !(1..=6).contains(&n_digits) || rest.get(n_digits) != Some(&'_') || rest[0] == '0' && n_digits > 1 {
        return None;
    }
    let digits: String = rest[..n_digits].iter().collect();
    let character = char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?;
    Some((character, n_digits + 3))
}

/// Whether an underscore here could be read as the beginning of a code, whatever is written for what follows it.
fn begins_code(characters: &[char]) -> bool {
    // Behind `_x` and digits, a character that gets a code itself begins with an underscore too.
    let ['_', 'x', rest @ ..] = characters else { return false };
    let n_digits = rest.iter().take_while(|c| matches!(c, '0'..='9' | 'A'..='F')).count();
    n_digits > 0 && rest.get(n_digits).is_none_or(|&next| next == '_' || !is_word(next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_comes_back_and_is_what_mlflow_takes() {
        let names = [
            "validation:accuracy",
            "train/loss",
            "a_b",
            "_x41_",
            "_x41",
            "_x41/",
            "_x41:",
            "__x41__",
            "_x5F_x41_",
            "",
            ".",
            "..",
            "./a",
            "a//b",
            "/a/",
            "a/../b",
            "...",
            "100 % \"q\" '`\n\0",
            "日本語 🦀 Größe हिन्दी",
            "_h0123456789abcdef",
        ];
        for name in names {
            for with_colon in [true, false] {
                let encoded = encode(name, with_colon);
                assert_eq!(encoded.tag, None);
                assert_eq!(decode(&encoded.key, |_| None), name, "{}", encoded.key);
                let is_legal = |c: char| c.is_alphanumeric() || "_/.- ".contains(c) || with_colon && c == ':';
                assert!(encoded.key.chars().all(is_legal), "{}", encoded.key);
                let parts: Vec<&str> = encoded.key.split('/').collect();
                assert!(
                    name.is_empty() || !parts.iter().any(|part| ["", ".", ".."].contains(part)),
                    "{}",
                    encoded.key
                );
            }
        }
        assert_eq!(encode("validation:accuracy", true).key, "validation:accuracy");
        assert_eq!(encode("validation:accuracy", false).key, "validation_x3A_accuracy");
        assert_eq!(encode("ä🦀", true).key, "ä_x1F980_");
        let tag = encode_tag("glisten.run.x", true).key;
        assert_eq!((tag.as_str(), decode(&tag, |_| None).as_str()), ("glisten_x2E_run.x", "glisten.run.x"));
        assert_eq!(encode_tag("a.glisten.run", true).key, "a.glisten.run");
    }

    #[test]
    fn a_name_too_long_for_mlflow_is_cut_and_kept_whole_in_a_tag() {
        let (one, other) = ("🦀".repeat(255), format!("{}x", "🦀".repeat(254)));
        let encoded = encode(&one, true);
        assert_eq!(encoded.key.chars().count(), LONGEST);
        assert_ne!(encoded.key, encode(&other, true).key);
        let (tag, value) = encoded.tag.unwrap();
        let whole = |hash: &str| (tag == format!("{NAME_TAG}{hash}")).then(|| value.clone());
        assert_eq!(decode(&encoded.key, whole), one);
    }
}
