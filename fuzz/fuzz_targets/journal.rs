//! A segment of the journal, compressed or not, changed in any way, gives entries that were written or none: nothing is invented. Any bytes
//! as a segment, and any records behind a whole header, give their entries in order.
#![no_main]

use std::sync::LazyLock;

use citywire::broker::Delivery;
use citywire::journal::format::{Kind, RECORD_HEADER_BYTES, RecordHeader, SegmentHeader, content_crc};
use citywire::journal::{SegmentScan, scan_segment};
use citywire::time::Timestamp;
use citywire_fuzz::{Disk, NOW, open};
use libfuzzer_sys::fuzz_target;

const KEY: u32 = 0x5eed;
const CHUNK_BYTES: usize = 24;

/// A whole segment with commits of one to three entries.
static SEGMENT: LazyLock<(Vec<u8>, SegmentScan)> = LazyLock::new(|| {
    let header = SegmentHeader { key: KEY, first_sequence: 100, created: Timestamp::from_seconds(1) };
    let mut bytes = header.encode().to_vec();
    for (number, commit_index) in (0_u8..).zip([0, 0, 1, 2, 0, 1, 0, 0]) {
        let payload = vec![number; usize::from(number) * 7];
        let header = RecordHeader {
            length: (RECORD_HEADER_BYTES + 1 + payload.len()) as u32,
            content_crc: content_crc(b"t", &payload),
            sequence: 100 + u64::from(number),
            received: Timestamp::from_seconds(2),
            delivery: Delivery { source: 1, packet_id: u16::from(number) + 1, window: 10, ..Delivery::default() },
            topic_length: 1,
            kind: Kind::Entry,
            commit_index,
        };
        bytes.extend([&header.encode(KEY)[..], b"t", &payload].concat());
    }
    let scan = scan_segment(&bytes).expect("a whole segment");
    assert_eq!(scan.entries.len(), 8);
    (bytes, scan)
});

/// The same compressed, as a journal does, behind some more entries: it has several frames.
static COMPRESSED: LazyLock<(Vec<u8>, SegmentScan)> = LazyLock::new(|| {
    let header = SegmentHeader { key: KEY, first_sequence: 1, created: Timestamp::from_seconds(1) };
    let mut plain = header.encode().to_vec();
    let entries = 99;
    (1..=entries).for_each(|sequence| plain.extend(entry(sequence, 4, &[sequence as u8; CHUNK_BYTES])));
    let disk = Disk::default();
    disk.put("00000000000000000001.segment", plain.clone());
    // Those before the newest one are closed.
    disk.put("00000000000000000100.segment", SEGMENT.0.clone());
    let journal = open(&disk).expect("a journal");
    journal.compress();
    journal.close(NOW);
    let bytes = disk.content("00000000000000000001.segment.zst").expect("it is worth it");
    let scan = scan_segment(&bytes).expect("a whole segment");
    assert_eq!(scan.entries, scan_segment(&plain).expect("a whole segment").entries);
    assert_eq!(scan.entries.len() as u64, entries);
    (bytes, scan)
});

fuzz_target!(|input: &[u8]| {
    scan(input);
    scan(&segment(input));
    change(&SEGMENT, input);
    change(&COMPRESSED, input);
});

/// Changes a whole segment. Three bytes each: where, and what is put there.
fn change((whole, scanned): &(Vec<u8>, SegmentScan), edits: &[u8]) {
    let mut bytes = whole.clone();
    for edit in edits.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([edit[0], edit[1]]));
        match bytes.get_mut(at) {
            Some(byte) => *byte = edit[2],
            None => bytes.truncate(at % (bytes.len() + 1)),
        }
    }
    if let Ok(scan) = scan_segment(&bytes) {
        assert!(scan.entries.iter().all(|entry| scanned.entries.contains(entry)), "an entry was invented");
        assert!(scan.entries.is_sorted_by(|one, other| one.sequence < other.sequence), "out of order");
    }
}

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
