//! What a crash or a bad disk leaves, and what is made of it.

use super::*;
use crate::journal::compression::{Compressor, Step};
use crate::journal::inspect::inspect_on;
use crate::journal::simulated::Operation;
use crate::journal::verify::verify_on;
use crate::journal::{Position, Severity, scan_segment, segment};

const PAYLOADS: [&[u8]; 6] = [b"one", b"two", b"", b"four", b"five", b"six"];

/// A disk with a small segment: commits of one and of several entries, and a forget among them.
fn small_journal() -> SimulatedDisk {
    let disk = SimulatedDisk::default();
    let mut session = open(&disk);
    session.append(1, PAYLOADS[0]);
    session.commit();
    session.append(2, PAYLOADS[1]);
    session.append(3, PAYLOADS[2]);
    session.append(4, PAYLOADS[3]);
    session.commit();
    session.forget(1);
    session.append(1, PAYLOADS[4]);
    session.append(2, PAYLOADS[5]);
    session.commit();
    assert_eq!(session.contents(), numbered(&PAYLOADS));
    disk
}

/// A disk with this file as its only segment.
fn disk_with(bytes: &[u8]) -> SimulatedDisk {
    let disk = SimulatedDisk::default();
    disk.put(&segment_path(1), bytes);
    disk
}

/// Opens what is left of the small journal and checks what holds whatever happened to it: nothing invented, nothing
/// twice, the order kept, and a new entry gets a number of its own. Gives the numbers of the entries kept.
fn open_damaged(disk: &SimulatedDisk, what: &str) -> Vec<u64> {
    let expected = numbered(&PAYLOADS);
    verify_on(disk, Path::new(DIRECTORY)).expect("damage is a finding, not an error");
    inspect_on(disk, Path::new(DIRECTORY)).expect("damage is a finding, not an error");
    let mut session = try_open(disk, options()).unwrap_or_else(|error| panic!("{what}: {error}"));
    let kept = session.contents();
    assert!(kept.iter().all(|entry| expected.contains(entry)), "{what}: {kept:?}");
    assert!(kept.is_sorted_by(|one, other| one.0 < other.0), "{what}: {kept:?}");
    session.write(&[b"new"]);
    let after = session.contents();
    let new = after.last().expect("just written").clone();
    assert_eq!((after[..after.len() - 1].to_vec(), &new.1[..]), (kept.clone(), &b"new"[..]), "{what}");
    drop(session);
    assert_eq!(
        try_open(disk, options()).expect("opens again").contents(),
        after,
        "{what}: not the same when reopened"
    );
    kept.into_iter().map(|(sequence, _)| sequence).collect()
}

#[test]
fn any_flipped_byte_costs_at_most_the_entry_that_it_hits_and_no_number_is_given_again() {
    let whole = small_journal().file(&segment_path(1)).expect("written");
    for position in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[position] ^= 0x10;
        let what = format!("byte {position}");
        drop(scan_segment(&bytes));
        let disk = disk_with(&bytes);
        let kept = open_damaged(&disk, &what);
        assert!(kept.len() >= PAYLOADS.len() - 1, "{what}: {kept:?}");
        let all = open(&disk).contents();
        assert_eq!(all.last().map(|entry| entry.0), Some(7), "{what}: the number after the last one acknowledged");
    }
}

#[test]
fn without_the_mark_a_later_commit_proves_the_earlier_ones() {
    let mut whole = small_journal().file(&segment_path(1)).expect("written");
    whole.truncate(whole.len() - 48);
    let last_commit = whole.len() - (3 * 48 + 2 * 13 + 4 + 3);
    for position in 128..last_commit {
        let mut bytes = whole.clone();
        bytes[position] ^= 0x10;
        let kept = open_damaged(&disk_with(&bytes), &format!("byte {position}"));
        assert_eq!(kept.len(), PAYLOADS.len() - 1, "byte {position}: {kept:?}");
    }
}

#[test]
fn any_cut_keeps_the_whole_entries_before_it() {
    let whole = small_journal().file(&segment_path(1)).expect("written");
    let scanned = scan_segment(&whole).expect("whole");
    assert_eq!(scanned.entries.len(), PAYLOADS.len());
    for length in 0..whole.len() {
        let what = format!("cut to {length} bytes");
        let kept = open_damaged(&disk_with(&whole[..length]), &what);
        let expected = scan_segment(&whole[..length]).map_or(0, |scan| scan.entries.len() as u64);
        assert_eq!(kept, (1..=expected).collect::<Vec<u64>>(), "{what}");
    }
}

