use std::net::SocketAddr;
use std::path::Path;
use std::sync::Mutex;

use axum::body::Body;
use axum::http::{Method, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};

use super::*;
use crate::broker::{Message, NotTaken};

/// The token with which the published sample of OneNET Studio is signed.
const TOKEN: &str = "a1b2c3d4e5f6g7h8i9j0k1l2m3n4o5p6";
const SAMPLE: &str = include_str!("../../tests/data/envelopes/onenet-studio-property.json");

/// A journal that takes everything at once and says that it is durable; it can say that it is blocked, and never come to
/// an fsync.
#[derive(Default)]
struct Taken {
    messages: Mutex<Vec<(String, String)>>,
    waiting: Mutex<Vec<Message>>,
    is_blocked: bool,
    is_slow: bool,
}

impl Intake for Taken {
    fn append(&self, message: Message) -> Result<(), NotTaken> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        self.messages.lock().unwrap().push((text(&message.topic), text(&message.payload)));
        match self.is_slow {
            true => self.waiting.lock().unwrap().push(message),
            false => message.ack.durable(1),
        }
        Ok(())
    }

    fn blocked(&self) -> Option<String> {
        self.is_blocked.then(|| "it is full".to_owned())
    }

    fn forget(&self, _source: u64) {}
}

struct Site {
    receiver: Receiver,
    taken: Arc<Taken>,
}

/// Sources as the configuration has them.
fn site(sources: &str) -> Site {
    site_before(sources, Taken::default())
}

fn site_before(sources: &str, taken: Taken) -> Site {
    let text = format!("[push]\nlisten = \"127.0.0.1:0\"\nbody_bytes_max = \"4KiB\"\n{sources}");
    let config = config::read(Path::new("citywire.toml"), &text, [])
        .unwrap_or_else(|problems| panic!("{}", crate::problem::render(&problems, false)));
    let Options { receiving, sources, .. } = Options::new(&config.push).unwrap().expect("push is on");
    let taken = Arc::new(taken);
    Site { receiver: Receiver::new(receiving, sources, taken.clone()), taken }
}

