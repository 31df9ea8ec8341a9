//! What was published, beside what is in the journal and in each sink, when everything has come to rest.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use citywire::journal::Reader;

use super::account::{Account, Given, compare, once};
use super::database_tap::{Record, Sample, whole};
use super::device::{Fleet, Kind, device_of};
use super::missing::missing;
use super::mqtt_tap::Handovers;
use super::rig::{Broker, GRACE, Rig};
use super::scenario::{Kills, Scenario};
use crate::support::{Metrics, Series};

/// The result of one scenario.
pub struct Outcome {
    pub scenario: Scenario,
    pub kills: Kills,
    pub took: Duration,
    pub rows: Vec<Row>,
    /// Whatever is wrong beside the counts.
    pub faults: Vec<String>,
    /// What the witness knows of each message that is lost or indistinct in the journal.
    pub missing: Vec<String>,
}

/// One place where messages are kept, and its account.
pub struct Row {
    pub place: &'static str,
    pub account: Account,
    /// What citywire answers for must be clean; another program's own losses are only told.
    pub must_be_clean: bool,
}

/// Messages of one device: in the journal with the time of receipt, in a sink with the time of the point; in
/// nanoseconds.
type Stored = BTreeMap<String, Vec<(i64, Option<u32>)>>;

impl Outcome {
    /// Stops citywire and reads what is where.
    pub fn of(scenario: Scenario, mut rig: Rig, kills: Kills, started: Instant) -> Outcome {
        let mut faults = Vec::new();
        let metrics = rig.citywire.metrics();
        let told = Instant::now();
        let status = rig.citywire.stop();
        if !status.success() || told.elapsed() >= GRACE {
            faults.push(format!("at the end citywire stopped with {status} after {:?}", told.elapsed()));
        }
        let published = published(&rig.fleet);
        let (given, mosquitto, handovers) = match &rig.broker {
            Broker::Embedded => (published.clone(), None, Handovers::default()),
            Broker::Mosquitto(_, tap) => {
                let handovers = tap.handovers();
                let handed = handed_over(&handovers);
                if handovers.iter().any(|handover| handover.number.is_none()) {
                    faults
                        .push("Mosquitto has not passed on the numbers that the devices gave their messages".into());
                }
                let mut account = each(&numbered(&published), &delivered(&handovers), false);
                account.repeated = tap.deliveries() - handovers.len() as u64;
                // Where Mosquitto has lost and repeated nothing, the devices are the witnesses.
                (if kills.mosquitto == 0 { published.clone() } else { handed }, Some(account), handovers)
            }
        };

        let journal = journal(&rig, &mut faults);
        let known: HashSet<Sample> = samples(&journal).collect();
        let embedded = embedded(&rig, &known);
        let record = rig.database_tap.record();
        let city = confirmed(&record, &known, &mut faults);
        let database = database(&record, &rig.database.export("water_meter"));
        adds_up(&metrics, &journal, &rig.citywire.log(), &mut faults);

        let mut rows = vec![
            Row { place: "journal", account: each(&given, &values(&journal), false), must_be_clean: true },
            Row {
                place: "embedded",
                account: each(&readable(&given), &values(&embedded), true),
                must_be_clean: true,
            },
            Row { place: "influxdb2", account: each(&readable(&given), &values(&city), true), must_be_clean: true },
        ];
        rows[0].account.disordered += journal.values().map(|entries| steps_back(entries)).sum::<u64>();
        rows[2].account.repeated = record.rewritten;
        rows.push(Row { place: "VictoriaMetrics", account: database, must_be_clean: kills.database == 0 });
        if let Some(account) = mosquitto {
            rows.push(Row { place: "Mosquitto", account, must_be_clean: kills.mosquitto == 0 });
        }
        let count = |given: &BTreeMap<String, Vec<Given>>| given.values().map(|all| all.len() as u64).sum();
        for row in &mut rows {
            let all = matches!(row.place, "journal" | "Mosquitto");
            row.account.published = if all { count(&published) } else { count(&readable(&published)) };
        }
        let missing = missing(&handovers, &values(&journal));
        Outcome { scenario, kills, took: started.elapsed(), rows, faults, missing }
    }

