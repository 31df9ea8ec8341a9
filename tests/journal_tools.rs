//! The journal's tools on a real disk: what is compressed in the background is inspected, verified, exported and
//! imported by the commands, and the service starts over it.

mod support;

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use citywire::broker::{Ack, Delivery, Message, NotTaken};
use citywire::config::Compression;
use citywire::journal::{Entry, Journal, Options, Position, Reader, inspect};
use citywire::time::Timestamp;
use serde_json::Value;
use support::{Citywire, TempDir, wait_until_blocking};

fn options(data: &Path) -> Options {
    Options {
        directory: data.join("journal"),
        segment_bytes: 1 << 20,
        max_bytes: 20 << 30,
        retention: Duration::from_secs(30 * 86_400),
        commit_delay_max: Duration::ZERO,
        compression: Compression::Zstd,
    }
}

/// Message `number` of a city of 1000 water meters, ten a second.
fn message(number: u64) -> Message {
    let (device, litres) = (number % 1000, 1_000_000 + number / 1000);
    let received = Timestamp::from_nanos(1_790_000_000_000_000_000 + (number * 100_000_000).cast_signed());
    Message {
        topic: format!("city/north/water_meter/W-{device:06}/up").into(),
        payload: [&b"\x68\x10"[..], &litres.to_be_bytes(), &[0x2c, 0x16, number as u8]].concat().into(),
        received,
        delivery: Delivery::default(),
        ack: Ack::None,
    }
}

