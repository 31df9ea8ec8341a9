//! Devices that count, published for as long as a test wants: each message can be told from every other, and found again
//! in a database.

use std::collections::BTreeMap;

use citywire::broker::publisher::{Options, Publisher};
use citywire::broker::{Endpoint, Security};
use rusqlite::Connection;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How many devices take turns.
const DEVICES: u32 = 20;

/// A stream of messages at a steady rate, with QoS 1.
pub struct Traffic {
    stop: watch::Sender<bool>,
    publishing: JoinHandle<u32>,
}

impl Traffic {
    /// Publishes to the broker on this port of 127.0.0.1, `rate` messages a second, of 4 bytes and `padding` more.
    pub async fn start(port: u16, rate: f64, padding: usize) -> Traffic {
        let endpoint = Endpoint::new(&format!("mqtt://127.0.0.1:{port}"), Security::default()).expect("an endpoint");
        let options = Options { rate: Some(rate), ..Options::new(endpoint) };
        let publisher = Publisher::connect(options).await.expect("the publisher connects");
        let (stop, stopped) = watch::channel(false);
        let publishing = tokio::spawn(async move {
            let mut count = 0;
            while !*stopped.borrow() {
                let (topic, mut payload) = message(count);
                payload.resize(payload.len() + padding, 0);
                publisher.publish(topic, payload).await.expect("the broker takes the message");
                count += 1;
            }
            let published = publisher.finish().await.expect("the broker takes every message");
            assert_eq!((published.acknowledged, published.refused), (u64::from(count), 0));
            count
        });
        Traffic { stop, publishing }
    }

    /// Stops, and gives the number of messages that the broker has taken: those from 0 up to it.
    pub async fn stop(self) -> u32 {
        self.stop.send_replace(true);
        self.publishing.await.expect("publishing goes well")
    }
}

/// The message of this number: for the profile `counter`, under `city/{device}/up`.
pub fn message(number: u32) -> (String, Vec<u8>) {
    (format!("city/meter-{}/up", number % DEVICES), number.to_be_bytes().to_vec())
}

/// Checks that the embedded store has each of the messages up to `count` exactly once, and each device's in order.
pub fn assert_each_once(store: &Connection, count: u32) {
    let mut stored: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    let sql = "SELECT name, volume_m3 FROM _water_meter JOIN _devices ON id = device ORDER BY time";
    let mut statement = store.prepare(sql).expect("the store has water meters");
    let mut rows = statement.query([]).expect("the store can be read");
    while let Some(row) = rows.next().expect("the store can be read") {
        let (device, number) =
            (row.get("name").expect("a device"), row.get::<_, f64>("volume_m3").expect("a number"));
        stored.entry(device).or_default().push(number as u32);
    }
    for device in 0..DEVICES {
        let expected: Vec<u32> = (0..count).filter(|number| number % DEVICES == device).collect();
        let name = format!("meter-{device}");
        let stored = stored.remove(&name).unwrap_or_default();
        if stored != expected {
            let missing: Vec<u32> =
                expected.iter().filter(|number| !stored.contains(number)).copied().take(9).collect();
            let (has, wants) = (stored.len(), expected.len());
            panic!("{name} has {has} of {wants} messages, or others, or in another order; missing: {missing:?}");
        }
    }
    assert_eq!(stored.len(), 0, "devices that sent nothing: {:?}", stored.keys());
}
