//! Any files in a journal's directory give a journal: it has the entries that are whole, in order, and invents none. What
//! is appended to it is there when it is opened again, with all that was there before.
#![no_main]

use citywire::broker::{Ack, Delivery, Message};
use citywire::journal::Entry;
use citywire::journal::format::{Kind, RECORD_HEADER_BYTES, RecordHeader, SegmentHeader, content_crc};
use citywire::time::Timestamp;
use citywire_fuzz::{Disk, NOW, open};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

const KEY: u32 = 7;

/// What is in the directory when the journal is opened.
#[derive(Arbitrary, Debug)]
struct Input {
    segments: Vec<Segment>,
    cursors: Vec<Cursor>,
    /// A file of any name with any content.
    strange: Option<(String, Vec<u8>)>,
    /// Whether the closed segments are compressed, and what then becomes of each file that is.
    compressed: Option<Vec<Damage>>,
}

/// What becomes of a file's bytes.
#[derive(Arbitrary, Debug)]
struct Damage {
    /// Where, and what is put there.
    edits: Vec<(u16, u8)>,
    cut: Option<u16>,
}

#[derive(Arbitrary, Debug)]
struct Segment {
    /// How far its first number is from where the segment before it ends; mostly it is none.
    gap: Option<i8>,
    /// The number that its header tells, if that is another one.
    wrong_first: Option<u64>,
    records: Vec<Record>,
    damage: Damage,
}

#[derive(Arbitrary, Debug)]
enum Record {
    Entry {
        commit_index: u8,
        packet_id: u8,
        duplicate: bool,
        received: i32,
        payload: Vec<u8>,
    },
    Forget {
        source: u8,
    },
    /// Up to so many entries before the last one.
    Committed {
        before: u8,
    },
    Bytes(Vec<u8>),
}

#[derive(Arbitrary, Debug)]
enum Cursor {
    Whole { name: u8, start: u8, passed: u8, written: u8, refused: u8 },
    Bytes { name: u8, content: Vec<u8> },
}

fuzz_target!(|input: Input| {
    let disk = Disk::default();
    let made = input.put_on(&disk);
    let Some((before, entries)) = opened(&disk, 0) else { return };
    for entry in &entries {
        assert!(made.contains(entry), "an entry was invented: {entry:?}");
    }
    let (mut before, mut entries) = (before, entries);
    if let Some(damages) = &input.compressed {
        compress(&disk);
        assert_eq!(opened(&disk, 0), Some((before, entries.clone())), "compressing changes no entry");
        damage_compressed(&disk, damages);
        let (last, kept) = opened(&disk, 0).expect("damage is no error");
        for entry in &kept {
            assert!(entries.contains(entry), "an entry was invented: {entry:?}");
        }
        (before, entries) = (last, kept);
    }
    let (after, entries_after) = opened(&disk, 0).expect("it was opened before");
    assert_eq!((before, &entries), (after, &entries_after), "opening it changes no entry");
    let Some((last, appended)) = opened(&disk, 2) else { panic!("it was opened before") };
    assert_eq!(last, before + 2, "numbers go on");
    assert_eq!(appended[..entries.len()], entries, "appending changes no entry");
    compress(&disk);
    assert_eq!(opened(&disk, 0), Some((last, appended)), "what was acknowledged is there");
});

fn compress(disk: &Disk) {
    let journal = open(disk).expect("it was opened before");
    journal.compress();
    journal.close(NOW);
    // Strange files have strange names, and stay.
    let is_ours = |name: &String| name.len() == 36 && name.bytes().take(20).all(|byte| byte.is_ascii_digit());
    assert!(!disk.names(".segment.zst.new").iter().any(is_ours), "nothing is left half done");
}

fn damage_compressed(disk: &Disk, damages: &[Damage]) {
    for (name, damage) in disk.names(".zst").into_iter().zip(damages) {
        let mut bytes = disk.content(&name).expect("listed");
        damage.change(&mut bytes);
        disk.put(&name, bytes);
    }
}

/// Opens the journal, appends so many messages, and gives the last number and all entries.
fn opened(disk: &Disk, append: usize) -> Option<(u64, Vec<Entry>)> {
    let mut journal = open(disk)?;
    for finding in &journal.recovery.findings {
        assert!(!finding.to_string().is_empty());
    }
    for name in ["a", "b"] {
        let cursor = journal.cursor(name).ok()?;
        let position = cursor.position();
        assert!(position.sequence <= journal.last_sequence(), "{position:?}");
        let counted = cursor.start() + position.written + position.refused + cursor.lost() + cursor.waiting();
        assert_eq!(counted, journal.last_sequence(), "a cursor's counts add up");
    }
    for number in 0..append {
        let before = journal.last_sequence();
        let (caller, mut durable) = tokio::sync::oneshot::channel();
        let message = Message {
            topic: "t".into(),
            payload: vec![0xaa; 100 * number].into(),
            received: NOW,
            delivery: Delivery::default(),
            ack: Ack::Waiting(caller),
        };
        assert!(journal.append(message, NOW), "there is room");
        assert_eq!(durable.try_recv(), Ok(before + 1), "it is on disk");
    }
    let mut reader = journal.reader();
    let mut entries = Vec::new();
    while reader.read(&mut entries, usize::MAX).ok()? > 0 {}
    assert_eq!(reader.sequence(), journal.last_sequence(), "the reader comes to the end");
    assert!(entries.is_sorted_by(|one, other| one.sequence < other.sequence), "in order, each once");
    let last = journal.last_sequence();
    journal.close(NOW);
    Some((last, entries))
}