    /// What must not be, in words.
    pub fn complaints(&self) -> Vec<String> {
        let unclean = self.rows.iter().filter(|row| row.must_be_clean && !row.account.is_clean());
        let unclean = unclean.map(|row| format!("{}: {}: {:?}", self.scenario.name, row.place, row.account));
        unclean.chain(self.faults.iter().map(|fault| format!("{}: {fault}", self.scenario.name))).collect()
    }
}

/// What each device published, all of it acknowledged.
fn published(fleet: &Fleet) -> BTreeMap<String, Vec<Given>> {
    let all = |kind: Kind, count| {
        let given = move |number| Given { value: kind.value(number), number, acknowledged: true, indistinct: false };
        (0..count).map(given).collect()
    };
    fleet.published().map(|(device, kind, count)| (device.to_owned(), all(kind, count))).collect()
}

/// What Mosquitto delivered of each device.
fn handed_over(handovers: &Handovers) -> BTreeMap<String, Vec<Given>> {
    let mut given: BTreeMap<String, Vec<Given>> = BTreeMap::new();
    for (place, handover) in handovers.iter().enumerate() {
        let (device, value) = read(&handover.topic, &handover.payload);
        // A payload that no device sent: what it became on its way, Mosquitto's account shows.
        let value = value.unwrap_or(u32::MAX);
        let number = handover.number.unwrap_or(u32::MAX);
        let acknowledged = handover.acknowledged_on.is_some();
        let indistinct = acknowledged && handovers.taken_for(place).is_some();
        given.entry(device).or_default().push(Given { value, number, acknowledged, indistinct });
    }
    given
}

/// The same messages, told apart by their numbers.
fn numbered(given: &BTreeMap<String, Vec<Given>>) -> BTreeMap<String, Vec<Given>> {
    let numbered = |all: &Vec<Given>| all.iter().map(|given| Given { value: given.number, ..*given }).collect();
    given.iter().map(|(device, all)| (device.clone(), numbered(all))).collect()
}

/// The numbers of what Mosquitto delivered and citywire acknowledged; none where the bytes are not those of the number. What
/// citywire never acknowledged, Mosquitto had to deliver again.
fn delivered(handovers: &Handovers) -> BTreeMap<String, Vec<Option<u32>>> {
    let mut delivered: BTreeMap<String, Vec<Option<u32>>> = BTreeMap::new();
    for handover in handovers.iter().filter(|handover| handover.acknowledged_on.is_some()) {
        let (device, value) = read(&handover.topic, &handover.payload);
        let kind = Kind::of(&device);
        let is_whole = |number: &u32| kind.is_some_and(|kind| value == Some(kind.value(*number)));
        delivered.entry(device).or_default().push(handover.number.filter(is_whole));
    }
    delivered
}

/// Device and value of a message.
pub fn read(topic: &[u8], payload: &[u8]) -> (String, Option<u32>) {
    let device = device_of(topic).unwrap_or("nobody");
    (device.to_owned(), Kind::of(device).and_then(|kind| kind.value_of(payload)))
}

fn readable(given: &BTreeMap<String, Vec<Given>>) -> BTreeMap<String, Vec<Given>> {
    let mut readable = given.clone();
    readable.retain(|device, _| Kind::of(device) != Some(Kind::Unreadable));
    readable
}

