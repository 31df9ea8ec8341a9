//! Any bytes are data records of M-Bus and at most one error, behind which nothing follows.
#![no_main]

use citywire::decode::m_bus::{Data, Profile, characters, records};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut end = 0;
    let mut failed = false;
    for record in records(bytes) {
        assert!(!failed, "nothing is read behind an error");
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                assert!(error.offset <= bytes.len() && !error.to_string().is_empty());
                failed = true;
                continue;
            }
        };
        assert!(record.bytes.start >= end && record.bytes.end > record.bytes.start, "each record moves on");
        assert!(record.data_bytes.start >= record.bytes.start && record.data_bytes.end <= record.bytes.end);
        end = record.bytes.end;
        assert!(end <= bytes.len());
        assert!(record.number().is_none_or(f64::is_finite), "{record:?}");
        let _ = (record.shape(), record.unit());
        match &record.data {
            Data::Float(float) => assert!(float.is_finite()),
            Data::Text(text) => assert_eq!(characters(text).count(), text.len()),
            Data::Profile(profile) => walk(profile),
            _ => {}
        }
    }
});

fn walk(profile: &Profile<'_>) {
    assert_eq!(profile.numbers().count(), profile.len());
    for base in [None, Some(0), Some(i64::MIN), Some(i64::MAX)] {
        assert!(profile.values(base).count() <= profile.len() + 1);
    }
}
