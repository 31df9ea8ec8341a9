//! Closed segments are compressed: what is read stays the same, and no crash, failure or damage costs more than before.

use std::collections::BTreeMap;
use std::io;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::journal::compression::{Compressor, Step};
use crate::journal::files::FileSystem;
use crate::journal::inspect::inspect_on;
use crate::journal::segment::compressed_path;
use crate::journal::simulated::Operation;
use crate::journal::verify::verify_on;
use crate::journal::{Position, Severity, scan_segment};

/// Segments of some eight frames.
fn several_frames() -> Options {
    Options { segment_bytes: 16 << 10, ..options() }
}

/// Payloads as devices send them: short, alike, and now and then larger than a frame.
fn payload(number: u64) -> Vec<u8> {
    let mut payload = format!("{{\"device\":\"{}\",\"value\":{number}}}", number % 7).into_bytes();
    if number.is_multiple_of(97) {
        payload.resize(5000, number as u8);
    }
    payload
}

/// A journal with four closed segments and one that is written, of which each cursor has passed everything.
fn journal() -> (SimulatedDisk, Session) {
    static FILES: LazyLock<Files> = LazyLock::new(|| written(5, several_frames()));
    reopened(&FILES)
}

/// What is on a disk: to write it once for many tests.
type Files = Vec<(PathBuf, Vec<u8>)>;

fn reopened(files: &Files) -> (SimulatedDisk, Session) {
    let disk = SimulatedDisk::default();
    files.iter().for_each(|(path, bytes)| disk.put(path, bytes));
    let session = try_open(&disk, several_frames()).expect("opens");
    (disk, session)
}

fn written(segments: usize, options: Options) -> Files {
    let disk = SimulatedDisk::default();
    let mut session = try_open(&disk, options).expect("opens");
    let mut number = 0;
    while session.shared.index().segments.len() < segments {
        session.forget(1);
        for _ in 0..9 {
            number += 1;
            session.append(number as u16, &payload(number));
        }
        assert_eq!(session.commit(), Progress::Idle);
    }
    let position = Position { sequence: number, written: number, refused: 0 };
    session.cursor("city").advance(position).expect("advances");
    let directory = Path::new(DIRECTORY);
    let paths = [directory.to_owned(), directory.join("cursors")].into_iter().flat_map(|directory| {
        let files = disk.list(&directory).expect("listed");
        files.into_iter().map(move |file| directory.join(file.name))
    });
    paths.filter_map(|path| Some((path.clone(), disk.file(&path)?))).collect()
}

fn compress_all(session: &Session) {
    let mut compressor = Compressor::new(session.shared.clone());
    while compressor.step() == Step::Compressed {}
}

/// The segments' files: first number, and the forms that are there.
fn forms(disk: &SimulatedDisk) -> BTreeMap<u64, Vec<String>> {
    let mut forms: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for file in disk.list(Path::new(DIRECTORY)).expect("listed") {
        if let Some((digits, form)) = file.name.split_once('.') {
            forms.entry(digits.parse().expect("a number")).or_default().push(form.to_owned());
        }
    }
    forms
}

fn is_sound(disk: &SimulatedDisk) -> bool {
    verify_on(disk, Path::new(DIRECTORY)).expect("readable").is_sound()
}