impl Site {
    async fn ask(&self, method: Method, uri: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> (u16, String) {
        let request = Request::builder().method(method).uri(uri);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let peer = Peer { address: SocketAddr::from(([127, 0, 0, 1], 1)), is_certified: false };
        let response = self.receiver.answer(peer, request.body(body.into()).unwrap()).await;
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn push(&self, source: &str, body: impl Into<Body>) -> u16 {
        self.ask(Method::POST, &format!("/push/{source}"), &[], body).await.0
    }

    fn messages(&self) -> Vec<(String, String)> {
        self.taken.messages.lock().unwrap().clone()
    }
}

fn onenet(more: &str) -> Site {
    site(&format!("[[push.source]]\nname = \"onenet\"\nplatform = \"onenet\"\ntoken = \"{TOKEN}\"\n{more}"))
}

/// `msg` as JSON, signed over `text`.
fn signed(member: &str, signature: &str, msg: &str, text: &str) -> String {
    let digest = Md5::new().chain_update(TOKEN).chain_update("nonce123").chain_update(text).finalize();
    let digest = STANDARD.encode(digest);
    format!("{{\"{member}\": {msg}, \"nonce\": \"nonce123\", \"{signature}\": \"{digest}\"}}")
}

#[tokio::test]
async fn the_published_sample_of_onenet_is_taken_as_it_came() {
    let site = onenet("");
    assert_eq!(site.push("onenet", SAMPLE).await, 200);
    assert_eq!(site.messages(), [("$push/onenet".to_owned(), SAMPLE.to_owned())]);
}

#[tokio::test]
async fn a_message_of_onenet_that_was_changed_is_not_taken() {
    let site = onenet("");
    for (from, to) in [("离线", "在线"), ("4KNbK6m3", "4KNbK6m4"), ("2s+sq", "2s+sr"), ("\"signature\"", "\"sign\"")]
    {
        assert!(SAMPLE.contains(from), "{from}");
        assert_eq!(site.push("onenet", SAMPLE.replacen(from, to, 1)).await, 401, "{from}");
    }
    let twice = SAMPLE.replacen('{', "{\"msg\": \"{}\",", 1);
    assert_eq!(site.push("onenet", twice).await, 400, "of two messages in one, only one is signed");
    for no_object in ["", "[]", "{", "\u{0}", "null", "{\"msg\": 1}}"] {
        assert_eq!(site.push("onenet", no_object).await, 400, "{no_object}");
    }
    assert_eq!(site.push("onenet", "{}").await, 401);
    assert!(site.messages().is_empty());
}

#[tokio::test]
async fn the_former_push_signs_the_object_as_it_was_sent() {
    let site = onenet("");
    let compact = r#"{"at":1,"value":"a \" b","type":1}"#;
    let spaced = "{ \"at\": 1,\n \"value\": \"a \\\" b\", \"type\": 1 }";
    assert_eq!(site.push("onenet", signed("msg", "msg_signature", compact, compact)).await, 200);
    assert_eq!(site.push("onenet", signed("msg", "msg_signature", spaced, spaced)).await, 200);
    assert_eq!(site.push("onenet", signed("msg", "msg_signature", spaced, compact)).await, 200, "laid out anew");
    let other = compact.replace("a \\\" b", "a \\\"b");
    assert_eq!(
        site.push("onenet", signed("msg", "msg_signature", &other, compact)).await,
        401,
        "spaces in text count"
    );
}

#[tokio::test]
async fn onenets_test_of_the_url_is_answered_with_its_message_and_nothing_else() {
    let site = onenet("");
    let digest =
        STANDARD.encode(Md5::new().chain_update(TOKEN).chain_update("abcdefgh").chain_update("m +&").finalize());
    assert!(digest.contains('+'), "{digest}: another message would show more");
    let encoded = form_urlencoded::Serializer::new(String::new())
        .append_pair("msg", "m +&")
        .append_pair("nonce", "abcdefgh")
        .append_pair("signature", &digest)
        .finish();
    let f = async |query: &str| site.ask(Method::GET, &format!("/push/onenet?{query}"), &[], Body::empty()).await;
    assert_eq!(f(&encoded).await, (200, "m +&".to_owned()));
    let unencoded = format!("nonce=abcdefgh&msg=m+%2B%26&signature={digest}");
    assert_eq!(f(&unencoded).await, (200, "m +&".to_owned()), "a signature that was not encoded for the URL");
    assert_eq!(f(&encoded.replace("abcdefgh", "abcdefgi")).await.0, 401);
    assert_eq!(f("msg=x").await.0, 401);
    assert_eq!(f("").await.0, 400);
    assert!(site.messages().is_empty());
}

/// Encrypted with the `openssl` command.
#[tokio::test]
async fn what_onenet_has_encrypted_is_kept_as_if_it_were_not() {
    let site = onenet("aes_key = \"0123456789abcdef\"");
    let ciphertext = "6KyLLIIUuw/WhDqj4mFlms0K5IvbkSnc6KuOflz6rhmCP4AO/KqwdThDgGJ06PV/+9FUokOR5NZcBEbPHygZLjYzdXFOvKzVNaev7yaeQdj0HWZvfWLJ9hmGk2LzsNLPm2KO+AamI7JiLU0jOmPiie64sn5/AOYWEqiOfNX0saM=";
    assert_eq!(site.push("onenet", signed("msg", "signature", &format!("\"{ciphertext}\""), ciphertext)).await, 200);
    let kept: serde_json::Value = serde_json::from_str(&site.messages()[0].1).unwrap();
    let message = r#"{"notifyType":"property","productId":"p","deviceName":"d","data":{"params":{"x":{"value":1,"time":1757948604527}}}}"#;
    assert_eq!((&kept["msg"], &kept["nonce"]), (&message.into(), &"nonce123".into()));
    assert_eq!(site.push("onenet", SAMPLE).await, 200, "one that is not encrypted");
    assert_eq!(site.messages()[1].1, SAMPLE);

    let former = onenet("aes_key = \"Zm9ybWVyIGtleSBvZiAzMiBieXRlcywgZm9yIEFFUyE\"");
    let ciphertext = "ksn0yL/aRPdKyfH6UyhurwZSEXPEp4M60va5UfcsEqcBMbc7+yQH89rEqdKazc/d";
    let body = signed("enc_msg", "msg_signature", &format!("\"{ciphertext}\""), ciphertext);
    assert_eq!(former.push("onenet", body.clone()).await, 200);
    let kept: serde_json::Value = serde_json::from_str(&former.messages()[0].1).unwrap();
    assert_eq!(kept["msg"], r#"{"type":1,"at":20}"#);

    // What is signed has to be what is opened.
    let both = body.replacen('{', r#"{"msg":"{}","#, 1);
    assert_eq!(former.push("onenet", both).await, 400);
    let signed_other = signed("msg", "msg_signature", r#"{"type":1}"#, r#"{"type":1}"#);
    let other = signed_other.replacen('{', &format!("{{\"enc_msg\":\"{ciphertext}\","), 1);
    assert_eq!(former.push("onenet", other).await, 400);
    assert_eq!(former.messages().len(), 1);

    let wrong = onenet("aes_key = \"0123456789abcdeF\"");
    assert_eq!(wrong.push("onenet", body.clone()).await, 200, "it is the platform's, so it is kept");
    assert_eq!(wrong.messages()[0].1, body, "as it came");
}

#[test]
fn an_aes_key_that_is_none_is_told_with_its_source() {
    let text = "[push]\nlisten = \"127.0.0.1:0\"\n[[push.source]]\nname = \"o\"\nplatform = \"onenet\"\ntoken = \"t\"\naes_key = \"short\"";
    let config = config::read(Path::new("citywire.toml"), text, []).unwrap();
    let error = Options::new(&config.push).err().expect("a mistake").to_string();
    assert!(error.contains("push.source \"o\"") && error.contains("16 characters"), "{error}");
    assert!(!error.contains("short"), "{error}");
}

#[tokio::test]
async fn a_source_is_asked_for_what_its_platform_can_give() {
    let site = site(
        "[[push.source]]\nname = \"ctwing\"\nplatform = \"ctwing\"\ntoken = \"t1\"\n\
         [[push.source]]\nname = \"hmac\"\nplatform = \"general\"\nhmac_secret = \"Jefe\"\n\
         [[push.source]]\nname = \"open\"\nplatform = \"general\"\nauth = \"none\"\n",
    );
    let f = async |method: Method, uri: &str, headers: &[(&str, &str)], body: &str| {
        site.ask(method, uri, headers, body.to_owned()).await.0
    };
    let post = Method::POST;
    assert_eq!(f(post.clone(), "/push/ctwing?token=t1", &[], "{}").await, 200);
    assert_eq!(f(post.clone(), "/push/ctwing", &[("authorization", "Bearer t1")], "{}").await, 200);
    assert_eq!(f(post.clone(), "/push/ctwing?token=t2", &[], "{}").await, 401);
    assert_eq!(f(post.clone(), "/push/ctwing", &[], "{}").await, 401);
    let mac = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    let text = "what do ya want for nothing?";
    assert_eq!(f(post.clone(), "/push/hmac", &[("X-Signature", mac)], text).await, 200);
    assert_eq!(f(post.clone(), "/push/hmac", &[("X-Signature", mac)], "another").await, 401);
    assert_eq!(f(post.clone(), "/push/hmac?token=Jefe", &[], text).await, 401);
    assert_eq!(f(post.clone(), "/push/open", &[], "no JSON at all").await, 200, "it is kept, whatever it is");
    assert_eq!(f(Method::GET, "/push/open", &[], "").await, 405);
    assert_eq!(f(Method::PUT, "/push/ctwing?token=t1", &[], "").await, 405);
    for path in ["/push/", "/push", "/", "/push/unknown", "/push/open/", "/push/OPEN", "//push/open"] {
        assert_eq!(f(post.clone(), path, &[], "{}").await, 404, "{path}");
    }
    let topics: Vec<String> = site.messages().into_iter().map(|(topic, _)| topic).collect();
    assert_eq!(topics, ["$push/ctwing", "$push/ctwing", "$push/hmac", "$push/open"]);
}

#[tokio::test]
async fn a_body_is_taken_up_to_the_limit_whole() {
    let site = site("[[push.source]]\nname = \"open\"\nplatform = \"general\"\nauth = \"none\"\n");
    assert_eq!(site.push("open", "x".repeat(4_096)).await, 200);
    assert_eq!(site.push("open", "x".repeat(4_097)).await, 413);
    assert_eq!(site.messages().len(), 1);
}

#[tokio::test]
async fn while_the_journal_cannot_be_written_nothing_is_handed_to_it() {
    let source = "[[push.source]]\nname = \"open\"\nplatform = \"general\"\nauth = \"none\"\n";
    let site = site_before(source, Taken { is_blocked: true, ..Taken::default() });
    let given_up = tokio::time::Instant::now();
    let refusal = site.receiver.keep_until("open", given_up).await.expect_err("it cannot be on disk");
    assert_eq!(refusal.status, 503);
    assert!(site.messages().is_empty(), "or it would be kept once more when it is pushed again");
    let response = axum::response::IntoResponse::into_response(refusal);
    assert!(response.headers().contains_key(header::RETRY_AFTER));
}

#[tokio::test]
async fn a_message_that_is_not_on_disk_in_time_is_not_answered_with_200() {
    let source = "[[push.source]]\nname = \"open\"\nplatform = \"general\"\nauth = \"none\"\n";
    let site = site_before(source, Taken { is_slow: true, ..Taken::default() });
    let soon = tokio::time::Instant::now() + Duration::from_millis(20);
    let refusal = site.receiver.keep_until("open", soon).await.expect_err("it is not on disk");
    assert_eq!((refusal.status.as_u16(), site.messages().len()), (503, 1));
}

/// Without the secret nothing is taken, and nothing panics, whatever comes.
#[tokio::test]
async fn nothing_passes_without_the_secret() {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let site = onenet(
        "aes_key = \"0123456789abcdef\"\n\
         [[push.source]]\nname = \"huawei\"\nplatform = \"huawei-iotda\"\ntoken = \"t0ken\"\n",
    );
    for round in 0..3_000 {
        let mut body = SAMPLE.as_bytes().to_vec();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..body.len());
            match random.u8(..3) {
                0 => body[at] = random.u8(..),
                1 => drop(body.remove(at)),
                _ => body.insert(at, *random.choice(br#"{}[]",:\ 0"#).expect("one of them")),
            }
        }
        let query: String =
            (0..random.usize(..40)).map(|_| *random.choice(b"msgnoceiatur=&%+2B").expect("one") as char).collect();
        let (status, _) = site.ask(Method::GET, &format!("/push/onenet?{query}"), &[], Body::empty()).await;
        assert!(matches!(status, 400 | 401), "seed {seed}, round {round}: {query}");
        let name = random.choice(["onenet", "huawei"]).expect("one of two");
        let headers =
            [("signature", query.as_str()), ("nonce", "n"), ("timestamp", "1"), ("authorization", query.as_str())];
        let (status, _) = site.ask(Method::POST, &format!("/push/{name}?{query}"), &headers, body.clone()).await;
        // A change that leaves what is signed as it is: white space, or a member that is not signed.
        let same = || {
            let sample: serde_json::Value = serde_json::from_str(SAMPLE).unwrap();
            serde_json::from_slice::<serde_json::Value>(&body)
                .is_ok_and(|changed| changed["msg"] == sample["msg"] && changed["nonce"] == sample["nonce"])
        };
        assert!(
            matches!(status, 400 | 401) || same(),
            "seed {seed}, round {round}: {}",
            String::from_utf8_lossy(&body)
        );
    }
}
