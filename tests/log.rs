//! The log: the first lines tell what is in force, nothing floods it, and no secret is ever in it.

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use rumqttc::v5::MqttOptions;
use serde_json::Value;
use support::{Citywire, TempDir, free_port, publish_with, wait_until, wait_until_blocking};

/// How many lines of one place are written in a minute (src/cli/log/limit.rs).
const LINES_MAX: usize = 60;

fn lines(citywire: &Citywire) -> Vec<Value> {
    citywire
        .log()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

fn saying<'a>(lines: &'a [Value], words: &str) -> Vec<&'a Value> {
    let says = |line: &&Value| line["message"].as_str().is_some_and(|message| message.contains(words));
    lines.iter().filter(says).collect()
}

#[test]
fn one_line_tells_at_each_start_what_is_in_force() {
    let (broker, directory) = (free_port(), TempDir::new());
    let registry = directory.file("devices.csv", "device,district\nm-1,north\nm-2,south\n");
    let mut citywire = Citywire::start(&format!(
        "[broker.embedded]\nlisten = \"127.0.0.1:{broker}\"\n[journal]\nmax_bytes = \"1GiB\"\nretention = \"7d\"\n\
         [registry]\nfile = {registry:?}\n"
    ));
    citywire.stop();
    citywire.resume();
    // The page answers a moment before.
    wait_until_blocking("there is a line for each start", || saying(&lines(&citywire), "citywire runs").len() == 2);
    let lines = lines(&citywire);
    let told = saying(&lines, "citywire runs");
    for line in told {
        assert_eq!(line["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(line["page"], format!("http://127.0.0.1:{}", citywire.http_port()));
        assert_eq!(line["broker"], format!("mqtt://127.0.0.1:{broker}"));
        assert_eq!(line["routes"], 1);
        assert!(line["profiles"].as_u64().is_some_and(|profiles| profiles >= 50), "{line}");
        assert_eq!(line["devices"], "2 in the registry");
        let store = citywire.data_directory().join("readings.sqlite");
        assert_eq!(line["sinks"], format!("embedded (embedded: {})", store.display()));
        assert_eq!(line["push"], "off");
        assert_eq!(line["data_directory"], citywire.data_directory().display().to_string());
        assert_eq!(line["journal_bytes_max"], 1 << 30);
        assert_eq!(line["journal_retention_seconds"], 7 * 86_400);
    }
}

/// What comes to a pipe is read by programs, to its last line; what comes to a terminal, by people.
#[test]
fn programs_are_told_in_json_and_people_in_words() {
    let (taken, directory) = (TcpListener::bind("127.0.0.1:0").expect("a port"), TempDir::new());
    let address = taken.local_addr().expect("an address");
    let configuration =
        format!("http.listen = \"{address}\"\ndata_directory = {:?}\n", directory.path().join("data"));
    let file = directory.file("citywire.toml", configuration);
    let citywire = format!("{} run -c {}", env!("CARGO_BIN_EXE_citywire"), file.display());

    let piped = Command::new("sh").args(["-c", &citywire]).output().expect("citywire");
    assert!(!piped.status.success());
    let said = String::from_utf8(piped.stderr).expect("text");
    let line = |line: &str| serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("{said}"));
    let lines: Vec<Value> = said.lines().map(line).collect();
    let last = lines.last().expect("a line");
    assert_eq!((&last["level"], &last["message"]), (&"ERROR".into(), &"citywire cannot run.".into()));
    let error = last["error"].as_str().expect("why");
    assert!(error.starts_with(&format!("http.listen = \"{address}\": ")), "{error}");
    assert_eq!(error.matches("in use").count(), 1, "{error}");

    // `script` gives the command a terminal, and copies what is written there.
    let on_terminal = Command::new("script").args(["-qec", &citywire, "/dev/null"]).output().expect("script");
    assert!(!on_terminal.status.success());
    let said = String::from_utf8(on_terminal.stdout).expect("text");
    assert!(!said.contains('{'), "{said}");
    assert!(said.contains(" The configuration is read. ") && said.contains("error: http.listen = "), "{said}");
}

/// Somebody tries passwords; each try makes a line.
#[test]
fn a_line_that_repeats_is_written_so_often_and_then_counted() {
    const TRIES: usize = 200;
    let port = free_port();
    let mut citywire = Citywire::start(&format!(
        "[broker.embedded]\nlisten = \"127.0.0.1:{port}\"\nusername = \"device\"\npassword = \"right\"\n"
    ));
    for _ in 0..TRIES {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the broker listens");
        // CONNECT of MQTT 3.1.1 (section 3.1): a clean session, user name and password, 60 seconds, then the three texts.
        let connect = b"\x10\x1a\0\x04MQTT\x04\xc2\0\x3c\0\x01c\0\x06device\0\x03bad";
        stream.write_all(connect).expect("the broker takes the packet");
        // CONNACK (section 3.2), with a return code that is not 0.
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).expect("the broker answers");
        assert!(answer[0] == 0x20 && answer[3] != 0, "{answer:x?}");
    }
    citywire.stop();

    let lines = lines(&citywire);
    let written = saying(&lines, "Refused a device").len();
    // The broker's library has lines of its own that repeat.
    let is_ours = |line: &&Value| line["place"].as_str().is_some_and(|place| place.contains("embedded::login:"));
    let told: Vec<&Value> = saying(&lines, "were left out").into_iter().filter(is_ours).collect();
    let left_out: usize = told.iter().map(|line| line["left_out_lines"].as_u64().expect("a number") as usize).sum();
    assert_eq!(written + left_out, TRIES, "each is written or counted");
    // The tries may take longer than the minute after which counting begins anew.
    assert!(!told.is_empty() && written <= LINES_MAX * (told.len() + 1), "{written} lines, {} reports", told.len());
    assert_eq!(saying(&lines, "citywire runs").len(), 1, "other lines are not touched by it");
}