#[test]
fn closed_segments_are_compressed_and_read_as_before() {
    let (disk, session) = journal();
    let (before, bytes) = (session.read_all(), disk.used_bytes());
    compress_all(&session);
    assert_eq!(session.read_all(), before);
    let forms: Vec<String> = forms(&disk).into_values().map(|forms| forms.join(" ")).collect();
    assert_eq!(forms, ["segment.zst", "segment.zst", "segment.zst", "segment.zst", "segment"]);
    assert!(disk.used_bytes() < bytes / 2, "{} of {bytes}", disk.used_bytes());
    let inspection = inspect_on(&disk, Path::new(DIRECTORY)).expect("readable");
    // But for the mark behind the last entry.
    assert!(inspection.bytes - session.shared.index().bytes() <= 48, "{inspection:?}");
    assert!(inspection.uncompressed_bytes > 2 * inspection.bytes, "{inspection:?}");
    assert!(inspection.segments[0].compressed && inspection.segments[0].file.ends_with(".zst"), "{inspection:?}");
    let verification = verify_on(&disk, Path::new(DIRECTORY)).expect("readable");
    assert_eq!((verification.entries, verification.compressed_segments), (before.len() as u64, 4));
    assert_eq!(verification.findings, []);
    drop(session);
    let mut session = try_open(&disk, several_frames()).expect("opens");
    assert_eq!((session.recovery.findings.len(), session.read_all()), (0, before.clone()));
    session.write(&[b"new"]);
    assert_eq!(session.shared.durable(), before.len() as u64 + 1);
}

#[test]
fn reading_begins_at_any_entry_of_a_compressed_segment_and_reads_little_before_it() {
    let (disk, session) = journal();
    let before = session.read_all();
    compress_all(&session);
    for entry in &before {
        let read = disk.read_bytes();
        let mut reader = session.reader(entry.sequence - 1);
        let mut entries = Vec::new();
        reader.read(&mut entries, 1).expect("readable");
        assert_eq!((&entries[..], reader.lost()), (std::slice::from_ref(entry), 0));
        // Header, index and one or two frames, or some of the segment that is written.
        assert!(disk.read_bytes() - read < 17 << 10, "{} for entry {}", disk.read_bytes() - read, entry.sequence);
    }
}

#[test]
fn reading_since_a_time_begins_with_the_frame_that_has_it() {
    let (disk, mut session) = (SimulatedDisk::default(), None);
    let session: &mut Session = session.get_or_insert(try_open(&disk, several_frames()).expect("opens"));
    // The clock was set back once: the order of receive times is not relied on.
    let received =
        |number: u64| Timestamp::from_seconds(1_699_000_000 + if number < 100 { number } else { number - 50 } as i64);
    let mut number = 0;
    while session.shared.index().segments.len() < 2 {
        number += 1;
        let message = Message {
            topic: Bytes::from_static(b"t"),
            payload: payload(number).into(),
            received: received(number),
            delivery: delivery(0, false),
            ack: Ack::None,
        };
        session.accept(vec![Item::Message(message)]);
        session.commit();
    }
    compress_all(session);
    assert_eq!(forms(&disk)[&1], ["segment.zst"]);
    let (mut skipped, last) = (0, number);
    for number in 1..last {
        let since = received(number);
        let files = Arc::new(disk.clone());
        let mut reader = Reader::open_since_on(files, Path::new(DIRECTORY), Some(since)).expect("readable");
        skipped = skipped.max(reader.sequence());
        let read = read_all(&mut reader);
        let expected = (1..=last).filter(|&number| received(number) >= since).count();
        assert_eq!(read.iter().filter(|entry| entry.received >= since).count(), expected, "since {since}");
    }
    assert!(skipped > last / 2, "{skipped} of {last}: earlier frames are not read");
}

#[test]
fn a_segment_waits_for_its_consumers_or_for_another_one_to_follow() {
    let (disk, session) = journal();
    let closed: Vec<u64> = segment_files(&disk)[..4].to_vec();
    drop(session);
    disk.remove(&Path::new(DIRECTORY).join("cursors/city.cursor")).expect("removed");
    let session = try_open(&disk, several_frames()).expect("opens");
    let slow = session.cursor("slow");
    compress_all(&session);
    let forms = forms(&disk);
    assert!(closed[..3].iter().all(|first| forms[first] == ["segment.zst"]), "{forms:?}");
    assert_eq!(forms[&closed[3]], ["segment"], "what a consumer may be reading right now, and a start reads");
    let position = Position { sequence: session.shared.durable(), written: 0, refused: 0 };
    slow.advance(position).expect("advances");
    compress_all(&session);
    assert_eq!(self::forms(&disk)[&closed[3]], ["segment.zst"]);
}

