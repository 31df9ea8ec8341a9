//! What the profile language can say: each test is a layout, a payload and the readings it gives.

#[path = "support/explanation.rs"]
mod explanation;

use citywire::decode::{self, Context, Readings};
use citywire::problem;
use citywire::profile::class::Classes;
use citywire::profile::example::as_toml;
use citywire::profile::library::{BUILT_IN_CLASSES, compile_source};
use citywire::profile::spec::parse_hex;
use citywire::time::Timestamp;

/// Decodes `payload` with a profile whose body is `layout`; gives the readings as a profile's example would expect
/// them, or the reason for which it is refused. Whatever it is, each bit of the payload can be explained.
fn decoded(layout: &str, payload: &str, context: &Context<'_>) -> String {
    let source = format!(
        "id = \"acme-test\"\nclass = \"water_meter\"\nmaker = \"Acme\"\nmodel = \"Test\"\n\
         document = {{ title = \"this test\" }}\nreport_interval = \"1h\"\n{layout}\n\
         [[example]]\nsource = \"own\"\npayload = \"00\"\nrefused = \"empty\"\n"
    );
    let classes = Classes::load("classes.toml", BUILT_IN_CLASSES).expect("the built-in vocabulary");
    let profiles = compile_source("acme-test.toml", &source, &classes)
        .unwrap_or_else(|problems| panic!("{}", problem::render(&problems, false)));
    let mut readings = Readings::new();
    let payload = parse_hex(payload).expect("hexadecimal digits");
    explanation::assert_explained(&profiles[0], &payload, context);
    match decode::decode(&profiles[0], &payload, context, &mut readings) {
        Ok(()) => as_toml(&profiles[0], &readings),
        Err(error) => error.reason.name().to_owned(),
    }
}

/// Each payload gives these readings.
fn f(layout: &str, cases: &[(&str, &str)]) {
    for (payload, expected) in cases {
        assert_eq!(decoded(layout, payload, &Context::default()), *expected, "{payload} of\n{layout}");
    }
}

/// A frame of these lines.
fn frame(fields: &str) -> String {
    format!("byte_order = \"big\"\n[[frame]]\nname = \"report\"\nfields = [\n{fields}\n]\n")
}

#[test]
fn numbers_come_in_every_width_order_and_sign() {
    let number = |line: &str| frame(&format!("{{ name = \"value_a\", {line}, meaning = \"a\" }},"));
    let one = |line: &str, payload: &str, expected: &str| {
        f(&number(line), &[(payload, &format!("expect = {{ value_a = {expected} }}"))]);
    };
    one("type = \"u24\"", "010203", "66051");
    one("type = \"i24\", byte_order = \"little\"", "FEFFFF", "-2");
    one("type = \"sm16\"", "8005", "-5");
    one("type = \"u32\", byte_order = \"big_word_swapped\"", "56781234", "305419896");
    one("type = \"u32\", byte_order = \"little_word_swapped\"", "34127856", "305419896");
    one("type = \"f16\"", "C000", "-2.0");
    one("type = \"f32\", byte_order = \"big_word_swapped\"", "CCCD41C8", "25.1");
    one("type = \"bcd6\", signed = true, scale = 0.01", "801234", "-12.34");
    one("type = \"i16\", scale = 0.1, offset = -40", "0190", "0.0");
    one("type = \"u8\", curve = [[0, 0], [100, 50], [200, 250]]", "96", "150.0");
    one("type = \"u16\", value = \"if(raw > 1000, raw / 10, raw)\"", "07D0", "200.0");
    one("type = \"decimal6\"", "2D31322E3530", "-12.5");
}

#[test]
fn a_block_of_bits_runs_across_bytes_in_either_order() {
    let bits = |order: &str| {
        format!(
            "[[frame]]\nname = \"stream\"\nbit_order = \"{order}\"\nfields = [\n  {{ let = \"n\", type = \"u4\" }},\n  \
             {{ repeat = \"log\", count = \"n\", record = true }},\n  {{ skip = 2 }},\n]\n\
             [block.log]\nbit_order = \"{order}\"\nfields = [{{ name = \"step_a\", type = \"i9\", meaning = \"a\" }}]\n"
        )
    };
    // 0010 000000101 111111111 00
    f(&bits("msb"), &[("202FFC", "expect_readings = [{ step_a = 5 }, { step_a = -1 }]")]);
    f(&bits("lsb"), &[("52E03F", "expect_readings = [{ step_a = 5 }, { step_a = -1 }]")]);
}

