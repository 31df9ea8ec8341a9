//! Records of meters in the field, with the readings that were published for them, and of the standard's examples.

use std::fmt::Write as _;

use super::*;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: String = hex.chars().filter(|c| !c.is_whitespace()).collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// A record in words: what it is, where it belongs, what it says.
fn words(record: &Record) -> String {
    let mut text = String::from(record.quantity.name());
    if record.function != Function::Instantaneous {
        let _ = write!(text, " {}", record.function.name());
    }
    for qualifier in record.qualifiers.as_slice() {
        let _ = write!(text, " {}", qualifier.name());
    }
    for (word, number) in
        [("storage", record.storage), ("tariff", record.tariff.into()), ("subunit", record.subunit.into())]
    {
        if number != 0 {
            let _ = write!(text, " {word} {number}");
        }
    }
    text.push_str(" = ");
    let _ = match &record.data {
        Data::None => write!(text, "nothing"),
        Data::Digits { value, digits } if record.unit().is_none() && record.scale == Scale::ONE => {
            write!(text, "{value:0width$}", width = usize::from(*digits))
        }
        Data::Integer(_) | Data::Digits { .. } | Data::Float(_) => write!(text, "{}", record.number().unwrap()),
        Data::Date(date) => write!(text, "{date}"),
        Data::DateTime { local, summer_time } => {
            write!(text, "{local}{}", if *summer_time { " summer" } else { "" })
        }
        Data::Time(time) => write!(text, "{time}"),
        Data::Text(sent) => write!(text, "\"{}\"", characters(sent).collect::<String>()),
        Data::Binary(bytes) => write!(text, "{}", crate::decode::machine::Hex(bytes)),
        Data::Profile(profile) => write!(text, "{} values", profile.len()),
        Data::Invalid(invalid) => write!(text, "no value: {}", invalid.reason()),
    };
    if let (Some(unit), true) = (record.unit(), record.number().is_some()) {
        let _ = write!(text, " {unit}");
    }
    if let Some(unit) = record.unit_text {
        let _ = write!(text, " {}", characters(unit).collect::<String>());
    }
    text
}

/// Checks that the records of `hex` say what `expected` has, a line for each, and that they cover all bytes.
#[track_caller]
fn f(hex: &str, expected: &[&str]) {
    let bytes = bytes(hex);
    let mut end = 0;
    let found: Vec<String> = records(&bytes)
        .map(|record| {
            let record = record.unwrap_or_else(|error| panic!("{error}"));
            assert!(
                bytes[end..record.bytes.start].iter().all(|&filler| filler == 0x2F),
                "a gap in front of {record:?}"
            );
            assert!(record.bytes.start <= record.data_bytes.start && record.data_bytes.end == record.bytes.end);
            end = record.bytes.end;
            words(&record)
        })
        .collect();
    assert_eq!(found, expected);
    assert!(bytes[end..].iter().all(|&filler| filler == 0x2F), "bytes are left");
}

/// Checks that the first record of `hex` says `expected`.
#[track_caller]
fn one(hex: &str, expected: &str) {
    f(hex, &[expected]);
}

