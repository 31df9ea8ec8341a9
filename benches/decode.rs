//! What it takes to decode one payload: nanoseconds and allocations, for profiles from the simplest to the most
//! complex, three of them beside the same layout decoded by a function written by hand.
//!
//! `cargo bench --bench decode` measures with criterion and then prints one table. Compare figures within a run only.

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use citywire::decode::{self, Readings};
use citywire::profile::example::{Example, Expect};
use citywire::profile::library::{load_file, load_source};
use citywire::profile::{Library, Profile};
use criterion::Criterion;

#[path = "decode/by_hand.rs"]
mod by_hand;

/// Counts what is asked of the system's allocator.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The simplest device there is.
const THREE_FIELDS: &str = r#"
id = "three-fields"
class = "water_meter"
maker = "citywire"
model = "three fields"
document = { title = "this benchmark" }
report_interval = "1h"
byte_order = "big"

[[frame]]
name = "report"
fields = [
  { name = "battery_v", type = "u16", unit = "mV" },
  { name = "volume_m3", type = "u32", unit = "L" },
  { name = "leak", type = "u8", enum = { 0 = false, 1 = true } },
]

[[example]]
name = "report"
source = "own"
payload = "0E10 0001E240 01"
expect = { battery_v = 3.6, volume_m3 = 123.456, leak = true }
"#;

/// Profiles of the library, from short layouts to long ones, each with the example that is decoded.
const MEASURED: &[(&str, &str)] = &[
    ("milesight-em300-th", "EM300-TH"),
    ("citywire-elevator", "standing at 12, doors open"),
    ("jiade-nb-smoke", "jiade-01"),
    ("foxcodenine-nb-parking", ""),
    ("cjt188", "cjt188-read-resp-fixed"),
    ("cjt188", "cjt188-heat-5328"),
    ("zhongxing-lamp63", "lamp63-lora-b"),
    ("dlt645", ""),
    ("nexelec-insafe-origin", ""),
    ("gbt26875", "gb26875-part-alarm"),
    ("mbus", ""),
];

/// One payload, and the ways to decode it.
struct Case {
    name: String,
    profile: Profile,
    example: Example,
    by_hand: Option<by_hand::Decode>,
}

/// The fastest batch of each benchmark, in nanoseconds a payload.
type Fastest = BTreeMap<String, f64>;

fn main() {
    let cases = cases();
    let mut criterion =
        Criterion::default().configure_from_args().sample_size(50).measurement_time(Duration::from_secs(2));
    let mut fastest = Fastest::new();
    for case in &cases {
        let mut readings = Readings::new();
        let context = case.example.context();
        measure(&mut criterion, &mut fastest, &case.name, || {
            decode::decode(&case.profile, black_box(&case.example.payload), &context, &mut readings)
                .expect("it decodes");
            readings.records().len() as u64
        });
        if let Some(by_hand) = case.by_hand {
            let mut reading = by_hand::Reading::default();
            let name = format!("{} by hand", case.name);
            measure(&mut criterion, &mut fastest, &name, || {
                by_hand(black_box(&case.example.payload), &mut reading).expect("it decodes");
                reading.values.len() as u64
            });
            // The two do the same work.
            let values: usize = readings.records().iter().map(|record| readings.values(record).len()).sum();
            assert_eq!(reading.values.len(), values, "{}", case.name);
        }
    }
    criterion.final_summary();
    table(&cases, &fastest);
}

fn cases() -> Vec<Case> {
    let library = Library::built_in().expect("the built-in profiles");
    let mut profiles = load_source("three-fields.toml", THREE_FIELDS, &library.classes).expect("the profile above");
    let three = profiles.remove(0);
    let mut cases = vec![Case {
        name: "three fields".into(),
        example: three.examples[0].clone(),
        profile: three,
        by_hand: Some(by_hand::three_fields),
    }];
    // The same payload through a script.
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/codecs/em300.toml");
    let codec = load_file(&script, &library.classes).expect("the codec of the tests").remove(0);
    let example = codec.examples[0].clone();
    cases.push(Case { name: "milesight-em300-th by its codec".into(), example, profile: codec, by_hand: None });
    for (id, wanted) in MEASURED {
        let profile = library.get(id).unwrap_or_else(|| panic!("there is no profile {id}"));
        let usable = |example: &&Example| matches!(example.expect, Expect::Readings(_));
        let example =
            profile.examples.iter().filter(usable).find(|example| wanted.is_empty() || example.name == *wanted);
        let example = example.unwrap_or_else(|| panic!("{id} has no example {wanted}")).clone();
        let by_hand: Option<by_hand::Decode> = match *id {
            "citywire-elevator" => Some(by_hand::elevator),
            "jiade-nb-smoke" => Some(by_hand::jiade),
            _ => None,
        };
        let name = if wanted.is_empty() { (*id).to_owned() } else { format!("{id} {wanted}") };
        cases.push(Case { name, profile: Profile::clone(profile), example, by_hand });
    }
    cases
}

fn measure(criterion: &mut Criterion, fastest: &mut Fastest, name: &str, mut run: impl FnMut() -> u64) {
    criterion.bench_function(name, |bencher| {
        bencher.iter_custom(|times| {
            let start = Instant::now();
            for _ in 0..times {
                black_box(run());
            }
            let took = start.elapsed();
            let each = took.as_nanos() as f64 / times.max(1) as f64;
            let known = fastest.entry(name.to_owned()).or_insert(f64::INFINITY);
            // A batch of a few rounds says little.
            if times >= 100 {
                *known = known.min(each);
            }
            took
        });
    });
}

fn table(cases: &[Case], fastest: &Fastest) {
    println!("\n| payload | bytes | readings | values | ns | allocations | by hand, ns | ratio |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for case in cases {
        // A filter on the command line leaves some out.
        let Some(took) = fastest.get(&case.name) else { continue };
        let mut readings = Readings::new();
        let context = case.example.context();
        let mut decode = || decode::decode(&case.profile, &case.example.payload, &context, &mut readings);
        decode().expect("it decodes");
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        for _ in 0..1_000 {
            decode().expect("it decodes");
        }
        let allocations = (ALLOCATIONS.load(Ordering::Relaxed) - before) as f64 / 1_000.0;
        let values: usize = readings.records().iter().map(|record| readings.values(record).len()).sum();
        let by_hand = fastest.get(&format!("{} by hand", case.name));
        let by_hand = by_hand.map_or((String::new(), String::new()), |by_hand| {
            (format!("{by_hand:.0}"), format!("{:.1}", took / by_hand))
        });
        println!(
            "| {} | {} | {} | {values} | {took:.0} | {allocations} | {} | {} |",
            case.name,
            case.example.payload.len(),
            readings.records().len(),
            by_hand.0,
            by_hand.1,
        );
    }
}
