//! What OneNET pushes: each message signed, encrypted where its console says so; and the test of the URL.
//!
//! Facts from the platform's documents and its own receivers (<https://github.com/cm-heclouds/data-push>):
//!
//! - When the URL is entered, the platform sends `GET ?msg=…&nonce=…&signature=…` and wants `msg` back, nothing else.
//! - A message is `{"msg": …, "nonce": …, "signature": …}`, in the former push `msg_signature`. The signature is
//!   base64(MD5(token + nonce + msg)). `msg` is a text that holds JSON; in the former push it is an object, of which the
//!   text as it was sent is signed.
//! - Encrypted, `msg` is base64 of AES-128-CBC with the key of 16 characters, which is the initialization vector too. In
//!   the former push it is `enc_msg`, with AES-256 and a key of 43 base64 digits, whose first half is the vector; 16
//!   random bytes and the length (4 bytes) precede the message.

use std::borrow::Cow;
use std::fmt;

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeDecrypt, KeyIvInit};
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use md5::{Digest, Md5};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use serde_json::value::RawValue;
use subtle::ConstantTimeEq;

use super::answer::Refusal;

/// The platform's receivers in other languages leave the padding out or not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Random bytes and the length in front of what the former push encrypted.
const FORMER_PREFIX_BYTES: usize = 20;

/// The answer to the platform's test of the URL. Without a token, nothing is checked.
pub(super) fn handshake(query: &str, token: Option<&[u8]>) -> Result<String, Refusal> {
    let value = |name: &str| form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name);
    let Some((_, msg)) = value("msg") else {
        return Err(Refusal::malformed("the query has no `msg`: this is not OneNET's test of the URL"));
    };
    if let Some(token) = token {
        let [nonce, signature] =
            ["nonce", "signature"].map(|name| value(name).map_or(Cow::Borrowed(""), |(_, value)| value));
        if !is_signed(token, &nonce, &[msg.as_bytes()], &signature) {
            return Err(wrong_signature());
        }
    }
    Ok(msg.into_owned())
}

/// Checks that the platform has signed this body.
pub(super) fn check(body: &[u8], token: &[u8]) -> Result<(), Refusal> {
    let members = Members::read(body)?;
    let nonce = members.text("nonce").unwrap_or_default();
    let signature = members.text("signature").or_else(|| members.text("msg_signature"));
    let msg = members.get("msg").or_else(|| members.get("enc_msg"));
    let (Some(signature), Some(msg)) = (signature, msg) else {
        return Err(Refusal::unproven(
            "the body has no `msg` with its `signature`: this is not a message of OneNET's push",
        ));
    };
    let signed = match text_of(msg) {
        Some(text) => is_signed(token, &nonce, &[text.as_bytes()], &signature),
        // Whoever sends it on may have laid it out anew.
        None => is_signed(token, &nonce, &[msg.as_bytes(), compact(msg).as_bytes()], &signature),
    };
    if signed { Ok(()) } else { Err(wrong_signature()) }
}

fn wrong_signature() -> Refusal {
    Refusal::unproven(
        "the signature is not that of this source's token: enter the same token at OneNET and in token_file",
    )
}

/// Whether the signature is that of one of these messages.
fn is_signed(token: &[u8], nonce: &str, messages: &[&[u8]], signature: &str) -> bool {
    // `+` in a query that was not encoded is read as a space.
    let Ok(signature) = BASE64.decode(signature.replace(' ', "+")) else { return false };
    messages.iter().any(|message| {
        let digest = Md5::new().chain_update(token).chain_update(nonce).chain_update(message).finalize();
        bool::from(digest.as_slice().ct_eq(&signature))
    })
}

/// The key of encrypted messages.
pub(super) enum AesKey {
    Present([u8; 16]),
    Former([u8; 32]),
}

