//! `citywire profile test`: an author sees what a profile makes of its examples, and of what a broker delivers.

mod support;

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Output};

use rumqttc::v5::MqttOptions;
use serde_json::Value;
use support::run::{self, stderr, stdout};
use support::{
    Citywire, Mosquitto, TempDir, assert_snapshot, counter_profile, free_port, publish, publish_with,
    wait_until_blocking,
};

/// A water meter with a sum, and an example of each kind.
const PROFILE: &str = r#"id = "acme-wm100"
class = "water_meter"
maker = "Acme"
model = "WM100"
document = { title = "WM100 manual", version = "1.2" }
report_interval = "24h"
byte_order = "big"

[[frame]]
name = "daily report"
when = { at = 0, equals = 1 }
check = { sum8 = "0..-2", at = -1 }
fields = [
  { skip = 1 },
  { name = "battery_v", type = "u16", unit = "mV" },
  { name = "volume_m3", type = "bcd8", byte_order = "little", scale = 0.01, unit = "m3" },
  { type = "u8", parts = [
    { name = "valve", bits = "0..1", enum = { 0 = "open", 1 = "closed", 3 = "fault" } },
    { name = "battery_low", bit = 2 },
  ] },
]

[[example]]
name = "daily report"
source = "WM100 manual, page 7"
payload = "01 0E10 78563412 04 37"
expect = { battery_v = 3.6, volume_m3 = 123456.78, valve = "open", battery_low = true }

[[example]]
name = "wrong sum"
source = "own: the same with a wrong sum"
payload = "01 0E10 78563412 04 38"
refused = "checksum"
"#;

fn profile_test(directory: &Path, arguments: &[&str]) -> Output {
    command(directory, arguments).output().expect("run citywire")
}

fn command(directory: &Path, arguments: &[&str]) -> Command {
    run::command(directory, &[&["profile", "test"], arguments].concat())
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn each_example_s_readings_stand_beside_what_is_expected() {
    let directory = TempDir::new();
    directory.file("good.toml", PROFILE);
    let output = profile_test(directory.path(), &["good.toml"]);
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""));
    assert_snapshot("profile_test/holds.txt", stdout(&output));

    // A wrong byte order, and an example that expects what is not there.
    let wrong = PROFILE.replace(r#"type = "bcd8", byte_order = "little""#, r#"type = "bcd8""#);
    let wrong = wrong.replace("valve = \"open\", battery_low = true }", "valve = \"open\", leak = true }");
    directory.file("wrong.toml", wrong.replace("\"checksum\"", "\"too_short\""));
    let output = profile_test(directory.path(), &["wrong.toml"]);
    assert_eq!((output.status.code(), stderr(&output)), (Some(1), ""));
    assert_snapshot("profile_test/does_not_hold.txt", stdout(&output));
}

#[test]
fn examples_are_given_as_json_lines() {
    let directory = TempDir::new();
    directory.file("a.toml", PROFILE.replace("volume_m3 = 123456.78", "volume_m3 = 1.0"));
    let output = profile_test(directory.path(), &["a.toml", "--json"]);
    assert_eq!((output.status.code(), stderr(&output)), (Some(1), ""));
    let lines = json_lines(stdout(&output));
    assert_eq!(lines.len(), 2);
    let [differs, refused] = &lines[..] else { unreachable!() };
    assert_eq!((&differs["holds"], &refused["holds"]), (&false.into(), &true.into()));
    assert_eq!(differs["readings"][0]["fields"]["volume_m3"], 123_456.78);
    assert!(differs["wrong"].as_str().is_some_and(|wrong| wrong.contains("volume_m3 is 123456.78, not 1.0")));
    assert_eq!((&refused["refused"]["reason"], &refused["refused"]["line"]), (&"checksum".into(), &9.into()));
    assert_eq!(refused["payload"], "010e10785634120438");
}