#[test]
fn a_mask_says_which_groups_follow() {
    let layout = frame(
        "{ let = \"groups\", type = \"u8\" },\n{ mask = \"groups\", cases = { 0 = \"volume\", 3 = \"voltage\" } },",
    ) + "[block.volume]\nfields = [{ name = \"volume_m3\", type = \"u16\" }]\n\
         [block.voltage]\nfields = [{ name = \"battery_v\", type = \"u8\", scale = 0.1 }]\n";
    f(
        &layout,
        &[
            ("01 0005", "expect = { volume_m3 = 5.0 }"),
            ("09 0005 24", "expect = { battery_v = 3.6, volume_m3 = 5.0 }"),
            ("02 00", "unknown_tag"),
            ("00", "empty"),
        ],
    );
}

#[test]
fn an_inner_block_reads_its_own_bytes_only() {
    let layout = frame(
        "{ let = \"size\", type = \"u8\" },\n{ use = \"inner\", length = \"size\" },\n\
         { name = \"battery_v\", type = \"u8\", scale = 0.1 },",
    ) + "[block.inner]\nfields = [{ repeat = \"step\", record = false }]\n\
         [block.step]\nfields = [{ let = \"sum\", value = \"default(sum, 0) + one\", when = \"has(one)\" }, \
         { let = \"one\", type = \"u8\" }, { name = \"volume_m3\", value = \"default(sum, 0) + one\" }]\n";
    f(
        &layout,
        &[
            ("03 010203 24", "expect = { battery_v = 3.6, volume_m3 = 6.0 }"),
            ("04 010203", "too_short"),
            ("00 24", "expect = { battery_v = 3.6 }"),
        ],
    );
}

#[test]
fn bytes_that_an_inner_block_leaves_are_a_mistake_unless_it_says_otherwise() {
    let layout = |rest: &str| {
        frame(&format!("{{ use = \"inner\", length = 3{rest} }},\n{{ name = \"volume_m3\", type = \"u8\" }},"))
            + "[block.inner]\nfields = [{ name = \"battery_v\", type = \"u8\", scale = 0.1 }]\n"
    };
    f(&layout(""), &[("24 0000 05", "too_long")]);
    f(&layout(", ignore_rest = true"), &[("24 0000 05", "expect = { battery_v = 3.6, volume_m3 = 5.0 }")]);
}

#[test]
fn a_history_counts_back_from_its_base_time_and_sums_its_increments() {
    let layout = frame(
        "{ let = \"base\", type = \"u32\", time = \"unix\" },\n{ let = \"total\", type = \"u16\" },\n\
         { repeat = \"hour\", record = true },",
    ) + "[block.hour]\nfields = [\n\
         { let = \"step\", type = \"u8\", absent = [0xFF] },\n\
         { let = \"total\", value = \"total + step\", when = \"has(step)\" },\n\
         { name = \"volume_m3\", value = \"total / 1000\", when = \"has(step)\" },\n\
         { name = \"time\", value = \"base + index * 3600\", time = \"unix\" },\n]\n";
    f(
        &layout,
        &[(
            "65920080 0064 0A FF 05",
            "expect_readings = [{ time = \"2024-01-01T00:00:00Z\", volume_m3 = 0.11 }, \
             { time = \"2024-01-01T02:00:00Z\", volume_m3 = 0.115 }]",
        )],
    );
}

#[test]
fn a_tag_that_falls_back_starts_a_reading() {
    let layout =
        frame("{ tags = { tag = \"u8\", record_on_descent = true }, cases = { 1 = \"volume\", 2 = \"voltage\" } },")
            + "[block.volume]\nfields = [{ name = \"volume_m3\", type = \"u8\" }]\n\
           [block.voltage]\nfields = [{ name = \"battery_v\", type = \"u8\", scale = 0.1 }]\n";
    f(
        &layout,
        &[(
            "0105 0224 0106 0107",
            "expect_readings = [{ battery_v = 3.6, volume_m3 = 5.0 }, { volume_m3 = 6.0 }, { volume_m3 = 7.0 }]",
        )],
    );
}