/// Telegrams without link layer and header, from the test data of wmbusmeters (drivers/src/*.xmq).
#[test]
fn wireless_meters_say_what_was_published_for_them() {
    // Sensus iPERL (iperl.xmq): 123.529 m³.
    f("041389E20100023B0000", &["volume = 123.529 m3", "volume_flow = 0 m3/h"]);
    // Diehl DME 07 (dme_07.xmq): 214.787 m³.
    f("2F2F04130347030002FD1700002F2F2F", &["volume = 214.787 m3", "error_flags = 0"]);
    // BMT Hydrodigit (hydrodigit.xmq): 6.735 m³ on 2023-08-10 at 14:23.
    f(
        "0C1335670000046D172EEA280F030000000000",
        &["volume = 6.735 m3", "date_time = 2023-08-10T14:23:00", "manufacturer_data = 03 00 00 00 00 00"],
    );
    // Diehl Hydrus (hydrus.xmq): 1.174 m³, 10.4 °C, 0.2 m³ at 2019-10-31 23:59.
    f(
        "2F2F01FD08300C13741100007C1300000000FC101300000000FC201300000000726C00000B3B00000002FD748713025A6800C4016D3B177F2ACC011300020000",
        &[
            "access_number = 48",
            "volume = 1.174 m3",
            "volume error storage 1 = 0 m3",
            "volume error storage 1 tariff 1 = 0 m3",
            "volume error storage 1 tariff 2 = 0 m3",
            "date error storage 1 = no value: no date or time of the calendar",
            "volume_flow = 0 m3/h",
            "remaining_battery_life = 431913600 s",
            "flow_temperature = 10.4 Cel",
            "date_time storage 3 = 2019-10-31T23:59:00",
            "volume storage 3 = 0.2 m3",
        ],
    );
    // GWF water meter (gwfwater.xmq): 0.062 m³, -0.001 m³ at an unknown date, measured 16 s ago.
    f(
        "2F2F037410000004133E0000004413FFFFFFFF426CFFFF0F0120012F2F2F2F2F",
        &[
            "actuality_duration = 16 s",
            "volume = 0.062 m3",
            "volume storage 1 = -0.001 m3",
            "date storage 1 = no value: no date or time of the calendar",
            "manufacturer_data = 01 20 01 2F 2F 2F 2F 2F",
        ],
    );
    // Ei6500 smoke detector (ei6500.xmq): 1 alarm, 2 tests, sent on 2022-05-24 at 06:52.
    f(
        "0BFD0F070101046D3406D82502FD17000082206CD825426CD0238440FF2C020F11008250FD61010082506CD8258260FD6100008360FD3100000082606C01018270FD61020082706CD825",
        &[
            "software_version = 010107",
            "date_time = 2022-05-24T06:52:00",
            "error_flags = 0",
            "date tariff 2 = 2022-05-24",
            "date storage 1 = 2022-03-16",
            "manufacturer_specific subunit 1 = 1117954",
            "cumulation_counter tariff 1 subunit 1 = 1",
            "date tariff 1 subunit 1 = 2022-05-24",
            "cumulation_counter tariff 2 subunit 1 = 0",
            "tariff_duration tariff 2 subunit 1 = 0 s",
            "date tariff 2 subunit 1 = 2000-01-01",
            "cumulation_counter tariff 3 subunit 1 = 2",
            "date tariff 3 subunit 1 = 2022-05-24",
        ],
    );
    // Lansen smoke detector (lansensm.xmq): no error, counter 588, 30022 minutes since the test.
    f(
        "2F2F02FD971D000004FD084C02000004FD3A467500002F2F2F2F2F2F2F2F2F2F",
        &["error_flags standard_conform = 0", "access_number = 588", "dimensionless = 30022"],
    );
}

/// Answers without frame and header, from rscada/libmbus, test/test-frames.
#[test]
fn wired_meters_say_what_was_published_for_them() {
    // EFE_Engelmann-WaterStar.
    f(
        "04782E254C00046D0A0CCD1304134C01000044134B0100008401134C010000426CBF1C026CDF1C043B00000000143B160800000223A70401FD170004902808000000",
        &[
            "fabrication_number = 4990254",
            "date_time = 2014-03-13T12:10:00",
            "volume = 0.332 m3",
            "volume storage 1 = 0.331 m3",
            "volume storage 2 = 0.332 m3",
            "date storage 1 = 2013-12-31",
            "date = 2014-12-31",
            "volume_flow = 0 m3/h",
            "volume_flow maximum = 2.07 m3/h",
            "on_time = 102902400 s",
            "error_flags = 0",
            "volume per_input_pulse_0 = 0.000008",
        ],
    );
    // REL-Relay-Padpuls2: the clock is marked as invalid.
    f(
        "0C1481608702046DA115E917426CDF1C4C148273590242EC7EFF1C0FC001010C",
        &[
            "volume = 28760.81 m3",
            "date_time = no value: marked as invalid by the meter's clock",
            "date storage 1 = 2014-12-31",
            "volume storage 1 = 25973.82 m3",
            "date future storage 1 = 2015-12-31",
            "manufacturer_data = C0 01 01 0C",
        ],
    );
    // kamstrup_multical_601: 37351 kWh, 561.08 m³, 985 h, 101.69 and 46.16 °C, 34.7 kW.
    f(
        "0C78175885060406E791000004142CDB00000422D90300000459B9270000045D081200000461B1150000042D5B010000142DC0010000043B1F020000143B74020000",
        &[
            "fabrication_number = 06855817",
            "energy = 37351 kW.h",
            "volume = 561.08 m3",
            "on_time = 3546000 s",
            "flow_temperature = 101.69 Cel",
            "return_temperature = 46.16 Cel",
            "temperature_difference = 55.53 K{difference}",
            "power = 34700 W",
            "power maximum = 44800 W",
            "volume_flow = 0.543 m3/h",
            "volume_flow maximum = 0.628 m3/h",
        ],
    );
}

