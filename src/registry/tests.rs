//! Registries as text: what is found in them, and what each mistake says.

use std::path::Path;

use super::*;
use crate::problem::{Problem, render};

const PROFILES: [&str; 2] = ["cjt188", "foxcodenine-nb-parking"];

fn parse(text: impl AsRef<[u8]>) -> Result<Registry, Vec<Problem>> {
    Registry::parse(Path::new("devices.csv"), text.as_ref(), Some(&PROFILES))
}

fn registry(text: &str) -> Registry {
    parse(text).unwrap_or_else(|problems| panic!("{}", render(&problems, false)))
}

/// What is known of a device: profile, tags and coordinates.
fn shown(registry: &Registry, device: &str) -> Option<String> {
    let device = registry.find(device)?;
    let tags: Vec<String> = device.tags().map(|(name, value)| format!("{name}={value}")).collect();
    let place = device.coordinates().map_or("-".into(), |at| format!("{} {}", at.latitude, at.longitude));
    Some(format!("{} [{}] {place}", device.profile().unwrap_or("-"), tags.join(" ")))
}

#[test]
fn a_device_is_found_with_all_that_its_line_says() {
    let registry = registry(
        "device,profile,pilot,district,latitude,longitude\n\
         W-1,cjt188,harbour,north,53.5413,9.9841\n\
         \n\
         P-17, foxcodenine-nb-parking , harbour,,,\n\
         \"a, b\",,\"the \"\"old\"\" town\",,-90,180\n",
    );
    let f = |device, expected| assert_eq!(shown(&registry, device).as_deref(), expected, "{device}");
    f("W-1", Some("cjt188 [pilot=harbour district=north] 53.5413 9.9841"));
    f("P-17", Some("foxcodenine-nb-parking [pilot=harbour] -"));
    f("a, b", Some("- [pilot=the \"old\" town] -90 180"));
    f("W-2", None);
    f("", None);
    assert_eq!(registry.len(), 3);
    assert_eq!(registry.iter().map(|device| device.device()).collect::<Vec<_>>(), ["W-1", "P-17", "a, b"]);
}

#[test]
fn a_registry_is_read_as_spreadsheets_save_it() {
    for text in [
        "# saved by hand;\ndevice,profile,site\nW-1,cjt188,quay\n",
        "device;profile;site\nW-1;cjt188;quay\n",
        "device\tprofile\tsite\nW-1\tcjt188\tquay\n",
        "\u{feff}device,profile,site\r\nW-1,cjt188,quay\r\n",
        "device,profile,site\nW-1,cjt188,quay",
        "device,profile,site\nW-1,cjt188,quay\n,,\n,,\n",
    ] {
        assert_eq!(shown(&registry(text), "W-1").as_deref(), Some("cjt188 [site=quay] -"), "{text}");
    }
    assert_eq!(shown(&registry("device\n水表-1\n"), "水表-1").as_deref(), Some("- [] -"));
}

#[test]
fn each_of_many_devices_is_found() {
    let mut text = String::from("device,pilot\n");
    for number in 0..20_000 {
        text.push_str(&format!("D-{number},{}\n", number % 7));
    }
    let registry = registry(&text);
    assert_eq!(registry.len(), 20_000);
    for number in 0..20_000 {
        let device = registry.find(&format!("D-{number}")).expect("a listed device");
        assert_eq!(device.tags().collect::<Vec<_>>(), [("pilot", (number % 7).to_string().as_str())]);
    }
    assert!(registry.find("D-20000").is_none());
}

#[test]
fn devices_that_are_not_listed_are_accepted_set_aside_or_refused() {
    let mut registry = registry("device\nW-1\n");
    let mut f = |unknown, expected: Result<(), &str>| {
        registry.unknown = unknown;
        assert!(registry.admit("W-1").unwrap().is_some());
        let admitted = registry.admit("W-2").map(|found| assert!(found.is_none()));
        assert_eq!(admitted.map_err(|error| error.reason), expected);
    };
    f(Unknown::Accept, Ok(()));
    f(Unknown::Quarantine, Err("quarantined"));
    f(Unknown::Refuse, Err("unregistered"));
    let sentence = registry.admit("W-2").unwrap_err().to_string();
    assert_eq!(
        sentence,
        "the registry does not list the device `W-2`, and unknown devices are refused (registry.unknown); add it to the \
         registry's file if it is one of yours"
    );
    assert!(Registry::accepting_all().admit("W-2").unwrap().is_none());
}