/// As those, but for the first two, which fill a frame each when they are compressed.
const LONGER: [&[u8]; 6] = [&[1; 1200], &[2; 1200], PAYLOADS[2], PAYLOADS[3], PAYLOADS[4], PAYLOADS[5]];

/// Three segments with two entries each, the first one compressed, and two cursors.
fn several_files() -> SimulatedDisk {
    let disk = SimulatedDisk::default();
    let mut session = open(&disk);
    session.write(&LONGER[..2]);
    for (packet_id, payload) in (3..).zip(&LONGER[2..]) {
        session.append(packet_id, payload);
        if packet_id % 2 == 1 {
            // A segment is left after a failed sync.
            disk.fail_once(Operation::Sync, libc::EIO);
            assert_eq!(session.commit(), Progress::Blocked);
        }
        assert_eq!(session.commit(), Progress::Idle);
    }
    for (name, sequence) in [("city", 4), ("fleet", 2)] {
        session.cursor(name).advance(Position { sequence, written: sequence, refused: 0 }).expect("advances");
    }
    let mut compressor = Compressor::new(session.shared.clone());
    while compressor.step() == Step::Compressed {}
    assert_eq!((segment_files(&disk), session.contents()), (vec![1, 3, 5], numbered(&LONGER)));
    assert_eq!(plain_segment_files(&disk), [3, 5]);
    disk
}

/// Every segment file on this disk, with the number of its first entry.
fn every_segment(disk: &SimulatedDisk) -> Vec<(PathBuf, u64)> {
    let segments = segment::list(disk, Path::new(DIRECTORY)).expect("listed");
    segments.iter().map(|segment| (segment.path(Path::new(DIRECTORY)), segment.first)).collect()
}

/// Every file of the journal on this disk.
fn every_file(disk: &SimulatedDisk) -> Vec<PathBuf> {
    let cursors = ["city", "fleet"].map(|name| Path::new(DIRECTORY).join(format!("cursors/{name}.cursor")));
    every_segment(disk).into_iter().map(|(path, _)| path).chain(cursors).collect()
}

/// A copy of the disk with other bytes in one file.
fn with_file(disk: &SimulatedDisk, changed: &Path, bytes: &[u8]) -> SimulatedDisk {
    let copy = SimulatedDisk::default();
    for path in every_file(disk) {
        copy.put(&path, &disk.file(&path).expect("listed"));
    }
    copy.put(changed, bytes);
    copy
}

/// What holds whatever became of one file: nothing is invented, the entries that are missing are told as lost or as
/// cut, and a damaged cursor begins again. Gives the entries kept, and whether the file was named as damaged or cut.
fn check_several(disk: &SimulatedDisk, changed: &Path, what: &str) -> (Vec<u64>, bool) {
    let is_cursor = changed.extension().is_some_and(|kind| kind == "cursor");
    let name = changed.file_name().and_then(|name| name.to_str()).expect("ours");
    let verification = verify_on(disk, Path::new(DIRECTORY)).expect("damage is a finding, not an error");
    let mut session = try_open(disk, options()).unwrap_or_else(|error| panic!("{what}: {error}"));
    let mut reader = session.reader(0);
    let kept: Vec<(u64, Vec<u8>)> =
        read_all(&mut reader).into_iter().map(|entry| (entry.sequence, entry.payload.to_vec())).collect();
    let expected = numbered(&LONGER);
    assert!(kept.iter().all(|entry| expected.contains(entry)), "{what}: {kept:?}");
    assert!(kept.is_sorted_by(|one, other| one.0 < other.0), "{what}: {kept:?}");
    let last = session.recovery.last_sequence;
    assert_eq!(kept.len() as u64 + reader.lost(), last, "{what}: what is not read is told as lost");
    let told = session.recovery.findings.iter().chain(&verification.findings).any(|one| one.file.ends_with(name));
    for (name, confirmed) in [("city", 4), ("fleet", 2)] {
        let position = session.cursor(name).position();
        let starts_anew = is_cursor && changed.ends_with(format!("{name}.cursor"));
        assert_eq!(position.sequence, if starts_anew { 0 } else { confirmed }, "{what}: {name}");
    }
    session.write(&[b"new"]);
    assert_eq!(session.contents().last(), Some(&(last + 1, b"new".to_vec())), "{what}");
    (kept.into_iter().map(|(sequence, _)| sequence).collect(), told)
}

