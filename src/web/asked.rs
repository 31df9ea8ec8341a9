//! What a request for a page says beside its path: its parameters, and which language the reader wants.
//!
//! The language is that of `?lang=`, else of the cookie that `?lang=` leaves, else the first of the browser's
//! (`Accept-Language`) that there is, else English.

use std::collections::HashMap;
use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::http::request::Parts;

use super::query::percent_encoded;
use super::text::{CHINESE, ENGLISH, Text};

/// The languages of the page, with the names that they give themselves.
pub(super) const LANGUAGES: [(&Text, &str); 2] = [(&ENGLISH, "English"), (&CHINESE, "中文")];

const PARAMETER: &str = "lang";
/// The header of the page's own script (live.js).
const REFRESH: &str = "citywire-refresh";
const COOKIE: &str = "citywire_language";
/// How long a browser keeps the cookie.
const COOKIE_SECONDS: u32 = 365 * 86_400;

/// A request for a page.
#[derive(Clone)]
pub(super) struct Asked {
    pub text: &'static Text,
    /// The path as it was sent, percent-encoded.
    pub path: String,
    /// Without the language.
    pub parameters: HashMap<String, String>,
    /// Only what changes by itself is wanted: the page's own script asks.
    pub is_refresh: bool,
    /// The address asks for this language by itself.
    chooses_language: bool,
}

impl<S: Sync> FromRequestParts<S> for Asked {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Asked, Infallible> {
        let query = parts.uri.query().unwrap_or_default();
        Ok(Asked::of(parts.uri.path(), query, &parts.headers))
    }
}

impl Asked {
    fn of(path: &str, query: &str, headers: &HeaderMap) -> Asked {
        let mut parameters: HashMap<String, String> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let chosen = parameters.remove(PARAMETER).and_then(|tag| of_tag(&tag));
        let text = chosen.or_else(|| of_cookie(headers)).or_else(|| of_browser(headers)).unwrap_or(&ENGLISH);
        Asked {
            text,
            path: path.to_owned(),
            parameters,
            is_refresh: headers.contains_key(REFRESH),
            chooses_language: chosen.is_some(),
        }
    }

    /// The same with these parameters, as a form has them.
    pub(super) fn with(self, parameters: HashMap<String, String>) -> Asked {
        Asked { parameters, ..self }
    }

    /// A parameter that is given and not empty.
    pub(super) fn given(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// The same page in another language.
    pub(super) fn link(&self, language: &Text) -> String {
        let mut pairs: Vec<(&str, &str)> =
            self.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        pairs.sort_unstable();
        pairs.push((PARAMETER, language.language));
        let pairs: Vec<String> = pairs
            .into_iter()
            .map(|(name, value)| format!("{}={}", percent_encoded(name), percent_encoded(value)))
            .collect();
        format!("{}?{}", self.path, pairs.join("&"))
    }

    /// Makes the browser remember the language, when the address chooses one. It changes nothing here.
    pub(super) fn cookie(&self) -> Option<HeaderValue> {
        let language = self.text.language;
        let cookie = || format!("{COOKIE}={language}; Path=/; Max-Age={COOKIE_SECONDS}; SameSite=Strict; HttpOnly");
        self.chooses_language.then(cookie)?.parse().ok()
    }
}

/// `zh`, `zh-CN` and `ZH-Hans` are Chinese.
fn of_tag(tag: &str) -> Option<&'static Text> {
    let language = tag.split(['-', '_']).next().unwrap_or_default().trim();
    LANGUAGES.iter().map(|(text, _)| *text).find(|text| text.language.eq_ignore_ascii_case(language))
}

fn of_cookie(headers: &HeaderMap) -> Option<&'static Text> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).and_then(|(_, tag)| of_tag(tag))
}

/// The best by weight, the first of equal ones (RFC 9110, section 12.5.4). A language of weight 0 is not wanted.
fn of_browser(headers: &HeaderMap) -> Option<&'static Text> {
    let value = headers.get(header::ACCEPT_LANGUAGE)?.to_str().ok()?;
    let mut best: Option<(f32, &Text)> = None;
    for range in value.split(',') {
        let mut parts = range.split(';');
        let Some(text) = parts.next().and_then(of_tag) else { continue };
        let weight = parts.find_map(|part| part.trim().strip_prefix("q=")?.parse().ok()).unwrap_or(1.0);
        if weight > 0.0 && best.is_none_or(|(known, _)| weight > known) {
            best = Some((weight, text));
        }
    }
    best.map(|(_, text)| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn language(query: &str, cookie: &str, accepted: &str) -> &'static str {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, cookie.parse().unwrap());
        headers.insert(header::ACCEPT_LANGUAGE, accepted.parse().unwrap());
        Asked::of("/", query, &headers).text.language
    }

    #[test]
    fn the_browser_decides_the_language() {
        for (accepted, expected) in [
            ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
            ("en-GB,en;q=0.9,zh;q=0.8", "en"),
            ("de-DE,de;q=0.9,zh;q=0.5,en;q=0.4", "zh"),
            ("en;q=0.2, ZH-Hans;q=0.7", "zh"),
            ("zh;q=0, en;q=0.1", "en"),
            ("de", "en"),
            ("*", "en"),
            ("", "en"),
            ("zh;q=much", "zh"),
        ] {
            assert_eq!(language("", "", accepted), expected, "{accepted}");
        }
    }

    #[test]
    fn the_address_goes_before_the_cookie_and_the_cookie_before_the_browser() {
        assert_eq!(language("", "a=b; citywire_language=zh", "en"), "zh");
        assert_eq!(language("lang=en", "citywire_language=zh", "zh"), "en");
        assert_eq!(language("lang=klingon", "citywire_language=zh", "en"), "zh");
        assert_eq!(language("", "citywire_language=; other=zh", "en"), "en");
    }

    #[test]
    fn a_page_leads_to_itself_in_another_language() {
        let asked = Asked::of("/devices", "q=a%26b&class=parking&lang=en", &HeaderMap::new());
        assert_eq!(asked.link(&CHINESE), "/devices?class=parking&q=a%26b&lang=zh");
        assert_eq!(asked.parameters.len(), 2);
    }

    #[test]
    fn only_an_address_that_chooses_a_language_leaves_a_cookie() {
        let asked = |query| Asked::of("/", query, &HeaderMap::new()).cookie();
        let cookie = asked("lang=zh").unwrap();
        assert_eq!(
            cookie.to_str().unwrap(),
            "citywire_language=zh; Path=/; Max-Age=31536000; SameSite=Strict; HttpOnly"
        );
        assert!(asked("").is_none() && asked("lang=klingon").is_none() && asked("q=zh").is_none());
    }
}
