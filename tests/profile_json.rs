//! Profiles of JSON: what a platform or a device has written as names and values becomes readings as bytes do.

use citywire::decode::{self, Context, Readings};
use citywire::problem;
use citywire::profile::Profile;
use citywire::profile::class::Classes;
use citywire::profile::example::as_toml;
use citywire::profile::library::{BUILT_IN_CLASSES, compile_source};

fn compiled(layout: &str) -> Result<Profile, String> {
    let source = format!(
        "id = \"acme-test\"\nclass = \"water_meter\"\nmaker = \"Acme\"\nmodel = \"Test\"\npayload = \"json\"\n\
         document = {{ title = \"this test\" }}\nreport_interval = \"1h\"\ntime_zone = \"+08:00\"\n{layout}\n\
         [[example]]\nsource = \"own\"\npayload = '{{}}'\nrefused = \"empty\"\n"
    );
    let classes = Classes::load("classes.toml", BUILT_IN_CLASSES).expect("the built-in vocabulary");
    match compile_source("acme-test.toml", &source, &classes) {
        Ok(mut profiles) => Ok(profiles.remove(0)),
        Err(problems) => Err(problem::render(&problems, false)),
    }
}

/// Each payload gives these readings, or is refused for this reason.
fn f(layout: &str, cases: &[(&str, &str)]) {
    let profile = compiled(layout).unwrap_or_else(|problems| panic!("{problems}"));
    let mut readings = Readings::new();
    for (payload, expected) in cases {
        let given = match decode::decode(&profile, payload.as_bytes(), &Context::default(), &mut readings) {
            Ok(()) => as_toml(&profile, &readings),
            Err(error) => format!("{}: {}", error.reason.name(), error.detail),
        };
        assert_eq!(given, *expected, "{payload} of\n{layout}");
    }
}

fn frame(fields: &str) -> String {
    format!("[[frame]]\nname = \"report\"\nfields = [\n{fields}\n]\n")
}

#[test]
fn a_member_is_a_number_a_truth_a_text_or_a_time() {
    let layout = frame(
        "{ name = \"volume_m3\", member = \"/flow/total\", unit = \"L\" },\n\
         { name = \"valve\", member = \"/valve\", type = \"utf8\", enum = { \"开\" = \"open\", \"关\" = \"closed\" } },\n\
         { name = \"leak\", member = \"/leak\", as = \"bool\" },\n\
         { name = \"meter_address\", member = \"/id\", type = \"utf8\", identity = true },\n\
         { name = \"time\", member = \"/at\", time = \"unix_ms\" },\n\
         { name = \"device_clock\", member = \"/clock\", type = \"rfc3339\" },\n\
         { name = \"rsrp_dbm\", member = \"/rsrp\", value = \"-raw\", unit = \"dB[mW]\", absent = 0 },",
    );
    f(
        &layout,
        &[
            (
                r#" { "flow": {"total": 1234.5}, "valve": "\u5f00", "leak": true, "id": "A-1", "at": 1622186096000,
                     "clock": "2021/05/28 15:14:56", "rsrp": 114, "more": [{}] } "#,
                "expect = { device_clock = \"2021-05-28T07:14:56Z\", leak = true, meter_address = \"A-1\", \
                 rsrp_dbm = -114.0, time = \"2021-05-28T07:14:56Z\", valve = \"open\", volume_m3 = 1.2345 }",
            ),
            (
                r#"{"flow":{"total":"1000 L"},"valve":"关","leak":0,"id":7,"at":null,"clock":"2021-05-28T07:14:56Z","rsrp":0}"#,
                "expect = { device_clock = \"2021-05-28T07:14:56Z\", leak = false, meter_address = \"7\", valve = \
                 \"closed\", volume_m3 = 1.0 }",
            ),
            (r#"{"flow":{"total":2.5e3}}"#, "expect = { volume_m3 = 2.5 }"),
            (
                r#"{"flow":{"total":"x"}}"#,
                "value: volume_m3: 78 is not a number in decimal digits (byte 18; bytes 14 to 21: 6C 22 3A 22 78 22 7D 7D)",
            ),
            (
                r#"{"flow":{"total":{}}}"#,
                "value: volume_m3: the member /flow/total is an object (byte 17; bytes 13 to 20: 61 6C 22 3A 7B 7D 7D 7D)",
            ),
            (
                r#"{"valve":"half"}"#,
                "value: valve is \"half\", which its enum does not name; name it, or give a `default` (byte 10; bytes 6 \
                 to 13: 65 22 3A 22 68 61 6C 66)",
            ),
            ("{}", "empty: frame \"report\" gave no value"),
            (
                "{",
                "value: the payload is no JSON: EOF while parsing an object at line 1 column 1 (byte 0; bytes 0 to 0: 7B)",
            ),
        ],
    );
}