fn append(journal: &Journal, mut message: Message) {
    loop {
        match journal.append(message) {
            Ok(()) => return,
            // The disk is slower than we are.
            Err(NotTaken::Full(again)) => {
                message = again;
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(other) => panic!("{other:?}"),
        }
    }
}

/// Writes a journal of `entries` entries that the default service's consumers have taken.
fn fill(options: Options, entries: u64) {
    let (journal, _) = Journal::open(options).expect("opens");
    for number in 1..=entries {
        append(&journal, message(number));
    }
    wait_until_blocking("all is on disk", || journal.last_sequence() == entries);
    for name in ["embedded", "fleet"] {
        let position = Position { sequence: entries, written: entries, refused: 0 };
        journal.cursor(name).expect("a cursor").advance(position).expect("advances");
    }
    journal.close().expect("closes");
}

/// Lets the journal compress its segments, but for so many of the newest.
fn compress(options: &Options, plain: usize) {
    let (journal, _) = Journal::open(options.clone()).expect("opens");
    wait_until_blocking("the closed segments are compressed", || {
        let inspection = inspect(&options.directory).expect("readable");
        inspection.segments.iter().rev().skip(plain).all(|segment| segment.compressed)
    });
    journal.close().expect("closes");
}

fn read_all(directory: &Path) -> Vec<Entry> {
    let mut reader = Reader::open(directory, 0).expect("readable");
    let mut entries = Vec::new();
    while reader.read(&mut entries, 1 << 20).expect("readable") > 0 {}
    entries
}

/// Runs a command of `citywire journal` on the data directory `data`.
fn command(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_citywire"));
    command.arg("journal").args(arguments).current_dir(data.parent().expect("a directory"));
    command.env_remove("CITYWIRE_CONFIG").env("CITYWIRE_DATA_DIRECTORY", data).stdin(Stdio::null());
    command
}

fn run(data: &Path, arguments: &[&str]) -> Output {
    command(data, arguments).output().expect("run citywire")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

fn lines(output: &Output) -> Vec<Value> {
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// A journal of some segments, compressed.
fn compressed(directory: &TempDir) -> PathBuf {
    let data = directory.path().join("data");
    fill(options(&data), 40_000);
    compress(&options(&data), 1);
    data
}

#[test]
fn what_is_compressed_is_inspected_verified_and_told_when_it_is_damaged() {
    let directory = TempDir::new();
    let data = compressed(&directory);
    let inspection: Value = serde_json::from_slice(&run(&data, &["inspect", "--json"]).stdout).expect("JSON");
    for segment in inspection["segments"].as_array().expect("a list").iter().rev().skip(1) {
        let bytes = |name: &str| segment[name].as_u64().expect("a number");
        assert_eq!(segment["compressed"], true, "{segment}");
        assert!(bytes("uncompressed_bytes") > 3 * bytes("bytes"), "{segment}");
    }
    let shown = run(&data, &["inspect"]);
    assert!(text(&shown.stdout).contains(".segment.zst") && text(&shown.stdout).contains("RATIO"), "{shown:?}");
    let verified = run(&data, &["verify"]);
    assert_eq!((verified.status.code(), text(&verified.stderr)), (Some(0), ""));
    assert!(text(&verified.stdout).starts_with("sound: 40000 whole entries"), "{verified:?}");
    let file = data.join("journal/00000000000000000001.segment.zst");
    let mut bytes = std::fs::read(&file).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle..middle + 100].fill(0x55);
    std::fs::write(&file, bytes).expect("written");
    let verified = run(&data, &["verify"]);
    assert_eq!(verified.status.code(), Some(1));
    assert!(text(&verified.stdout).starts_with("damaged: "), "{verified:?}");
    assert!(text(&verified.stdout).contains("00000000000000000001.segment.zst"), "{verified:?}");
    let exported = run(&data, &["export"]);
    assert_eq!(exported.status.code(), Some(1), "not all could be exported");
    assert!(text(&exported.stderr).contains("not all could be read: entries "), "{exported:?}");
    assert!(lines(&exported).len() > 30_000, "the others are there");
}

#[test]
fn what_is_exported_is_imported_elsewhere_with_its_times() {
    let directory = TempDir::new();
    let data = directory.path().join("data");
    let not_utf8 = Message { topic: Bytes::from_static(b"city/\xff/up"), ..message(1) };
    let (journal, _) = Journal::open(options(&data)).expect("opens");
    (1..=2000).for_each(|number| append(&journal, message(number)));
    append(&journal, not_utf8);
    wait_until_blocking("all is on disk", || journal.last_sequence() == 2001);

    // Beside the running service.
    let exported = run(&data, &["export"]);
    assert_eq!((exported.status.code(), text(&exported.stderr)), (Some(0), ""));
    let all = lines(&exported);
    assert_eq!(all.len(), 2001);
    assert_eq!(all[0]["topic"], "city/north/water_meter/W-000001/up");
    assert_eq!(all[0]["received"], "2026-09-21T14:13:20.1Z");
    assert_eq!(all[2000]["topic_hex"], "636974792fff2f7570");
    let refused = run(&data, &["import", "-"]);
    assert_eq!(refused.status.code(), Some(1), "the service has the journal open");
    assert!(text(&refused.stderr).contains("another citywire has it open"), "{refused:?}");
    journal.close().expect("closes");

    let filtered = run(&data, &["export", "--topic", "city/+/+/W-000007/up"]);
    assert_eq!(
        lines(&filtered).iter().map(|line| line["sequence"].as_u64()).collect::<Vec<_>>(),
        [Some(7), Some(1007)]
    );
    let since = run(&data, &["export", "--since", "2026-09-21T14:13:21Z", "--until", "2026-09-21T14:13:22Z"]);
    assert_eq!(lines(&since).len(), 10);
    assert_eq!(lines(&run(&data, &["export", "--limit", "3"])).len(), 3);

    let file = directory.file("messages.jsonl", &exported.stdout);
    let other = directory.path().join("other");
    let imported = run(&other, &["import", file.to_str().expect("UTF-8")]);
    assert_eq!(imported.status.code(), Some(0), "{imported:?}");
    assert_eq!(read_all(&other.join("journal")), read_all(&data.join("journal")));
    let broken = directory.file("broken.jsonl", [&exported.stdout[..], b"{\"received\":\"never\"}\n"].concat());
    let imported = run(&other, &["import", broken.to_str().expect("UTF-8")]);
    assert_eq!(imported.status.code(), Some(1));
    let told = text(&imported.stderr);
    assert!(told.contains("the first 2001 lines are in the journal") && told.contains("line 2002"), "{told}");
    assert_eq!(read_all(&other.join("journal")).len(), 4002);
}

#[test]
fn whoever_reads_no_further_ends_an_export_quietly() {
    let directory = TempDir::new();
    let data = directory.path().join("data");
    fill(options(&data), 20_000);
    let mut child =
        command(&data, &["export"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    let mut some = [0; 100];
    child.stdout.take().expect("piped").read_exact(&mut some).expect("the first line");
    let output = child.wait_with_output().expect("ends");
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
}

#[test]
#[ignore = "a figure, not a promise of each machine: make start"]
fn seconds_until_ready_over_a_large_journal() {
    let entries: u64 = match std::env::var("CITYWIRE_START_ENTRIES") {
        Ok(entries) => entries.parse().expect("CITYWIRE_START_ENTRIES is a number"),
        Err(_) => 1_000_000,
    };
    let port = support::free_port();
    let mut citywire = Citywire::prepare(&format!("[broker.embedded]\nlisten = \"127.0.0.1:{port}\"\n"));
    let options =
        Options { segment_bytes: 64 << 20, compression: Compression::None, ..options(&citywire.data_directory()) };
    std::fs::create_dir_all(citywire.data_directory()).expect("create the data directory");
    let started = Instant::now();
    fill(options.clone(), entries);
    println!("{entries} entries written in {:.1} s", started.elapsed().as_secs_f64());
    for (form, compression) in [("plain", Compression::None), ("compressed", Compression::Zstd)] {
        let options = Options { compression, ..options.clone() };
        if compression == Compression::Zstd {
            // The newest closed segment stays until the consumers of the service have taken it.
            compress(&options, 2);
        }
        let bytes = inspect(&options.directory).expect("readable").bytes;
        for cache in ["warm", "warm", "cold"] {
            let is_cold = cache == "cold" && drop_caches();
            let started = Instant::now();
            citywire.resume();
            let seconds = started.elapsed().as_secs_f64();
            citywire.stop();
            let cache = if cache == "cold" && !is_cold { "not cold: that needs root" } else { cache };
            println!("{form}, {bytes} bytes, cache {cache}: ready after {seconds:.2} s");
        }
    }
}

/// Lets the kernel forget what it read; false when we may not.
fn drop_caches() -> bool {
    let synced = Command::new("sync").status();
    let dropped =
        File::options().write(true).open("/proc/sys/vm/drop_caches").and_then(|mut file| file.write_all(b"3\n"));
    synced.is_ok() && dropped.is_ok()
}