/// The sum over all devices. In a sink, messages with the same time of their own are one point.
fn each(given: &BTreeMap<String, Vec<Given>>, stored: &BTreeMap<String, Vec<Option<u32>>>, is_sink: bool) -> Account {
    let mut sum = Account::default();
    let devices: HashSet<&String> = given.keys().chain(stored.keys()).collect();
    for device in devices {
        let stored = stored.get(device).map_or(&[][..], Vec::as_slice);
        let given = given.get(device).map_or(&[][..], Vec::as_slice);
        sum.add(match Kind::of(device) {
            Some(Kind::Timed) if is_sink => compare(&once(given), stored),
            _ => compare(given, stored),
        });
    }
    sum
}

fn values(stored: &Stored) -> BTreeMap<String, Vec<Option<u32>>> {
    let values = |all: &Vec<(i64, Option<u32>)>| all.iter().map(|(_, value)| *value).collect();
    stored.iter().map(|(device, all)| (device.clone(), values(all))).collect()
}

/// The journal's entries in their order, with the time of receipt.
fn journal(rig: &Rig, faults: &mut Vec<String>) -> Stored {
    let directory = rig.citywire.data_directory().join("journal");
    let mut reader = Reader::open(&directory, 0).expect("open the journal");
    let (mut entries, mut stored, mut last) = (Vec::new(), Stored::new(), 0);
    while reader.read(&mut entries, 1 << 20).expect("read the journal") > 0 {
        for entry in entries.drain(..) {
            if entry.sequence != last + 1 {
                faults.push(format!("entry {} follows {last}", entry.sequence));
            }
            last = entry.sequence;
            let (device, value) = read(&entry.topic, &entry.payload);
            stored.entry(device).or_default().push((entry.received.as_nanos(), value));
        }
    }
    if reader.lost() > 0 {
        faults.push(format!("the journal is damaged: {} entries are lost", reader.lost()));
    }
    stored
}

/// How often an entry was received before the one in front of it.
fn steps_back(entries: &[(i64, Option<u32>)]) -> u64 {
    entries.windows(2).filter(|pair| pair[1].0 < pair[0].0).count() as u64
}

/// The points that the journal's entries must give.
fn samples(journal: &Stored) -> impl Iterator<Item = Sample> {
    journal.iter().flat_map(|(device, entries)| {
        let own_time = move |value| Kind::of(device).and_then(|kind| kind.own_time(value));
        entries.iter().filter_map(move |&(received, value)| {
            let value = value?;
            Some((device.clone(), own_time(value).unwrap_or(received), value))
        })
    })
}

/// A point counts as what it should be only if an entry gives just this one: device, time and value.
fn if_known(known: &HashSet<Sample>, device: &str, time: i64, value: Option<u32>) -> Option<u32> {
    value.filter(|&value| known.contains(&(device.to_owned(), time, value)))
}

/// The rows of the embedded store in the order of their times.
fn embedded(rig: &Rig, known: &HashSet<Sample>) -> Stored {
    let store = rig.citywire.store();
    // The view shows milliseconds; what is stored are nanoseconds.
    let sql = "SELECT d.name, r.time, r.volume_m3 FROM _water_meter r JOIN _devices d ON d.id = r.device \
               ORDER BY r.device, r.time";
    let mut query = store.prepare(sql).expect("the class's table");
    let mut rows = query.query([]).expect("query");
    let mut stored = Stored::new();
    while let Some(row) = rows.next().expect("a row") {
        let (device, time): (String, i64) = (row.get(0).expect("a name"), row.get(1).expect("a time"));
        let value = row.get::<_, Option<f64>>(2).expect("a number").and_then(whole);
        let value = if_known(known, &device, time, value);
        stored.entry(device).or_default().push((time, value));
    }
    stored
}

/// The points that the database has confirmed, in the order of their times.
fn confirmed(record: &Record, known: &HashSet<Sample>, faults: &mut Vec<String>) -> Stored {
    if let Some(line) = record.unknown.first() {
        faults.push(format!("{} lines that are no point of ours were written: {line}", record.unknown.len()));
    }
    let point = |device: &str, time: &i64, value: &Option<u32>| (*time, if_known(known, device, *time, *value));
    let points = record.points.iter().map(|(device, times)| {
        (device.clone(), times.iter().map(|(time, value)| point(device, time, value)).collect())
    });
    points.collect()
}