/// Everything that is a secret has this in it.
const SECRET: &str = "hunter2";

/// Every kind of secret that there is; a broker and a database that are not there, or refuse us with our own words.
#[tokio::test]
async fn no_secret_is_in_log_page_or_interface_while_every_connection_fails() {
    let (careless, nowhere) = (Echo::start(), free_port());
    let directory = TempDir::new();
    let file = |name: &str| directory.file(name, format!("{SECRET}-{name}\n"));
    let sinks = format!(
        "[log]\nlevel = \"trace\"\n\
         [[sink]]\nkind = \"influxdb2\"\nname = \"one\"\nurl = \"{careless}\"\ntoken = \"{SECRET}-token\"\n\
         [[sink]]\nkind = \"influxdb2\"\nname = \"two\"\nurl = \"http://127.0.0.1:{nowhere}\"\ntoken_file = {:?}\n\
         [[sink]]\nkind = \"mqtt\"\nurl = \"mqtt://127.0.0.1:{nowhere}\"\nusername = \"us\"\npassword = \"{SECRET}-mqtt\"\n\
         alarm_topic = \"alarms/{{device}}\"\n\
         [[sink]]\nkind = \"webhook\"\nurl = \"{careless}/{SECRET}-path?key={SECRET}-query\"\nsecret = \"{SECRET}-signature\"\n\
         [push]\nlisten = \"127.0.0.1:0\"\n\
         [[push.source]]\nname = \"onenet\"\nplatform = \"onenet\"\ntoken = \"{SECRET}-onenet\"\naes_key = \"{SECRET}-aes-key8\"\n\
         [[push.source]]\nname = \"general\"\nplatform = \"general\"\nhmac_secret = \"{SECRET}-hmac\"\n",
        file("token-file"),
        careless = careless.url(),
    );

    // A broker that is not there.
    let password_file = file("password-file");
    let upstream = format!(
        "[broker]\nurl = \"mqtt://127.0.0.1:{nowhere}\"\nusername = \"us\"\npassword_file = {password_file:?}\n{sinks}"
    );
    let mut citywire = Citywire::prepare(&upstream);
    citywire.launch();
    wait_until("its page is there", || citywire.get("/healthz").is_some()).await;
    let failed = |name: &str| citywire.metrics().sum(name, &[]) >= 1.0;
    wait_until("the broker cannot be reached", || failed("citywire_broker_connection_errors_total")).await;
    assert_tells_no_secret(&citywire);

    // Its own, with a device whose alarm nobody takes.
    let port = free_port();
    let embedded = format!(
        "[broker.embedded]\nlisten = \"127.0.0.1:{port}\"\nusername = \"device\"\npassword = \"{SECRET}-embedded\"\n{sinks}"
    );
    let citywire = Citywire::start(&embedded);
    let mut options = MqttOptions::new("device", "127.0.0.1", port);
    options.set_credentials("device", format!("{SECRET}-embedded"));
    let alarm = hex("110018010005503225960902000103030001010400011205000160");
    publish_with(options, [("city/north/smoke_detector/5032259609/up".to_owned(), alarm)]).await;
    let failed = |name: &str, sink: &str| citywire.metrics().sum(name, &[&format!("sink=\"{sink}\"")]) >= 1.0;
    for sink in ["one", "two"] {
        wait_until("a database does not take it", || failed("citywire_sink_write_errors_total", sink)).await;
    }
    wait_until("the receiver has refused the alarm", || citywire.log().contains("\"webhook\"")).await;
    assert_tells_no_secret(&citywire);
    let checked = citywire.command(&["check"]);
    for told in [checked.stdout, checked.stderr] {
        let told = String::from_utf8_lossy(&told);
        assert!(!told.contains(SECRET), "citywire check tells a secret:\n{told}");
    }
}

