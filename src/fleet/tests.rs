use std::sync::{Arc, LazyLock};
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;

use super::commit::{REFUSALS_BYTES_MAX, REFUSALS_MAX};
use super::*;
use crate::alarm::Reading;
use crate::refused::{Archive, Filter, Limits, Stage, open_read_only};
use crate::registry::Registry;
use crate::route::Routes;
use crate::rules::Rules;
use crate::test_directory::TestDirectory;

struct Setup {
    directory: TestDirectory,
    alarms: Arc<Alarms>,
    fleet: Fleet,
}

fn setup() -> Setup {
    setup_with(1_000)
}

fn setup_with(devices_max: usize) -> Setup {
    let directory = TestDirectory::new("fleet");
    let (alarms, fleet) = open(&directory, devices_max, u64::MAX);
    Setup { directory, alarms, fleet }
}

fn open(directory: &TestDirectory, devices_max: usize, journal_last: u64) -> (Arc<Alarms>, Fleet) {
    let state = Arc::new(State::open(directory.path()).unwrap());
    let refused = Arc::new(Refused::open(Arc::clone(&state), Limits::default()).unwrap());
    let classes = ["parking", "smoke_detector"];
    let alarms = Arc::new(Alarms::open(Arc::clone(&state), &classes, journal_last).unwrap());
    let fleet = Fleet::open(state, refused, Arc::clone(&alarms), &classes, devices_max, journal_last).unwrap();
    (alarms, fleet)
}

impl Setup {
    /// As after a crash: what was only in memory is gone.
    fn restarted(self) -> Setup {
        let Setup { directory, alarms, fleet } = self;
        drop((alarms, fleet));
        let (alarms, fleet) = open(&directory, 1_000, u64::MAX);
        Setup { directory, alarms, fleet }
    }

    fn archive(&self) -> Archive {
        open_read_only(self.directory.path()).unwrap()
    }

    fn all(&self) -> Snapshot {
        self.fleet.snapshot(&Query { page_size: 100, ..Query::default() })
    }

    fn device(&self, name: &str) -> DeviceView {
        self.all().devices.into_iter().find(|device| device.name == name).expect(name)
    }

    fn listed(&self, query: Query) -> Vec<String> {
        self.fleet.snapshot(&query).devices.into_iter().map(|device| device.name).collect()
    }

    fn decoded(&self, sequence: u64, device: &str, class: &str, fields: &[Field<'_>]) {
        let heard = heard(sequence, device, Some(class));
        self.fleet.heard(&heard);
        self.fleet.decoded(&heard, heard.received, fields.iter().copied());
        let received = heard.received;
        let reading = Reading { device, class, profile: "acme-1", time: received, received, sequence };
        let on = |field: &Field<'_>| field.value == FieldValue::Bool(true);
        let told = fields.iter().filter_map(|field| Some((field.name, field.alarm?, on(field))));
        self.alarms.tell(&reading, told);
    }

    /// Messages could arrive from one second to another, and it is known who was heard until then.
    fn listened(&self, from: u64, to: u64) {
        (from..=to).step_by(30).chain([to]).for_each(|second| self.fleet.note_listening(at(second), true));
        self.fleet.known_until(at(to));
    }

    fn refused(&self, sequence: u64, device: &str) {
        self.fleet.heard(&heard(sequence, device, None));
        self.fleet.refused(refusal(sequence, device));
    }
}

fn at(sequence: u64) -> Timestamp {
    Timestamp::from_seconds(1_700_000_000 + sequence.cast_signed())
}

fn heard<'a>(sequence: u64, device: &'a str, class: Option<&'a str>) -> Heard<'a> {
    Heard { sequence, received: at(sequence), device, class, profile: class.map(|_| "acme-1") }
}

fn field(name: &str, value: f64) -> Field<'_> {
    Field { name, unit: "V", value: FieldValue::Float(value), alarm: None }
}