#[test]
fn any_flipped_byte_of_any_file_costs_one_entry_or_one_cursor_at_most() {
    let disk = several_files();
    for path in every_file(&disk) {
        let whole = disk.file(&path).expect("listed");
        for position in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[position] ^= 0x10;
            let what = format!("{} byte {position}", path.display());
            let (kept, told) = check_several(&with_file(&disk, &path, &bytes), &path, &what);
            assert!(kept.len() >= LONGER.len() - 1, "{what}: {kept:?}");
            let costs_something = kept.len() < LONGER.len() || path.extension().is_some_and(|kind| kind == "cursor");
            assert!(told || !costs_something, "{what}: not told");
        }
    }
}

#[test]
fn any_cut_of_any_file_keeps_every_whole_entry() {
    let disk = several_files();
    for path in every_file(&disk) {
        let whole = disk.file(&path).expect("listed");
        let first = every_segment(&disk).into_iter().find_map(|(one, first)| (one == path).then_some(first));
        for length in 0..whole.len() {
            let what = format!("{} cut to {length} bytes", path.display());
            let (kept, told) = check_several(&with_file(&disk, &path, &whole[..length]), &path, &what);
            let Some(first) = first else {
                assert_eq!((kept.len(), told), (LONGER.len(), true), "{what}");
                continue;
            };
            // Two entries are in each file; the others are in files that are whole.
            let scan = scan_segment(&whole[..length]);
            let left = scan.as_ref().map_or(0, |scan| scan.entries.len() as u64);
            // The newest file cut between two entries looks as if the second one had never been written.
            let between = first == 5 && scan.is_ok_and(|scan| scan.assessment.end == length as u64);
            assert!(told || between || kept.len() == LONGER.len(), "{what}: not told");
            let expected: Vec<u64> = (1..=6).filter(|&entry| entry < first + left || entry > first + 1).collect();
            assert_eq!(kept, expected, "{what}");
        }
    }
}

#[test]
fn any_run_of_zeros_or_noise_is_survived() {
    let whole = small_journal().file(&segment_path(1)).expect("written");
    let mut random = fastrand::Rng::with_seed(1);
    for round in 0..500 {
        let (mut bytes, from) = (whole.clone(), random.usize(..whole.len()));
        let to = random.usize(from..=whole.len().min(from + 200));
        bytes[from..to].fill_with(|| if round % 2 == 0 { 0 } else { random.u8(..) });
        open_damaged(&disk_with(&bytes), &format!("round {round}, bytes {from} to {to}"));
    }
}

#[test]
fn a_torn_tail_is_cut_kept_aside_and_told() {
    let disk = small_journal();
    let mut bytes = disk.file(&segment_path(1)).expect("written");
    // The last commit was under way: its second entry is there in part, and no mark.
    bytes.truncate(bytes.len() - 48 - 10);
    let torn = bytes[bytes.len() - (48 + 13 + 3 - 10)..].to_vec();
    disk.put(&segment_path(1), &bytes);
    let session = open(&disk);
    assert_eq!(session.contents(), numbered(&PAYLOADS[..5]));
    let [finding] = &session.recovery.findings[..] else { panic!("{:?}", session.recovery.findings) };
    assert_eq!(finding.severity, Severity::Note, "{finding}");
    assert!(finding.detail.contains("kept in damaged/00000000000000000001-"), "{finding}");
    let copy = finding.detail.split("damaged/").nth(1).and_then(|rest| rest.split(';').next()).expect("named");
    assert_eq!(disk.file(&Path::new(DIRECTORY).join("damaged").join(copy)), Some(torn));
    assert_eq!(segment_files(&disk), [1, 6], "the next run writes to a file of its own");
    drop(session);
    assert_eq!(open(&disk).recovery.findings, []);
}

/// The small journal, closed by a second segment with one more entry.
fn two_segments() -> SimulatedDisk {
    let disk = small_journal();
    let mut session = open(&disk);
    session.write(&[&[0; 65_000]]);
    assert_eq!(segment_files(&disk), [1, 7]);
    disk
}