#[test]
fn meters_on_lorawan_say_what_was_published_for_them() {
    // Elvaco CMi4110 (intelligent-farming/lorawan-codec-normalization, codecs/elvaco/cmi4110), behind its format byte.
    f(
        "0c06526761020c14978999000b2d0000000b3b0000000a5a33060a5e41050c782911036602fd170000",
        &[
            "energy = 2616752 kW.h",
            "volume = 9989.97 m3",
            "power = 0 W",
            "volume_flow = 0 m3/h",
            "flow_temperature = 63.3 Cel",
            "return_temperature = 54.1 Cel",
            "fabrication_number = 66031129",
            "error_flags = 0",
        ],
    );
    // Sontex Superaqua SQ1 (actility/device-catalog, vendors/sontex/drivers/sq1).
    f(
        "0406000000000414000000000c7840668826046d160ead2c02ff2c000084100600000000820a6ce1f1840a0600000000840a14000000000259200a025d2a0a023b0000032c00007f841a06ff000000",
        &[
            "energy = 0 kW.h",
            "volume = 0 m3",
            "fabrication_number = 26886640",
            "date_time = 2021-12-13T14:22:00",
            "manufacturer_specific = 0",
            "energy tariff 1 = 0 kW.h",
            "date storage 20 = no value: no date or time of the calendar",
            "energy storage 20 = 0 kW.h",
            "volume storage 20 = 0 m3",
            "flow_temperature = 25.92 Cel",
            "return_temperature = 26.02 Cel",
            "volume_flow = 0 m3/h",
            "power = 83230720 W",
            "energy storage 20 tariff 1 = 255 kW.h",
        ],
    );
    // Kamstrup (actility/device-catalog, vendors/kamstrup/drivers/generic): temperatures that are invalid.
    f(
        "446d0020f32a4413ec00000052ff25100042ff1c0500623b0000523b0000615b80515b80",
        &[
            "date_time storage 1 = 2023-10-19T00:00:00",
            "volume storage 1 = 0.236 m3",
            "manufacturer_specific maximum storage 1 = 16",
            "manufacturer_specific storage 1 = 5",
            "volume_flow minimum storage 1 = 0 m3/h",
            "volume_flow maximum storage 1 = 0 m3/h",
            "flow_temperature minimum storage 1 = no value: the number that stands for \"invalid\"",
            "flow_temperature maximum storage 1 = no value: the number that stands for \"invalid\"",
        ],
    );
    // The same: an invalid packed decimal, a negative temperature, times of types G and I.
    f(
        "4c16443322e14c16443322 1191015bef426c058286016d050607018355",
        &[
            "volume storage 1 = no value: not packed decimal",
            "volume storage 1 = 11223344 m3",
            "flow_temperature maximum storage 2 = -17 Cel",
            "date storage 1 = 2064-02-05",
            "date_time storage 2 = 2064-03-01T07:06:05",
        ],
    );
    // The same: volume in an error state, backward volume, packed decimals of every width.
    f(
        "7413ec00000044933cec000000 4e3a123456789903 4b3a123456 4a3a1234 493a12",
        &[
            "volume error storage 1 = 0.236 m3",
            "volume backward storage 1 = 0.236 m3",
            "volume_flow storage 1 = 3997856.3412 m3/h",
            "volume_flow storage 1 = 56.3412 m3/h",
            "volume_flow storage 1 = 0.3412 m3/h",
            "volume_flow storage 1 = 0.0012 m3/h",
        ],
    );
    // The same: a time of type I that is marked as invalid, and a value without data.
    f(
        "466d058607018355 403a",
        &[
            "date_time storage 1 = no value: marked as invalid by the meter's clock",
            "volume_flow storage 1 = nothing",
        ],
    );
}

