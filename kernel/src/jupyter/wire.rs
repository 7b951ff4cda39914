//! Messages as frames: identities, delimiter, signature, four JSON dictionaries, buffers.

use hmac::{Hmac, Mac};
use jupyter_protocol::Header;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::Sha256;

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

    /// Reads a message.
    ///
    /// # Errors
    /// [`Dropped`], which is for the log: nobody is answered.
    pub(crate) fn decode(&self, mut frames: Vec<Vec<u8>>) -> Result<Request, Dropped> {
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
        let request = signer.decode(frames.clone()).unwrap();
        assert_eq!((request.identities.as_slice(), request.content), (&routing[..], json!({"a": 1})));
        for at in 2..frames.len() {
            let mut changed = frames.clone();
            changed[at][0] ^= 1;
            assert!(signer.decode(changed).is_err(), "frame {at}");
        }
        assert!(matches!(signer.decode(frames[..4].to_vec()), Err(Dropped::Truncated(2))));
        assert!(matches!(signer.decode(Vec::new()), Err(Dropped::NoDelimiter(0))));
    }
}