#[test]
fn readers_that_began_before_a_segment_was_compressed_read_on() {
    let (disk, session) = journal();
    let before = session.read_all();
    for read_before in [0, 1, 40, 200] {
        let mut live = session.reader(0);
        let mut snapshot = Reader::open_on(Arc::new(disk.clone()), Path::new(DIRECTORY), 0).expect("readable");
        let mut entries = [Vec::new(), Vec::new()];
        for (reader, entries) in [&mut live, &mut snapshot].into_iter().zip(&mut entries) {
            while entries.len() < read_before {
                reader.read(entries, 1).expect("readable");
            }
        }
        Compressor::new(session.shared.clone()).step();
        for (reader, mut entries) in [&mut live, &mut snapshot].into_iter().zip(entries) {
            entries.extend(read_all(reader));
            assert_eq!((entries.len(), reader.lost()), (before.len(), 0), "after {read_before}");
            assert_eq!(entries, before);
        }
    }
}

#[test]
fn any_zstandard_tool_makes_the_plain_segment_again() {
    let (disk, session) = journal();
    let first = segment_files(&disk)[0];
    let plain = disk.file(&segment_path(first)).expect("plain");
    compress_all(&session);
    let compressed = disk.file(&compressed_path(Path::new(DIRECTORY), first)).expect("compressed");
    let decompressed = zstd::stream::decode_all(&compressed[..]).expect("a Zstandard file");
    assert_eq!(decompressed[..], plain[..decompressed.len()]);
    let (of_plain, of_compressed) = (scan_segment(&plain).expect("whole"), scan_segment(&compressed).expect("whole"));
    assert_eq!(of_plain.entries, of_compressed.entries);
    drop(session);
    // The way back to a citywire that does not know compressed segments.
    disk.put(&segment_path(first), &decompressed);
    disk.remove(&compressed_path(Path::new(DIRECTORY), first)).expect("removed");
    assert!(is_sound(&disk));
}

/// A small journal whose first segment is compressed: its file, its bytes, and how many entries are in it.
fn compressed_segment() -> (SimulatedDisk, PathBuf, Vec<u8>, u64) {
    static FILES: LazyLock<Files> = LazyLock::new(|| written(2, Options { segment_bytes: 9 << 10, ..options() }));
    let (disk, session) = reopened(&FILES);
    compress_all(&session);
    let path = compressed_path(Path::new(DIRECTORY), 1);
    let bytes = disk.file(&path).expect("compressed");
    let entries = session.shared.index().segments[1].first - 1;
    (disk, path, bytes, entries)
}

#[test]
fn any_flipped_byte_costs_at_most_its_frame_and_verify_finds_it() {
    let (disk, path, whole, entries) = compressed_segment();
    let expected =
        Reader::open_on(Arc::new(disk.clone()), Path::new(DIRECTORY), 0).map(|mut reader| read_all(&mut reader));
    let expected = expected.expect("readable");
    let mut costless = 0;
    for position in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[position] ^= 0x10;
        drop(scan_segment(&bytes));
        disk.put(&path, &bytes);
        assert!(!is_sound(&disk), "byte {position}: damage that verify does not see");
        let mut reader = Reader::open_on(Arc::new(disk.clone()), Path::new(DIRECTORY), 0).expect("readable");
        let read = read_all(&mut reader);
        let is_known = |entry: &Entry| expected.get(entry.sequence as usize - 1) == Some(entry);
        assert!(read.iter().all(is_known), "byte {position}: an entry was invented");
        assert_eq!(read.len() as u64 + reader.lost(), expected.len() as u64, "byte {position}");
        let gaps = reader.take_gaps();
        assert!(gaps.len() <= 1 && reader.lost() < entries / 2, "byte {position}: {gaps:?}");
        costless += usize::from(reader.lost() == 0);
    }
    assert!(costless > 300, "header, descriptions and index stand twice: {costless} of {}", whole.len());
}