#[test]
fn quantities_come_in_their_canonical_unit() {
    // Table 10.
    one("0103 64", "energy = 0.1 kW.h");
    one("0407 01000000", "energy = 10 kW.h");
    one("0408 80EE3600", "energy = 1 kW.h");
    one("040F 24000000", "energy = 100 kW.h");
    one("0110 01", "volume = 0.000001 m3");
    one("0117 01", "volume = 10 m3");
    one("011B 07", "mass = 7 kg");
    one("0121 02", "on_time = 120 s");
    one("0127 02", "operating_time = 172800 s");
    one("012B 05", "power = 5 W");
    one("0430 100E0000", "power = 1 W");
    one("013B 05", "volume_flow = 0.005 m3/h");
    one("0147 01", "volume_flow = 60 m3/h");
    one("014F 01", "volume_flow = 36 m3/h");
    one("0153 05", "mass_flow = 5 kg/h");
    one("0163 05", "temperature_difference = 5 K{difference}");
    one("0266 9CFF", "external_temperature = -10 Cel");
    one("0168 7F", "pressure = 0.127 bar");
    one("016E 09", "heat_cost_units = 9");
    one("0171 0F", "averaging_duration = 900 s");
    one("0177 01", "actuality_duration = 86400 s");
    one("017A FE", "bus_address = 254");
    one("016F 01", "reserved = 1");
    // Table 14.
    one("01FB00 01", "energy = 100 kW.h");
    one("01FB03 01", "reactive_energy = 10 kvar.h");
    one("01FB04 01", "apparent_energy = 1 kV.A.h");
    one("01FB08 09", "energy = 250 kW.h");
    one("04FB0D 10270000", "energy = 11630 kW.h");
    one("01FB10 01", "volume = 100 m3");
    one("01FB15 01", "reactive_power = 10 var");
    one("01FB18 01", "mass = 100000 kg");
    one("02FB1A FB01", "relative_humidity = 50.7 %");
    one("01FB20 01", "volume = 0.028316846592 m3");
    one("01FB28 01", "power = 100000 W");
    one("02FB2B 8403", "current_phase = 90 deg");
    one("02FB2D 8813", "frequency = 50 Hz");
    one("01FB30 24", "power = 1000000 W");
    one("01FB36 02", "apparent_power = 200 V.A");
    one("02FB68 0010", "rating_factor = 1");
    one("02FB74 1027", "temperature_limit = 10 Cel");
    one("01FB7B 08", "cumulative_maximum_power = 8 W");
    // Table 12.
    one("02FD01 F401", "credit = 5");
    one("01FD09 07", "device_type = 7");
    one("02FD0A 2D2C", "manufacturer = 11309");
    one("01FD26 01", "storage_interval = 3600 s");
    one("01FD29 02", "storage_interval_months = 24 mo");
    one("01FD2D 03", "duration_since_readout = 180 s");
    one("02FD48 FC08", "voltage = 230 V");
    one("02FD59 E803", "current = 1 A");
    one("01FD60 FF", "reset_counter = 255");
    one("0DFD67 03 434241", "supplier_information = \"ABC\"");
    one("01FD69 01", "duration_since_cumulation = 86400 s");
    one("01FD6C 05", "battery_operating_time = 18000 s");
    one("02FD70 BF1C", "battery_change = 2013-12-31");
    one("01FD71 A6", "reception_level = -90 dB[mW]");
    one("02FD74 0A00", "remaining_battery_life = 864000 s");
    one("01FDFD03 0A", "remaining_battery_life_months = 120 mo");
}