fn alarm(name: &str, severity: Severity, raised: bool) -> Field<'_> {
    Field { name, unit: "", value: FieldValue::Bool(raised), alarm: Some(severity) }
}

fn refusal(sequence: u64, device: &str) -> Refusal {
    Refusal {
        sequence,
        received: at(sequence),
        stage: Stage::Decode,
        reason: "checksum",
        detail: "the checksum is 7, not 8".into(),
        topic: b"a/b".to_vec(),
        payload: vec![1, 2, 3],
        device: Some(device.into()),
        profile: None,
        sink: None,
    }
}

#[test]
fn a_device_shows_what_it_last_said_and_how_often_it_was_heard() {
    let f = setup();
    f.decoded(1, "p-1", "parking", &[field("battery_v", 3.5)]);
    f.decoded(2, "p-1", "parking", &[field("battery_v", 3.625), field("rssi_v", 1.0)]);
    f.refused(3, "p-1");
    let device = f.device("p-1");
    assert_eq!((device.class.as_str(), device.profile.as_deref()), ("parking", Some("acme-1")));
    assert_eq!((device.first_heard, device.last_heard, device.last_decoded), (Some(at(1)), Some(at(3)), Some(at(2))));
    assert_eq!((device.messages, device.readings, device.refused), (3, 2, 1));
    let reading: Vec<_> = device.reading.iter().map(|field| (field.name.as_str(), &field.value)).collect();
    assert_eq!(reading, [("battery_v", &Value::Float(3.625)), ("rssi_v", &Value::Float(1.0))]);
    assert_eq!(device.last_refusal, Some(LastRefusal { reason: "decode: checksum".into(), received: at(3) }));
    assert_eq!((device.state, device.conditions), (DeviceState::Refused, vec![Condition::Refused]));
    f.decoded(4, "p-1", "parking", &[field("battery_v", 3.5)]);
    let device = f.device("p-1");
    assert_eq!(
        (device.state, device.conditions, device.refused),
        (DeviceState::Ok, vec![], 1),
        "what is over is over"
    );
}

#[test]
fn a_device_that_is_not_heard_is_late_and_then_silent_for_as_long_as_it_could_be_heard() {
    let f = setup();
    f.decoded(1, "p-1", "parking", &[]);
    f.listened(0, 60);
    let liveness = |f: &Setup| f.device("p-1").liveness;
    assert_eq!(liveness(&f), Liveness::Online);
    let day = 86_400;
    f.listened(60, 2 * day);
    assert_eq!(liveness(&f), Liveness::Late, "a day is what is expected of devices of no known profile");
    f.fleet.note_listening(at(2 * day + 1), false);
    f.fleet.known_until(at(9 * day));
    assert_eq!(liveness(&f), Liveness::Late, "nothing could arrive for a week");
    f.fleet.save_listening().unwrap();
    f.fleet.flush().unwrap();
    let f = f.restarted();
    assert_eq!(liveness(&f), Liveness::Late, "as before the restart");
    f.listened(20 * day, 21 * day);
    assert_eq!(liveness(&f), Liveness::Late);
    f.listened(21 * day, 22 * day);
    assert_eq!(liveness(&f), Liveness::Silent);
    assert_eq!(f.listed(Query { liveness: Some(Liveness::Silent), page_size: 9, ..Query::default() }), ["p-1"]);
    assert_eq!((f.all().classes[0].silent, f.all().classes[0].online), (1, 0));
    f.decoded(22 * day, "p-1", "parking", &[]);
    assert_eq!(liveness(&f), Liveness::Online);
}

#[test]
fn silence_is_not_counted_ahead_of_where_the_fleet_has_come_in_the_journal() {
    let f = setup();
    f.decoded(1, "p-1", "parking", &[]);
    f.listened(0, 10);
    for second in (10..400_000).step_by(50) {
        f.fleet.note_listening(at(second), true);
    }
    assert_eq!(f.device("p-1").liveness, Liveness::Online, "what came since may be of this device");
    f.fleet.known_until(at(400_000));
    assert_eq!(f.device("p-1").liveness, Liveness::Silent);
}

