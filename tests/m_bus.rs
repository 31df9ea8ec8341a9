//! The lines of `m_bus` in a profile: which data records of EN 13757-3 give which fields.

#[path = "support/explanation.rs"]
mod explanation;

use citywire::decode::encode::{Template, Wanted};
use citywire::decode::json::Reading;
use citywire::decode::{self, Context, Readings};
use citywire::problem;
use citywire::profile::Profile;
use citywire::profile::class::Classes;
use citywire::profile::library::BUILT_IN_CLASSES;
use citywire::profile::{compile, spec};

fn source(lines: &str, more: &str) -> String {
    format!(
        r#"id = "meter"
class = "water_meter"
maker = "any"
model = "any"
document = {{ title = "EN 13757-3" }}
report_interval = "24h"
byte_order = "little"
time_zone = "Europe/Berlin"

[[frame]]
name = "records"
fields = [
  {{ m_bus = [
    {lines}
  ]{more} }},
]

[[example]]
source = "own"
payload = "2F"
refused = "empty"
"#
    )
}

/// Compiles a profile with these lines.
fn profile(lines: &str, more: &str) -> Result<Profile, String> {
    let classes = Classes::load("classes.toml", BUILT_IN_CLASSES).unwrap();
    match compile::compile("meter.toml", &source(lines, more), &classes) {
        Ok(mut profiles) => Ok(profiles.remove(0)),
        Err(problems) => Err(problem::render(&problems, false)),
    }
}

/// What the records of `payload` give: a reading a line, its fields in the order of their names, or the reason for which they are refused.
fn readings(profile: &Profile, payload: &str) -> Vec<String> {
    let payload = spec::parse_hex(payload).unwrap();
    let mut readings = Readings::new();
    explanation::assert_explained(profile, &payload, &Context::default());
    match decode::decode(profile, &payload, &Context::default(), &mut readings) {
        Ok(()) => {
            let told = readings.records().iter().map(|record| {
                let reading = Reading { profile, readings: &readings, record };
                let reading = serde_json::to_value(reading).unwrap();
                let time = reading["time"].as_str().map(|time| format!("{time} ")).unwrap_or_default();
                let fields = reading["fields"].as_object().unwrap();
                let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
                time + &fields.join(" ").replace('"', "")
            });
            told.collect()
        }
        Err(error) => vec![format!("{}: {}", error.reason.name(), error.detail)],
    }
}