fn assert_tells_no_secret(citywire: &Citywire) {
    for path in ["/", "/api/v1/status", "/metrics", "/devices", "/refused", "/healthz", "/readyz"] {
        let (_, body) = citywire.get(path).expect("citywire answers");
        assert!(!body.contains(SECRET), "{path} tells a secret:\n{body}");
    }
    let log = citywire.log();
    let leaks: Vec<&str> = log.lines().filter(|line| line.contains(SECRET)).collect();
    assert!(leaks.is_empty(), "the log tells a secret:\n{}", leaks.join("\n"));
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("a byte")).collect()
}

/// A mistake in an option is told with what is wrong, but an URL with a password is not repeated.
#[test]
fn a_password_in_an_url_is_refused_and_not_repeated() {
    let url = format!("://city:{SECRET}@host.example:1");
    let broker = format!("[broker]\nurl = \"mqtt{url}\"\n");
    let sink = format!("[[sink]]\nkind = \"influxdb2\"\nurl = \"http{url}\"\n");
    for configuration in [broker, sink] {
        let directory = TempDir::new();
        let file = directory.file("citywire.toml", configuration);
        for command in ["check", "run"] {
            let mut citywire = Command::new(env!("CARGO_BIN_EXE_citywire"));
            let output =
                citywire.current_dir(directory.path()).arg(command).arg("-c").arg(&file).output().expect("citywire");
            let told = [output.stdout, output.stderr].concat();
            let told = String::from_utf8_lossy(&told);
            assert!(!output.status.success(), "{command}: {told}");
            assert!(told.contains("user name"), "{command}: {told}");
            assert!(!told.contains(SECRET), "{command} repeats the password:\n{told}");
        }
    }
}

/// Refuses every request with all that the request said, as careless proxies do.
struct Echo(u16);

impl Echo {
    fn start() -> Echo {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let mut request = [0; 4096];
                let read = stream.read(&mut request).unwrap_or(0);
                let body = String::from_utf8_lossy(&request[..read]).replace(|c: char| c.is_control(), " ");
                let length = body.len();
                let head =
                    format!("HTTP/1.1 401 Unauthorized\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
                let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
            }
        });
        Echo(port)
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.0)
    }
}