#[test]
fn battery_signal_and_clock_are_of_the_last_reading_that_told_them_and_stay_over_a_restart() {
    let f = setup();
    let csq = Field { name: "csq", unit: "", value: FieldValue::Integer(17), alarm: None };
    let signal = [field("rsrp_dbm", -101.5), field("rssi_dbm", -80.0), csq];
    f.decoded(7, "p-1", "parking", &[field("battery_v", 3.75), field("battery_percent", 90.0)]);
    f.decoded(8, "p-1", "parking", &[&[field("battery_v", 3.5)], &signal[..]].concat());
    f.fleet.clock(&heard(8, "p-1", Some("parking")), at(1));
    f.decoded(9, "p-1", "parking", &[alarm("battery_low", Severity::Warning, true), field("volume_m3", 1.0)]);
    f.decoded(9, "p-2", "parking", &[]);
    f.fleet.flush().unwrap();
    let check = |f: &Setup| {
        let device = f.device("p-1");
        let expected = HealthView {
            battery_v: Some(3.5),
            battery_percent: Some(90.0),
            rsrp_dbm: Some(-101.5),
            rssi_dbm: Some(-80.0),
            csq: Some(17),
            clock_error_s: Some(-7),
        };
        assert_eq!((device.health, device.conditions), (expected, vec![Condition::BatteryLow]));
        assert_eq!(f.device("p-2").health.clock_error_s, None);
    };
    check(&f);
    check(&f.restarted());
}

#[test]
fn a_clock_is_wrong_that_is_off_by_more_than_the_skew_or_says_so() {
    let f = setup();
    let day = 86_400;
    let mut expectations = Expectations::default();
    expectations.max_clock_skew = Duration::from_secs(day);
    f.fleet.expect(expectations);
    f.decoded(9 * day, "p-1", "parking", &[]);
    let told = |error: i64, is_wrong: bool| {
        let message = heard(9 * day, "p-1", Some("parking"));
        f.fleet.clock(&message, Timestamp::from_seconds(message.received.as_seconds() + error));
        let found = f.device("p-1").conditions.contains(&Condition::ClockWrong);
        assert_eq!(found, is_wrong, "off by {error} s");
    };
    let day = day.cast_signed();
    told(0, false);
    told(day, false);
    told(day + 1, true);
    // A reading may be as old as the report interval, which is a day here.
    told(-2 * day, false);
    told(-2 * day - 1, true);
    told(i64::MIN / 1_000_000_000, true);
    told(i64::MAX / 1_000_000_000, true);
    told(0, false);
    f.decoded(10 * 86_400, "p-1", "parking", &[alarm("clock_wrong", Severity::Warning, true)]);
    told(0, true);
    f.decoded(11 * 86_400, "p-1", "parking", &[alarm("clock_wrong", Severity::Warning, false)]);
    told(0, false);
}

#[test]
fn of_several_readings_in_a_message_the_last_by_time_is_shown() {
    let f = setup();
    let message = heard(1, "w-1", Some("parking"));
    f.fleet.heard(&message);
    for (time, value) in [(50, 1.0), (52, 3.0), (51, 2.0)] {
        f.fleet.decoded(&message, at(time), [field("volume_m3", value)]);
    }
    let device = f.device("w-1");
    assert_eq!((device.messages, device.readings), (1, 3));
    assert_eq!((device.reading_time, &device.reading[0].value), (Some(at(52)), &Value::Float(3.0)));
    f.decoded(2, "w-1", "parking", &[field("volume_m3", 4.0)]);
    assert_eq!(f.device("w-1").reading_time, Some(at(2)), "a later message counts, whatever its clock says");
}