#[test]
fn qualifiers_change_what_a_value_is() {
    one("01933C 05", "volume backward = 0.005 m3");
    one("01933B 05", "volume forward = 0.005 m3");
    one("019322 05", "volume per_hour = 0.005");
    one("029639 BF1C", "volume start_of = 2013-12-31");
    one("04AD6F 1E2C5F1C", "power end_of_last = 2010-12-31T12:30:00");
    one("01BB5E 02", "volume_flow duration_of_last_upper_limit_exceed = 7200 s");
    one("01BB49 02", "volume_flow upper_limit_exceeds = 2");
    one("01BBC83C 02", "volume_flow upper_limit backward = 0.002 m3/h");
    one("01FDC8FC01 E6", "voltage phase_l1 = -2.6 V");
    // Corrections of the number are no qualifiers.
    one("019674 05", "volume = 0.05 m3");
    one("01967D 05", "volume = 5000 m3");
    one("01967B 05", "volume = 6 m3");
    one("019679 05", "volume = 5.01 m3");
    // Nor are errors, but there is no value then.
    one("019315 05", "volume = no value: the meter has no data for it");
    one("019300 05", "volume = 0.005 m3");
    // The maker's from here on.
    one("0193FF55 05", "volume manufacturer_specific = 5");
}

#[test]
fn records_tell_storage_tariff_and_subunit() {
    one("4113 01", "volume storage 1 = 0.001 m3");
    one("C10113 01", "volume storage 3 = 0.001 m3");
    one("81C04013 01", "volume subunit 3 = 0.001 m3");
    one("81903013 01", "volume tariff 13 = 0.001 m3");
    // The largest that ten DIFEs can tell.
    one("C1 FFFFFFFFFFFFFFFFFF7F 13 01", "volume storage 2199023255551 tariff 1048575 subunit 1023 = 0.001 m3");
}

#[test]
fn numbers_come_in_every_coding() {
    one("0013", "volume = nothing");
    one("0813", "volume = nothing");
    one("0316 FFFFFF", "volume = -1 m3");
    one("0316 000080", "volume = no value: the number that stands for \"invalid\"");
    one("0616 010000000000", "volume = 1 m3");
    one("0716 FFFFFFFFFFFFFF7F", "volume = 9223372036854776000 m3");
    one("0716 0000000000000080", "volume = no value: the number that stands for \"invalid\"");
    one("0779 FFFFFFFFFFFFFFFF", "identification = FF FF FF FF FF FF FF FF");
    one("0516 0000C03F", "volume = 1.5 m3");
    one("0516 0000C07F", "volume = no value: not a finite number");
    one("0916 F5", "volume = -5 m3");
    one("0C16 010000F0", "volume = -1 m3");
    one("0C16 FFFFFFFF", "volume = no value: not packed decimal");
    one("0D16 C2 3412", "volume = 1234 m3");
    one("0D16 D2 3412", "volume = -1234 m3");
    one("0D16 C9 999999999999999999", "volume = 1000000000000000000 m3");
    one("0D16 E3 010000", "volume = 1 m3");
    one("0D79 E9 010203040506070809", "identification = 01 02 03 04 05 06 07 08 09");
    one(
        "0D79 F0 000102030405060708090A0B0C0D0E0F",
        "identification = 00 01 02 03 04 05 06 07 08 09 0A 0B 0C 0D 0E 0F",
    );
    one("0DFD10 00", "customer_location = \"\"");
    one("0DFD10 02 FC41", "customer_location = \"A\u{fc}\"");
}