#[test]
fn every_mistake_is_told_with_its_line() {
    let mistakes = parse(
        "device,profile,latitude,longitude,pilot\n\
         W-1,cjt188,53.5,9.9,harbour\n\
         W-2,cjt18,53.5,9.9,harbour\n\
         W-1,cjt188,53.5,9.9,harbour\n\
         ,cjt188,53.5,9.9,harbour\n\
         W-3,cjt188,95,east,harbour\n\
         W-4,cjt188,53.5,9.9\n\
         W-5,cjt188,53.5,9.9,\"har\tbour\"\n\
         W-6,cjt188,53.5,,\n",
    );
    let expected = "\
error: there is no profile `cjt18`
 --> devices.csv:3:5
  |
3 | W-2,cjt18,53.5,9.9,harbour
  |     ^^^^^
  = help: did you mean `cjt188`?

error: the device `W-1` is listed already, in line 2
 --> devices.csv:4:1
  |
4 | W-1,cjt188,53.5,9.9,harbour
  | ^^^
  = help: remove one of the two lines

error: `` cannot be a device: it is empty
 --> devices.csv:5:1
  |
5 | ,cjt188,53.5,9.9,harbour
  | ^

error: `95` is no number of degrees from -90 to 90
 --> devices.csv:6:12
  |
6 | W-3,cjt188,95,east,harbour
  |            ^^

error: `east` is no number of degrees from -180 to 180
 --> devices.csv:6:15
  |
6 | W-3,cjt188,95,east,harbour
  |               ^^^^

error: the line has 4 cells, and there are 5 columns
 --> devices.csv:7:1
  |
7 | W-4,cjt188,53.5,9.9
  | ^^^^^^^^^^^^^^^^^^^
  = help: a `,` within a cell needs quotes around the cell

error: a tag has at most 256 characters, and no line break or other control
 --> devices.csv:8:1
  |
8 | W-5,cjt188,53.5,9.9,\"har    bour\"
  | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

error: the place has only one of latitude and longitude
 --> devices.csv:9:1
  |
9 | W-6,cjt188,53.5,,
  | ^^^^^^^^^^^^^^^^^
";
    assert_eq!(render(&mistakes.unwrap_err(), false), expected);
}

#[test]
fn mistakes_of_the_first_line_are_told() {
    let f = |text: &[u8], expected: &[&str]| {
        let problems = parse(text).unwrap_err();
        let messages: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
        assert_eq!(messages, expected);
    };
    f(b"", &["the registry is empty"]);
    f(b"\n\n", &["the registry is empty"]);
    f(b"W-1,cjt188\n", &["there is no column `device`"]);
    f(b"device,device\n", &["there are two columns `device`"]);
    f(b"device,lat,lon\n", &["the column `lat` resembles `latitude`", "the column `lon` resembles `longitude`"]);
    f(
        b"devise,latitude\n",
        &[
            "the column `devise` resembles `device`",
            "there is no column `device`",
            "`latitude` and `longitude` need each other",
        ],
    );
    f(
        b"device,time,_x,\n",
        &[
            "`time` cannot be a tag: it has a meaning of its own",
            "the tag `_x` begins with `_`, which databases keep to themselves",
            "a tag has no name",
        ],
    );
    f(b"device\nW\xc3\n", &["line 2 is not UTF-8"]);
    f(b"# of the city\n\n# of today\n", &["the registry is empty"]);
    f(b"device,alias\n", &["the column `alias` resembles `aliases`"]);
}

#[test]
fn a_file_that_is_no_csv_in_utf_8_says_how_to_save_it() {
    let f = |content: &[u8], message: &str| {
        let problems = parse(content).unwrap_err();
        assert_eq!(problems.iter().map(|problem| problem.message.as_str()).collect::<Vec<_>>(), [message]);
        assert!(problems[0].help.as_ref().unwrap().starts_with("save the spreadsheet as \"CSV UTF-8\""));
    };
    // "device,site\nW-1,人民广场" in GB18030.
    f(b"device,site\nW-1,\xc8\xcb\xc3\xf1\xb9\xe3\xb3\xa1\n", "line 2 is not UTF-8");
    f(b"\xff\xfed\0e\0v\0i\0c\0e\0\n\0", "this is UTF-16, not UTF-8");
    f(b"PK\x03\x04\x14\0\x06\0", "this is a workbook, not CSV");
    f(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "this is a workbook, not CSV");
}