#[test]
fn devices_that_turn_out_to_be_one_are_one_in_the_list() {
    let f = setup();
    f.decoded(1, "imei-1", "parking", &[field("battery_v", 3.5)]);
    f.decoded(2, "W-1", "parking", &[field("battery_v", 3.25)]);
    f.refused(3, "platform-1");
    f.decoded(4, "imei-2", "smoke_detector", &[field("battery_v", 3.0)]);
    f.decoded(5, "other", "parking", &[]);
    f.fleet.flush().unwrap();
    f.decoded(6, "imei-1", "parking", &[field("battery_v", 2.5)]);

    let registry = "device,aliases\nW-1,imei-1 platform-1\nW-2,imei-2\n";
    let registry = Registry::parse(std::path::Path::new("devices.csv"), registry.as_bytes(), None).unwrap();
    f.fleet.adopt_names(&registry).unwrap();
    f.decoded(7, "W-2", "smoke_detector", &[field("battery_v", 2.75)]);
    f.fleet.flush().unwrap();
    let f = f.restarted();
    assert_eq!(f.listed(Query { page_size: 100, ..Query::default() }), ["W-1", "W-2", "other"]);
    let device = f.device("W-1");
    assert_eq!((device.messages, device.readings, device.refused), (4, 3, 1));
    assert_eq!((device.first_heard, device.last_heard, device.last_decoded), (Some(at(1)), Some(at(6)), Some(at(6))));
    assert_eq!(device.reading[0].value, Value::Float(2.5));
    assert_eq!(device.last_refusal.unwrap().received, at(3));
    assert_eq!((f.device("W-2").messages, f.device("W-2").first_heard), (2, Some(at(4))));
    let classes: Vec<_> = f.all().classes.into_iter().filter(|class| class.devices > 0).collect();
    assert_eq!(classes.iter().map(|class| class.devices).collect::<Vec<_>>(), [2, 1], "{classes:?}");
}

#[test]
fn everything_is_the_same_after_a_restart() {
    let f = setup();
    f.decoded(1, "p-1", "parking", &[field("battery_v", 3.3), alarm("tamper", Severity::Warning, true)]);
    f.decoded(
        2,
        "s-1",
        "smoke_detector",
        &[alarm("smoke", Severity::Critical, true), alarm("tamper", Severity::Info, false)],
    );
    f.refused(3, "x-1");
    f.fleet.commit(3).unwrap();
    f.fleet.flush().unwrap();
    f.alarms.save().unwrap();
    let before = serde_json::to_value(f.all()).unwrap();
    let f = f.restarted();
    assert_eq!(serde_json::to_value(f.all()).unwrap(), before);
    assert_eq!(f.fleet.position(), 3);
    f.decoded(4, "p-2", "parking", &[field("battery_v", 3.3)]);
    f.fleet.commit(4).unwrap();
    f.fleet.flush().unwrap();
    assert_eq!(f.restarted().all().total, 4, "a new device has a row of its own");
}

#[test]
fn after_a_crash_each_message_counts_once() {
    let f = setup();
    let process = |f: &Setup, sequences: std::ops::RangeInclusive<u64>| {
        for sequence in sequences {
            if sequence.is_multiple_of(2) {
                f.refused(sequence, "p-1");
            } else {
                f.decoded(sequence, "p-1", "parking", &[field("battery_v", 3.3)]);
            }
        }
    };
    process(&f, 1..=4);
    f.fleet.commit(4).unwrap();
    assert_eq!(f.fleet.flush().unwrap(), 4);
    process(&f, 5..=8);
    let f = f.restarted();
    assert_eq!(f.fleet.position(), 4, "what was not committed is read again");
    // The journal's cursor may be behind the fleet's own position: the crash came between the two.
    process(&f, 3..=8);
    f.fleet.commit(8).unwrap();
    f.fleet.flush().unwrap();
    let device = f.device("p-1");
    assert_eq!((device.messages, device.readings, device.refused), (8, 4, 4));
    let refused: Vec<u64> =
        f.archive().list(&Filter::default()).unwrap().into_iter().map(|kept| kept.sequence).collect();
    assert_eq!(refused, [8, 6, 4, 2]);
}

