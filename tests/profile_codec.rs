//! Profiles with codecs: scripts as LoRaWAN servers run them become readings with the names and units of every profile.

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use citywire::decode::explain::{Line, explain};
use citywire::decode::{self, Context, Readings, Reason};
use citywire::problem;
use citywire::profile::class::Classes;
use citywire::profile::compose::{Asked, AskedValue, Request, compose};
use citywire::profile::example::{Expect, as_toml, verdict};
use citywire::profile::import::{self, Device};
use citywire::profile::library::{BUILT_IN_CLASSES, load_file};
use citywire::profile::{Library, Profile};
use citywire::time::Timestamp;
use support::TempDir;

fn classes() -> Classes {
    Classes::load("classes.toml", BUILT_IN_CLASSES).expect("the built-in vocabulary")
}

fn loaded(path: &Path) -> Result<Profile, String> {
    load_file(path, &classes())
        .map(|mut profiles| profiles.remove(0))
        .map_err(|problems| problem::render(&problems, false))
}

fn published(name: &str) -> Profile {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/codecs").join(name);
    loaded(&path).unwrap_or_else(|problems| panic!("{problems}"))
}

/// A directory with a profile of this script and these fields, whose only example is refused for `refused`.
fn profile(script: &str, fields: &str, refused: &str) -> (TempDir, PathBuf) {
    let directory = TempDir::new();
    directory.file("meter.js", script);
    let path = directory.file("meter.toml", source("codec = { javascript = \"meter.js\" }", fields, refused));
    (directory, path)
}

fn source(codec: &str, fields: &str, refused: &str) -> String {
    format!(
        "id = \"meter\"\nclass = \"water_meter\"\nmaker = \"Acme\"\nmodel = \"Meter\"\n\
         document = {{ title = \"this test\" }}\nreport_interval = \"1h\"\n{codec}\n\
         [[frame]]\nname = \"report\"\nfields = [\n{fields}\n]\n\
         [[example]]\nsource = \"own\"\npayload = \"00\"\nrefused = \"{refused}\"\n"
    )
}

/// What the profile makes of a payload: its readings, or the reason and the words of the refusal.
fn given(profile: &Profile, payload: &[u8], context: &Context<'_>) -> String {
    let mut readings = Readings::new();
    match decode::decode(profile, payload, context, &mut readings) {
        Ok(()) => as_toml(profile, &readings),
        Err(error) => format!("{}: {}", error.reason.name(), error.detail),
    }
}

#[test]
fn codecs_give_the_readings_that_the_declarative_profiles_of_the_same_devices_give() {
    let library = Library::built_in().unwrap_or_else(|problems| panic!("{}", problem::render(&problems, false)));
    let cases = [
        ("em300.toml", "milesight-em300-th", 3),
        ("laq4.toml", "dragino-laq4", 1),
        ("elsys.toml", "elsys-sensors", 2),
    ];
    for (codec, declarative, at_least) in cases {
        let (codec, declarative) = (published(codec), library.get(declarative).expect("a built-in profile"));
        let (mut same, mut readings) = (0, Readings::new());
        for example in &declarative.examples {
            let decoded = decode::decode(&codec, &example.payload, &example.context(), &mut readings);
            // What only the other knows (other models, settings), the script must refuse and not misread.
            if !matches!(example.expect, Expect::Readings(_)) || decoded.is_err() {
                continue;
            }
            let held = verdict(&codec, example, decoded.as_ref().map(|()| &readings));
            assert_eq!(held, Ok(()), "{}: {}", codec.id, example.name);
            same += 1;
        }
        assert!(same >= at_least, "{}: {same} payloads", codec.id);
    }
}

#[test]
fn what_a_codec_refuses_names_its_line_and_the_profile_s() {
    let (_directory, path) = profile(
        "function decodeUplink(input) {\n  if (input.bytes[0] === 1) throw new Error('no such report');\n  \
         if (input.bytes[0] === 2) for (;;) {}\n  return input.bytes[0] === 3 ? { errors: ['short'] } : { data: { v: 'x' } };\n}",
        "{ name = \"volume_m3\", member = \"/v\" },",
        "value",
    );
    let profile = loaded(&path).unwrap_or_else(|problems| panic!("{problems}"));
    let mut readings = Readings::new();
    let mut refused = |byte: u8| {
        let error = decode::decode(&profile, &[byte], &Context::default(), &mut readings).unwrap_err();
        assert_eq!(error.offset, None, "no byte of the payload is known to be wrong");
        (error.reason, error.line, error.detail)
    };
    assert_eq!(refused(1), (Reason::Codec, Some(7), "meter.js, line 2: throws Error: no such report".into()));
    let (reason, line, detail) = refused(2);
    assert_eq!((reason, line), (Reason::Limit, Some(7)));
    assert!(detail.starts_with("meter.js does not end"), "{detail}");
    assert_eq!(refused(3), (Reason::Codec, Some(7), "meter.js: tells an error: short".into()));
    let (reason, line, detail) = refused(4);
    assert_eq!((reason, line), (Reason::Value, Some(11)));
    assert_eq!(detail, "volume_m3: 78 is not a number in decimal digits (meter.js gives: …{\"v\":\"x\"}…)");
}