#[test]
fn a_reading_apart_has_nothing_of_what_stood_before() {
    let layout = frame(
        "{ name = \"volume_m3\", type = \"u8\" },\n{ record = \"apart\" },\n\
         { name = \"battery_v\", type = \"u8\", scale = 0.1 },",
    );
    f(&layout, &[("05 24", "expect_readings = [{ volume_m3 = 5.0 }, { battery_v = 3.6 }]")]);
}

#[test]
fn a_variable_is_part_of_a_name() {
    let layout = frame(
        "{ let = \"channel\", type = \"u8\" },\n{ name = \"probe_{channel:1..2}_c\", type = \"i8\", unit = \"Cel\", meaning = \"a\" },\n\
         { let = \"tariff\", type = \"u8\" },\n{ name = \"volume_{tariff:tariff}_m3\", type = \"u8\", unit = \"m3\", meaning = \"a\" },",
    ) + "[enum.tariff]\nvalues = { 1 = \"day\", 2 = \"night\" }\n";
    f(&layout, &[("01 FB 02 07", "expect = { probe_1_c = -5, volume_night_m3 = 7 }"), ("03 FB 02 07", "value")]);
}

#[test]
fn what_the_device_did_to_its_bytes_is_undone_in_the_right_order_with_the_checksum() {
    let framing = |before: &str| {
        format!(
            "[framing]\nstart = \"68\"\ncheck = {{ sum8 = \"0..-2\", at = -1 }}\n\
             transform = {{ subtract = 0x33, bytes = \"1..-2\"{before} }}\n"
        ) + "[[frame]]\nname = \"report\"\nfields = [{ skip = 1 }, { name = \"volume_m3\", type = \"u8\" }]\n"
    };
    // Sent: 68, 5 + 33; the sum of what was sent is A0, that of what was meant is 6D.
    f(&framing(""), &[("68 38 A0", "expect = { volume_m3 = 5.0 }"), ("68 38 6D", "checksum")]);
    f(&framing(", before_check = true"), &[("68 38 6D", "expect = { volume_m3 = 5.0 }"), ("68 38 A0", "checksum")]);
}

#[test]
fn a_wrong_checksum_marks_the_reading_where_the_maker_sends_wrong_ones() {
    let layout = "[[frame]]\nname = \"report\"\ncheck = { sum8 = \"0..-2\", at = -1, wrong = \"mark\" }\n\
                  fields = [{ name = \"volume_m3\", type = \"u8\" }]\n";
    f(
        layout,
        &[
            ("05 05", "expect = { volume_m3 = 5.0 }"),
            ("05 06", "expect = { checksum_wrong = true, volume_m3 = 5.0 }"),
        ],
    );
}

#[test]
fn any_crc_is_told_by_its_parameters() {
    // CRC-16/DNP of the CRC catalogue: the CRC of "123456789" is EA82.
    let layout = "byte_order = \"big\"\n[[frame]]\nname = \"report\"\n\
                  check = { crc = { bits = 16, polynomial = 0x3D65, reflected = true, final_xor = 0xFFFF }, bytes = \"0..-3\", at = -2 }\n\
                  fields = [{ name = \"digits\", type = \"ascii9\", meaning = \"a\" }]\n";
    f(
        layout,
        &[
            ("313233343536373839 EA82", "expect = { digits = \"123456789\" }"),
            ("313233343536373839 EA83", "checksum"),
        ],
    );
}

#[test]
fn a_frame_is_found_behind_a_preamble_and_before_the_fill() {
    let layout = "[framing]\nstart = \"68\"\nend = \"16\"\nfill = \"00\"\n\
                  length = { at = 1, type = \"u16\", byte_order = \"big\", bits = \"0..11\", times = 2, add = 4 }\n\
                  [[frame]]\nname = \"report\"\nfields = [{ skip = 3 }, { name = \"volume_m3\", type = \"u16\", byte_order = \"big\" }]\n";
    f(
        layout,
        &[
            ("FEFE 68 F001 0005 16", "expect = { volume_m3 = 5.0 }"),
            ("68 F001 0005 16 0000", "expect = { volume_m3 = 5.0 }"),
            ("68 F001 0005 16 0001", "too_long"),
            ("68 F001 0005 17", "framing"),
        ],
    );
}

