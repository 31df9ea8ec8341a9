//! Any file in the place of a journal's segment gives the entries that are whole, in order, and never a panic.
#![no_main]

use citywire::broker::Delivery;
use citywire::journal::format::{Kind, RECORD_HEADER_BYTES, RecordHeader, SegmentHeader, content_crc};
use citywire::journal::scan_segment;
use citywire::time::Timestamp;
use libfuzzer_sys::fuzz_target;

const KEY: u32 = 7;
const CHUNK_BYTES: usize = 24;

fuzz_target!(|data: &[u8]| {
    scan(data);
    scan(&segment(data));
});

fn scan(bytes: &[u8]) {
    if let Ok(scan) = scan_segment(bytes) {
        let in_order = scan.entries.is_sorted_by(|earlier, later| earlier.sequence < later.sequence);
        assert!(in_order, "each number is given once, and in order");
    }
}

/// A segment whose header is whole, and whose records are what `data` asks for: entries, marks, gaps, damage. Few random
/// bytes get past the checksums otherwise.
fn segment(data: &[u8]) -> Vec<u8> {
    let header = SegmentHeader { key: KEY, first_sequence: 1, created: Timestamp::from_seconds(1) };
    let mut bytes = header.encode().to_vec();
    let mut next = 1;
    for chunk in data.chunks(CHUNK_BYTES) {
        match chunk[0] % 8 {
            0 => bytes.extend(RecordHeader::committed(next - 1).encode(KEY)),
            1 => bytes.extend(RecordHeader::forget(u64::from(chunk[0]), next - 1, 0).encode(KEY)),
            2 => bytes.extend(chunk),
            3 => next += u64::from(chunk[0]),
            // Entries of one commit after another, whole or with a wrong checksum.
            kind => {
                bytes.extend(entry(next, u32::from(kind), chunk));
                next += 1;
            }
        }
    }
    bytes
}

fn entry(sequence: u64, commit_index: u32, content: &[u8]) -> Vec<u8> {
    let (topic, payload) = content.split_at(1);
    let mut crc = content_crc(topic, payload);
    if content.len() < CHUNK_BYTES {
        crc ^= 1;
    }
    let header = RecordHeader {
        length: (RECORD_HEADER_BYTES + content.len()) as u32,
        content_crc: crc,
        sequence,
        received: Timestamp::from_seconds(1),
        delivery: Delivery { packet_id: 1, ..Delivery::default() },
        topic_length: 1,
        kind: Kind::Entry,
        commit_index: commit_index - 4,
    };
    [&header.encode(KEY), content].concat()
}
