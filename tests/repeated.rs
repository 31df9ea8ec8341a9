//! The same uplink by two ways gives one reading, where its time or a sequence says that it is the same.

mod support;

use support::{Citywire, Mosquitto, counter_profile, publish, wait_until};

/// Two platforms that forward the same devices: one tells when it received an uplink, both tell its sequence.
fn configuration(broker: &Mosquitto, profiles: &support::TempDir) -> String {
    format!(
        "[broker]\nurl = \"{}\"\n[profiles]\ndirectory = \"{}\"\n\
         [[route]]\ntopic = \"a/up\"\nprofile = \"counter\"\n\
         envelope = {{ json = {{ payload = \"/data\", payload_encoding = \"hex\", device = \"/imei\", \
         sequence = \"/number\" }} }}\n\
         [[route]]\ntopic = \"b/up\"\nprofile = \"counter\"\ntags = {{ way = \"b\" }}\n\
         envelope = {{ json = {{ payload = \"/bytes\", device = \"/device/id\", time = \"/at\", \
         time_format = \"unix-millis\", sequence = [\"/frame\", \"/sequence\"] }} }}\n\
         [[sink]]\nkind = \"embedded\"\nretention = \"36500d\"\n",
        broker.url(),
        profiles.path().display()
    )
}

fn by_a(number: i64) -> (String, Vec<u8>) {
    let message = format!(r#"{{"imei": "860374051096202", "data": "0000002A", "number": {number}}}"#);
    ("a/up".to_owned(), message.into_bytes())
}

fn by_b(at: u64, more: &str) -> (String, Vec<u8>) {
    let message = format!(r#"{{"device": {{"id": 860374051096202}}, "bytes": "AAAAKg==", "at": {at} {more}}}"#);
    ("b/up".to_owned(), message.into_bytes())
}

const NOON: u64 = 1_790_000_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn an_uplink_by_two_ways_or_pushed_twice_is_one_reading_and_is_counted() {
    let (broker, profiles) = (Mosquitto::start(), counter_profile());
    let mut citywire = Citywire::start(&configuration(&broker, &profiles));
    let readings = |citywire: &Citywire| {
        let count = "SELECT count(*) FROM water_meter WHERE device = '860374051096202'";
        citywire.store().query_row(count, [], |row| row.get::<_, i64>(0)).expect("the readings")
    };
    let repeated = |citywire: &Citywire| citywire.metrics().sum("citywire_point_repeated_uplinks_total", &[]);

    // By sequence, whatever the time, and as text or number; pushed twice; the next one.
    publish(broker.port(), vec![by_a(7), by_b(NOON, r#", "frame": "7""#), by_a(7), by_a(8)]).await;
    citywire.wait_until_written(4).await;
    wait_until("both are counted", || repeated(&citywire) == 2.0).await;
    assert_eq!(readings(&citywire), 2);

    // By the platform's time; what tells nothing is a reading of its own.
    let times =
        vec![by_b(NOON + 1, ""), by_b(NOON + 1, r#", "sequence": """#), by_b(NOON + 2, ""), by_a(-1), by_a(-1)];
    publish(broker.port(), times).await;
    citywire.wait_until_written(9).await;
    wait_until("the one with the same time is counted", || repeated(&citywire) == 3.0).await;
    assert_eq!(readings(&citywire), 6);

    // What came before a crash is known after it.
    citywire.kill();
    citywire.resume();
    publish(broker.port(), vec![by_b(NOON + 3, r#", "sequence": 8"#), by_a(9)]).await;
    // The second is written behind the first.
    wait_until("the new one is written", || readings(&citywire) >= 7).await;
    // Of those before the crash, what was not yet kept is counted again.
    wait_until("the one from before is counted", || repeated(&citywire) >= 1.0).await;
    assert_eq!(readings(&citywire), 7);
    citywire.metrics().assert_conserved();

    // And a replay of some of it makes no second reading of it either.
    let replay = citywire.command(&["replay", "--since", "1h"]);
    assert!(replay.status.success(), "{}", String::from_utf8_lossy(&replay.stderr));
    assert_eq!(readings(&citywire), 7);
    assert!(citywire.stop().success());
}