/// Where a float would round.
#[test]
fn integers_keep_all_their_digits() {
    let bytes = bytes("0716 FFFFFFFFFFFFFF7F 0D16 C9 999999999999999999");
    let data: Vec<Data> = records(&bytes).map(|record| record.unwrap().data).collect();
    assert_eq!(data, [Data::Integer(i64::MAX), Data::Digits { value: 999_999_999_999_999_999, digits: 18 }]);
}

/// The floats of many meters end as they would be written: 63.3, not 63.300000000000004.
#[test]
fn scaled_numbers_are_rounded_once() {
    for raw in [633i64, 541, 1, 7, 123_456_789, -81] {
        let record = |vif: u8| {
            let mut bytes = vec![0x04, vif];
            bytes.extend(i32::try_from(raw).unwrap().to_le_bytes());
            records(&bytes).next().unwrap().unwrap().number().unwrap()
        };
        assert_eq!(record(0x5A).to_string().parse::<f64>(), format!("{raw}e-1").parse());
        assert_eq!(record(0x13).to_string().parse::<f64>(), format!("{raw}e-3").parse());
    }
}

#[test]
fn calendar_times_come_in_every_type() {
    one("026C BF1C", "date = 2013-12-31");
    one("026C 21AC", "date = 1981-12-01");
    one("026C 01A1", "date = 2080-01-01");
    one("026C 001C", "date = no value: no date or time of the calendar");
    one("026C FFFF", "date = no value: no date or time of the calendar");
    one("046D 2A2D1336", "date_time = 2024-06-19T13:42:00");
    one("046D 2A8D1336", "date_time = 2024-06-19T13:42:00 summer");
    one("046D 2A4D1336", "date_time = 2124-06-19T13:42:00");
    one("046D FFFFFFFF", "date_time = no value: marked as invalid by the meter's clock");
    one("046D 2A2D1F3F", "date_time = no value: no date or time of the calendar");
    one("036D 05062F", "date_time = 15:06:05");
    one("036D 3F3F1F", "date_time = no value: no date or time of the calendar");
    one("066D 4506070183 55", "date_time = 2064-03-01T07:06:05 summer");
    // No type of this length.
    one("016D 05", "date_time = 05");
}

/// Lansen's radio sensors send the text in front of the VIFEs (a frame in exmbus' regression tests), which the
/// standard has behind them.
#[test]
fn units_in_words_are_read_on_either_side_of_the_qualifiers() {
    one("027C 03 485225 4001", "plain_text = 320 %RH");
    one("02FC 74 03 485225 440D", "plain_text = 33.96 %RH");
    one("02FC 03 485225 74 440D", "plain_text = 33.96 %RH");
    f(
        "02FC0348522574440D22FC0348522574F10C12FC034852257463110265B409226586091265B709",
        &[
            "plain_text = 33.96 %RH",
            "plain_text minimum = 33.13 %RH",
            "plain_text maximum = 44.51 %RH",
            "external_temperature = 24.84 Cel",
            "external_temperature minimum = 24.38 Cel",
            "external_temperature maximum = 24.87 Cel",
        ],
    );
}

/// The profile in `hex`, behind its base: spacing and values.
#[track_caller]
fn profile(hex: &str, spacing: Spacing, direction: Direction, expected: &[Option<i64>]) {
    let bytes = bytes(hex);
    let found: Vec<Record> = records(&bytes).collect::<Result<_, _>>().unwrap();
    let (mut base, mut profiles) = (None, 0);
    for record in &found {
        match record.data {
            Data::Integer(value) | Data::Digits { value, .. } => base = Some(value),
            Data::Profile(profile) => {
                profiles += 1;
                assert_eq!((profile.spacing, profile.direction), (spacing, direction));
                assert_eq!(profile.len(), expected.len());
                assert_eq!(profile.values(base).collect::<Vec<_>>(), expected);
            }
            _ => {}
        }
    }
    assert_eq!(profiles, 1);
}