/// What the database holds, beside what it has confirmed. It keeps milliseconds, and a point that was written twice may be
/// there twice: points are told apart as far as that goes.
fn database(record: &Record, series: &[Series]) -> Account {
    let key = |device: &str, nanoseconds: i64, value| (device.to_owned(), nanoseconds.div_euclid(1_000_000), value);
    let (mut expected, mut account) = (HashMap::<Sample, u64>::new(), Account::default());
    for (device, times) in &record.points {
        for (time, value) in times.iter().filter_map(|(time, value)| Some((time, (*value)?))) {
            *expected.entry(key(device, *time, value)).or_default() += 1;
        }
    }
    let sent: HashSet<Sample> = record.sent.iter().map(|(device, time, value)| key(device, *time, *value)).collect();
    let mut held = HashMap::<Sample, u64>::new();
    for series in series.iter().filter(|series| series.name == "water_meter_volume_m3") {
        let device = series.labels["device"].as_str().expect("a device");
        for &(milliseconds, value) in &series.samples {
            match whole(value).map(|value| (device.to_owned(), milliseconds, value)).filter(|key| sent.contains(key))
            {
                Some(key) => *held.entry(key).or_default() += 1,
                None => account.altered += 1,
            }
        }
    }
    for (key, &expected) in &expected {
        let held = held.get(key).copied().unwrap_or(0);
        account.stored += held.min(expected);
        account.lost += expected.saturating_sub(held);
        account.repeated += held.saturating_sub(expected);
    }
    account
}

/// Conservation, from the service's own metrics: what is in the journal is what each sink has written, refused or has
/// yet to take; and what this process has received is what it has journaled or known from before.
fn adds_up(metrics: &Metrics, journal: &Stored, log: &str, faults: &mut Vec<String>) {
    let entries = metrics.sum("citywire_journal_entries_total", &[]) as u64;
    let in_journal: u64 = journal.values().map(|entries| entries.len() as u64).sum();
    if entries != in_journal {
        faults.push(format!("the metrics tell of {entries} journal entries, and there are {in_journal}"));
    }
    let unreadable = |device: &String| Kind::of(device) == Some(Kind::Unreadable);
    let refused_entries: u64 =
        journal.iter().filter(|(device, _)| unreadable(device)).map(|(_, entries)| entries.len() as u64).sum();
    for sink in ["embedded", "city"] {
        let label = format!("sink=\"{sink}\"");
        let [written, refused, waiting] = ["written_messages_total", "refused_messages_total", "waiting_messages"]
            .map(|name| metrics.sum(&format!("citywire_sink_{name}"), &[&label]) as u64);
        if written + refused + waiting != entries || refused != refused_entries || waiting != 0 {
            faults.push(format!(
                "sink {sink}: {written} written + {refused} refused + {waiting} waiting of {entries} entries, \
                 {refused_entries} of them unreadable"
            ));
        }
    }
    let received = metrics.sum("citywire_broker_received_messages_total", &[]) as u64;
    let redelivered = metrics.sum("citywire_journal_redeliveries_total", &[]) as u64;
    let before = last_sequence_at_start(log);
    if before + received != entries + redelivered {
        faults.push(format!(
            "{before} entries before the start + {received} messages received are not {entries} entries + {redelivered} \
             redeliveries"
        ));
    }
}

/// How many entries the journal had when citywire was started for the last time.
fn last_sequence_at_start(log: &str) -> u64 {
    let opened = log.lines().rfind(|line| line.contains("The journal is open.")).expect("a start in the log");
    let line: serde_json::Value = serde_json::from_str(opened).expect("a log in JSON");
    line["last_sequence"].as_u64().expect("a number")
}