#[test]
fn a_profile_whose_codec_cannot_be_used_is_not_loaded() {
    let directory = TempDir::new();
    directory.file("good.js", "function decodeUplink() { return { data: {} } }");
    directory.file("half.js", "function decodeUplink() {\n  return {;\n}");
    directory.file("other.js", "function encodeDownlink() {}");
    let f = |codec: &str, fields: &str, expected: &str| {
        let path = directory.file("meter.toml", source(codec, fields, "empty"));
        let problems = loaded(&path).map(|profile| profile.id).unwrap_err();
        assert!(problems.contains(expected), "{codec}: {problems}");
    };
    let field = "{ name = \"volume_m3\", member = \"/v\" },";
    f("codec = { javascript = \"gone.js\" }", field, "gone.js cannot be read");
    f("codec = { javascript = \"half.js\" }", field, "half.js, line 2: throws SyntaxError");
    f("codec = { javascript = \"other.js\" }", field, "other.js defines none of: decodeUplink, Decoder, Decode,");
    f("codec = { javascript = \"good.js\", form = \"chirpstack-v3\" }", field, "defines no `Decode`");
    f("codec = { javascript = \"../good.js\" }", field, "`../good.js` is no script beside the profile");
    f("codec = { javascript = \"/etc/passwd\" }", field, "is no script beside the profile");
    f("codec = { javascript = \"good.js\" }\npayload = \"json\"", field, "so there is no `payload = \"json\"`");
    f("codec = { javascript = \"good.js\" }\nframing = { start = \"68\" }", field, "so there is no `[framing]`");
    f("codec = { javascript = \"good.js\" }", "{ name = \"csq\", type = \"u8\" },", "The line has no `member`");
    f(
        "codec = { javascript = \"good.js\" }",
        "{ name = \"csq\", at = 1, member = \"/a\" },",
        "this profile's codec gives JSON",
    );
    directory.file("meter.toml", source("codec = { javascript = \"good.js\" }", field, "empty"));
    loaded(&directory.path().join("meter.toml")).unwrap_or_else(|problems| panic!("{problems}"));
}

#[test]
fn a_payload_gives_the_same_whenever_and_wherever_it_is_decoded() {
    let (_directory, path) = profile(
        "var n = 0;\nfunction decodeUplink(i) { last = typeof last === 'undefined' ? 0 : last; last += ++n;\n\
         return { data: { v: last, at: new Date(), r: Math.random() } } }",
        "{ name = \"volume_m3\", member = \"/v\" },\n{ name = \"device_clock\", member = \"/at\", type = \"rfc3339\" },\n\
         { name = \"chance\", member = \"/r\", meaning = \"of no use\" },",
        "codec",
    );
    // The example must be refused, and is not: but the profile that is tested has no other.
    let source = std::fs::read_to_string(&path).expect("the profile");
    let received = "2024-05-01T00:00:00Z";
    let expect = format!(
        "received = \"{received}\"\nexpect = {{ chance = 0.23645552527159452, device_clock = \"{received}\", volume_m3 = 1 }}"
    );
    std::fs::write(&path, source.replace("refused = \"codec\"", &expect)).expect("written");
    let profile = loaded(&path).unwrap_or_else(|problems| panic!("{problems}"));
    let context = profile.examples[0].context();
    let first = given(&profile, &[0], &context);
    assert!(first.contains("volume_m3 = 1"), "{first}");
    for byte in 0..50 {
        assert_eq!(given(&profile, &[byte], &context), first);
    }
    let elsewhere =
        std::thread::scope(|scope| scope.spawn(|| given(&profile, &[0], &context)).join().expect("no panic"));
    assert_eq!(elsewhere, first);
    let later = Context { received: Some(Timestamp::from_seconds(1_800_000_000)), ..context };
    assert!(given(&profile, &[0], &later).contains("device_clock = \"2027-01-15T08:00:00Z\""));
}