#[test]
fn commit_waits_for_more_unless_enough_has_come() {
    let f = setup();
    f.decoded(1, "p-1", "parking", &[]);
    assert_eq!(f.fleet.commit(1).unwrap(), 0, "nothing is on disk yet");
    for sequence in 2..=REFUSALS_MAX as u64 + 1 {
        f.refused(sequence, "p-1");
    }
    assert_eq!(f.fleet.commit(REFUSALS_MAX as u64 + 1).unwrap(), REFUSALS_MAX as u64 + 1);
}

#[test]
fn commit_does_not_wait_while_refused_messages_take_much_memory() {
    let f = setup();
    let payload = vec![0; REFUSALS_BYTES_MAX / 4];
    for sequence in 1..=3 {
        f.fleet.refused(Refusal { payload: payload.clone(), ..refusal(sequence, "p-1") });
    }
    assert_eq!(f.fleet.commit(3).unwrap(), 0, "nothing is on disk yet");
    f.fleet.refused(Refusal { payload, ..refusal(4, "p-1") });
    assert_eq!(f.fleet.commit(4).unwrap(), 4);
}

#[test]
fn a_failed_commit_loses_nothing_and_moves_nothing() {
    let f = setup();
    let break_the_table = "ALTER TABLE device RENAME TO elsewhere";
    let mend_it = "ALTER TABLE elsewhere RENAME TO device";
    let database = rusqlite::Connection::open(f.directory.path().join(crate::state::FILE_NAME)).unwrap();
    database.execute_batch(break_the_table).unwrap();
    f.decoded(1, "p-1", "parking", &[]);
    f.refused(2, "p-1");
    f.fleet.commit(2).unwrap();
    f.fleet.flush().unwrap_err();
    assert_eq!(f.fleet.position(), 0);
    assert_eq!(f.archive().list(&Filter::default()).unwrap(), []);
    f.decoded(3, "p-1", "parking", &[]);
    f.fleet.commit(3).unwrap();
    database.execute_batch(mend_it).unwrap();
    assert_eq!(f.fleet.flush().unwrap(), 3);
    assert_eq!(f.archive().list(&Filter::default()).unwrap().len(), 1);
    assert_eq!(f.restarted().device("p-1").messages, 3);
}

#[test]
fn a_journal_that_was_replaced_is_read_from_its_beginning() {
    let f = setup();
    f.decoded(500, "p-1", "parking", &[]);
    f.fleet.commit(500).unwrap();
    f.fleet.flush().unwrap();
    let Setup { directory, alarms, fleet } = f;
    drop((alarms, fleet));
    let (alarms, fleet) = open(&directory, 1_000, 20);
    assert_eq!(fleet.position(), 0);
    let f = Setup { directory, alarms, fleet };
    f.decoded(1, "p-1", "parking", &[]);
    assert_eq!(f.device("p-1").messages, 2);
}

#[test]
fn devices_beyond_the_limit_are_counted_and_not_listed() {
    let f = setup_with(2);
    for (sequence, device) in (1..).zip(["a", "b", "c", "d", "a", &"long".repeat(100)]) {
        f.decoded(sequence, device, "parking", &[field("battery_v", 3.0)]);
    }
    let all = f.all();
    assert_eq!((all.total, all.unlisted_messages), (2, 3));
    assert_eq!(f.device("a").messages, 2);
}