#[test]
fn a_profile_that_does_not_compile_has_its_mistakes_told() {
    let directory = TempDir::new();
    directory.file("broken.toml", PROFILE.replace("\"u16\"", "\"u17\""));
    let output = profile_test(directory.path(), &["broken.toml"]);
    assert_eq!((output.status.code(), stdout(&output)), (Some(1), ""));
    assert!(stderr(&output).contains("--> broken.toml:15:"), "{}", stderr(&output));
    // The configuration is not what is asked about.
    directory.file("citywire.toml", "zzz = 1\n");
    directory.file("good.toml", PROFILE);
    assert_eq!(profile_test(directory.path(), &["good.toml"]).status.code(), Some(0));
}

/// `citywire profile test --live` as a child process; killed when dropped.
struct Live {
    directory: TempDir,
    child: Child,
}

impl Live {
    /// Starts it on `profile.toml` with this content, and waits until it listens.
    fn start(profile: &str, arguments: &[&str]) -> Live {
        let live = Live::launch(profile, arguments);
        live.wait_for_words("Stop with Ctrl-C.");
        live
    }

    fn launch(profile: &str, arguments: &[&str]) -> Live {
        let directory = TempDir::new();
        directory.file("profile.toml", profile);
        Live::launch_in(directory, arguments)
    }

    /// The same in a directory that holds `profile.toml`, and perhaps its codec.
    fn launch_in(directory: TempDir, arguments: &[&str]) -> Live {
        let file = |name: &str| File::create(directory.path().join(name)).expect("create a file for the output");
        let child = command(directory.path(), &["profile.toml", "--live"])
            .args(arguments)
            .stdout(file("out"))
            .stderr(file("err"))
            .spawn()
            .expect("run citywire");
        Live { directory, child }
    }

    fn save(&self, profile: &str) {
        self.directory.file("profile.toml", profile);
    }

    fn out(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("out")).expect("read its output")
    }

    fn err(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("err")).expect("read its messages")
    }

    fn wait_for_words(&self, words: &str) {
        wait_until_blocking(&format!("it says `{words}`"), || self.err().contains(words));
    }

    fn wait_for_lines(&self, count: usize) -> Vec<Value> {
        wait_until_blocking(&format!("it prints {count} lines"), || self.out().lines().count() >= count);
        json_lines(&self.out())
    }

    /// Waits until it ends by itself; gives its exit code.
    fn ended(&mut self) -> Option<i32> {
        let mut status = None;
        wait_until_blocking("it ends", || {
            status = self.child.try_wait().expect("look at citywire");
            status.is_some()
        });
        status.and_then(|status| status.code())
    }

    /// Ctrl-C; gives the exit code.
    fn interrupt(&mut self) -> Option<i32> {
        let killed = Command::new("sh").args(["-c", &format!("kill -INT {}", self.child.id())]).status();
        assert!(killed.is_ok_and(|status| status.success()), "send SIGINT");
        self.ended()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("---- its output ----\n{}\n---- its messages ----\n{}", self.out(), self.err());
        }
    }
}

/// The example's message, and the same with another volume, another valve, and a wrong sum.
const REPORT: &[u8] = b"\x01\x0e\x10\x78\x56\x34\x12\x04\x37";
const CLOSED: &[u8] = b"\x01\x0e\x10\x00\x00\x00\x01\x01\x21";
const WRONG_SUM: &[u8] = b"\x01\x0e\x10\x78\x56\x34\x12\x04\x38";

async fn publish_to(port: u16, messages: &[(&str, &[u8])]) {
    publish(port, messages.iter().map(|(topic, payload)| ((*topic).to_owned(), payload.to_vec()))).await;
}