#[test]
fn compact_profiles_give_a_value_for_each_spacing() {
    let hour = Spacing::Seconds(3_600);
    // EN 13757-3:2018, F.2.7 and F.2.8, from exmbus' tests; the base of the second is the one that its values need.
    let newer = [Some(123_003), Some(123_005), Some(123_016)];
    profile("84046D00204111 8B0415003012 8D04951F056901030211", hour, Direction::Newer, &newer);
    let older = [Some(123_005), Some(123_003), Some(123_000)];
    profile("84046D00234111 8B0415163012 8D049513056901110203", hour, Direction::Older, &older);
    // OMS specification volume 2, Annex G, Tables G.6 and G.7, the bytes from wmbusmeters' tests.
    let months = [Some(755), Some(423), Some(209), Some(65)];
    profile("0C1313100000026C1F150D93130A7AFE5802320314024401", Spacing::Months(1), Direction::Older, &months);
    // Kamstrup (actility/device-catalog, vendors/kamstrup/drivers/generic): increments, decrements, differences.
    profile(
        "446d002cfd284413c1aa77004d9313186201270122012201260122012201210127012201220127012f",
        hour,
        Direction::Older,
        &[
            7_842_202, 7_841_912, 7_841_622, 7_841_328, 7_841_038, 7_840_748, 7_840_459, 7_840_164, 7_839_874,
            7_839_584, 7_839_289,
        ]
        .map(Some),
    );
    profile(
        "446d0020fd284413c1aa77004d931306b20127012201",
        Spacing::Days(1),
        Direction::Older,
        &[Some(7_842_792), Some(7_843_082)],
    );
    profile(
        "446d0020fa284413c1aa77004d931308d2fe270122012293",
        Spacing::Months(6),
        Direction::Older,
        &[Some(7_842_202), Some(7_841_912), Some(7_869_782)],
    );
    // Sensus iPERL (intelligent-farming/lorawan-codec-normalization, codecs/sensus/iperl-oms).
    profile(
        "8404133a1c7e0184046d2a2d13368d04931308d23c34002e003400",
        hour,
        Direction::Older,
        &[Some(25_041_926), Some(25_041_880), Some(25_041_828)],
    );
    // Values rather than changes, the second unknown; 14 of them are what a heat cost allocator sends.
    profile("0DEE13083BFE100000FFFFFF", Spacing::Months(1), Direction::Older, &[Some(10), None]);
}

#[test]
fn nothing_is_known_behind_an_invalid_change() {
    profile("4413030000004d931305610101ff01", Spacing::Seconds(3_600), Direction::Older, &[Some(2), None, None]);
    profile("4d931304610101ff", Spacing::Seconds(3_600), Direction::Older, &[None, None]);
}

/// A profile whose last number is cut, or whose numbers have no known coding, stays bytes.
#[test]
fn profiles_that_cannot_be_taken_apart_stay_bytes() {
    one("0D931303620127", "volume inverse_compact_profile = 62 01 27");
    one("0D93130365 0127", "volume inverse_compact_profile = 65 01 27");
    one("0D931301 62", "volume inverse_compact_profile = 62");
    one("049313 05000000", "volume inverse_compact_profile = 0.005 m3");
}

#[test]
fn the_maker_tells_whether_more_records_follow() {
    let more = |hex: &str| {
        let bytes = bytes(hex);
        let mut records = records(&bytes);
        assert!(records.by_ref().all(|record| record.is_ok()));
        records.more_follow()
    };
    assert!(!more("011305"));
    assert!(!more("011305 0F 0102"));
    assert!(more("011305 1F"));
    assert!(more("011305 1F 0102"));
}

