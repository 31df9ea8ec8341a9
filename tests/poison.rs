//! No payload keeps the decoder busy for long, whatever the profile says: the work of one message has a bound, in steps
//! that are counted and not in seconds. Here are the worst layouts that the language allows, by hand and by chance.

use std::ops::Range;

use citywire::decode::m_bus::Record;
use citywire::decode::machine::{self, Observer, Site, Structure};
use citywire::decode::program::{Block, BlockId, Lookup, RECORDS_MAX, STEP_BYTES, STEPS_MAX, Step, VALUES_MAX};
use citywire::decode::{Context, DecodeError, Readings};
use citywire::problem;
use citywire::profile::Profile;
use citywire::profile::class::Classes;
use citywire::profile::library::{BUILT_IN_CLASSES, compile_source};
use citywire::profile::spec::parse_hex;

/// The longest payload that is taken from an envelope.
const PAYLOAD_BYTES: usize = 65_536;

/// A step tells of itself and of what it does, a few things at most.
const WORK_MAX: u64 = 4 * STEPS_MAX as u64 + 1_000;

/// Counts what the machine does, and stops it when it does more than it may.
#[derive(Default)]
struct Counting {
    work: u64,
    bytes: u64,
}

impl Counting {
    fn count(&mut self) {
        self.work += 1;
        assert!(self.work <= WORK_MAX, "the machine goes on and on");
    }

    fn read(&mut self, bytes: &Range<usize>) {
        self.count();
        self.bytes += bytes.len() as u64;
        let bytes_max = u64::from(STEPS_MAX) * 2 * STEP_BYTES as u64 + PAYLOAD_BYTES as u64;
        assert!(self.bytes <= bytes_max, "the machine reads the same bytes again and again");
    }
}

impl Observer for Counting {
    fn guarded(&mut self, _step: &Step, _holds: bool) {
        self.count();
    }
    fn chosen(&mut self, _cases: &Lookup<BlockId>, _value: Option<i64>) {
        self.count();
    }
    fn round(&mut self, _times: u32) {
        self.count();
    }
    fn block(&mut self, _block: &Block, _position: usize, _line: u32) {
        self.count();
    }
    fn site(&mut self, site: Site<'_>) {
        self.read(&site.bytes);
    }
    fn structure(&mut self, what: Structure, bytes: Range<usize>, _line: u32) {
        match what {
            // Told of, and neither read nor gone through.
            Structure::NotDecoded | Structure::TagRest | Structure::UnknownTag | Structure::Skipped => self.count(),
            _ => self.read(&bytes),
        }
    }
    fn m_bus_record(&mut self, _record: &Record<'_>, _bytes: Range<usize>, _line: Option<u32>, _step_line: u32) {
        self.count();
    }
}

fn compiled(layout: &str) -> Result<Vec<Profile>, String> {
    let source = format!(
        "id = \"acme-test\"\nclass = \"water_meter\"\nmaker = \"Acme\"\nmodel = \"Test\"\n\
         document = {{ title = \"this test\" }}\nreport_interval = \"1h\"\nbyte_order = \"big\"\n{layout}\n\
         [[example]]\nsource = \"own\"\npayload = \"00\"\nrefused = \"empty\"\n"
    );
    let classes = Classes::load("classes.toml", BUILT_IN_CLASSES).expect("the built-in vocabulary");
    compile_source("acme-test.toml", &source, &classes).map_err(|problems| problem::render(&problems, false))
}

/// Runs a payload, and checks every bound. Gives what the machine says, and how much it did.
fn run(profile: &Profile, payload: &[u8], readings: &mut Readings) -> (Result<(), DecodeError>, u64) {
    let mut counting = Counting::default();
    let result = machine::run(profile, payload, &Context::default(), readings, &mut counting);
    assert!(readings.records().len() <= RECORDS_MAX + 1);
    let values: usize = readings.records().iter().map(|record| readings.values(record).len()).sum();
    assert!(values <= VALUES_MAX + 2 * profile.fields.len(), "{values} values");
    (result, counting.work)
}

/// The payload of this byte that is as long as one may be.
fn full(byte: u8) -> Vec<u8> {
    vec![byte; PAYLOAD_BYTES]
}

/// The layout, with the payload that is worst for it, is refused for its work: it would take far more.
fn f(layout: &str, payload: &[u8]) {
    let profile = &compiled(layout).unwrap_or_else(|problems| panic!("{problems}"))[0];
    let (result, _) = run(profile, payload, &mut Readings::new());
    let error = result.expect_err(layout);
    assert_eq!(error.reason.name(), "limit", "{error}\n{layout}");
}