impl Input {
    /// Gives every entry that is anywhere in it.
    fn put_on(&self, disk: &Disk) -> Vec<Entry> {
        let (mut next, mut made) = (1, Vec::new());
        for segment in self.segments.iter().take(6) {
            next = u64::max(1, next + u64::from(segment.gap.unwrap_or(0).unsigned_abs()));
            if segment.gap.is_some_and(|gap| gap < 0) {
                next = u64::max(1, next.saturating_sub(2 * u64::from(segment.gap.unwrap_or(0).unsigned_abs())));
            }
            let first = next;
            let bytes = segment.bytes(&mut next, &mut made);
            disk.put(&format!("{first:020}.segment"), bytes);
        }
        for cursor in self.cursors.iter().take(4) {
            let (name, content) = cursor.file();
            disk.put(&format!("cursors/{name}"), content);
        }
        if let Some((name, content)) = &self.strange {
            disk.put(name, content.clone());
        }
        made
    }
}

impl Segment {
    fn bytes(&self, next: &mut u64, made: &mut Vec<Entry>) -> Vec<u8> {
        let first_sequence = self.wrong_first.unwrap_or(*next);
        let header = SegmentHeader { key: KEY, first_sequence, created: Timestamp::from_seconds(1) };
        let mut bytes = header.encode().to_vec();
        for record in self.records.iter().take(50) {
            record.write(next, made, &mut bytes);
        }
        self.damage.change(&mut bytes);
        bytes
    }
}

impl Damage {
    fn change(&self, bytes: &mut Vec<u8>) {
        for &(at, byte) in &self.edits {
            if let Some(changed) = bytes.get_mut(usize::from(at)) {
                *changed = byte;
            }
        }
        bytes.truncate(self.cut.map_or(usize::MAX, usize::from));
    }
}

impl Record {
    fn write(&self, next: &mut u64, made: &mut Vec<Entry>, bytes: &mut Vec<u8>) {
        match self {
            Record::Entry { commit_index, packet_id, duplicate, received, payload } => {
                let delivery = Delivery {
                    source: 1,
                    packet_id: (*packet_id).into(),
                    window: 10,
                    duplicate: *duplicate,
                    retained: false,
                };
                let header = RecordHeader {
                    length: (RECORD_HEADER_BYTES + 1 + payload.len()) as u32,
                    content_crc: content_crc(b"t", payload),
                    sequence: *next,
                    received: Timestamp::from_seconds((*received).into()),
                    delivery,
                    topic_length: 1,
                    kind: Kind::Entry,
                    commit_index: (*commit_index).into(),
                };
                bytes.extend([&header.encode(KEY)[..], b"t", payload].concat());
                let (topic, payload) = ("t".into(), payload.clone().into());
                made.push(Entry { sequence: *next, received: header.received, topic, payload });
                *next += 1;
            }
            Record::Forget { source } => {
                bytes.extend(RecordHeader::forget((*source).into(), *next - 1, 0).encode(KEY))
            }
            Record::Committed { before } => {
                let sequence = (*next - 1).saturating_sub(u64::from(*before));
                bytes.extend(RecordHeader::committed(sequence).encode(KEY));
            }
            Record::Bytes(any) => bytes.extend(any),
        }
    }
}

impl Cursor {
    fn file(&self) -> (String, Vec<u8>) {
        let file = |name: u8| format!("{}.cursor", ["a", "b", "c", "%2E"][usize::from(name) % 4]);
        match self {
            Cursor::Whole { name, start, passed, written, refused } => {
                let name = file(*name);
                let sequence = u16::from(*start) + u16::from(*passed);
                let text = format!(
                    "citywire cursor 1\nfile {name}\nstart {start}\nsequence {sequence}\nwritten {written}\nrefused {refused}\n"
                );
                let crc = content_crc(b"", text.as_bytes());
                (name, format!("{text}crc32 {crc:08x}\n").into_bytes())
            }
            Cursor::Bytes { name, content } => (file(*name), content.clone()),
        }
    }
}
