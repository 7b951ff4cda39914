//! Messages as frames: identities, delimiter, signature, four JSON dictionaries, buffers.

use std::sync::{Mutex, PoisonError};

use hmac::{Hmac, Mac};
use jupyter_protocol::Header;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::Sha256;

use super::seen::Seen;

/// The version of the messaging protocol that the kernel speaks.
pub(crate) const PROTOCOL: &str = "5.4";

const DELIMITER: &[u8] = b"<IDS|MSG>";

/// Signs and verifies with the connection file's key; an empty key means that nothing is signed.
#[derive(Clone)]
pub(crate) struct Signer {
    key: Vec<u8>,
}

/// A message that came in, verified.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) identities: Vec<Vec<u8>>,
    pub(crate) header: Header,
    /// The header as it came, for replies to quote.
    pub(crate) raw_header: Value,
    pub(crate) content: Value,
}

/// Why a message was dropped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Dropped {
    #[error("no delimiter among {0} frames")]
    NoDelimiter(usize),
    #[error("{0} frames after the delimiter, expected a signature and 4 dictionaries")]
    Truncated(usize),
    #[error("the signature does not fit")]
    BadSignature,
    #[error("it has come before: a message is taken once")]
    Replayed,
    #[error("frame {0} is not what it should be: {1}")]
    Malformed(&'static str, serde_json::Error),
}

impl Signer {
    pub(crate) fn new(key: &str) -> Self {
        Self { key: key.as_bytes().to_vec() }
    }