fn frame(fields: &str, blocks: &str) -> String {
    format!("[[frame]]\nname = \"report\"\nignore_rest = true\nfields = [\n{fields}\n]\n{blocks}")
}

/// A block of no lines, which are what is counted first.
const NOTHING: &str = "[block.nothing]\nfields = []\n";

#[test]
fn rounds_that_do_nothing_are_counted() {
    f(&frame("{ repeat = \"nothing\", count = 4000000000, times_max = 4000000000 }", NOTHING), &full(0));
}

#[test]
fn repeats_within_repeats_have_one_bound_together() {
    let inner =
        |level: usize| format!("[block.b{level}]\nfields = [{{ repeat = \"b{}\", count = 255 }}]\n", level + 1);
    let blocks: String = (1..6).map(inner).collect();
    let last = "[block.b6]\nfields = [{ name = \"value_a\", value = \"1\", meaning = \"a\" }]\n";
    f(&frame("{ repeat = \"b1\", count = 255 }", &format!("{blocks}{last}")), &full(0));
}

#[test]
fn tags_that_are_walked_again_and_again_are_counted() {
    // Each round walks to the end and comes back to the byte behind its own first one.
    let walk = "[block.walk]\nfields = [\n{ tags = { tag = \"u8\" }, cases = { 1 = \"nothing\" }, otherwise = \"nothing\" },\n\
                { name = \"value_a\", type = \"u8\", at = 0, meaning = \"a\" },\n]\n";
    f(&frame("{ repeat = \"walk\", times_max = 100000 }", &format!("{walk}{NOTHING}")), &full(0));
}

#[test]
fn tags_of_no_length_that_nobody_knows_are_counted() {
    let walk = "[block.walk]\nfields = [\n{ tags = { tag = \"u8\", length = \"u8\" }, cases = { 1 = \"nothing\" }, otherwise = \"skip\" },\n\
                { name = \"value_a\", type = \"u8\", at = 1, meaning = \"a\" },\n]\n";
    f(&frame("{ repeat = \"walk\", times_max = 100000 }", &format!("{walk}{NOTHING}")), &full(0));
}

#[test]
fn a_long_text_that_is_read_again_and_again_is_counted_by_its_bytes() {
    let text = |read: &str| {
        format!(
            "[block.texts]\nfields = [\n{{ name = \"text_a\", {read}, peek = 0, meaning = \"a\" }},\n{{ skip = 1 }},\n]\n"
        )
    };
    let rounds = "{ repeat = \"texts\", times_max = 100000, record = \"apart\" }";
    for read in [
        "type = \"hex\", length = \"rest\"",
        "type = \"utf8\", length = \"rest\"",
        "type = \"bcd\", length = \"rest\", invalid = \"absent\"",
    ] {
        let layout = frame(rounds, &text(read));
        f(&layout, &full(b'9'));
    }
}

#[test]
fn every_bit_of_a_mask_is_counted() {
    let masks = "[block.masks]\nfields = [{ mask = \"word\", cases = { 1 = \"nothing\" }, otherwise = \"skip\" }]\n";
    let fields = "{ let = \"word\", type = \"u32\" },\n{ repeat = \"masks\", count = 99999, times_max = 99999 }";
    f(&frame(fields, &format!("{masks}{NOTHING}")), &full(0xFF));
}

#[test]
fn values_that_belong_to_every_reading_are_counted() {
    let heading: String = (0..500)
        .map(|number| format!("{{ name = \"value_{number}\", type = \"u8\", meaning = \"a\" }},\n"))
        .collect();
    let record = "[block.record]\nfields = [{ name = \"value_a\", type = \"u8\", meaning = \"a\" }]\n";
    let layout = frame(&format!("{heading}{{ repeat = \"record\", record = true, times_max = 4096 }}"), record);
    f(&layout, &full(1));
}

#[test]
fn values_of_all_readings_together_have_a_bound() {
    let flags: String = (0..16)
        .map(|word| {
            let names: Vec<String> =
                (0..32).map(|bit| format!("{bit} = {{ name = \"flag_{word}_{bit}\", meaning = \"a\" }}")).collect();
            format!("{{ type = \"u32\", at = 0, flags = {{ {} }} }},\n", names.join(", "))
        })
        .collect();
    let layout = frame(
        "{ repeat = \"record\", record = \"apart\", times_max = 4000 }",
        &format!("[block.record]\nfields = [\n{flags}]\n"),
    );
    f(&layout, &full(0xFF));
}