#[test]
fn lines_that_begin_with_a_number_sign_are_comments() {
    let text = "# the pilot at the harbour\n#;;\n\ndevice,pilot\n# its first\nW-1,a\n#W-2,b\n\"#3\",c\n# its last";
    let registry = registry(text);
    assert_eq!(registry.iter().map(|device| device.device()).collect::<Vec<_>>(), ["W-1", "#3"]);
    let problems = parse("device,profile\n# a comment\n\n# and another\nW-1,cjt18\n").unwrap_err();
    assert!(render(&problems, false).contains("--> devices.csv:5:5\n"), "{}", render(&problems, false));
}

#[test]
fn a_device_is_found_by_each_of_its_identities() {
    let registry = registry(
        "aliases,device,profile,pilot\n\
         866123456789012 4a1f;00000012345678,W-1,cjt188,a\n\
         ,W-2,,b\n\
         \" 水表-3；W-3 866123456789013;866123456789013\",W-3,,c\n",
    );
    for identity in ["W-1", "866123456789012", "4a1f", "00000012345678"] {
        assert_eq!(shown(&registry, identity).as_deref(), Some("cjt188 [pilot=a] -"), "{identity}");
        assert_eq!(registry.find(identity).unwrap().device(), "W-1");
    }
    let aliases = |device| registry.find(device).unwrap().aliases().collect::<Vec<_>>();
    assert_eq!(aliases("W-1"), ["866123456789012", "4a1f", "00000012345678"]);
    assert_eq!(aliases("W-2"), [""; 0]);
    assert_eq!(aliases("水表-3"), ["水表-3", "866123456789013"]);
    assert_eq!(registry.find("水表-3").unwrap().device(), "W-3");
    assert_eq!((registry.len(), registry.has_aliases()), (3, true));
    assert!(registry.find("866123456789014").is_none());
}

#[test]
fn each_identity_of_many_devices_is_found() {
    let mut text = String::from("device,aliases\n");
    (0..5_000).for_each(|number| text.push_str(&format!("D-{number},A-{number} B-{number} C-{number}\n")));
    let registry = registry(&text);
    for number in 0..5_000 {
        for kind in ["A", "B", "C", "D"] {
            assert_eq!(registry.find(&format!("{kind}-{number}")).unwrap().device(), format!("D-{number}"));
        }
    }
    assert!(registry.find("A-5000").is_none());
}

#[test]
fn an_identity_is_of_one_device() {
    let f = |text: &str, expected: &str| {
        let problems = parse(text).unwrap_err();
        let told: Vec<String> = problems.iter().map(Problem::one_line).collect();
        assert_eq!(told, [format!("devices.csv:{expected}")]);
    };
    let help = "; an identity is of one device: remove one of the two";
    f("device,aliases\nA,x y\nB,z y\n", &format!("3:3: `y` is an alias of the device `A` already, in line 2{help}"));
    f("device,aliases\nA,x\nB,A\n", &format!("3:3: the alias `A` is a device itself, in line 2{help}"));
    f("device,aliases\nA,B\nB,\n", &format!("3:1: `B` is an alias of the device `A` already, in line 2{help}"));
    let many = (0..17).map(|number| format!("a{number}")).collect::<Vec<_>>().join(";");
    f(&format!("device,aliases\nA,{many}\n"), "2:3: a device has at most 16 aliases");
}

