//! Secrets in command lines: what looks like a password, a token or a key is not kept with a run.

/// What stands in a secret's place.
const HIDDEN: &str = "[redacted]";

/// Words of a name by which its value is taken for a secret.
const WORDS: [&str; 20] = [
    "accesskey",
    "apikey",
    "auth",
    "authorization",
    "bearer",
    "cookie",
    "credential",
    "credentials",
    "key",
    "pass",
    "passphrase",
    "passwd",
    "password",
    "privatekey",
    "pwd",
    "sas",
    "secret",
    "signature",
    "token",
    "tokens",
];

/// How tokens of well-known services begin.
const TOKENS: [&str; 14] = [
    "AKIA",
    "ASIA",
    "AIza",
    "dapi",
    "eyJ",
    "ghp_",
    "gho_",
    "ghs_",
    "github_pat_",
    "glpat-",
    "hf_",
    "pypi-",
    "sk-",
    "xoxb-",
];

/// The shortest value of an environment variable that is looked for: shorter ones stand in every other text.
const SHORTEST: usize = 6;

/// The arguments of a command without the secrets among them: values of options and variables that are called by one of
/// [`WORDS`], the user's part and secret queries of addresses, tokens as well-known services give them, and `known` secrets
/// wherever they stand.
pub(super) fn hidden_in(arguments: &[String], known: &[String]) -> Vec<String> {
    let mut is_secret = false;
    let hide = |argument: &String| {
        let was_announced = std::mem::replace(&mut is_secret, announces_a_secret(argument));
        if was_announced && !argument.starts_with("--") {
            is_secret = false;
            return HIDDEN.to_owned();
        }
        let mut text = in_argument(argument);
        for secret in known.iter().filter(|secret| secret.len() >= SHORTEST) {
            text = text.replace(secret.as_str(), HIDDEN);
        }
        text
    };
    arguments.iter().map(hide).collect()
}

/// The values of the environment's variables that are called as secrets are, the longest first.
pub(super) fn of_environment() -> Vec<String> {
    let text = |value: std::ffi::OsString| value.into_string().ok();
    let named = std::env::vars_os().filter(|(name, _)| is_secret_name(&name.to_string_lossy()));
    let mut values: Vec<String> = named.filter_map(|(_, value)| text(value)).collect();
    // Paths are no secrets: SSH_AUTH_SOCK, GIT_ASKPASS, XAUTHORITY.
    values.retain(|value| value.len() >= SHORTEST && !value.starts_with('/'));
    values.sort_by_key(|value| std::cmp::Reverse(value.len()));
    values
}

/// Whether the argument is an option whose value is a secret that stands in the next one.
fn announces_a_secret(argument: &str) -> bool {
    if matches!(argument, "Bearer" | "Basic" | "Token") {
        return true;
    }
    argument.starts_with('-') && !argument.contains('=') && is_secret_name(argument)
}

/// As `--api-key`, `MLFLOW_TRACKING_TOKEN`, `apiKey`.
fn is_secret_name(name: &str) -> bool {
    let mut words = vec![String::new()];
    let mut was_small = false;
    for character in name.chars() {
        if !character.is_alphanumeric() || was_small && character.is_uppercase() {
            words.push(String::new());
        }
        was_small = character.is_lowercase();
        if let Some(word) = words.last_mut().filter(|_| character.is_alphanumeric()) {
            word.extend(character.to_lowercase());
        }
    }
    words.iter().any(|word| WORDS.contains(&word.as_str()))
}

fn in_argument(argument: &str) -> String {
    if TOKENS.iter().any(|start| argument.starts_with(start) && argument.len() >= start.len() + 12) {
        return HIDDEN.to_owned();
    }
    // `Authorization: Bearer …` is one argument of curl's.
    if let Some((name, value)) = argument.split_once(':')
        && !value.trim().is_empty()
        && !value.starts_with("//")
        && !name.contains(['/', '?', '@'])
        && is_secret_name(name)
    {
        return format!("{name}: {HIDDEN}");
    }
    if let Some((name, value)) = argument.split_once('=')
        && !name.contains(['/', '?', ':', ' '])
    {
        let value = if is_secret_name(name) { HIDDEN.to_owned() } else { in_argument(value) };
        return format!("{name}={value}");
    }
    in_addresses(argument)
}