#[test]
fn any_cut_costs_the_frames_that_are_gone() {
    let (disk, path, whole, _) = compressed_segment();
    let mut last = u64::MAX;
    for length in (0..whole.len()).rev().step_by(7) {
        disk.put(&path, &whole[..length]);
        let session = try_open(&disk, several_frames()).unwrap_or_else(|error| panic!("cut to {length}: {error}"));
        let mut reader = session.reader(0);
        let kept = read_all(&mut reader).len() as u64;
        assert_eq!(kept + reader.lost(), session.shared.durable(), "cut to {length}");
        assert!(kept <= last, "cut to {length}");
        last = kept;
    }
}

#[test]
fn noise_in_a_compressed_segment_is_survived() {
    let (disk, path, whole, _) = compressed_segment();
    let mut random = fastrand::Rng::with_seed(1);
    for round in 0..300 {
        let (mut bytes, from) = (whole.clone(), random.usize(..whole.len()));
        let to = random.usize(from..=whole.len().min(from + 400));
        bytes[from..to].fill_with(|| if round % 2 == 0 { 0 } else { random.u8(..) });
        drop(scan_segment(&bytes));
        disk.put(&path, &bytes);
        let session = try_open(&disk, several_frames()).expect("damage is no error");
        let mut reader = session.reader(0);
        let kept = read_all(&mut reader).len() as u64;
        assert_eq!(kept + reader.lost(), session.shared.durable(), "round {round}");
    }
}

#[test]
fn a_damaged_frame_is_told_and_set_aside_as_it_is_on_disk() {
    let (disk, path, whole, _) = compressed_segment();
    let is_content = |&position: &usize| {
        let mut bytes = whole.clone();
        bytes[position] ^= 1;
        scan_segment(&bytes).is_ok_and(|scan| {
            scan.assessment.entries < scan_segment(&whole).map_or(0, |scan| scan.assessment.entries)
        })
    };
    let middle = (whole.len() / 2..).find(is_content).expect("a byte of a frame");
    let mut bytes = whole.clone();
    bytes[middle] ^= 1;
    disk.put(&path, &bytes);
    let session = try_open(&disk, several_frames()).expect("opens");
    let mut reader = session.reader(0);
    read_all(&mut reader);
    assert!(reader.lost() > 0);
    let inspection = inspect_on(&disk, Path::new(DIRECTORY)).expect("readable");
    let [copy] = &inspection.damaged[..] else { panic!("{:?}", inspection.damaged) };
    let offset: usize = copy.file.rsplit('-').next().and_then(|offset| offset.parse().ok()).expect("an offset");
    let copied = disk.file(&Path::new(DIRECTORY).join(&copy.file)).expect("copied");
    assert_eq!(copied, bytes[offset..offset + copied.len()]);
    assert!((offset..offset + copied.len()).contains(&middle));
}

#[test]
fn a_compressed_segment_that_is_the_newest_left_is_read_and_its_numbers_are_not_given_again() {
    let (disk, _, _, _) = compressed_segment();
    let newest = *segment_files(&disk).last().expect("segments");
    disk.remove(&segment_path(newest)).expect("removed by hand");
    disk.remove(&Path::new(DIRECTORY).join("cursors/city.cursor")).expect("removed by hand");
    let mut session = try_open(&disk, several_frames()).expect("opens");
    assert_eq!(session.shared.durable(), newest - 1);
    session.write(&[b"new"]);
    assert_eq!(session.contents().last().map(|(sequence, _)| *sequence), Some(newest));
    assert_eq!(session.contents().len() as u64, newest);
}

