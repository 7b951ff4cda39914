//! Addresses without the passwords and tokens in them: for messages, and for what is kept of an import.

use std::borrow::Cow;

/// What stands in a secret's place.
const HIDDEN: &str = "[redacted]";
/// Parts of a query's name by which its value is taken for a secret.
const SECRETS: [&str; 8] =
    ["token", "password", "passwd", "secret", "signature", "apikey", "api_key", "credential"];

/// `text` with what is secret in each address in it (`scheme://user:password@host/path?token=…`) replaced. Texts that are no
/// addresses that a parser would take are looked at too: it is of these that errors speak.
pub(crate) fn without_secrets(text: &str) -> Cow<'_, str> {
    if !text.contains("://") {
        return text.into();
    }
    let mut shown = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        shown.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || "\"'<>`".contains(c)).unwrap_or(after.len());
        let (address, behind) = after.split_at(end);
        let is_web = before.ends_with("http://") || before.ends_with("https://");
        shown.push_str(&one(address, is_web));
        rest = behind;
    }
    shown.push_str(rest);
    if shown == text { text.into() } else { shown.into() }
}

/// Of an address, what stands behind `://`. A user without a password is a secret on the web only, where it is a token; in
/// `ssh://git@host` it is none.
fn one(address: &str, is_web: bool) -> String {
    let end_of_host = address.find(['/', '?', '#']).unwrap_or(address.len());
    // A password may hold a slash that was not escaped: what stands behind the colon then is no port.
    let port = address[..end_of_host].split_once(':').map_or("", |(_, port)| port);
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit());
    let (user, rest) = match address.rfind('@').filter(|&at| at < end_of_host || !is_port) {
        Some(at) if is_web || address[..at].contains(':') => (HIDDEN, &address[at..]),
        _ => ("", address),
    };
    let Some((path, query)) = rest.split_once('?') else { return format!("{user}{rest}") };
    let pairs: Vec<String> = query
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some((name, _)) if is_secret(name) => format!("{name}={HIDDEN}"),
            _ => pair.to_owned(),
        })
        .collect();
    format!("{user}{path}?{}", pairs.join("&"))
}

fn is_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    SECRETS.iter().any(|secret| name.contains(secret)) || matches!(name.as_str(), "sig" | "key" | "auth")
}

#[cfg(test)]
mod tests {
    use super::without_secrets;

    #[test]
    fn passwords_and_tokens_in_addresses_are_not_shown() {
        for (text, shown) in [
            ("http://user:pass@host:80/p?a=1", "http://[redacted]@host:80/p?a=1"),
            ("ftp://user:pass@host", "ftp://[redacted]@host"),
            ("https://user:p/a@ss@host/p", "https://[redacted]@host/p"),
            ("https://token@host", "https://[redacted]@host"),
            (
                "at http://a:b@c and 'https://d:e@f/g'.",
                "at http://[redacted]@c and 'https://[redacted]@f/g'.",
            ),
            ("http://user:pass@", "http://[redacted]@"),
            (
                "https://h/p?token=abc&b=2&X-Amz-Signature=ff",
                "https://h/p?token=[redacted]&b=2&X-Amz-Signature=[redacted]",
            ),
            ("az://c/x?sv=1&sig=abc", "az://c/x?sv=1&sig=[redacted]"),
        ] {
            assert_eq!(without_secrets(text), shown);
        }
        for harmless in
            ["", "a@b", "ssh://git@github.com/a/b", "s3://bucket/a@b/c", "http://h:80/p@q", "://", "x://y:z"]
        {
            assert_eq!(without_secrets(harmless), harmless);
        }
    }
}