#[track_caller]
fn f(lines: &str, payload: &str, expected: &[&str]) {
    let profile = profile(lines, r#", otherwise = "skip""#).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(readings(&profile, payload), expected);
}

#[test]
fn a_line_takes_the_records_that_it_names() {
    let volume = r#"{ quantity = "volume", name = "volume_m3" },"#;
    f(volume, "0413 89E20100 023B 0000", &["volume_m3=123.529"]);
    // Not another storage number, tariff, subunit, function; not a value that is something else, such as backwards.
    for other in ["4413", "841013", "844013", "1413", "04933C", "0493 22", "04BD13"] {
        f(volume, &format!("0413 01000000 {other} 89E20100"), &["volume_m3=0.001"]);
    }
    f(
        r#"{ quantity = "volume", storage = 1, name = "settlement_volume_m3" },
           { quantity = "volume", tariff = 1, name = "volume_t1_m3" },
           { quantity = "volume", subunit = 1, name = "input_m3" },
           { quantity = "volume", qualifiers = "backward", name = "reverse_volume_m3" },
           { quantity = "volume_flow", function = "maximum", name = "flow_max_m3h" },
           { quantity = "volume_flow", function = ["minimum", "error"], name = "flow_min_m3h" },"#,
        "4113 01 811013 02 814013 03 01933C 04 113B 05 213B 06 313B 07",
        &["flow_max_m3h=0.005 flow_min_m3h=0.007 input_m3=0.003 reverse_volume_m3=0.004 settlement_volume_m3=0.001 \
             volume_t1_m3=0.002"],
    );
}

#[test]
fn values_come_in_the_units_of_their_fields() {
    // Bar to kilopascals, joules to kilowatt hours; a duration in a field of its own.
    f(r#"{ quantity = "pressure", name = "pressure_kpa" },"#, "0268 D204", &["pressure_kpa=123.4"]);
    f(r#"{ quantity = "energy", name = "heat_kwh" },"#, "040F 01000000", &["heat_kwh=2.7777777777777777"]);
    f(r#"{ quantity = "on_time", name = "on_s" },"#, "0222 0200", &["on_s=7200.0"]);
    f(
        r#"{ quantity = "remaining_battery_life", name = "battery_life_d" },"#,
        "02FD74 8713",
        &["battery_life_d=4999.0"],
    );
    // What has no unit may be given one; what has one cannot.
    f(
        r#"{ quantity = "dimensionless", unit = "min", name = "test_age_s" },"#,
        "02FD3A 4675",
        &["test_age_s=30022.0"],
    );
    let problem = profile(r#"{ quantity = "volume", unit = "L", name = "volume_m3" },"#, "").unwrap_err();
    assert!(problem.contains("it comes in m3, whatever its VIF says, so the line has no `unit`"), "{problem}");
    // A correction, and a single's own decimals.
    f(r#"{ quantity = "volume", name = "volume_m3" },"#, "019679 05", &["volume_m3=5.01"]);
    f(r#"{ quantity = "volume", name = "volume_m3" },"#, "0516 CDCCCC3D", &["volume_m3=0.1"]);
}

#[test]
fn whole_numbers_stay_whole_and_have_words_and_flags() {
    f(r#"{ quantity = "cumulation_counter", name = "alarm_count" },"#, "02FD61 0100", &["alarm_count=1"]);
    f(
        r#"{ quantity = "error_flags", flags = { 0 = "leak", 3 = "burst" } },"#,
        "02FD17 0800",
        &["burst=true leak=false"],
    );
    f(
        r#"{ vif = "FF2C", subunit = 1, enum = { 0 = "open", 1 = "closed" }, name = "valve" },"#,
        "8140FF2C 01",
        &["valve=closed"],
    );
    f(r#"{ vif = "FF 25", absent = 0xFFF, name = "hours" },"#, "02FF25 1000", &["hours=16"]);
    f(
        r#"{ vif = "FF 25", absent = 0xFFF, name = "hours" }, { quantity = "volume", name = "volume_m3" },"#,
        "02FF25 FF0F 0113 01",
        &["volume_m3=0.001"],
    );
}

#[test]
fn texts_keep_leading_zeros_and_come_in_reading_order() {
    let number = r#"{ quantity = "fabrication_number", text = true, identity = true, name = "meter_address" },"#;
    f(number, "0C78 17588506", &["meter_address=06855817"]);
    f(number, "0478 2E254C00", &["meter_address=4990254"]);
    f(number, "0D78 04 34333231", &["meter_address=1234"]);
    f(number, "0D78 E9 010203040506070809", &["meter_address=010203040506070809"]);
    f(
        r#"{ quantity = "manufacturer_data", text = true, name = "maker_data" },"#,
        "0F C001010C",
        &["maker_data=C001010C"],
    );
}

#[test]
fn moments_are_the_meters_local_time() {
    let time = r#"{ quantity = "date_time", name = "time" }, { quantity = "volume", name = "volume_m3" },"#;
    f(time, "046D 2A2D1336 0113 01", &["2024-06-19T11:42:00Z volume_m3=0.001"]);
    // The hour that autumn has twice: summer time first.
    f(time, "046D 1EA2 1B3A 0113 01", &["2024-10-27T00:30:00Z volume_m3=0.001"]);
    f(time, "046D 1E22 1B3A 0113 01", &["2024-10-27T01:30:00Z volume_m3=0.001"]);
    // To the second; and a clock that is wrong, whose reading has no time.
    f(time, "066D 050607018355 0113 01", &["2064-03-01T06:06:05Z volume_m3=0.001"]);
    f(time, "046D 9E221B3A 0113 01", &["volume_m3=0.001"]);
    f(
        r#"{ quantity = ["date", "date_time"], storage = 1, name = "settlement_time" },"#,
        "426C BF1C",
        &["settlement_time=2013-12-30T23:00:00Z"],
    );
    f(
        r#"{ quantity = "power", qualifiers = "end_of_last", name = "power_time" },"#,
        "02AD6F BF1C",
        &["power_time=2013-12-30T23:00:00Z"],
    );
}

#[test]
fn a_name_may_tell_the_storage_number() {
    f(
        r#"{ quantity = "volume", storage = "1..3", name = "month_{storage:1..3}_m3" },"#,
        "4113 01 810113 02 C10113 03 810213 04",
        &["month_1_m3=0.001 month_2_m3=0.002 month_3_m3=0.003"],
    );
}

/// The bytes of Kamstrup's flowIQ 2200 (actility/device-catalog, vendors/kamstrup/drivers/generic).
#[test]
fn each_value_of_a_compact_profile_is_a_reading() {
    let lines = r#"{ quantity = "date_time", storage = 1, name = "time" },
        { quantity = "volume", storage = 1, name = "volume_m3" },
        { quantity = "volume", storage = 1, qualifiers = "inverse_compact_profile", record = "apart", name = "volume_m3" },
        { quantity = "error_flags", name = "flags" },"#;
    // What stands behind the profile belongs to the first reading all the same.
    f(
        lines,
        "446D002CFD28 4413C1AA7700 4D9313 08 6201 2701 2201 2201 02FD17 0000",
        &[
            "2023-08-29T10:00:00Z flags=0 volume_m3=7842.497",
            "2023-08-29T09:00:00Z volume_m3=7842.202",
            "2023-08-29T08:00:00Z volume_m3=7841.912",
            "2023-08-29T07:00:00Z volume_m3=7841.622",
        ],
    );
    // Days and months are those of the calendar: midnight stays midnight over the change of clocks.
    f(
        lines,
        "446D0020FF2A 4413C1AA7700 4D9313 06 F201 0100 0100",
        &[
            "2023-10-30T23:00:00Z volume_m3=7842.497",
            "2023-10-29T23:00:00Z volume_m3=7842.496",
            "2023-10-28T22:00:00Z volume_m3=7842.495",
        ],
    );
    f(
        lines,
        "446D0020FF2A 4413C1AA7700 4D9313 06 F2FE 0100 0100",
        &[
            "2023-10-30T23:00:00Z volume_m3=7842.497",
            "2023-09-29T22:00:00Z volume_m3=7842.496",
            "2023-08-30T22:00:00Z volume_m3=7842.495",
        ],
    );
    // Without a base time, the values would be of no moment; without a base value, changes are of nothing.
    f(lines, "446DFFFFFFFF 4413C1AA7700 4D9313 04 6201 2701", &["volume_m3=7842.497"]);
    f(lines, "446D002CFD28 4D9313 04 6201 2701 02FD17 0000", &["2023-08-29T10:00:00Z flags=0"]);
}

#[test]
fn records_that_no_line_takes_are_refused_unless_the_profile_skips_them() {
    let line = r#"{ quantity = "volume", name = "volume_m3" },"#;
    let strict = profile(line, "").unwrap();
    assert_eq!(readings(&strict, "0113 01"), ["volume_m3=0.001"]);
    assert_eq!(
        readings(&strict, "0113 01 52933C 0500"),
        ["unknown_tag: the profile has no line for the record \"volume backward\", maximum, storage 1, tariff 0, \
             subunit 0, VIF 93 3C; describe it, or set otherwise = \"skip\" (byte 3; bytes 0 to 6: 01 13 01 52 93 3C 05)"]
    );
    // A text is no number: no line takes it.
    assert!(readings(&strict, "0D13 02 4142")[0].starts_with("unknown_tag: "));
    // A meter that has no value says so, and that is one.
    assert_eq!(readings(&strict, "0213 0080 0113 01"), ["volume_m3=0.001"]);
    assert!(readings(&strict, "0213 0080")[0].starts_with("empty: "));
    assert_eq!(
        readings(&strict, "0113 01 0413 01"),
        ["too_short: a record's data needs 4 bytes, but 1 are left (byte 5; bytes 1 to 5: 13 01 04 13 01)"]
    );
    assert!(readings(&strict, "0113 01 3F")[0].starts_with("value: a record begins with 0x3F"));
}

#[test]
fn a_line_may_be_there_only_when_something_holds() {
    let lines = r#"{ quantity = "cumulation_counter", name = "count" },
        { quantity = "volume", when = "count == 1", name = "volume_m3" },
        { quantity = "volume", storage = 1, when = "storage == 1", name = "settlement_volume_m3" },
        { quantity = "volume", when = "count > 1", name = "other_m3" },"#;
    f(lines, "01FD61 01 0113 05", &["count=1 volume_m3=0.005"]);
    f(lines, "01FD61 02 0113 05", &["count=2 other_m3=0.005"]);
    f(lines, "0113 05 01FD61 01", &["count=1"]);
    f(lines, "4113 05", &["settlement_volume_m3=0.005"]);
}

#[test]
fn records_may_fill_only_a_part_of_the_frame() {
    let lines = r#"{ quantity = "volume", name = "volume_m3" },"#;
    let profile = profile(lines, r#", length = "remaining - 2" }, { name = "tail", type = "u16""#).unwrap();
    assert_eq!(readings(&profile, "0113 01 2F 3412"), ["tail=4660 volume_m3=0.001"]);
    assert!(readings(&profile, "01")[0].starts_with("value: a length of -1 bytes"));
}

#[test]
fn what_records_say_can_be_written_back() {
    let lines = r#"{ quantity = "volume", name = "volume_m3" },
        { quantity = "pressure", name = "pressure_kpa" },
        { quantity = "fabrication_number", text = true, name = "meter_address" },
        { quantity = "customer", text = true, name = "customer" },
        { quantity = "date_time", name = "time" },"#;
    let profile = profile(lines, "").unwrap();
    let payload = spec::parse_hex("0C13 01000000 0268 0000 0C78 00000000 0DFD11 04 20202041 046D 00200121").unwrap();
    let template = Template::new(&profile, &payload, &Context::default()).unwrap();
    let encoded = template
        .encode(|slot| match slot.name {
            "volume_m3" => Some(Wanted::Number(12_345.678)),
            "pressure_kpa" => Some(Wanted::Number(123.4)),
            "meter_address" => Some(Wanted::Text("06855817".into())),
            "customer" => Some(Wanted::Text("ABC".into())),
            "time" => Some(Wanted::Time(citywire::time::Timestamp::from_seconds(1_718_797_320))),
            _ => None,
        })
        .unwrap();
    let hex: String = encoded.iter().map(|byte| format!("{byte:02X}")).collect();
    assert_eq!(
        readings(&profile, &hex),
        ["2024-06-19T11:42:00Z customer=ABC meter_address=06855817 pressure_kpa=123.4 volume_m3=12345.678"]
    );
}

#[test]
fn what_was_read_may_choose_the_class() {
    let volume = r#"{ quantity = "volume", name = "volume_m3" },"#;
    let more = r#", length = 3 }, { name = "kind", type = "u8" }, { class = "gas_meter", when = "kind == 3" "#;
    let profile = profile(volume, more).unwrap();
    let class = |payload: &str| {
        let mut readings = Readings::new();
        decode::decode(&profile, &spec::parse_hex(payload).unwrap(), &Context::default(), &mut readings).unwrap();
        profile.class(readings.records()[0].class).to_owned()
    };
    assert_eq!(class("011305 03"), "gas_meter");
    assert_eq!(class("011305 07"), "water_meter");
}

#[test]
fn mistakes_in_lines_are_told_with_their_mend() {
    let f = |lines: &str, more: &str, expected: &str| {
        let problems = profile(lines, more).unwrap_err();
        assert!(problems.contains(expected), "{problems}");
    };
    let line = r#"{ quantity = "volume", name = "volume_m3" },"#;
    f(r#"{ quantity = "volum", name = "a" },"#, "", "`volum` is no quantity of M-Bus");
    f(r#"{ quantity = "volum", name = "a" },"#, "", "did you mean `volume`?");
    f(r#"{ quantity = "volume", function = "max", name = "a" },"#, "", "`max` is no function of M-Bus");
    f(r#"{ quantity = "volume", qualifiers = "backwards", name = "a" },"#, "", "did you mean `backward`?");
    f(
        r#"{ quantity = ["volume", "mass"], name = "a" },"#,
        "",
        "the quantities of a line are of one kind and in one unit",
    );
    f(r#"{ name = "a" },"#, "", "a line of `m_bus` needs `quantity` or `vif`, not both");
    f(r#"{ vif = "1", name = "a" },"#, "", "hexadecimal digits are no whole number of bytes");
    f(r#"{ quantity = "volume", type = "u8", name = "a" },"#, "", "a line of `m_bus` has no `type`");
    f(r#"{ quantity = "volume", name = "valve" },"#, "", "`valve` is in 1, which m3 cannot be converted to");
    f(r#"{ quantity = "volume", name = "time" },"#, "", "`time` is the reading's own time, but this is no time");
    f(r#"{ quantity = "volume", identity = true, name = "a" },"#, "", "add text = true");
    f(r#"{ quantity = "volume", qualifiers = "compact_profile", name = "a" },"#, "", "add record = \"apart\"");
    f(r#"{ quantity = "volume", record = true, name = "a" },"#, "", "only a compact profile gives readings");
    f(line, r#"}, { class = "gas""#, "there is no class `gas`");
    f(line, r#", otherwise = "stop""#, "`stop` is nothing that becomes of an M-Bus record");
    f(line, r#" }, { type = "u8", storage = 1, name = "a""#, "`storage` belongs to a line of `m_bus`");
}