#[test]
fn frames_are_told_apart_by_bits_port_length_and_topic() {
    let layout = "byte_order = \"big\"\n\
                  [[frame]]\nname = \"by topic\"\nwhen = { topic = { level = -1, equals = \"alarm\" } }\nfields = [{ name = \"leak\", type = \"u8\", enum = { 1 = true } }]\n\
                  [[frame]]\nname = \"by port\"\nwhen = { port = 9 }\nfields = [{ name = \"battery_v\", type = \"u8\", scale = 0.1 }]\n\
                  [[frame]]\nname = \"by nibble\"\nwhen = [{ at = 0, bits = \"4..7\", equals = 2 }, { length = \"2..3\" }]\nfields = [{ skip = 1 }, { name = \"volume_m3\", type = \"uint\", length = \"remaining\" }]\n";
    let g = |payload, context: Context<'_>, expected| assert_eq!(decoded(layout, payload, &context), expected);
    g("01", Context { topic: "a/b/alarm", ..Context::default() }, "expect = { leak = true }");
    g("24", Context { port: Some(9), ..Context::default() }, "expect = { battery_v = 3.6 }");
    g("2F 05", Context::default(), "expect = { volume_m3 = 5.0 }");
    g("20 0105", Context::default(), "expect = { volume_m3 = 261.0 }");
    g("30 05", Context::default(), "no_frame");
}

#[test]
fn ages_count_back_from_when_the_message_was_received() {
    let layout = frame(
        "{ name = \"volume_m3\", type = \"u8\" },\n{ let = \"age\", type = \"u8\" },\n\
         { name = \"time\", value = \"received - age * 60\", time = \"unix\" },",
    );
    let received = Context { received: Some(Timestamp::from_seconds(1_704_067_200)), ..Context::default() };
    assert_eq!(decoded(&layout, "05 0A", &received), "expect = { time = \"2023-12-31T23:50:00Z\", volume_m3 = 5.0 }");
    // Nobody knows when: then the reading has no time of its own.
    assert_eq!(decoded(&layout, "05 0A", &Context::default()), "expect = { volume_m3 = 5.0 }");
}

#[test]
fn a_time_zone_of_the_device_goes_before_the_profiles() {
    let layout = "time_zone = \"+08:00\"\n[[frame]]\nname = \"report\"\nfields = [\n\
                  { name = \"time\", type = \"calendar\", layout = \"YY MM DD hh mm\" }, { name = \"volume_m3\", type = \"u8\" }]\n";
    let g = |zone: Option<&jiff::tz::TimeZone>, expected| {
        assert_eq!(decoded(layout, "2401010000 05", &Context { zone, ..Context::default() }), expected);
    };
    g(None, "expect = { time = \"2023-12-31T16:00:00Z\", volume_m3 = 5.0 }");
    g(Some(&jiff::tz::TimeZone::UTC), "expect = { time = \"2024-01-01T00:00:00Z\", volume_m3 = 5.0 }");
}

#[test]
fn times_are_packed_into_bits_as_m_bus_does_or_as_the_maker_likes() {
    let time = |line: &str, payload: &str, expected: &str| {
        let layout = frame(&format!("{{ name = \"time\", {line} }},\n{{ name = \"volume_m3\", type = \"u8\" }},"));
        f(&layout, &[(payload, expected)]);
    };
    time("type = \"cp32\"", "0F0C1F0C 05", "expect = { time = \"2000-12-31T12:15:00Z\", volume_m3 = 5.0 }");
    time("type = \"cp32\"", "8F0C1F0C 05", "expect = { volume_m3 = 5.0 }");
    time("type = \"cp16\"", "5F2C 05", "expect = { time = \"2018-12-31T00:00:00Z\", volume_m3 = 5.0 }");
    time(
        "type = \"u16\", time_bits = { year = \"9..15\", month = \"5..8\", day = \"0..4\" }",
        "3162 05",
        "expect = { time = \"2024-11-02T00:00:00Z\", volume_m3 = 5.0 }",
    );
    time(
        "type = \"u16\", time = \"unix_d\"",
        "4D0B 05",
        "expect = { time = \"2024-01-01T00:00:00Z\", volume_m3 = 5.0 }",
    );
}

