//! A database that answers as a test tells it to, and remembers what it was asked.

use std::collections::HashMap;
use std::io::Read;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use citywire::config::{ByteSize, HumanDuration, Influxdb2Sink, Secret};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A request, its body unpacked.
#[derive(Clone, Debug)]
pub struct Request {
    pub target: String,
    /// Names in lower case.
    pub headers: HashMap<String, String>,
    pub body: String,
}

impl Request {
    pub fn is_write(&self) -> bool {
        self.target.contains("/api/v2/write")
    }

    pub fn is_gzip(&self) -> bool {
        self.headers.get("content-encoding").is_some_and(|encoding| encoding == "gzip")
    }

    pub fn lines(&self) -> Vec<String> {
        self.body.lines().map(String::from).collect()
    }
}

pub enum Reply {
    /// Status, header lines and body.
    Answer(u16, String, String),
    /// The head of an answer, and a body that never ends.
    SlowBody(u16),
    /// Nothing, on a connection that stays open.
    Hang,
    /// The connection is cut.
    Reset,
}

impl Reply {
    pub fn status(status: u16) -> Reply {
        Reply::Answer(status, String::new(), String::new())
    }

    /// An error as InfluxDB 2 gives it.
    pub fn error(status: u16, message: &str) -> Reply {
        Reply::Answer(status, String::new(), serde_json::json!({ "code": "x", "message": message }).to_string())
    }
}

type Answers = Box<dyn FnMut(&Request) -> Reply + Send>;

pub struct FakeDatabase {
    port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
    answers: Arc<Mutex<Answers>>,
    server: tokio::task::JoinHandle<()>,
}

impl FakeDatabase {
    pub async fn start(answers: impl FnMut(&Request) -> Reply + Send + 'static) -> FakeDatabase {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let answers: Arc<Mutex<Answers>> = Arc::new(Mutex::new(Box::new(answers)));
        let (seen, give) = (requests.clone(), answers.clone());
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, seen.clone(), give.clone()));
            }
        });
        FakeDatabase { port, requests, answers, server }
    }

    /// From now on it answers differently.
    pub fn answer(&self, answers: impl FnMut(&Request) -> Reply + Send + 'static) {
        *self.answers.lock().expect("no panic before") = Box::new(answers);
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn options(&self) -> Influxdb2Sink {
        options(self.url())
    }

    /// Every request so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("no panic before").clone()
    }

    /// Every write so far.
    pub fn writes(&self) -> Vec<Request> {
        self.requests().into_iter().filter(Request::is_write).collect()
    }
}

impl Drop for FakeDatabase {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A sink `city` for this URL that gives up soon.
pub fn options(url: String) -> Influxdb2Sink {
    Influxdb2Sink {
        name: "city".into(),
        url,
        org: "my city".into(),
        bucket: "pilot".into(),
        token: Some(Secret::new("s3cret-token")),
        batch_bytes_max: ByteSize(1 << 20),
        batch_delay_max: HumanDuration(Duration::from_millis(20)),
        timeout: HumanDuration(Duration::from_secs(20)),
        retry_delay_max: HumanDuration(Duration::from_millis(20)),
        ..Influxdb2Sink::default()
    }
}

async fn serve(mut stream: TcpStream, seen: Arc<Mutex<Vec<Request>>>, answers: Arc<Mutex<Answers>>) {
    let mut received = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut received).await {
        let reply = (answers.lock().expect("no panic before"))(&request);
        seen.lock().expect("no panic before").push(request);
        let written = match reply {
            Reply::Answer(status, headers, body) => {
                let length = body.len();
                let answer = format!("HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\n\r\n{body}");
                stream.write_all(answer.as_bytes()).await
            }
            Reply::SlowBody(status) => {
                let head = format!("HTTP/1.1 {status} X\r\ncontent-length: 1000000\r\n\r\nthe first words");
                let _ = stream.write_all(head.as_bytes()).await;
                std::future::pending().await
            }
            Reply::Hang => std::future::pending().await,
            Reply::Reset => {
                // With data unread and no time to linger, closing sends a reset.
                let _ = stream.set_zero_linger();
                return;
            }
        };
        if written.is_err() {
            return;
        }
    }
}

async fn read_request(stream: &mut TcpStream, received: &mut Vec<u8>) -> Option<Request> {
    let head_end = loop {
        match received.windows(4).position(|window| window == b"\r\n\r\n") {
            Some(end) => break end + 4,
            None => read_more(stream, received).await?,
        }
    };
    let head = String::from_utf8(received[..head_end].to_vec()).expect("a head of text");
    let mut lines = head.lines();
    let target = lines.next()?.split(' ').nth(1)?.to_string();
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_string()))
        .collect();
    let length: usize = headers.get("content-length").map_or(0, |length| length.parse().expect("a length"));
    while received.len() < head_end + length {
        read_more(stream, received).await?;
    }
    let body: Vec<u8> = received.drain(..head_end + length).skip(head_end).collect();
    let gzip = headers.get("content-encoding").is_some_and(|encoding| encoding == "gzip");
    let body = if gzip { unpack(&body) } else { String::from_utf8(body).expect("a body of text") };
    Some(Request { target, headers, body })
}

async fn read_more(stream: &mut TcpStream, received: &mut Vec<u8>) -> Option<()> {
    match stream.read_buf(received).await {
        Ok(read) if read > 0 => Some(()),
        _ => None,
    }
}

fn unpack(body: &[u8]) -> String {
    let mut text = String::new();
    flate2::read::GzDecoder::new(body).read_to_string(&mut text).expect("a gzip body");
    text
}
