//! What proves that a request is the platform's.

use axum::http::{HeaderMap, HeaderName, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac};
use subtle::ConstantTimeEq;

use super::answer::Refusal;

/// Whether the request carries this token, in its header or its URL.
pub(super) fn carries_token(headers: &HeaderMap, query: &str, token: &[u8]) -> bool {
    let same = |given: &[u8]| bool::from(given.ct_eq(token));
    let bearer = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes());
    let bearer = bearer.and_then(|value| {
        let (scheme, token) = value.split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
    });
    bearer.is_some_and(same)
        || form_urlencoded::parse(query.as_bytes()).any(|(name, value)| name == "token" && same(value.as_bytes()))
}

/// Whether the headers `timestamp` and `nonce` are signed with the token, as Huawei IoTDA does: `signature` is the SHA-256
/// in hexadecimal digits of the three, sorted and joined. It says nothing of the body, so whoever has seen one request
/// over plain HTTP can make others.
pub(super) fn is_signed_by_huawei(headers: &HeaderMap, token: &[u8]) -> bool {
    let value = |name: &str| headers.get(name).map(|value| value.as_bytes().trim_ascii());
    let (Some(signature), Some(timestamp), Some(nonce)) = (value("signature"), value("timestamp"), value("nonce"))
    else {
        return false;
    };
    let mut parts = [token, timestamp, nonce];
    parts.sort_unstable();
    let expected = digest::digest(&digest::SHA256, &parts.concat());
    from_hex(signature).is_some_and(|signature| bool::from(signature.as_slice().ct_eq(expected.as_ref())))
}

/// Checks the HMAC over the body that this header carries.
pub(super) fn check_hmac(
    headers: &HeaderMap,
    name: &HeaderName,
    body: &[u8],
    key: &hmac::Key,
) -> Result<(), Refusal> {
    let Some(value) = headers.get(name) else {
        return Err(Refusal::unproven(format!("the header {name} is missing, with the HMAC-SHA256 of the body")));
    };
    let value = value.as_bytes().trim_ascii();
    let digits = value.strip_prefix(b"sha256=").unwrap_or(value);
    let given = from_hex(digits).or_else(|| STANDARD.decode(digits).ok());
    match given.is_some_and(|given| hmac::verify(key, body, &given).is_ok()) {
        true => Ok(()),
        false => {
            Err(Refusal::unproven(format!("the header {name} is not the HMAC-SHA256 of the body with this secret")))
        }
    }
}

/// The bytes of 64 hexadecimal digits, which a SHA-256 has.
fn from_hex(digits: &[u8]) -> Option<Vec<u8>> {
    let value = |digit: &u8| char::from(*digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let pair = |pair: &[u8]| Some(value(pair.first()?)? << 4 | value(pair.get(1)?)?);
    (digits.len() == 64).then(|| digits.chunks(2).map(pair).collect()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        list.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_token_is_taken_from_the_header_or_the_url_and_nowhere_else() {
        let f = |list: &[(&'static str, &str)], query: &str| carries_token(&headers(list), query, b"s3cret+1");
        assert!(f(&[("authorization", "Bearer s3cret+1")], ""));
        assert!(f(&[("authorization", "bearer  s3cret+1 ")], ""));
        assert!(f(&[], "token=s3cret%2B1"));
        assert!(f(&[("authorization", "Bearer other")], "a=b&token=s3cret%2B1"));
        for wrong in ["Bearer s3cret", "Bearer s3cret+12", "Basic s3cret+1", "Bearer", "s3cret+1", ""] {
            assert!(!f(&[("authorization", wrong)], ""), "{wrong}");
        }
        assert!(!f(&[], "token=s3cret+1"), "a plus sign in a query is a space");
        assert!(!f(&[("token", "s3cret+1")], "tokens=s3cret%2B1&token="));
    }

    #[test]
    fn huaweis_headers_are_signed_whatever_order_their_values_sort_in() {
        let signed = |nonce: &str, signature: &str| {
            let list = [("timestamp", "1617076538"), ("nonce", nonce), ("signature", signature)];
            is_signed_by_huawei(&headers(&list), b"token1")
        };
        let f = |text: &str| {
            digest::digest(&digest::SHA256, text.as_bytes())
                .as_ref()
                .iter()
                .map(|b| format!("{b:02x}"))
                .collect::<String>()
        };
        // By sha256sum.
        assert!(signed("abcdEFGH", "57d9e4326e38dca9d68baf2383e8e778fdb131d5d59b0a01af91fd72c8c4b81c"));
        assert!(signed("abcdEFGH", &f("1617076538abcdEFGHtoken1").to_uppercase()));
        assert!(signed("zz", &f("1617076538token1zz")));
        assert!(signed("00", &f("001617076538token1")));
        assert!(!signed("abcdEFGI", &f("1617076538abcdEFGHtoken1")));
        assert!(!signed("abcdEFGH", &f("1617076538abcdEFGHtoken2")));
        assert!(!signed("abcdEFGH", ""));
        assert!(
            !is_signed_by_huawei(&headers(&[("signature", &f("token1"))]), b"token1"),
            "all three have to be there"
        );
    }

    #[test]
    fn an_hmac_may_be_written_in_each_of_the_usual_ways() {
        // RFC 4231, test case 2.
        let (key, body) = (hmac::Key::new(hmac::HMAC_SHA256, b"Jefe"), b"what do ya want for nothing?");
        let hex = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let name = HeaderName::from_static("x-signature");
        let f = |value: &str, body: &[u8]| check_hmac(&headers(&[("x-signature", value)]), &name, body, &key).is_ok();
        assert!(f(hex, body));
        assert!(f(&hex.to_uppercase(), body));
        assert!(f(&format!("sha256={hex}"), body));
        assert!(f("W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM=", body));
        assert!(!f(hex, b"what do ya want for nothing!"));
        assert!(!f(&hex[..62], body));
        assert!(!f("", body));
        assert!(!f("x\u{e9}", body));
        assert!(check_hmac(&HeaderMap::new(), &name, body, &key).is_err());
    }
}