#[test]
fn text_ends_where_the_maker_ends_it() {
    let text = |line: &str, payload: &str, expected: &str| {
        let layout = frame(&format!(
            "{{ name = \"text_a\", {line}, meaning = \"a\" }},\n{{ name = \"volume_m3\", type = \"u8\" }},"
        ));
        f(&layout, &[(payload, expected)]);
    };
    let given = "expect = { text_a = \"AB\", volume_m3 = 5.0 }";
    text("type = \"ascii\", until = \"00\"", "414200 05", given);
    // A text that fills its length has no end byte: the next one is not its own.
    text("type = \"ascii\", length = 2, until = \"00\"", "4142 05", given);
    text("type = \"ascii\", length = 3, until = \"00\"", "414200 05", given);
    text("type = \"ascii\", until = \"2C\"", "41422C 05", given);
    text("type = \"utf84\"", "41420000 05", given);
    text("type = \"ascii4\", strip = \"#\"", "23414223 05", given);
    text("type = \"gb180304\"", "D1CCB8D0 05", "expect = { text_a = \"烟感\", volume_m3 = 5.0 }");
    text("type = \"gb180303\", invalid = \"cut\"", "D1CCB8 05", "expect = { text_a = \"烟\", volume_m3 = 5.0 }");
    text("type = \"utf83\", invalid = \"absent\"", "41FFFF 05", "expect = { volume_m3 = 5.0 }");
    text("type = \"utf83\"", "41FFFF 05", "value");
    text("type = \"digits4\", byte_order = \"little\"", "3412 05", "expect = { text_a = \"1234\", volume_m3 = 5.0 }");
    text("type = \"digits6\", nibbles_swapped = true, keep = \"0..4\"", "2143F5 05", "value");
    text(
        "type = \"digits6\", nibbles_swapped = true, strip = \"F\"",
        "2143F5 05",
        "expect = { text_a = \"12345\", volume_m3 = 5.0 }",
    );
    text("type = \"hex3\", keep = \"1..5\"", "0A1B2C 05", "expect = { text_a = \"A1B2C\", volume_m3 = 5.0 }");
    text("type = \"dotted3\"", "011D02 05", "expect = { text_a = \"1.29.2\", volume_m3 = 5.0 }");
    text("type = \"dotted1\", coding = \"nibbles\"", "10 05", "expect = { text_a = \"1.0\", volume_m3 = 5.0 }");
}

#[test]
fn what_is_missing_is_told_with_its_reason() {
    let layout = frame(
        "{ name = \"volume_m3\", type = \"u8\" },\n{ name = \"temperature_c\", type = \"i16\", scale = 0.1, absent = { 0x7FFF = \"not measured\", -32768 = \"sensor broken\" } },",
    );
    f(
        &layout,
        &[
            ("05 00FA", "expect = { temperature_c = 25.0, volume_m3 = 5.0 }"),
            ("05 7FFF", "expect = { absent = \"temperature_c: not measured\", volume_m3 = 5.0 }"),
            ("05 8000", "expect = { absent = \"temperature_c: sensor broken\", volume_m3 = 5.0 }"),
        ],
    );
}

#[test]
fn flags_are_fields_of_their_own_or_words_of_one_text() {
    let layout = frame("{ type = \"u8\", flags = { 0 = \"leak\", 1 = { name = \"tamper\", inverted = true } } },");
    f(
        &layout,
        &[("01", "expect = { leak = true, tamper = true }"), ("02", "expect = { leak = false, tamper = false }")],
    );
    let layout = frame(
        "{ name = \"errors\", type = \"u8\", list = true, flags = { 0 = \"dry\", 2 = \"hot\" }, meaning = \"a\" },",
    );
    f(&layout, &[("05", "expect = { errors = \"dry,hot\" }"), ("00", "expect = { errors = \"none\" }")]);
}