#[test]
fn the_list_is_filtered_sorted_and_cut_into_pages() {
    let f = setup();
    for (sequence, device) in (1..).zip(["p-3", "p-1", "s-2", "p-2", "s-1"]) {
        f.decoded(sequence, device, if device.starts_with('p') { "parking" } else { "smoke_detector" }, &[]);
    }
    f.refused(6, "x-1");
    let all = Query { page_size: 100, ..Query::default() };
    assert_eq!(f.listed(all.clone()), ["p-1", "p-2", "p-3", "s-1", "s-2", "x-1"]);
    assert_eq!(f.listed(Query { sort: Sort::Newest, ..all.clone() }), ["x-1", "s-1", "p-2", "s-2", "p-1", "p-3"]);
    assert_eq!(f.listed(Query { sort: Sort::Oldest, page_size: 2, ..all.clone() }), ["p-3", "p-1"]);
    assert_eq!(f.listed(Query { sort: Sort::Oldest, page_size: 2, page: 2, ..all.clone() }), ["s-2", "p-2"]);
    assert_eq!(f.listed(Query { class: Some("smoke_detector".into()), ..all.clone() }), ["s-1", "s-2"]);
    assert_eq!(f.listed(Query { class: Some(UNKNOWN_CLASS.into()), ..all.clone() }), ["x-1"]);
    assert_eq!(f.listed(Query { class: Some("no such".into()), ..all.clone() }), [""; 0]);
    assert_eq!(f.listed(Query { text: "P-".into(), page_size: 2, ..all.clone() }), ["p-1", "p-2"]);
    assert_eq!(f.listed(Query { text: "ACME".into(), page_size: 2, ..all.clone() }), ["p-1", "p-2"]);
    assert_eq!(f.listed(Query { state: Some(DeviceState::Refused), ..all.clone() }), ["x-1"]);
    let beyond = f.fleet.snapshot(&Query { page: usize::MAX, page_size: 4, ..all });
    assert_eq!((beyond.page, beyond.pages, beyond.matching, beyond.devices.len()), (2, 2, 6, 2));
}

#[test]
fn a_device_is_in_alarm_while_one_of_its_alarms_is_open() {
    let f = setup();
    f.decoded(1, "a", "parking", &[alarm("smoke", Severity::Critical, true)]);
    f.decoded(2, "b", "parking", &[alarm("tamper", Severity::Warning, true), alarm("flat", Severity::Info, false)]);
    f.decoded(3, "c", "parking", &[]);
    assert_eq!(f.all().classes[0].in_alarm, 2);
    assert_eq!(f.listed(Query { state: Some(DeviceState::Alarm), page_size: 10, ..Query::default() }), ["a", "b"]);
    let fields: Vec<_> = f.device("b").reading.into_iter().map(|field| field.alarm).collect();
    assert_eq!(fields, [Some(Severity::Warning), None]);
    assert_eq!(&*f.device("b").alarms[0].kind, "tamper");
    f.decoded(4, "a", "parking", &[alarm("smoke", Severity::Critical, false)]);
    assert_eq!((f.device("a").state, f.device("a").alarms), (DeviceState::Ok, vec![]));
}

#[test]
fn an_alarm_of_a_device_that_the_fleet_has_not_come_to_is_no_device() {
    let f = setup();
    let reading = Reading { device: "a", class: "parking", profile: "p", time: at(9), received: at(9), sequence: 9 };
    f.alarms.tell(&reading, [("smoke", Severity::Critical, true)]);
    assert_eq!((f.all().total, f.alarms.open_alarms().len()), (0, 1));
}

#[test]
fn metrics_of_every_class_start_at_zero_and_count_what_happened() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let rendered = ::metrics::with_local_recorder(&recorder, || {
        let f = setup();
        f.decoded(1, "p-1", "parking", &[alarm("tamper", Severity::Warning, true)]);
        f.decoded(2, "p-1", "parking", &[alarm("tamper", Severity::Warning, true)]);
        f.refused(3, "x-1");
        f.fleet.refused.count_from_zero([(Stage::Decode, "checksum"), (Stage::Decode, "framing")]);
        recorder.handle().render()
    });
    for line in [
        r#"citywire_fleet_devices{class="parking"} 1"#,
        r#"citywire_fleet_devices{class="smoke_detector"} 0"#,
        r#"citywire_fleet_devices{class="unknown"} 1"#,
        r#"citywire_decode_readings_total{class="parking"} 2"#,
        r#"citywire_decode_readings_total{class="smoke_detector"} 0"#,
        r#"citywire_refused_messages_total{stage="decode",reason="checksum"} 1"#,
        r#"citywire_refused_messages_total{stage="decode",reason="framing"} 0"#,
    ] {
        assert!(rendered.lines().any(|rendered| rendered == line), "{line} is missing in:\n{rendered}");
    }
}