#[test]
fn a_damaged_segment_is_left_as_it_is() {
    let (disk, session) = journal();
    let mut bytes = disk.file(&segment_path(1)).expect("plain");
    bytes[5000] ^= 1;
    disk.put(&segment_path(1), &bytes);
    compress_all(&session);
    assert_eq!((forms(&disk)[&1].join(" "), disk.file(&segment_path(1))), ("segment".into(), Some(bytes)));
    assert_eq!(forms(&disk).values().filter(|forms| forms.join(" ") == "segment.zst").count(), 3);
    assert_eq!(Compressor::new(session.shared.clone()).step(), Step::Compressed, "a new start looks once more");
}

#[test]
fn what_cannot_be_compressed_is_left_as_it_is() {
    let disk = SimulatedDisk::default();
    let mut session = try_open(&disk, several_frames()).expect("opens");
    let mut random = fastrand::Rng::with_seed(1);
    while session.shared.index().segments.len() < 3 {
        let noise: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(3000).collect();
        session.write(&[&noise]);
    }
    compress_all(&session);
    assert!(forms(&disk).values().all(|forms| forms.join(" ") == "segment"), "{:?}", forms(&disk));
}

/// How many operations on files one compression takes.
fn operations() -> usize {
    let (disk, session) = journal();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    disk.set_fault(move |_, _| {
        counted.fetch_add(1, Ordering::Relaxed);
        None
    });
    assert_eq!(Compressor::new(session.shared.clone()).step(), Step::Compressed);
    count.load(Ordering::Relaxed)
}

/// Fails the operation with this number, counted from 0, among those on segments' files.
fn fail_at(disk: &SimulatedDisk, number: usize, errno: i32) {
    let mut left = number;
    disk.set_fault(move |_, path| {
        if !path.to_string_lossy().contains(".segment") && path != Path::new(DIRECTORY) {
            return None;
        }
        let hit = left == 0;
        left = left.wrapping_sub(1);
        hit.then(|| io::Error::from_raw_os_error(errno))
    });
}

#[test]
fn whatever_fails_while_compressing_the_segment_is_there_once_and_it_is_tried_again() {
    for errno in [libc::EIO, libc::ENOSPC] {
        for number in 0..operations() {
            let (disk, mut session) = journal();
            let before = session.read_all();
            fail_at(&disk, number, errno);
            let mut compressor = Compressor::new(session.shared.clone());
            compressor.step();
            disk.clear_fault();
            assert_eq!(session.read_all(), before, "operation {number}");
            session.write(&[b"goes on"]);
            while compressor.step() == Step::Compressed {}
            let (told, there) = (session.shared.index().bytes(), disk.used_bytes());
            assert!(told <= there && there - told < 2048, "operation {number}: {told} of {there} bytes are counted");
            assert_eq!(session.read_all().len(), before.len() + 1, "operation {number}");
            assert!(is_sound(&disk), "operation {number}");
            drop((session, compressor));
            let session = try_open(&disk, several_frames()).expect("opens");
            assert_eq!(session.read_all().len(), before.len() + 1, "operation {number}");
            assert!(forms(&disk).values().all(|forms| forms.len() == 1), "operation {number}: {:?}", forms(&disk));
        }
    }
}

#[test]
fn a_crash_or_a_loss_of_power_at_any_moment_leaves_one_good_copy_and_no_litter() {
    // Everything fails from that moment on: as if nothing were running any more.
    for number in 0..operations() as u64 {
        let (disk, session) = journal();
        let before = session.read_all();
        let mut left = number;
        disk.set_fault(move |operation, _| {
            let gone = left == 0 && operation != Operation::Read;
            left -= u64::from(left > 0 && operation != Operation::Read);
            gone.then(|| io::Error::from_raw_os_error(libc::EIO))
        });
        Compressor::new(session.shared.clone()).step();
        disk.clear_fault();
        drop(session);
        if number % 3 > 0 {
            disk.lose_power(&mut fastrand::Rng::with_seed(number));
        }
        let session = try_open(&disk, several_frames()).expect("opens");
        // A power loss may tear the mark.
        let findings = &session.recovery.findings;
        assert!(
            findings.iter().all(|finding| finding.severity == Severity::Note),
            "operation {number}: {findings:?}"
        );
        assert_eq!(session.read_all(), before, "operation {number}");
        assert!(is_sound(&disk), "operation {number}");
        for (first, forms) in forms(&disk) {
            assert!(forms.len() == 1 && !forms[0].ends_with("new"), "operation {number}: {first} {forms:?}");
        }
    }
}