#[test]
fn a_scale_is_chosen_by_a_code_or_computed_from_an_exponent() {
    let layout = frame(
        "{ let = \"unit\", type = \"u8\" },\n{ name = \"volume_m3\", type = \"u16\", scale = { table = \"litres\", by = \"unit\" } },",
    ) + "[scale.litres]\n1 = 0.001\n2 = 1\n";
    f(
        &layout,
        &[
            ("01 000F", "expect = { volume_m3 = 0.015 }"),
            ("02 000F", "expect = { volume_m3 = 15.0 }"),
            ("03 000F", "value"),
        ],
    );
    let layout = frame(
        "{ let = \"exponent\", type = \"i8\" },\n{ name = \"volume_m3\", type = \"u16\", value = \"decimal(raw, exponent)\" },",
    );
    f(&layout, &[("FE 3039", "expect = { volume_m3 = 123.45 }"), ("01 0003", "expect = { volume_m3 = 30.0 }")]);
}

#[test]
fn a_family_is_one_file_with_many_devices() {
    let source = "class = \"water_meter\"\nmaker = \"Acme\"\ndocument = { title = \"t\" }\nreport_interval = \"1h\"\n\
                  [[variant]]\nid = \"acme-a\"\nmodel = \"A\"\n\
                  [[variant]]\nid = \"acme-b\"\nmodel = \"B\"\nreport_interval = \"15m\"\n\
                  [[frame]]\nname = \"only B\"\nvariant = \"acme-b\"\nwhen = { at = 0, equals = 2 }\nfields = [{ skip = 1 }, { use = \"volume\" }]\n\
                  [[frame]]\nname = \"both\"\nwhen = { at = 0, equals = 1 }\nfields = [{ skip = 1 }, { use = \"volume\" }]\n\
                  [block.volume]\nfields = [{ name = \"volume_m3\", type = \"u8\" }]\n\
                  [[example]]\nsource = \"own\"\npayload = \"0105\"\nexpect = { volume_m3 = 5.0 }\n\
                  [[example]]\nvariant = \"acme-a\"\nsource = \"own\"\npayload = \"0205\"\nrefused = \"no_frame\"\n\
                  [[example]]\nvariant = \"acme-b\"\nsource = \"own\"\npayload = \"0205\"\nexpect = { volume_m3 = 5.0 }\n";
    let classes = Classes::load("classes.toml", BUILT_IN_CLASSES).expect("the built-in vocabulary");
    let profiles = citywire::profile::library::load_source("acme.toml", source, &classes)
        .unwrap_or_else(|problems| panic!("{}", problem::render(&problems, false)));
    let made: Vec<(&str, &str, u64, usize)> = profiles
        .iter()
        .map(|p| (p.id.as_str(), p.model.as_str(), p.report_interval.as_secs(), p.examples.len()))
        .collect();
    assert_eq!(made, [("acme-a", "A", 3600, 2), ("acme-b", "B", 900, 2)]);
}

#[test]
fn nothing_that_a_payload_says_makes_the_decoder_run_long() {
    let deep = frame("{ repeat = \"outer\", times_max = 4000000000 },")
        + "[block.outer]\nfields = [{ let = \"n\", type = \"u8\" }, { repeat = \"inner\", count = \"n * 1000000\", times_max = 4000000000 }]\n\
           [block.inner]\nfields = [{ name = \"volume_m3\", value = \"1\" }]\n";
    f(&deep, &[("FF", "limit")]);
    let standing =
        frame("{ repeat = \"nothing\" },") + "[block.nothing]\nfields = [{ name = \"volume_m3\", value = \"1\" }]\n";
    f(&standing, &[("FF", "limit")]);
    let readings =
        frame("{ repeat = \"one\", count = 5000, times_max = 5000, record = true },\n{ skip = \"remaining\" },")
            + "[block.one]\nfields = [{ name = \"volume_m3\", value = \"1\" }]\n";
    f(&readings, &[("FF", "limit")]);
}

#[test]
fn a_layout_can_refuse_a_payload_in_its_own_words() {
    let layout = frame(
        "{ let = \"kind\", type = \"u8\" },\n{ refuse = \"this is a request\", when = \"kind == 1\" },\n{ name = \"volume_m3\", type = \"u8\" },",
    );
    f(&layout, &[("01 05", "value"), ("02 05", "expect = { volume_m3 = 5.0 }")]);
}