impl AesKey {
    /// Reads the key as the platform's console shows it.
    pub fn parse(text: &str) -> Result<AesKey, &'static str> {
        let text = text.trim();
        if let Ok(key) = <[u8; 16]>::try_from(text.as_bytes()) {
            return Ok(AesKey::Present(key));
        }
        let key = BASE64.decode(text).ok().and_then(|key| key.try_into().ok());
        key.map(AesKey::Former).ok_or("it is neither 16 characters nor 43 base64 digits, as OneNET's keys are")
    }

    /// The message that was encrypted.
    fn decrypt(&self, mut ciphertext: Vec<u8>) -> Option<String> {
        let message = match self {
            AesKey::Present(key) => cbc::Decryptor::<aes::Aes128>::new(key.into(), key.into())
                .decrypt_padded::<Pkcs7>(&mut ciphertext)
                .ok()?,
            AesKey::Former(key) => {
                let vector = <&[u8; 16]>::try_from(&key[..16]).ok()?;
                let decryptor = cbc::Decryptor::<aes::Aes256>::new(key.into(), vector.into());
                decryptor.decrypt_padded::<Pkcs7>(&mut ciphertext).ok()?.get(FORMER_PREFIX_BYTES..)?
            }
        };
        String::from_utf8(message.to_vec()).ok()
    }
}

/// The body as it would be without encryption; as it is, if it is not encrypted.
///
/// # Errors
/// What went wrong. Then the body is to be kept as it is.
pub(super) fn open(body: Bytes, key: &AesKey) -> Result<Bytes, (Bytes, &'static str)> {
    match opened(&body, key) {
        Ok(None) => Ok(body),
        Ok(Some(opened)) => Ok(opened),
        Err(why) => Err((body, why)),
    }
}

fn opened(body: &[u8], key: &AesKey) -> Result<Option<Bytes>, &'static str> {
    let Ok(mut members) = Members::read(body) else { return Ok(None) };
    let Some(name) = ["enc_msg", "msg"].into_iter().find(|name| members.get(name).is_some()) else { return Ok(None) };
    let Some(text) =
        members.text(name).filter(|text| name == "enc_msg" || !text.trim_start().starts_with(['{', '[']))
    else {
        return Ok(None);
    };
    let ciphertext = BASE64.decode(text.trim()).map_err(|_| "it is not base64")?;
    let message = key.decrypt(ciphertext).ok_or("the key does not fit: it is kept as it came")?;
    let message = serde_json::value::to_raw_value(&message).map_err(|_| "it cannot be written as JSON")?;
    members.replace(name, &message);
    serde_json::to_vec(&members).map(|body| Some(body.into())).map_err(|_| "it cannot be written as JSON")
}

/// The members of a JSON object, in their order, their values as they were written.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Members<'a> {
    fn read(body: &'a [u8]) -> Result<Members<'a>, Refusal> {
        let members: Members<'a> = serde_json::from_slice(body).map_err(|_| {
            Refusal::malformed(
                "the body is not a JSON object with each member once, so its signature cannot be found",
            )
        })?;
        // Only one of them is signed, and the other would be opened.
        if ["msg", "enc_msg"].iter().all(|name| members.get(name).is_some()) {
            return Err(Refusal::malformed(
                "the body has both `msg` and `enc_msg`, so it is not clear what is signed",
            ));
        }
        Ok(members)
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.get())
    }

    /// The text of a member that is one; what is written, of a number.
    fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        let written = self.get(name)?;
        Some(text_of(written).map_or(Cow::Borrowed(written), Cow::Owned))
    }

    /// Puts `msg` in the place of a member.
    fn replace(&mut self, name: &str, message: &'a RawValue) {
        if let Some(member) = self.0.iter_mut().find(|(key, _)| key == name) {
            *member = (Cow::Borrowed("msg"), message);
        }
    }
}

/// What a JSON string says; nothing of any other value.
fn text_of(written: &str) -> Option<String> {
    written.starts_with('"').then(|| serde_json::from_str(written).ok()).flatten()
}

/// JSON without white space between its parts.
fn compact(json: &str) -> String {
    let (mut in_text, mut is_escaped) = (false, false);
    let keeps = |c: &char| {
        let keep = in_text || !c.is_ascii_whitespace();
        in_text ^= *c == '"' && !is_escaped;
        is_escaped = in_text && *c == '\\' && !is_escaped;
        keep
    };
    json.chars().filter(keeps).collect()
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Members<'de>, M::Error> {
                let mut members: Vec<(Cow<'de, str>, &'de RawValue)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    // Of two of a name, we would check one and the envelope read the other.
                    if members.iter().any(|(known, _)| *known == name) {
                        return Err(M::Error::custom("a member is there twice"));
                    }
                    if members.len() == MEMBERS_MAX {
                        return Err(M::Error::custom("too many members"));
                    }
                    members.push((Cow::Owned(name), value));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Reader)
    }
}

/// A message has five; each is compared with those before it.
const MEMBERS_MAX: usize = 64;

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}