#[test]
fn an_identity_that_a_spreadsheet_has_spoilt_is_told() {
    let f = |cell: &str, expected: Option<&str>| {
        for text in [format!("device,site\n{cell},x\n"), format!("device,aliases\nW-1,{cell}\n")] {
            let found = parse(&text).err().map(|problems| problems[0].message.clone());
            match expected {
                Some(expected) => assert!(found.as_ref().is_some_and(|m| m.contains(expected)), "{cell}: {found:?}"),
                None => assert_eq!(found, None, "{cell}"),
            }
        }
    };
    f("8.66123E+14", Some("`8.66123E+14` is a number that a spreadsheet has shortened; its last digits are lost"));
    f("8E+14", Some("shortened"));
    f("\"8,66E+14\"", Some("shortened"));
    f("866123456789012.0", Some("some program has taken for a number"));
    f("=\"866123456789012\"", Some("a spreadsheet's mark for text"));
    f("'866123456789012", Some("a spreadsheet's mark for text"));
    f("86612\u{200b}3456789012", Some("an invisible character, U+200B"));
    // These are identities that somebody may have.
    ["4E14", "8E+", "E+14", "12E+3", "866123456789012", "v1.0", "0004A30B001C0530"]
        .into_iter()
        .for_each(|cell| f(cell, None));
}

#[test]
fn a_place_that_cannot_be_is_told() {
    let f = |cells: &str, expected: &str| {
        let problems = parse(format!("device,latitude,longitude\nW-1,{cells}\n")).unwrap_err();
        let shown = render(&problems, false);
        assert!(shown.contains(expected) && problems.len() == 1, "{cells}: {shown}");
    };
    f("121.4737,31.2304", "`121.4737` is no latitude: latitude and longitude are the wrong way round");
    f("0,0", "latitude 0, longitude 0 is in the Atlantic Ocean");
    f("0.0,-0", "in the Atlantic Ocean");
    f("31°14'N,121.4737", "write degrees with a fraction, as in 31.2304");
    f("\"31,2304\",121.4737", "write a decimal point, not a comma");
    f("NaN,121.4737", "`NaN` is no number of degrees from -90 to 90");
}

#[test]
fn a_file_of_nothing_but_mistakes_is_refused_at_once() {
    // Each of these lines repeats an identity; looking for the line of the first takes as long as the file is.
    let text = format!("device,aliases\n{}", "W-1,x\n".repeat(20_000));
    let problems = parse(text).unwrap_err();
    assert_eq!((problems.len(), problems[50].message.starts_with("39948 further")), (51, true));
    // As is another file that is all one line.
    let problems = parse("a,".repeat(500_000)).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].message, "the first line has 500001 columns: this is no registry");
}

#[test]
fn a_column_that_is_wrong_throughout_does_not_fill_the_screen() {
    let text = format!("device,profile\n{}", (0..1_000).map(|n| format!("D-{n},x\n")).collect::<String>());
    let problems = parse(text).unwrap_err();
    assert_eq!(problems.len(), 51);
    assert_eq!(problems[50].message, "950 further mistakes of this file are not shown");
}

#[test]
fn a_devices_time_zone_is_a_tag_that_has_to_be_one() {
    let registry = registry("device,time_zone,pilot\nA,+08:00,x\nB,Europe/Berlin,x\nC,,x\n");
    let f = |device, expected: Option<i64>| {
        let noon = jiff::civil::date(2024, 1, 1).at(12, 0, 0, 0);
        let zone = registry.find(device).and_then(|device| device.zone());
        assert_eq!(zone.map(|zone| zone.to_timestamp(noon).unwrap().as_second()), expected, "{device}");
    };
    f("A", Some(1_704_081_600));
    f("B", Some(1_704_106_800));
    f("C", None);
    let problems = parse("device,time_zone\nA,Mars/Olympus\n").unwrap_err();
    assert!(render(&problems, false).contains("`Mars/Olympus` is no time zone"), "{}", render(&problems, false));
}

#[test]
fn all_identities_of_a_device_are_told_whichever_is_asked_for() {
    let registry = registry("device,aliases\nW-1,4a1f 866123456789012\nW-2,\n");
    let f = |asked: &str, others: &[&str]| {
        let identities = registry.identities(asked);
        let all: Vec<&str> = std::iter::once(asked).chain(others.iter().copied()).collect();
        assert_eq!(
            (identities.asked(), identities.all()),
            (asked, &all.iter().map(|id| id.to_string()).collect::<Vec<_>>()[..])
        );
        assert!(all.iter().all(|identity| identities.has(identity)) && !identities.has("W-9"));
    };
    f("W-1", &["4a1f", "866123456789012"]);
    f("4a1f", &["W-1", "866123456789012"]);
    f("866123456789012", &["W-1", "4a1f"]);
    f("W-2", &[]);
    f("not listed", &[]);
}
