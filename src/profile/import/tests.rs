//! Profiles made of devices in both kinds of folders.

use std::path::Path;

use super::*;
use crate::profile::library::{BUILT_IN_CLASSES, load_file};
use crate::test_directory::TestDirectory;

fn classes() -> Classes {
    Classes::load("classes.toml", BUILT_IN_CLASSES).expect("the built-in vocabulary")
}

const SCRIPT: &str = "function decodeUplink(input) {
  var b = input.bytes;
  switch (input.fPort) {
    case 1: return { data: { BatV: b[0] / 10, temperature: '' + b[1] / 2 + ' °C', 'Door open': b[2] === 1, count: b[2], state: 'On' } };
    case 2: return { data: { history: [{ timestamp: 1700000000 + b[0], temperature: b[1] / 2 }, { timestamp: 1700003600 + b[0], temperature: b[2] / 2 }] } };
    default: return { errors: ['unknown FPort'] };
  }
}";

/// A maker's folder of The Things Network's repository with one device.
fn the_things_network(examples: &str) -> TestDirectory {
    let directory = TestDirectory::new("import");
    let folder = directory.path().join("vendor/acme");
    std::fs::create_dir_all(&folder).unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join("vendor").join(name), text).unwrap();
    write("index.yaml", "vendors:\n  - id: acme\n    name: Acme & Sons\n");
    write("acme/index.yaml", "endDevices:\n  - th1 # the only one\n");
    write(
        "acme/th1.yaml",
        "name: TH1\nfirmwareVersions:\n  - version: '1.0'\n    profiles:\n      EU863-870:\n        id: eu\n        codec: th1-codec\n\
         productURL: https://acme.example/th1\n",
    );
    write("acme/th1-codec.yaml", &format!("uplinkDecoder:\n  fileName: th1.js\n  examples:\n{examples}"));
    write("acme/th1.js", SCRIPT);
    directory
}

const REPORT: &str = "    - description: report\n      input: { fPort: 1, bytes: [0x24, 43, 1] }\n      output:\n        data: \
                      { BatV: 3.6, temperature: 21.5 °C, Door open: true, count: 1, state: On }\n";
const HISTORY: &str = "    - description: history\n      input: { fPort: 2, bytes: [0, 40, 41] }\n      output:\n        data:\n          \
                       history: [{ timestamp: 1700000000, temperature: 20 }, { timestamp: 1700003600, temperature: 20.5 }]\n";
const REFUSED: &str = "    - description: another port\n      input: { fPort: 42, bytes: [1] }\n      output:\n        errors: [unknown FPort]\n";
const WRONG: &str = "    - description: outdated\n      input: { fPort: 1, bytes: [0x24, 43, 1] }\n      output:\n        data: { BatV: 3.7 }\n";

/// Imports the only device below a folder into a directory beside it, and loads what was made.
fn imported(folder: &Path, class: Option<&str>) -> Result<(Imported, Profile), ImportError> {
    let files = devices(folder).unwrap();
    let device = Device::read(&files[0]).unwrap();
    let out = folder.join("out");
    std::fs::create_dir_all(&out).unwrap();
    std::fs::write(out.join(device.script_name()), &device.script).unwrap();
    let imported = import(&device, class, &out, &classes())?;
    let file = out.join(format!("{}.toml", imported.id));
    std::fs::write(&file, &imported.source).unwrap();
    let profile = load_file(&file, &classes()).unwrap_or_else(|problems| panic!("{problems:?}\n{}", imported.source));
    Ok((imported, profile.into_iter().next().unwrap()))
}

#[test]
fn a_device_of_the_things_network_becomes_a_profile_with_its_examples() {
    let directory = the_things_network(&[REPORT, HISTORY, REFUSED, WRONG].concat());
    let (imported, profile) = imported(&directory.path().join("vendor/acme"), Some("environment")).unwrap();
    assert_eq!((imported.id.as_str(), imported.examples), ("acme-th1", (3, 4)));
    assert_eq!((profile.maker.as_str(), profile.model.as_str()), ("Acme & Sons", "TH1"));
    for expected in [
        "{ name = \"battery_v\", member = \"/BatV\", unit = \"V\" },",
        "{ name = \"temperature_c\", member = \"/temperature\", unit = \"Cel\" },",
        "{ name = \"door_open\", member = \"/Door open\", as = \"bool\", meaning = \"Door open as the codec gives it\" },",
        "{ repeat = \"records_1\", member = \"/history\", record = \"apart\" },",
        "{ name = \"time\", member = \"/timestamp\", time = \"unix\" },",
        "expect = { battery_v = 3.6, count = 1, door_open = true, state = \"On\", temperature_c = 21.5 }",
        "{ temperature_c = 20.5, time = \"2023-11-14T23:13:20Z\" }",
        "source = \"TheThingsNetwork/lorawan-devices: vendor/acme/th1-codec.yaml\"",
        "refused = \"codec\"",
    ] {
        assert!(imported.source.contains(expected), "{expected}\n{}", imported.source);
    }
    let decisions = imported.decisions.join("\n");
    for expected in
        ["\"outdated\" is left out: the codec gives other data", "count, door_open, state", "report_interval"]
    {
        assert!(decisions.contains(expected), "{expected}\n{decisions}");
        assert!(imported.source.contains(expected), "it stands in the file");
    }
}

#[test]
fn a_device_of_chirpstack_becomes_a_profile_with_its_examples() {
    let directory = TestDirectory::new("import");
    let folder = directory.path().join("acme");
    for sub in ["devices", "codecs"] {
        std::fs::create_dir_all(folder.join(sub)).unwrap();
    }
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    write("vendor.toml", "[vendor]\nname = \"Acme\"\n");
    write("devices/th1.toml", "[device]\nname = \"TH1\"\n[[device.firmware]]\nversion = \"1\"\ncodec = \"th1.js\"\n");
    write("codecs/th1.js", SCRIPT);
    // Hexadecimal numbers are no JSON, and found there all the same.
    write(
        "codecs/test_decode_th1.json",
        r#"[{ "name": "report", "input": { "fPort": 0x1, "bytes": [36, 43, 1] }, "expected": { "data":
            { "BatV": 3.6, "temperature": "21.5 °C", "Door open": true, "count": 1, "state": "On" } } }]"#,
    );
    let (imported, profile) = imported(&folder, None).unwrap();
    assert_eq!((imported.id.as_str(), imported.examples), ("acme-th1", (1, 1)));
    assert_eq!(profile.classes, ["environment"]);
    assert!(imported.decisions.iter().any(|decision| decision.contains("whether the class is `environment`")));
}

#[test]
fn what_cannot_be_imported_says_why() {
    let directory = the_things_network(WRONG);
    let none = imported(&directory.path().join("vendor/acme"), None).map(|(imported, _)| imported.id).unwrap_err();
    assert!(none.to_string().contains("th1.js gives data for none of its published examples"), "{none}");
    let folder = directory.path().join("vendor/acme");
    std::fs::write(folder.join("th1.js"), "function decodeUplink() {\n").unwrap();
    let broken = imported(&folder, None).map(|(imported, _)| imported.id).unwrap_err();
    assert!(broken.to_string().starts_with("th1.js, line"), "{broken}");
    // A file that another one names stays below its folder.
    std::fs::write(folder.join("th1-codec.yaml"), "uplinkDecoder:\n  fileName: ../../secret.js\n").unwrap();
    assert!(matches!(Device::read(&folder.join("th1.yaml")), Err(FolderError::NoCodec(_))));
    assert!(matches!(devices(directory.path()), Err(FolderError::Unknown(_))));
}
