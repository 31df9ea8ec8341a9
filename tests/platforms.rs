//! What an operator's platform forwards, as it was published, from the broker to the store.

mod support;

use support::{Citywire, Mosquitto, publish, wait_until};

fn sample(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/data/envelopes/{name}", env!("CARGO_MANIFEST_DIR"))).expect(name)
}

#[tokio::test(flavor = "multi_thread")]
async fn readings_are_stored_and_events_are_noted() {
    let broker = Mosquitto::start();
    let mut citywire = Citywire::start(&format!(
        "[broker]\nurl = \"{}\"\n\
         [[route]]\ntopic = \"ctwing/#\"\nenvelope = \"ctwing\"\nprofile = \"huaqiang-nb\"\n\
         [[sink]]\nkind = \"embedded\"\nretention = \"36500d\"\n",
        broker.url()
    ));
    let message = |name: &str| ("ctwing/push".to_owned(), sample(name));
    let unknown = ("ctwing/push".to_owned(), br#"{"messageType":"of tomorrow"}"#.to_vec());
    let messages = vec![
        message("ctwing-datareport-appdata.json"),
        message("ctwing-onlineoffline.json"),
        message("ctwing-commandresponse.json"),
        unknown,
    ];
    publish(broker.port(), messages).await;
    citywire.wait_until_written(4).await;
    let unknown = || citywire.metrics().sum("citywire_refused_messages_total", &["reason=\"unknown_message\""]);
    wait_until("the unknown message is kept", || unknown() == 1.0).await;

    let (device, time): (String, String) = citywire
        .store()
        .query_row("SELECT device, time FROM smoke_detector", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .expect("one row");
    // The device's own time, six seconds before the platform's.
    assert_eq!((device.as_str(), time.as_str()), ("860803031745975", "2020-04-11T02:17:16.000Z"));
    let events =
        |event: &str| citywire.metrics().sum("citywire_envelope_events_total", &[&format!("event=\"{event}\"")]);
    let of_sink = |what: &str| citywire.metrics().sum(&format!("citywire_sink_{what}_messages_total"), &[]);
    assert_eq!((of_sink("written"), of_sink("refused")), (3.0, 1.0), "an event is no refusal");
    assert_eq!((events("online"), events("command_answer"), events("offline")), (1.0, 1.0, 0.0));
}