#[test]
fn broken_records_are_told_with_their_place() {
    let f = |hex: &str, good: usize, expected: &str| {
        let bytes = bytes(hex);
        let mut all = records(&bytes);
        assert_eq!(all.by_ref().take(good).filter(Result::is_ok).count(), good);
        assert_eq!(all.next().unwrap().unwrap_err().to_string(), expected);
        assert!(all.next().is_none(), "nothing behind an error");
    };
    f("041305", 0, "a record's data needs 4 bytes, but 1 are left (byte 2)");
    f("011305 041305", 1, "a record's data needs 4 bytes, but 1 are left (byte 5)");
    f("01", 0, "a record's VIF needs 1 bytes, but 0 are left (byte 1)");
    f("81", 0, "a record's DIFE needs 1 bytes, but 0 are left (byte 1)");
    f("0193", 0, "a record's VIFE needs 1 bytes, but 0 are left (byte 2)");
    f("0D13", 0, "a record's data's length needs 1 bytes, but 0 are left (byte 2)");
    f("0D130541", 0, "a record's data needs 5 bytes, but 1 are left (byte 3)");
    f("7F", 0, "a record begins with 0x7F, which EN 13757-3 gives no meaning in a meter's message (byte 0)");
    f("0D13F8", 0, "a record's data has the length code 0xF8, which EN 13757-3 reserves (byte 2)");
    f("8180808080808080808080001305", 0, "a record has more than 10 DIFEs, which EN 13757-3 does not allow (byte 1)");
    f("0193A0A0A0A0A0A0A0A0A0A02005", 0, "a record has more than 10 VIFEs, which EN 13757-3 does not allow (byte 2)");
    f("0193F0F0F07005", 0, "a record's corrections multiply to a factor beyond what numbers can hold (byte 1)");
    f("027C05484921", 0, "a record's unit needs 5 bytes, but 3 are left (byte 3)");
}

/// What a profile writes is what a record has.
#[test]
fn every_qualifier_and_quantity_has_a_name_of_its_own() {
    let names: Vec<&str> = Qualifier::names().collect();
    let mut unique = names.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), names.len());
    for name in names {
        assert_eq!(Qualifier::from_name(name).unwrap().name(), name);
        assert!(
            name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'),
            "{name}"
        );
    }
    let mut names: Vec<&str> = Quantity::ALL.iter().map(|quantity| quantity.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Quantity::ALL.len());
}

/// Else a profile could not convert it, or check it against a field's.
#[test]
fn every_unit_is_one_that_profiles_know() {
    for quantity in Quantity::ALL {
        assert!(quantity.unit().is_none_or(crate::profile::unit::is_known), "{quantity:?} in {:?}", quantity.unit());
    }
}

/// Reads everything that a record offers.
fn use_up(bytes: &[u8]) {
    let (mut end, mut count) = (0, 0);
    for record in records(bytes) {
        count += 1;
        assert!(count <= bytes.len(), "more records than bytes");
        match record {
            Ok(record) => {
                assert!(record.bytes.start >= end && record.bytes.end > record.bytes.start);
                assert!(record.bytes.end <= bytes.len() && bytes.get(record.data_bytes.clone()).is_some());
                end = record.bytes.end;
                words(&record);
                if let Data::Profile(profile) = record.data {
                    assert!(profile.values(Some(i64::MAX)).count() <= bytes.len());
                }
                if let Some(number) = record.number() {
                    assert!(number.is_finite(), "{number} of {record:?}");
                }
            }
            Err(error) => assert!(error.offset <= bytes.len()),
        }
    }
}

#[test]
fn any_bytes_give_records_or_one_error() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..20_000 {
        let bytes: Vec<u8> = (0..random.usize(..80)).map(|_| random.u8(..)).collect();
        use_up(&bytes);
    }
    // Mostly right: a record of a known kind, then what chance makes of it.
    for _ in 0..20_000 {
        let mut bytes = Vec::new();
        for _ in 0..random.usize(1..6) {
            let dif = [0x01, 0x02, 0x04, 0x05, 0x06, 0x07, 0x0C, 0x0D, 0x84, 0x8D, 0x4C][random.usize(..11)];
            bytes.push(dif);
            if dif & 0x80 != 0 {
                bytes.extend((0..random.usize(..10)).map(|_| random.u8(0x80..)));
                bytes.push(random.u8(..0x80));
            }
            bytes.push([0x13, 0x93, 0x6D, 0x6C, 0xFD, 0xFB, 0x7C, 0xFC, 0xFF][random.usize(..9)]);
            bytes.extend((0..random.usize(..12)).map(|_| random.u8(..)));
        }
        use_up(&bytes);
    }
}