fn flip(disk: &SimulatedDisk, first: u64, position: usize) {
    let mut bytes = disk.file(&segment_path(first)).expect("written");
    bytes[position] ^= 1;
    disk.put(&segment_path(first), &bytes);
}

#[test]
fn damage_in_a_closed_segment_is_skipped_counted_and_set_aside_once() {
    let disk = two_segments();
    flip(&disk, 1, 128 + 64 + 5);
    let session = open(&disk);
    assert_eq!(session.recovery.findings, [], "closed segments are not read at start");
    for _ in 0..2 {
        let mut reader = session.reader(0);
        let sequences: Vec<u64> = read_all(&mut reader).iter().map(|entry| entry.sequence).collect();
        assert_eq!(sequences, [1, 3, 4, 5, 6, 7]);
        assert_eq!(reader.take_gaps().iter().map(ToString::to_string).collect::<Vec<_>>(), ["entry 2"]);
        assert_eq!((reader.lost(), reader.take_gaps().len()), (1, 0));
    }
    let inspection = inspect_on(&disk, Path::new(DIRECTORY)).expect("readable");
    assert_eq!(inspection.damaged.len(), 1, "{:?}", inspection.damaged);
    assert!(disk.file(&segment_path(1)).is_some(), "the segment itself stays, with its whole entries");
}

#[test]
fn a_closed_segment_that_was_cut_or_removed_is_a_gap_and_not_an_endless_error() {
    let disk = two_segments();
    let whole = disk.file(&segment_path(1)).expect("written");
    for length in 0..whole.len() {
        disk.put(&segment_path(1), &whole[..length]);
        let session = open(&disk);
        let mut reader = session.reader(0);
        let entries = read_all(&mut reader);
        assert_eq!(entries.last().map(|entry| entry.sequence), Some(7), "cut to {length}");
        assert_eq!(entries.len() as u64 + reader.lost(), 7, "cut to {length}");
    }
    disk.put(&segment_path(1), &whole);
    let session = open(&disk);
    crate::journal::files::FileSystem::remove(&disk, &segment_path(1)).expect("removed under the service's feet");
    let mut reader = session.reader(0);
    assert_eq!(read_all(&mut reader).len(), 1);
    assert_eq!(reader.lost(), 6);
}

#[test]
fn a_closed_segment_without_header_is_read_with_the_key_of_its_neighbour() {
    let disk = two_segments();
    let mut bytes = disk.file(&segment_path(1)).expect("written");
    bytes[..128].fill(0xff);
    disk.put(&segment_path(1), &bytes);
    assert_eq!(open(&disk).read_all().len(), 7);
    let verification = verify_on(&disk, Path::new(DIRECTORY)).expect("readable");
    assert_eq!((verification.entries, verification.lost_entries, verification.is_sound()), (7, 0, false));
}

#[test]
fn without_any_header_the_files_are_set_aside_and_the_numbers_go_on_beyond_them() {
    let disk = small_journal();
    let mut bytes = disk.file(&segment_path(1)).expect("written");
    bytes[..128].fill(0xff);
    disk.put(&segment_path(1), &bytes);
    let mut session = open(&disk);
    assert_eq!(session.recovery.findings.len(), 1);
    session.write(&[b"new"]);
    let contents = session.contents();
    assert!(contents.len() == 1 && contents[0].0 > 6, "{contents:?}");
    assert_eq!(disk.file(&Path::new(DIRECTORY).join("damaged/00000000000000000001-whole-1")), Some(bytes));
}

#[test]
fn a_cursor_proves_entries_that_the_file_has_lost_and_their_numbers_are_not_given_again() {
    let disk = small_journal();
    let session = open(&disk);
    let position = crate::journal::Position { sequence: 6, written: 6, refused: 0 };
    session.cursor("city").advance(position).expect("advances");
    drop(session);
    let bytes = disk.file(&segment_path(1)).expect("written");
    disk.put(&segment_path(1), &bytes[..128 + 64 + 20]);
    let mut session = open(&disk);
    let [finding] = &session.recovery.findings[..] else { panic!("{:?}", session.recovery.findings) };
    assert_eq!(finding.severity, Severity::Damage, "{finding}");
    assert!(finding.detail.contains("entries 2 to 6"), "{finding}");
    session.write(&[b"new"]);
    assert_eq!(session.contents(), [(1, b"one".to_vec()), (7, b"new".to_vec())]);
}