#[test]
fn explain_shows_what_the_codec_gives_and_what_becomes_of_it() {
    let profile = published("em300.toml");
    let example = &profile.examples[0];
    let explanation = explain(&profile, &example.payload, &example.context());
    let Some(Line::Codec(output)) = explanation.lines.first() else { panic!("{explanation:?}") };
    assert_eq!(
        (output.name.as_str(), output.json.as_str()),
        ("em300.js", r#"{"battery":92,"temperature":30.8,"humidity":50.5}"#)
    );
    let fields: Vec<&str> =
        explanation.pieces().flat_map(|piece| &piece.gives).map(|given| given.field.as_str()).collect();
    assert_eq!(fields, ["battery_percent", "temperature_c", "humidity_percent"]);
    let refused = explain(&profile, &example.payload, &Context::default());
    assert_eq!(refused.refused().map(|refused| refused.reason), Some(Reason::Codec));
}

#[test]
fn a_codec_s_payloads_are_composed_as_its_examples_have_them() {
    let profile = published("em300.toml");
    let asked = |value: f64| {
        let values = BTreeMap::from([("temperature_c".to_owned(), AskedValue::Float(value))]);
        [Asked { values, ..Asked::default() }]
    };
    let composed = |value: f64| compose(&profile, &Request { readings: &asked(value), device: None, like: None });
    let same = composed(30.8).map(|composed| composed.payload).map_err(|error| error.to_string());
    assert_eq!(same, Ok(profile.examples[0].payload.clone()));
    let other = composed(31.0).map(|composed| composed.payload).unwrap_err().to_string();
    assert!(other.contains("temperature_c") && other.contains("30.8"), "{other}");
}

#[test]
fn decode_runs_codecs_on_the_command_line_in_utc_wherever_it_runs() {
    let (_directory, path) = profile(
        "function decodeUplink(i) { return { data: { at: new Date(2024, 0, 2, 3, 4, 5), v: new Date('2024-01-02T03:04:05').getHours() } } }",
        "{ name = \"device_clock\", member = \"/at\", type = \"rfc3339\" },\n{ name = \"volume_m3\", member = \"/v\" },",
        "codec",
    );
    let source = std::fs::read_to_string(&path).expect("the profile");
    let expect = "expect = { device_clock = \"2024-01-02T03:04:05Z\", volume_m3 = 3 }";
    std::fs::write(&path, source.replace("refused = \"codec\"", expect)).expect("written");
    for zone in ["UTC", "Asia/Shanghai", "America/New_York"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_citywire"));
        let output =
            command.arg("decode").arg(&path).args(["00", "--json"]).env("TZ", zone).output().expect("citywire");
        let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(out.contains("\"device_clock\":\"2024-01-02T03:04:05Z\""), "{zone}: {out}{error}");
    }
}

/// Over a copy of The Things Network's lorawan-devices (its folder `vendor`) or of ChirpStack's device profiles (`vendors`):
/// `make codecs COLLECTION=…`. Nothing of them is part of citywire.
#[test]
#[ignore = "needs a collection of codecs, in CITYWIRE_TEST_COLLECTION"]
fn every_device_of_a_collection_becomes_a_profile_that_holds() {
    let collection = std::env::var("CITYWIRE_TEST_COLLECTION").expect("CITYWIRE_TEST_COLLECTION names a folder");
    let classes = classes();
    let mut makers: Vec<PathBuf> =
        std::fs::read_dir(collection).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    makers.sort();
    let (mut devices, mut scripts, mut with_examples, mut profiles) = (0, 0, 0, 0);
    let (mut taken, mut published) = (0, 0);
    for file in makers.iter().filter_map(|maker| import::devices(maker).ok()).flatten() {
        devices += 1;
        let Ok(device) = Device::read(&file) else { continue };
        scripts += 1;
        published += device.examples.len();
        if device.examples.is_empty() {
            continue;
        }
        with_examples += 1;
        let directory = TempDir::new();
        directory.file(&device.script_name(), &device.script);
        match import::import(&device, None, directory.path(), &classes) {
            Ok(imported) => {
                profiles += 1;
                taken += imported.examples.0;
                let left_out = imported.decisions.iter().filter(|decision| decision.contains("is left out"));
                left_out.for_each(|decision| println!("{}: {decision}", file.display()));
            }
            Err(error) => println!("{}: {error}", file.display()),
        }
    }
    println!(
        "{devices} devices, {scripts} with a codec, {with_examples} with examples: {profiles} profiles, with {taken} of \
         {published} examples"
    );
    assert!(profiles * 10 >= with_examples * 9, "nine of ten are taken");
}
