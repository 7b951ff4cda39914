//! Files and folders of an export: names that every file system takes, and files that are there whole or not at all.

use sha2::{Digest, Sha256};

pub(super) use crate::whole_file::write_whole;

/// Bytes that a folder's name may take: file systems stop at 255, and what is in the folder may add to its name.
const LONGEST: usize = 180;

/// A name for a file or folder that stands for `name` alone, and reads like it: what a file system or a shell may
/// stumble over is written as `%` and two hexadecimal digits a byte, and a name that is too long ends in `~` and a hash.
pub(crate) fn file_name(name: &str) -> String {
    let mut safe = String::new();
    for (at, character) in name.char_indices() {
        let is_hidden = at == 0 && character == '.';
        if is_hidden || character.is_control() || "/\\:*?\"<>|%~".contains(character) {
            let mut bytes = [0; 4];
            for byte in character.encode_utf8(&mut bytes).bytes() {
                safe.push_str(&format!("%{byte:02X}"));
            }
        } else {
            safe.push(character);
        }
    }
    if safe.len() <= LONGEST {
        return safe;
    }
    let hash = hex::encode(&Sha256::digest(name.as_bytes())[..8]);
    let end = (0..=LONGEST - 17).rev().find(|&end| safe.is_char_boundary(end)).unwrap_or(0);
    format!("{}~{hash}", &safe[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_safe_short_and_distinct() {
        assert_eq!(file_name("glister 30 % seed 0"), "glister 30 %25 seed 0");
        assert_eq!(file_name("../a/b"), "%2E.%2Fa%2Fb");
        assert_eq!(file_name("日本語 🦀"), "日本語 🦀");
        let (one, other) = ("🦀".repeat(255), "🦀".repeat(254));
        assert!(file_name(&one).len() <= LONGEST && file_name(&one).starts_with('🦀'));
        assert_ne!(file_name(&one), file_name(&other));
        assert_ne!(file_name("a/b"), file_name("a%2Fb"));
    }
}
