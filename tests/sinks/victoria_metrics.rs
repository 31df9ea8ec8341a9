//! The sink `influxdb2` against a real database.

use citywire::point::{FieldValue, Point};
use citywire::sink::Sink;
use citywire::sink::influxdb2::Influxdb2;
use citywire::time::Timestamp;

use crate::fake_database::options;
use crate::support::{VictoriaMetrics, wait_until};

const SECONDS: i64 = 1_704_176_134;

#[tokio::test]
async fn points_are_read_back_from_victoria_metrics() {
    let database = VictoriaMetrics::start();
    let mut sink = Influxdb2::new(&options(database.url())).expect("valid options");
    let hostile = "a, b=c \"d\" \\";
    let devices = ["868", hostile, "x\nforged,device=868 volume_m3=9 1"];
    for (sequence, device) in (1..).zip(devices) {
        let tags = [("device", device), ("pilot", "north")];
        let fields = [
            ("comment", FieldValue::Text("two\nlines, \"quoted\" and \\")),
            ("volume_m3", FieldValue::Float(123.456)),
            ("pulses", FieldValue::Integer(-3)),
            ("leak", FieldValue::Bool(true)),
        ];
        let time = Timestamp::from_seconds(SECONDS);
        sink.push(sequence, &Point { measurement: "water_meter", tags: &tags, fields: &fields, time });
    }
    let receipt = sink.flush().await.expect("VictoriaMetrics takes the points");
    assert_eq!((receipt.written_points, receipt.rejected), (3, vec![]));

    // What it has taken, it shows a moment later.
    wait_until("VictoriaMetrics shows the points", || database.export("water_meter").len() == 12).await;
    let mut read: Vec<_> = database
        .export("water_meter")
        .into_iter()
        .map(|series| {
            let device = series.labels["device"].as_str().expect("a tag").to_string();
            assert_eq!(series.labels["pilot"], "north");
            (device, series.name, series.samples)
        })
        .collect();
    read.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
    // VictoriaMetrics keeps numbers only: a text is 0, and true is 1.
    let at = SECONDS * 1000;
    let mut expected = Vec::new();
    for device in ["868", "a, b=c \"d\" ＼", "x␊forged,device=868 volume_m3=9 1"] {
        for (field, value) in [("comment", 0.0), ("leak", 1.0), ("pulses", -3.0), ("volume_m3", 123.456)] {
            expected.push((device.to_string(), format!("water_meter_{field}"), vec![(at, value)]));
        }
    }
    assert_eq!(read, expected);
    assert!(database.export("forged").is_empty());
}