#[test]
fn a_newest_segment_of_which_nothing_can_be_read_costs_no_entry_of_the_one_before_it() {
    let disk = two_segments();
    disk.put(&segment_path(7), &[0xaa; 200]);
    let mut session = open(&disk);
    let kept: Vec<u64> = session.contents().into_iter().map(|(sequence, _)| sequence).collect();
    assert_eq!(kept, [1, 2, 3, 4, 5, 6], "by a reader of this start, not only of the next one");
    session.write(&[b"new"]);
    assert_eq!(session.contents().len(), 7);
}

#[test]
fn a_segment_whose_creation_was_interrupted_is_removed() {
    for rest in [&[][..], &[0; 128], &[1; 40]] {
        let disk = small_journal();
        disk.put(&segment_path(7), rest);
        let mut session = open(&disk);
        assert_eq!(session.recovery.findings.len(), 1);
        assert_eq!(session.contents(), numbered(&PAYLOADS));
        session.write(&[b"seven"]);
        assert_eq!(session.contents().len(), 7);
    }
}

#[test]
fn what_a_given_up_file_holds_beyond_the_next_segments_start_is_not_read() {
    let disk = two_segments();
    let (first, second) = (disk.file(&segment_path(1)), disk.file(&segment_path(7)));
    let (mut first, second) = (first.expect("written"), second.expect("written"));
    // Entry 7 was also written to the first file, in a commit that failed.
    first.truncate(first.len() - 48);
    first.extend_from_slice(&second[128..128 + 65_000]);
    disk.put(&segment_path(1), &first);
    let session = open(&disk);
    assert_eq!(session.read_all().len(), 7);
    assert_eq!(session.reader(0).lost(), 0);
    assert!(verify_on(&disk, Path::new(DIRECTORY)).expect("readable").is_sound());
}

#[test]
fn a_file_of_a_later_version_stops_the_start_and_is_left_alone() {
    let disk = small_journal();
    let mut bytes = disk.file(&segment_path(1)).expect("written");
    for copy in [0, 64] {
        bytes[copy + 8] = 2;
        let crc = crc32fast::hash(&bytes[copy..copy + 60]);
        bytes[copy + 60..copy + 64].copy_from_slice(&crc.to_le_bytes());
    }
    disk.put(&segment_path(1), &bytes);
    let refused = try_open(&disk, options()).err().expect("refused");
    assert!(matches!(refused, JournalError::Version { version: 2, .. }), "{refused}");
    assert_eq!(disk.file(&segment_path(1)), Some(bytes));
}

#[test]
fn verify_and_inspect_tell_the_figures_of_a_sound_journal() {
    let disk = two_segments();
    let session = open(&disk);
    let position = crate::journal::Position { sequence: 5, written: 4, refused: 1 };
    session.cursor("city").advance(position).expect("advances");
    let verification = verify_on(&disk, Path::new(DIRECTORY)).expect("readable");
    assert_eq!((verification.segments, verification.entries, verification.lost_entries), (2, 7, 0));
    assert_eq!(verification.findings, []);
    let inspection = inspect_on(&disk, Path::new(DIRECTORY)).expect("readable");
    assert_eq!((inspection.oldest, inspection.last_sequence), (1, 7));
    let ranges: Vec<_> = inspection.segments.iter().map(|one| (one.first_sequence, one.last_sequence)).collect();
    assert_eq!(ranges, [(1, 6), (7, 7)]);
    assert_eq!(inspection.segments[0].from.as_deref(), Some("2023-11-14T22:13:20Z"));
    let [cursor] = &inspection.cursors[..] else { panic!("{:?}", inspection.cursors) };
    assert_eq!((cursor.name.as_str(), cursor.position, cursor.waiting, cursor.lost), ("city", position, 2, 0));
    let json = serde_json::to_value(&inspection).expect("serializes");
    assert_eq!(json["cursors"][0]["sequence"], 5);
}

#[test]
fn any_bytes_are_scanned_without_a_panic() {
    let mut random = fastrand::Rng::with_seed(2);
    let whole = small_journal().file(&segment_path(1)).expect("written");
    for _ in 0..500 {
        let mut bytes = whole[..128].to_vec();
        bytes.resize(128 + random.usize(..2000), 0);
        random.fill(&mut bytes[128..]);
        assert_eq!(scan_segment(&bytes).map(|scan| scan.entries.len()), Ok(0));
        drop(scan_segment(&bytes[128..]));
    }
}