#[test]
fn a_reading_that_somebody_has_edited_is_forgotten_and_the_device_stays() {
    let f = setup();
    f.decoded(1, "p-1", "parking", &[field("battery_v", 3.3)]);
    f.fleet.commit(1).unwrap();
    f.fleet.flush().unwrap();
    let database = rusqlite::Connection::open(f.directory.path().join(crate::state::FILE_NAME)).unwrap();
    database.execute("UPDATE device SET reading = 'not JSON'", []).unwrap();
    let device = f.restarted().device("p-1");
    assert_eq!((device.messages, device.reading), (1, vec![]));
}

/// The shipped profiles, and the registry of this text.
fn rules(registry: &str) -> Arc<Rules> {
    // Compiling the profiles takes a while: once is enough.
    static LIBRARY: LazyLock<Library> = LazyLock::new(|| Library::built_in().unwrap());
    let registry = Registry::parse(std::path::Path::new("devices.csv"), registry.as_bytes(), None).unwrap();
    Arc::new(Rules {
        routes: Routes::compile(&[], []).unwrap(),
        library: LIBRARY.clone(),
        registry,
        max_clock_skew: Duration::from_secs(86_400),
    })
}

#[test]
fn devices_of_the_registry_are_never_heard_until_they_are() {
    let recorder = PrometheusBuilder::new().build_recorder();
    ::metrics::with_local_recorder(&recorder, || {
        let f = setup();
        f.decoded(1, "p-1", "parking", &[]);
        f.decoded(2, "imei-2", "parking", &[]);
        let rows = "device,aliases,profile\nw-2,,cjt188\np-1,,foxcodenine-nb-parking\np-2,imei-2,foxcodenine-nb-parking\n\
                    w-1,imei-1,cjt188\np-3,,foxcodenine-nb-parking\nx-1,,\n";
        let rules = rules(rows);
        f.fleet.adopt(&rules);
        let never = |f: &Setup, query: Query| f.listed(Query { liveness: Some(Liveness::NeverHeard), ..query });
        let all = Query { page_size: 100, ..Query::default() };
        assert_eq!(never(&f, all.clone()), ["w-2", "w-1", "p-3", "x-1"], "in the order of the registry");
        assert_eq!(f.listed(all.clone()), ["p-1", "p-2"], "who asks for no state sees those that were heard");
        let counted = |f: &Setup| -> Vec<(String, usize, usize)> {
            let classes = f.all().classes.into_iter();
            classes.map(|class| (class.class, class.devices, class.never_heard)).collect()
        };
        let class = |name: &str, devices, never_heard| (name.to_owned(), devices, never_heard);
        let expected = [class("parking", 2, 1), class("unknown", 0, 1), class("water_meter", 0, 2)];
        assert_eq!((counted(&f).as_slice(), f.all().never_heard), (&expected[..], 4));

        f.decoded(3, "w-1", "water_meter", &[]);
        f.decoded(4, "w-1", "water_meter", &[]);
        f.decoded(5, "stranger", "water_meter", &[]);
        f.refused(6, "x-1");
        assert_eq!(never(&f, all.clone()), ["w-2", "p-3"]);
        let listed = f.fleet.snapshot(&Query { state: Some(DeviceState::NeverHeard), page: 2, page_size: 1, ..all });
        assert_eq!((listed.matching, listed.page, listed.pages, listed.total), (2, 2, 2, 5));
        let device = &listed.devices[0];
        assert_eq!((device.name.as_str(), device.class.as_str()), ("p-3", "parking"));
        assert_eq!(device.profile.as_deref(), Some("foxcodenine-nb-parking"));
        assert_eq!((device.state, device.liveness), (DeviceState::NeverHeard, Liveness::NeverHeard));
        assert_eq!((device.first_heard, device.last_heard, device.messages), (None, None, 0));
        assert!(f.fleet.device("p-3").is_none());

        f.fleet.count_states();
        let rendered = recorder.handle().render();
        for (class, count) in [("parking", 1), ("smoke_detector", 0), ("water_meter", 1), ("unknown", 0)] {
            let line = format!("citywire_fleet_device_states{{class=\"{class}\",state=\"never_heard\"}} {count}");
            assert!(rendered.lines().any(|rendered| rendered == line), "{line} is missing in:\n{rendered}");
        }

        f.fleet.flush().unwrap();
        let f = f.restarted();
        assert_eq!(f.all().never_heard, 0, "nobody knows a registry yet");
        f.fleet.adopt(&rules);
        assert_eq!(counted(&f), [class("parking", 2, 1), class("unknown", 1, 0), class("water_meter", 2, 1)]);
    });
}