    fn mac(&self, parts: &[impl AsRef<[u8]>]) -> Hmac<Sha256> {
        // HMAC takes keys of any length, so the error cannot come; a key of nothing is the same as no bytes.
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.key).unwrap_or_else(|_| Hmac::new(&Default::default()));
        parts.iter().for_each(|part| mac.update(part.as_ref()));
        mac
    }

    /// The signature of `parts`, in hexadecimal.
    pub(crate) fn sign(&self, parts: &[impl AsRef<[u8]>]) -> String {
        if self.key.is_empty() { String::new() } else { hex::encode(self.mac(parts).finalize().into_bytes()) }
    }

    /// Whether `signature` is that of `parts`; takes the same time wherever they differ.
    pub(crate) fn verify(&self, signature: &[u8], parts: &[impl AsRef<[u8]>]) -> bool {
        self.key.is_empty()
            || hex::decode(signature).is_ok_and(|bytes| self.mac(parts).verify_slice(&bytes).is_ok())
    }

    /// Reads a message, and notes in `seen` that it has come.
    ///
    /// # Errors
    /// [`Dropped`], which is for the log: nobody is answered.
    pub(crate) fn decode(&self, mut frames: Vec<Vec<u8>>, seen: &Mutex<Seen>) -> Result<Request, Dropped> {
        let Some(at) = frames.iter().position(|frame| frame == DELIMITER) else {
            return Err(Dropped::NoDelimiter(frames.len()));
        };
        let body = frames.split_off(at + 1);
        frames.pop();
        let [signature, header, parent, metadata, content, ..] = body.as_slice() else {
            return Err(Dropped::Truncated(body.len()));
        };
        if !self.verify(signature, &[header, parent, metadata, content]) {
            return Err(Dropped::BadSignature);
        }
        // Without a key anybody can write a message; nothing is gained by looking for those that are the same.
        if !self.key.is_empty() {
            // Not the text of the signature: that can be written in two ways.
            let signature = self.mac(&[header, parent, metadata, content]).finalize().into_bytes().into();
            if !seen.lock().unwrap_or_else(PoisonError::into_inner).is_new(signature) {
                return Err(Dropped::Replayed);
            }
        }
        let raw_header: Value =
            serde_json::from_slice(header).map_err(|error| Dropped::Malformed("header", error))?;
        let header =
            serde_json::from_value(raw_header.clone()).map_err(|e| Dropped::Malformed("header", e))?;
        let content =
            serde_json::from_slice(content).map_err(|error| Dropped::Malformed("content", error))?;
        Ok(Request { identities: frames, header, raw_header, content })
    }

    /// Writes a message of type `msg_type` that answers `parent` (a header, or null).
    pub(crate) fn encode(
        &self,
        session: &str,
        msg_type: &str,
        routing: &[Vec<u8>],
        parent: &Value,
        content: &impl Serialize,
    ) -> Vec<Vec<u8>> {
        let header = Header {
            msg_id: uuid::Uuid::new_v4().to_string(),
            username: "glisten".to_owned(),
            session: session.to_owned(),
            date: chrono::Utc::now(),
            msg_type: msg_type.to_owned(),
            version: PROTOCOL.to_owned(),
        };
        let empty = json!({});
        let parent = if parent.is_null() { &empty } else { parent };
        let content = serde_json::to_value(content).unwrap_or_else(|error| {
            log::error!("{msg_type} cannot be written as JSON: {error}");
            json!({})
        });
        let header = json!(header);
        let parts = [&header, parent, &empty, &content].map(|value| value.to_string().into_bytes());
        let mut frames = routing.to_vec();
        frames.push(DELIMITER.to_vec());
        frames.push(self.sign(&parts).into_bytes());
        frames.extend(parts);
        frames
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::fuzz;

    #[test]
    fn hmac_is_that_of_rfc_4231_case_2() {
        let signer = Signer::new("Jefe");
        let parts = ["what do ya want ", "for nothing?"];
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(signer.sign(&parts), expected);
        assert!(signer.verify(expected.as_bytes(), &parts));
        assert!(!signer.verify(b"5bdc", &parts));
        assert!(!signer.verify(&[b'0'; 64], &parts));
    }

    #[test]
    fn what_is_encoded_can_be_decoded_and_a_changed_byte_cannot() {
        let signer = Signer::new("secret");
        let routing = [b"client".to_vec()];
        let frames = signer.encode("s", "kernel_info_request", &routing, &Value::Null, &json!({"a": 1}));
        let seen = Mutex::default();
        let request = signer.decode(frames.clone(), &seen).unwrap();
        assert_eq!((request.identities.as_slice(), request.content), (&routing[..], json!({"a": 1})));
        for at in 2..frames.len() {
            let mut changed = frames.clone();
            changed[at][0] ^= 1;
            assert!(signer.decode(changed, &seen).is_err(), "frame {at}");
        }
        assert!(matches!(signer.decode(frames[..4].to_vec(), &seen), Err(Dropped::Truncated(2))));
        assert!(matches!(signer.decode(Vec::new(), &seen), Err(Dropped::NoDelimiter(0))));
    }

    #[test]
    fn a_message_is_taken_once_however_it_is_dressed() {
        let signer = Signer::new("secret");
        let seen = Mutex::default();
        let message = |id: &str| {
            signer.encode(id, "execute_request", &[b"a".to_vec()], &Value::Null, &json!({"id": id}))
        };
        let first = message("1");
        signer.decode(first.clone(), &seen).unwrap();
        let mut from_another = first.clone();
        from_another[0] = b"b".to_vec();
        let mut in_capitals = first.clone();
        in_capitals[2].make_ascii_uppercase();
        let mut with_buffers = first.clone();
        with_buffers.push(b"more".to_vec());
        for again in [first, from_another, in_capitals, with_buffers] {
            assert!(matches!(signer.decode(again, &seen), Err(Dropped::Replayed)));
        }
        // One that was not signed is not remembered: else anybody could keep a message from being taken.
        let second = message("2");
        let mut spoilt = second.clone();
        spoilt[2][0] ^= 1;
        assert!(matches!(signer.decode(spoilt, &seen), Err(Dropped::BadSignature)));
        signer.decode(second, &seen).unwrap();
        let open = Signer::new("");
        let frames = open.encode("s", "kernel_info_request", &[], &Value::Null, &json!({}));
        (0..2).for_each(|_| drop(open.decode(frames.clone(), &seen).unwrap()));
    }

    /// Messages that are signed, or nearly, and hold anything: each is read or refused.
    #[test]
    fn frames_of_any_kind_are_read_or_refused() {
        let signer = Signer::new("secret");
        let seen = Mutex::default();
        let mut read = 0;
        fuzz(2000, |random| {
            let mut parts: Vec<Vec<u8>> = signer
                .encode(
                    "s",
                    "execute_request",
                    &[],
                    &Value::Null,
                    &json!({"code": "1", "n": random.number()}),
                )
                .split_off(2);
            for _ in 0..random.below(4) {
                let at = random.below(parts.len());
                let part = &mut parts[at];
                match random.below(7) {
                    0 => part.truncate(random.below(part.len() + 1)),
                    1 => part.insert(random.below(part.len() + 1), random.number().to_le_bytes()[0]),
                    2 => {
                        *part = random
                            .pick(&["[", "{\"a\":", "\"", "1", "-", "[{\"a\":["])
                            .repeat(random.size(100_000))
                            .into_bytes()
                    }
                    3 => {
                        *part = random
                            .pick(&[
                                "null",
                                "[]",
                                "1e999",
                                "\"\\ud800\"",
                                "{\"msg_id\": 5}",
                                "\u{feff}{}",
                                "9".repeat(5000).as_str(),
                            ])
                            .into()
                    }
                    4 => *part = vec![b' '; random.size(100_000)],
                    5 if parts.len() > 1 => drop(parts.remove(at)),
                    _ => parts.insert(at, Vec::new()),
                }
            }
            let mut frames = vec![b"client".to_vec(); random.below(3)];
            if random.below(10) > 0 {
                frames.push(DELIMITER.to_vec());
            }
            let signed = &parts[..parts.len().min(4)];
            frames.push(if random.below(10) > 0 {
                signer.sign(signed).into_bytes()
            } else {
                vec![b'0'; random.below(100)]
            });
            frames.append(&mut parts);
            read += usize::from(signer.decode(frames, &seen).is_ok());
        });
        assert!(read > 0);
    }
}