/// What goes where when the service and the author's test run beside each other on one broker.
#[tokio::test(flavor = "multi_thread")]
async fn live_shows_each_message_of_a_topic_beside_a_service_with_its_own_broker() {
    let (port, profiles) = (free_port(), counter_profile());
    let mut citywire = Citywire::start(&format!(
        "[broker.embedded]\nlisten = \"127.0.0.1:{port}\"\nusername = \"meter\"\npassword = \"s3cret\"\n[profiles]\ndirectory = {:?}\n\
         [[route]]\ntopic = \"city/{{pilot}}/meter/{{device}}/up\"\nprofile = \"counter\"\n",
        profiles.path()
    ));
    let configuration = citywire.directory().join("citywire.toml").display().to_string();
    let arguments = ["--topic", "city/+/meter/+/up", "--count", "3", "--json", "-c", &configuration];
    let mut live = Live::start(PROFILE, &arguments);
    let messages = [
        ("city/harbour/meter/W-1/up", REPORT),
        ("city/harbour/meter/W-2/up", WRONG_SUM),
        ("city/harbour/lamp/L-1/up", REPORT),
        ("city/harbour/meter/W-3/up", CLOSED),
    ];
    let mut options = MqttOptions::new("gateway", "127.0.0.1", port);
    options.set_credentials("meter", "s3cret");
    publish_with(options, messages.map(|(topic, payload)| (topic.to_owned(), payload.to_vec()))).await;
    assert_eq!(live.ended(), Some(1), "one was refused");
    let lines = json_lines(&live.out());
    let told: Vec<[&Value; 3]> =
        lines.iter().map(|line| [&line["device"], &line["topic"], &line["refused"]["reason"]]).collect();
    let null = Value::Null;
    assert_eq!(told[0], [&Value::from("W-1"), &Value::from(messages[0].0), &null]);
    assert_eq!(told[1], [&Value::from("W-2"), &Value::from(messages[1].0), &Value::from("checksum")]);
    assert_eq!(told[2], [&Value::from("W-3"), &Value::from(messages[3].0), &null]);
    assert_eq!(lines[0]["readings"][0]["fields"]["volume_m3"], 123_456.78);
    assert_eq!(lines[2]["readings"][0]["fields"]["valve"], "closed");
    assert_eq!((&lines[1]["refused"]["line"], &lines[1]["refused"]["offset"]), (&9.into(), &8.into()));
    assert_eq!(lines[1]["payload"], "010e10785634120438");
    let err = live.err();
    assert!(err.ends_with("2 decoded, 1 refused (decode: checksum 1).\n"), "{err}");
    citywire.wait_until_written(4).await;
    assert_eq!(citywire.metrics().sum("citywire_journal_entries_total", &[]), 4.0, "it has nothing else");
}

#[tokio::test(flavor = "multi_thread")]
async fn live_takes_what_the_configuration_gives_to_the_profile_and_nothing_from_the_service() {
    let (broker, profiles) = (Mosquitto::start(), counter_profile());
    // What is in force reads the volume the wrong way round.
    profiles.file("acme.toml", installed());
    let mut citywire = Citywire::start(&format!(
        "[broker]\nurl = \"{}\"\nclient_id = \"the-service\"\n[profiles]\ndirectory = {:?}\n\
         [[route]]\ntopic = \"$share/pilot/a/{{device}}\"\nprofile = \"acme-wm100\"\nenvelope = \"hex\"\n\
         [[route]]\ntopic = \"$share/pilot/b/{{device}}\"\nprofile = \"counter\"\n",
        broker.url(),
        profiles.path()
    ));
    let configuration = citywire.directory().join("citywire.toml").display().to_string();
    let mut live = Live::start(PROFILE, &["-c", &configuration, "--json"]);
    assert!(live.err().contains(&format!("{} on a/+, b/+;", broker.url())), "{}", live.err());
    let hex = |payload: &[u8]| payload.iter().map(|byte| format!("{byte:02X}")).collect::<String>().into_bytes();
    let (report, closed) = (hex(REPORT), hex(CLOSED));
    publish_to(broker.port(), &[("a/W-1", &report), ("b/W-2", REPORT), ("a/W-3", b"zz"), ("a/W-4", &closed)]).await;
    let lines = live.wait_for_lines(3);
    assert_eq!(live.interrupt(), Some(1));
    assert_eq!(lines[0]["readings"][0]["fields"]["volume_m3"], 123_456.78, "the file, not what is in force");
    assert_eq!(
        (&lines[1]["refused"]["stage"], &lines[1]["refused"]["reason"]),
        (&"envelope".into(), &"not_hex".into())
    );
    assert_eq!((&lines[1]["device"], &lines[2]["device"]), (&"W-3".into(), &"W-4".into()));
    assert!(live.err().contains("1 more were for other profiles, or for none."), "{}", live.err());

    // Nothing was taken from the service, nor was it thrown out.
    citywire.wait_until_written(4).await;
    wait_until_blocking("the author's session ends in good order", || {
        broker.log().contains("Received DISCONNECT from citywire-watch-")
    });
    let log = broker.log();
    assert_eq!(log.lines().filter(|line| line.ends_with("as the-service (p5, c0, k30).")).count(), 1, "{log}");
    assert!(!log.contains("Client the-service closed"), "{log}");
}