#[test]
fn those_that_were_never_heard_are_searched_and_filtered_as_the_others_are() {
    let f = setup();
    let rows = "device,profile\nwater-1,cjt188\nwater-2,cjt188\np-1,foxcodenine-nb-parking\nx-1,\n";
    f.fleet.adopt(&rules(rows));
    let f = |query: Query, expected: &[&str]| {
        let query = Query { state: Some(DeviceState::NeverHeard), page_size: 9, ..query };
        assert_eq!(f.listed(query.clone()), expected, "{query:?}");
    };
    f(Query { text: "ATER-2".into(), ..Query::default() }, &["water-2"]);
    f(Query { text: "cjt".into(), ..Query::default() }, &["water-1", "water-2"]);
    f(Query { class: Some("parking".into()), ..Query::default() }, &["p-1"]);
    f(Query { class: Some(UNKNOWN_CLASS.into()), ..Query::default() }, &["x-1"]);
    f(Query { profile: Some("cjt188".into()), ..Query::default() }, &["water-1", "water-2"]);
    f(
        Query { liveness: Some(Liveness::NeverHeard), page: 9, ..Query::default() },
        &["water-1", "water-2", "p-1", "x-1"],
    );
    f(Query { liveness: Some(Liveness::Silent), ..Query::default() }, &[]);
    f(Query { condition: Some(Condition::BatteryLow), ..Query::default() }, &[]);
}

#[test]
fn another_registry_is_counted_anew() {
    let f = setup();
    f.decoded(1, "a", "parking", &[]);
    let count = |registry: &str| {
        f.fleet.adopt(&rules(registry));
        f.all().never_heard
    };
    assert_eq!(count("device\na\nb\nc\n"), 2);
    assert_eq!(count("device\nd\n"), 1);
    assert_eq!(count("device,aliases\nd,a\n"), 0);
    assert_eq!(count("device\n"), 0);
}

#[test]
fn a_device_that_there_is_no_room_for_was_heard_nevertheless() {
    let f = setup_with(1);
    f.fleet.adopt(&rules("device\na\nb\nc\n"));
    f.decoded(1, "a", "parking", &[]);
    f.decoded(2, "b", "parking", &[]);
    assert_eq!((f.all().total, f.all().unlisted_messages, f.all().never_heard), (1, 1, 1));
}

/// Who looks at a million devices keeps neither the messages nor the page waiting.
#[test]
fn while_all_devices_are_looked_at_others_have_their_turn() {
    let f = setup_with(1_000_000);
    for sequence in 1..=12_000 {
        f.fleet.heard(&heard(sequence, &format!("d-{sequence}"), Some("parking")));
    }
    let (mut looked, mut turns) = (0, 0);
    f.fleet.each_device_and(
        |_, devices| looked += devices.len(),
        || {
            turns += 1;
            f.fleet.heard(&heard(12_000 + turns, &format!("new-{turns}"), Some("parking")));
        },
    );
    assert_eq!((looked, turns), (12_002, 2));
}