/// Hides, in each `scheme://user:password@host/path?token=…`, the user's part and the values of secret queries.
fn in_addresses(text: &str) -> String {
    let mut hidden = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        hidden.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || "\"'<>`".contains(c)).unwrap_or(after.len());
        let (address, behind) = after.split_at(end);
        hidden.push_str(&in_address(address));
        rest = behind;
    }
    hidden + rest
}

/// Of an address, what stands behind `://`.
fn in_address(address: &str) -> String {
    let end_of_host = address.find(['/', '?', '#']).unwrap_or(address.len());
    // A password may hold a slash that was not escaped: what stands behind the colon then is no port.
    let port = address[..end_of_host].split_once(':').map_or("", |(_, port)| port);
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit());
    let (host, path) = match address.rfind('@').filter(|&at| at < end_of_host || !is_port) {
        Some(at) => {
            let end = address[at..].find(['/', '?', '#']).map_or(address.len(), |end| at + end);
            (format!("{HIDDEN}{}", &address[at..end]), &address[end..])
        }
        None => (address[..end_of_host].to_owned(), &address[end_of_host..]),
    };
    let Some((path, query)) = path.split_once('?') else { return host + path };
    let values: Vec<String> = query
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some((name, _)) if is_secret_name(name) || name.eq_ignore_ascii_case("sig") => {
                format!("{name}={HIDDEN}")
            }
            _ => pair.to_owned(),
        })
        .collect();
    format!("{host}{path}?{}", values.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_and_the_rest_stays() {
        let hidden = |line: &str| {
            let arguments: Vec<String> = line.split(' ').map(str::to_owned).collect();
            hidden_in(&arguments, &["value-of-a-variable".to_owned()]).join(" ")
        };
        for (line, expected) in [
            ("train --token abc --epochs 3", "train --token [redacted] --epochs 3"),
            ("train --token=abc --epochs=3", "train --token=[redacted] --epochs=3"),
            (
                "x --api-key k --apiKey=k --API_KEY k",
                "x --api-key [redacted] --apiKey=[redacted] --API_KEY [redacted]",
            ),
            ("x --db-password p -password p", "x --db-password [redacted] -password [redacted]"),
            ("x --token --verbose y", "x --token --verbose y"),
            ("env HF_TOKEN=abc python", "env HF_TOKEN=[redacted] python"),
            ("x http://user:pass@host:80/p?a=1", "x http://[redacted]@host:80/p?a=1"),
            ("x --uri=https://user:p/a@ss@host/p", "x --uri=https://[redacted]@host/p"),
            ("x http://host:80/p@2", "x http://host:80/p@2"),
            ("x https://token@host", "x https://[redacted]@host"),
            (
                "x https://h/p?token=t&b=2&X-Amz-Signature=s",
                "x https://h/p?token=[redacted]&b=2&X-Amz-Signature=[redacted]",
            ),
            ("x https://account/c?sv=1&sig=abc", "x https://account/c?sv=1&sig=[redacted]"),
            ("x Authorization: Bearer abc", "x Authorization: Bearer [redacted]"),
            ("x hf_abcdefghijklmnopqr --m ghp_abcdefghijklmnop", "x [redacted] --m [redacted]"),
            ("x --note before-value-of-a-variable", "x --note before-[redacted]"),
        ] {
            assert_eq!(hidden(line), expected, "{line}");
        }
        for line in [
            "glisten train digits --strategy glister --fraction 0.3 --epochs 10 --seed 7",
            "glisten train data/key.csv --target monkey --author me --passes 3 --keyboard x",
            "glisten export a --to mlflow --uri http://127.0.0.1:5000 -o ./out@2",
            "x a@b.org skill sk- eyJ",
        ] {
            assert_eq!(hidden(line), line);
        }
    }
}