/// The profile as it was before its author read the manual again.
fn installed() -> String {
    let wrong = PROFILE.replace(r#"type = "bcd8", byte_order = "little""#, r#"type = "bcd8""#);
    wrong.replace("volume_m3 = 123456.78", "volume_m3 = 785634.12")
}

#[tokio::test(flavor = "multi_thread")]
async fn live_reads_the_file_again_when_it_is_saved_and_decodes_the_last_message_again() {
    let broker = Mosquitto::start();
    // As devices need that send how old a reading is.
    let add_time = |profile: &str| {
        profile.replace("{ skip = 1 },", "{ skip = 1 }, { name = \"heard_s\", value = \"received\" },")
    };
    let arguments = ["--broker", &broker.url(), "--topic", "m/{device}", "--json"];
    let mut live = Live::start(&add_time(&installed()), &arguments);
    publish_to(broker.port(), &[("m/W-1", REPORT)]).await;
    let volume = |line: &Value| line["readings"][0]["fields"]["volume_m3"].as_f64();
    let lines = live.wait_for_lines(1);
    assert_eq!((volume(&lines[0]), &lines[0]["again"]), (Some(785_634.12), &false.into()));

    live.save(&PROFILE.replace("\"bcd8\"", "\"bcd88\""));
    live.wait_for_words("the profile before goes on");
    assert!(live.err().contains("--> profile.toml:16:"), "{}", live.err());

    live.save(&add_time(&PROFILE.replace("valve = \"open\"", "valve = \"closed\"")));
    let lines = live.wait_for_lines(2);
    assert_eq!((volume(&lines[1]), &lines[1]["again"]), (Some(123_456.78), &true.into()));
    assert_eq!((&lines[1]["device"], &lines[1]["received"]), (&"W-1".into(), &lines[0]["received"]));
    let heard = |line: &Value| line["readings"][0]["fields"]["heard_s"].as_f64();
    assert!(heard(&lines[0]).is_some() && heard(&lines[1]) == heard(&lines[0]), "{lines:?}");
    live.wait_for_words("1 of its 2 examples do not hold");

    publish_to(broker.port(), &[("m/W-2", CLOSED)]).await;
    let lines = live.wait_for_lines(3);
    assert_eq!((volume(&lines[2]), &lines[2]["device"]), (Some(10_000.0), &"W-2".into()));
    assert_eq!(live.interrupt(), Some(0));
    assert!(live.err().ends_with("2 decoded, 0 refused.\n"), "{}", live.err());
}

#[tokio::test(flavor = "multi_thread")]
async fn live_takes_a_codec_that_is_saved() {
    let broker = Mosquitto::start();
    let script = |factor: &str| format!("function Decoder(bytes) {{ return {{ m3: bytes[0] * {factor} }} }}");
    let directory = TempDir::new();
    directory.file("meter.js", script("2"));
    let profile = PROFILE.split("\n[[frame]]").next().expect("what stands in front of its frames");
    directory.file(
        "profile.toml",
        format!(
            "{profile}\ncodec = {{ javascript = \"meter.js\" }}\n[[frame]]\nname = \"report\"\n\
             fields = [{{ name = \"volume_m3\", member = \"/m3\" }}]\n\
             [[example]]\nsource = \"own\"\npayload = \"02\"\nexpect = {{ volume_m3 = 4.0 }}\n"
        ),
    );
    let mut live = Live::launch_in(directory, &["--broker", &broker.url(), "--topic", "m/{device}", "--json"]);
    live.wait_for_words("profile.toml, with its codec, is read again whenever it is saved.");
    publish_to(broker.port(), &[("m/W-1", &[5])]).await;
    let volume = |line: &Value| line["readings"][0]["fields"]["volume_m3"].as_f64();
    assert_eq!(volume(&live.wait_for_lines(1)[0]), Some(10.0));

    live.directory.file("meter.js", script("("));
    live.wait_for_words("meter.js was saved with these mistakes; the profile before goes on.");
    live.directory.file("meter.js", script("3"));
    let lines = live.wait_for_lines(2);
    assert_eq!((volume(&lines[1]), &lines[1]["again"]), (Some(15.0), &true.into()));
    live.wait_for_words("meter.js was saved: the profile acme-wm100 is decoded with from now on.");
    live.wait_for_words("1 of its 1 examples do not hold");
    assert_eq!(live.interrupt(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn live_comes_back_when_the_connection_is_lost() {
    let mut broker = Mosquitto::start();
    let mut live =
        Live::start(PROFILE, &["--broker", &broker.url(), "--topic", "m/+", "--json", "--for", "1h", "--count", "1"]);
    broker.stop();
    live.wait_for_words("What is published meanwhile is not seen");
    broker.resume();
    live.wait_for_words("Connected again");
    publish_to(broker.port(), &[("m/W-1", REPORT)]).await;
    assert_eq!(live.ended(), Some(0));
    assert_eq!(json_lines(&live.out())[0]["device"], Value::Null, "nobody names it");
}

#[tokio::test(flavor = "multi_thread")]
async fn live_shows_hostile_text_without_its_control_characters() {
    let broker = Mosquitto::start();
    let profile = r#"
        id = "talker"
        class = "parking"
        maker = "Acme"
        model = "T"
        document = { title = "this file" }
        report_interval = "1h"
        byte_order = "big"
        [[frame]]
        name = "text"
        fields = [{ name = "words", type = "utf8", length = "rest" }]
        [[example]]
        source = "own"
        payload = "61"
        expect = { words = "a" }
    "#;
    let mut live = Live::start(profile, &["--broker", &broker.url(), "--topic", "m/{device}", "--count", "2"]);
    publish_to(broker.port(), &[("m/W-1", b"\x1b[31mred\x1b[0m"), ("m/W-1", &[0xff; 5000])]).await;
    assert_eq!(live.ended(), Some(1));
    let out = live.out();
    assert!(out.contains("\u{fffd}[31mred"), "{out}");
    assert!(!out.contains('\x1b'), "{out}");
    assert!(out.contains("ff … (5000 bytes)"), "a long payload is cut: {out}");
    assert!(out.contains("1 decoded, 1 refused (decode: value 1).\n"), "{out}");
}

#[test]
fn live_says_why_it_cannot_listen() {
    let f = |arguments: &[&str], code: i32, expected: &str| {
        let mut live = Live::launch(PROFILE, arguments);
        assert_eq!(live.ended(), Some(code), "{arguments:?}");
        assert!(live.err().contains(expected), "{arguments:?}: {}", live.err());
        assert_eq!(live.out(), "");
    };
    let nobody = format!("mqtt://127.0.0.1:{}", free_port());
    f(&["--broker", &nobody], 1, "nothing listens there");
    f(&["--broker", "http://127.0.0.1"], 1, "neither mqtt nor mqtts");
    f(&["--topic", "a/#/b"], 2, "`#` may only be the last level");
    f(&["--envelope", "hexx"], 2, "did you mean `hex`?");
    f(&["--count", "0"], 2, "0 is not in 1..");
    f(&["--for", "1"], 2, "has no unit");
    f(&["--username", "u"], 2, "--broker");

    let broker = Mosquitto::start();
    f(&["--broker", &broker.url(), "--for", "100ms", "--json"], 1, "no message of the profile arrived");
}