#[test]
fn without_room_for_both_forms_nothing_is_tried_and_the_writer_has_its_reserve() {
    let (disk, mut session) = journal();
    disk.set_capacity(Some(disk.used_bytes() + (20 << 10)));
    assert_eq!(Compressor::new(session.shared.clone()).step(), Step::Failed);
    assert!(forms(&disk).values().all(|forms| forms.join(" ") == "segment"));
    session.write(&[b"goes on"]);
    disk.set_capacity(None);
    compress_all(&session);
    assert_eq!(forms(&disk).values().filter(|forms| forms.join(" ") == "segment.zst").count(), 4);
}

#[test]
fn compressed_segments_are_deleted_like_others_and_do_not_come_back() {
    let (disk, mut session) = journal();
    compress_all(&session);
    let bytes = session.shared.index().bytes();
    while session.shared.remove_oldest_passed().expect("removes") {}
    assert_eq!((forms(&disk).len(), session.shared.index().segments.len()), (1, 1));
    assert!(session.shared.index().bytes() < bytes);
    assert!(matches!(session.shared.publish_compressed(1, 100), Ok(false)), "deleted while it was compressed");
    session.write(&[b"new"]);
}

#[test]
fn room_made_by_compression_lets_a_full_journal_go_on() {
    let disk = SimulatedDisk::default();
    let small = Options { segment_bytes: 16 << 10, max_bytes: 64 << 10, ..options() };
    let mut session = try_open(&disk, small).expect("opens");
    session.cursor("dead");
    let fill = |session: &mut Session| {
        for number in 1.. {
            session.append(0, &payload(number));
            if session.commit() == Progress::Blocked {
                return session.shared.durable();
            }
        }
        unreachable!()
    };
    let plain = fill(&mut session);
    compress_all(&session);
    assert_eq!(session.commit(), Progress::Idle, "{}", session.shared.state());
    let compressed = fill(&mut session);
    assert!(compressed > plain + plain / 4, "{compressed} after {plain}");
    assert!(disk.used_bytes() < (64 << 10) + 4096, "{}", disk.used_bytes());
    assert_eq!(session.read_all().len() as u64, compressed, "nothing was dropped");
}

#[test]
fn the_work_of_opening_does_not_grow_with_the_journal() {
    // More entries than a start remembers for redeliveries, in either case.
    let (few, many) = (80_000, 160_000);
    for compressed in [false, true] {
        let more = read_at_open(many, compressed) - read_at_open(few, compressed);
        // The headers of the segments between, and how full the newest one happens to be.
        assert!(more < 2 * BATCH_SEGMENT_BYTES as i64, "{more} bytes more, compressed: {compressed}");
    }
}

const BATCH_SEGMENT_BYTES: u64 = 256 << 10;

/// How many bytes a start reads over a journal of so many entries.
fn read_at_open(entries: usize, compressed: bool) -> i64 {
    let disk = SimulatedDisk::default();
    let options = Options { segment_bytes: BATCH_SEGMENT_BYTES, max_bytes: 64 << 20, ..options() };
    let mut session = try_open(&disk, options.clone()).expect("opens");
    for _ in 0..entries / 1000 {
        (0..1000).for_each(|number| session.append(number + 1, b"1"));
        session.commit();
    }
    if compressed {
        compress_all(&session);
    }
    drop(session);
    let before = disk.read_bytes();
    try_open(&disk, options).expect("opens");
    (disk.read_bytes() - before).cast_signed()
}