#[test]
fn a_unit_in_text_is_the_lines_is_converted_or_refuses_the_message() {
    let layout = frame(
        "{ name = \"water_temperature_c\", member = \"/t\", unit = \"Cel\", absent = -999 },\n\
         { name = \"battery_v\", member = \"/b\" },\n\
         { name = \"volume_m3\", member = \"/v\", unit = \"L\" },\n\
         { name = \"rsrp_dbm\", member = \"/r\" },\n\
         { name = \"pump_v\", member = \"/s\", unit = \"V\", scale = 0.001 },\n\
         { name = \"starts\", member = \"/n\" },\n\
         { name = \"rise\", member = \"/d\", unit = \"K{difference}\", invalid = \"absent\" },",
    );
    f(
        &layout,
        &[
            (r#"{"t":"21.5 °C"}"#, "expect = { water_temperature_c = 21.5 }"),
            (r#"{"t":"21.5 \u00b0C"}"#, "expect = { water_temperature_c = 21.5 }"),
            (r#"{"t":"70 °F"}"#, "expect = { water_temperature_c = 21.11111111111111 }"),
            (r#"{"t":"98.6F"}"#, "expect = { water_temperature_c = 37.0 }"),
            (r#"{"t":"293.15 K"}"#, "expect = { water_temperature_c = 20.0 }"),
            (r#"{"t":"-999 °F","b":"3600 mV"}"#, "expect = { battery_v = 3.6 }"),
            (r#"{"b":" 3.6V ","r":"-95 dBm"}"#, "expect = { battery_v = 3.6, rsrp_dbm = -95 }"),
            // The line reads litres, the field holds cubic metres: from the text's unit to the field's in one step.
            (r#"{"v":"1500 L"}"#, "expect = { volume_m3 = 1.5 }"),
            (r#"{"v":"1.5 m³"}"#, "expect = { volume_m3 = 1.5 }"),
            (r#"{"s":"3600 V","d":"9 °F"}"#, "expect = { pump_v = 3.6, rise = 5.0 }"),
            (r#"{"d":"9 V","n":"7"}"#, "expect = { starts = 7 }"),
        ],
    );
    let refused = |payload: &str, expected: &str| {
        let profile = compiled(&layout).unwrap_or_else(|problems| panic!("{problems}"));
        let error = decode::decode(&profile, payload.as_bytes(), &Context::default(), &mut Readings::new());
        let error = error.expect_err(payload);
        assert_eq!(error.reason.name(), "value", "{payload}");
        assert!(error.detail.starts_with(expected), "{payload}: {}", error.detail);
    };
    refused(
        r#"{"t":"3.6 V"}"#,
        "water_temperature_c: \"3.6 V\": the number is in V, which cannot be converted to the line's Cel",
    );
    refused(
        r#"{"t":"1e5"}"#,
        "water_temperature_c: \"1e5\": \"e5\" behind the number is no unit that citywire knows; the line's is Cel",
    );
    refused(
        r#"{"s":"3600 mV"}"#,
        "pump_v: \"3600 mV\": the number is in mV, and the line computes with numbers in V; without scale",
    );
    refused(r#"{"n":"7 %"}"#, "starts: \"7 %\": a unit stands behind the number, and the line has none; give it one");
    refused(r#"{"t":"2\u0031 °C"}"#, "water_temperature_c: ");
}

#[test]
fn characters_behind_backslashes_are_what_they_stand_for() {
    let layout = frame(
        "{ name = \"device_clock\", member = \"/clock\", type = \"rfc3339\" },\n\
         { name = \"meter_address\", member = \"/id\", type = \"utf8\", strip = \"0\" },",
    );
    f(
        &layout,
        &[
            (r#"{"clock":"2021\/05\/28 15:14:56"}"#, "expect = { device_clock = \"2021-05-28T07:14:56Z\" }"),
            (r#"{"id":"00A\/1"}"#, "expect = { meter_address = \"A/1\" }"),
        ],
    );
}

#[test]
fn a_frame_is_chosen_by_members() {
    let layout = "[[frame]]\nname = \"alarm\"\nwhen = [{ member = \"/type\", equals = [2, \"5..9\"] }, { member = \"/v\" }]\n\
                  fields = [{ name = \"leak\", member = \"/v\", as = \"bool\" }]\n\
                  [[frame]]\nname = \"report\"\nwhen = { member = \"/type\", word = [\"report\", \"daily\"] }\n\
                  fields = [{ name = \"volume_m3\", member = \"/v\" }]\n";
    f(
        layout,
        &[
            (r#"{"type":7,"v":1}"#, "expect = { leak = true }"),
            (r#"{"type":"daily","v":1}"#, "expect = { volume_m3 = 1 }"),
            (r#"{"type":7}"#, "no_frame: 10 bytes are none of the frames: alarm, report"),
        ],
    );
}

#[test]
fn lists_are_readings_and_objects_have_blocks_of_their_own() {
    let layout = frame(
        "{ name = \"battery_v\", member = \"/battery\" },\n{ use = \"signal\", member = \"/net/cell\" },\n\
         { repeat = \"reading\", member = \"/list\", record = true },",
    ) + "[block.signal]\nfields = [{ name = \"csq\", member = \"/csq\" }]\n\
         [block.reading]\nfields = [{ name = \"time\", member = \"/0\", type = \"rfc3339\" }, { name = \"volume_m3\", member = \"/1\" }]\n";
    f(
        &layout,
        &[
            (
                r#"{"battery":3.6,"net":{"cell":{"csq":20}},"list":[["2024-01-02 08:00:00",1],["2024-01-02 09:00:00",2]]}"#,
                "expect_readings = [{ battery_v = 3.6, csq = 20, time = \"2024-01-02T00:00:00Z\", volume_m3 = 1 }, \
                 { battery_v = 3.6, csq = 20, time = \"2024-01-02T01:00:00Z\", volume_m3 = 2 }]",
            ),
            (r#"{"battery":3.6,"list":[]}"#, "expect = { battery_v = 3.6 }"),
            (r#"{"list":7,"net":{"cell":null},"battery":1}"#, "expect = { battery_v = 1 }"),
        ],
    );
}

#[test]
fn lines_of_bytes_have_no_place_in_it() {
    let f = |line: &str, expected: &str| {
        let problems = compiled(&frame(line)).map(|_| ()).unwrap_err();
        assert!(problems.contains(expected), "{line}: {problems}");
    };
    f("{ name = \"csq\", type = \"u8\" },", "where does it stand? The line has no `member`");
    f("{ name = \"csq\", member = \"/a\", type = \"u8\" },", "`u8` is no type of a member of JSON");
    f("{ name = \"csq\", member = \"/a\", at = 1 },", "`at` is of bytes, and this profile's payloads are JSON");
    f("{ name = \"csq\", member = \"a\" },", "the JSON pointer `a` does not begin with `/`");
    f("{ name = \"csq\", member = \"/a/*\" },", "a profile's JSON pointer has no `*`");
    f("{ skip = 1 },", "`skip` is of bytes");
}