#[test]
fn the_longest_expression_in_the_most_rounds_ends_at_the_same_bound() {
    let long = (0..60).map(|_| "word").collect::<Vec<_>>().join(" + ");
    let guarded = format!("[block.guarded]\nfields = [{{ let = \"x\", type = \"u8\", when = \"{long} < 0\" }}]\n");
    let fields = "{ let = \"word\", type = \"u8\" },\n{ repeat = \"guarded\", count = \"word * 1000000\", times_max = 4000000000 }";
    f(&frame(fields, &guarded), &full(0xFF));
}

#[test]
fn load_profiles_of_m_bus_that_look_for_their_base_are_counted() {
    // A load profile of volumes; each looks for the value and the time that it starts from among all the others.
    let record = parse_hex("4D9313 04 6201 2701").expect("hexadecimal digits");
    let payload = record.repeat(PAYLOAD_BYTES / record.len());
    let line = "{ quantity = \"volume\", storage = 1, qualifiers = \"inverse_compact_profile\", record = \"apart\", \
                name = \"volume_m3\" }";
    f(&frame(&format!("{{ m_bus = [{line}], otherwise = \"skip\" }}"), ""), &payload);
}

/// Layouts by chance: what `check` accepts of them stays within the bounds, with any payload.
#[test]
fn no_profile_that_is_accepted_goes_beyond_the_bounds() {
    let seed = std::env::var("CITYWIRE_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_240);
    println!("CITYWIRE_TEST_SEED={seed}");
    let (mut random, mut readings) = (fastrand::Rng::with_seed(seed), Readings::new());
    let (mut accepted, mut limited, mut decoded) = (0, 0, 0);
    for _ in 0..100 {
        let layout = chance(&mut random);
        let Ok(profiles) = compiled(&layout) else { continue };
        accepted += 1;
        let random_bytes: Vec<u8> = std::iter::repeat_with(|| random.u8(0..4)).take(3_000).collect();
        for payload in [vec![0; 40], vec![1; 4_000], random_bytes] {
            match run(&profiles[0], &payload, &mut readings).0 {
                Ok(()) => decoded += 1,
                Err(error) if error.reason.name() == "limit" => limited += 1,
                Err(_) => {}
            }
        }
    }
    // A generator whose profiles are all refused would show nothing.
    assert!(
        accepted > 30 && limited > 5 && decoded > 10,
        "{accepted} accepted, {limited} limited, {decoded} decoded"
    );
}

/// Five blocks that use one another, of lines that repeat, walk, choose, look back and ahead.
fn chance(random: &mut fastrand::Rng) -> String {
    const BLOCKS: usize = 5;
    let mut number = 0;
    let mut lines = |random: &mut fastrand::Rng, inner: usize| -> String {
        let count = random.usize(1..4);
        (0..count).map(|_| line(random, inner, &mut number)).collect()
    };
    let fields = lines(random, 1);
    let blocks: String =
        (1..=BLOCKS).map(|block| format!("[block.b{block}]\nfields = [\n{}]\n", lines(random, block + 1))).collect();
    let fields = format!("{{ let = \"word\", type = \"u8\" }},\n{fields}");
    return frame(&fields, &blocks);

    /// A line of a block that may use the blocks from `inner` on.
    fn line(random: &mut fastrand::Rng, inner: usize, number: &mut u32) -> String {
        *number += 1;
        let number = *number;
        let block = |random: &mut fastrand::Rng| format!("b{}", random.usize(inner..=BLOCKS));
        let verbs = if inner > BLOCKS { 4 } else { 10 };
        let line = match random.usize(0..verbs) {
            0 => format!("name = \"value_{number}\", type = \"u8\", meaning = \"a\""),
            1 => format!("name = \"value_{number}\", type = \"u8\", at = 0, meaning = \"a\""),
            2 => format!("name = \"text_{number}\", type = \"hex\", length = \"rest\", peek = 0, meaning = \"a\""),
            3 => format!("name = \"value_{number}\", value = \"word + {number}\", meaning = \"a\""),
            4 => format!("repeat = \"{}\", times_max = 1000000", block(random)),
            5 => format!("repeat = \"{}\", count = {}, times_max = 1000000", block(random), random.u32(1..1_000)),
            6 => format!("repeat = \"{}\", record = true, times_max = 1000000", block(random)),
            7 => format!(
                "mask = \"255\", cases = {{ 1 = \"{}\", 3 = \"{}\" }}, otherwise = \"skip\"",
                block(random),
                block(random)
            ),
            8 => format!(
                "tags = {{ tag = \"u8\", length = \"u8\" }}, cases = {{ 1 = \"{}\" }}, otherwise = \"skip\"",
                block(random)
            ),
            _ => format!("use = \"{}\", length = \"word\", ignore_rest = true", block(random)),
        };
        format!("{{ {line} }},\n")
    }
}
