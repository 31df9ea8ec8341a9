//! Devices as two collections of LoRaWAN codecs have them: The Things Network's lorawan-devices (`vendor/MAKER/MODEL.yaml`,
//! a codec's YAML with its examples, the script) and ChirpStack's device profiles (`vendors/MAKER/devices/MODEL.toml`, the
//! script and its tests in `codecs/`).

use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::Published;

/// How large any of the files may be.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// A device with its codec.
#[derive(Clone, Debug)]
pub struct Device {
    /// The file's name without its ending.
    pub id: String,
    /// The maker's folder.
    pub maker_id: String,
    pub maker: String,
    pub model: String,
    /// Where the maker tells of it.
    pub url: Option<String>,
    /// Where the examples come from.
    pub source: String,
    pub script_file: PathBuf,
    pub script: String,
    pub examples: Vec<Published>,
}

impl Device {
    /// The script's name beside the profile.
    pub fn script_name(&self) -> String {
        self.script_file.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// What the profile names as its document.
    pub(super) fn title(&self) -> String {
        format!("codec {} of {} {}", self.script_name(), self.maker, self.model)
    }
}

/// Why a device cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error("{} cannot be read: {error}", .path.display())]
    Unreadable { path: PathBuf, error: std::io::Error },
    #[error("{} has more than {FILE_BYTES_MAX} bytes", .0.display())]
    TooLarge(PathBuf),
    #[error("{} cannot be understood: {detail}", .path.display())]
    Wrong { path: PathBuf, detail: String },
    #[error(
        "{} is no device of The Things Network's lorawan-devices (vendor/MAKER, or a YAML file in it) nor of ChirpStack's \
         device profiles (vendors/MAKER, or a TOML file in its folder devices)",
        .0.display()
    )]
    Unknown(PathBuf),
    #[error("{} has no codec: no script decodes its uplinks", .0.display())]
    NoCodec(PathBuf),
}

/// The device files that a path stands for: itself, or those of a maker's folder.
///
/// # Errors
/// When it is none, or cannot be read.
pub fn devices(path: &Path) -> Result<Vec<PathBuf>, FolderError> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let index = path.join("index.yaml");
    let mut files: Vec<PathBuf> = match index.is_file() {
        true => {
            let index: MakerIndex = yaml(&index)?;
            index.devices.into_iter().filter(|id| is_plain(Path::new(id))).map(|id| path.join(id + ".yaml")).collect()
        }
        false => {
            let folder = path.join("devices");
            let entries = std::fs::read_dir(&folder).map_err(|_| FolderError::Unknown(path.to_owned()))?;
            let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
            files.filter(|file| file.extension().is_some_and(|extension| extension == "toml")).collect()
        }
    };
    files.sort();
    Ok(files)
}

impl Device {
    /// Reads a device from its file, with its codec and examples.
    ///
    /// # Errors
    /// When a file is missing, cannot be understood, or names no codec.
    pub fn read(file: &Path) -> Result<Device, FolderError> {
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("yaml" | "yml") => the_things_network(file),
            Some("toml") => chirpstack(file),
            _ => Err(FolderError::Unknown(file.to_owned())),
        }
    }
}

#[derive(Deserialize)]
struct MakerIndex {
    #[serde(rename = "endDevices")]
    devices: Vec<String>,
}

#[derive(Deserialize)]
struct Makers {
    vendors: Vec<Maker>,
}

#[derive(Deserialize)]
struct Maker {
    id: String,
    name: String,
}

fn the_things_network(file: &Path) -> Result<Device, FolderError> {
    let device: Json = yaml(file)?;
    let folder = file.parent().unwrap_or(Path::new(""));
    let (codec_file, codec) = match device.get("uplinkDecoder") {
        Some(_) => (file.to_owned(), device.clone()),
        None => {
            let id = codec_id(&device).filter(|id| is_plain(Path::new(id)));
            let path = folder.join(id.ok_or_else(|| FolderError::NoCodec(file.to_owned()))?.to_owned() + ".yaml");
            (path.clone(), yaml(&path)?)
        }
    };
    let decoder = &codec["uplinkDecoder"];
    let script = decoder["fileName"].as_str().filter(|name| is_plain(Path::new(name)));
    let script_file = folder.join(script.ok_or_else(|| FolderError::NoCodec(file.to_owned()))?);
    let examples = decoder["examples"].as_array().map(Vec::as_slice).unwrap_or_default();
    let id = stem(file).trim_end_matches("-codec").to_owned();
    let maker_id = name_of(folder);
    // The makers' names stand beside their folders; without that file, the folder's name has to do.
    let makers: Option<Makers> = folder.parent().and_then(|vendor| yaml(&vendor.join("index.yaml")).ok());
    let maker = makers.and_then(|makers| makers.vendors.into_iter().find(|maker| maker.id == maker_id));
    let text = |key: &str| device[key].as_str().map(str::to_owned);
    Ok(Device {
        maker: maker.map_or_else(|| maker_id.clone(), |maker| maker.name),
        model: text("name").unwrap_or_else(|| id.clone()),
        url: text("productURL").or(text("dataSheetURL")),
        source: format!("TheThingsNetwork/lorawan-devices: vendor/{maker_id}/{}", name_of(&codec_file)),
        script: read(&script_file)?,
        examples: examples
            .iter()
            .enumerate()
            .filter_map(|example| published(example, "description", "output"))
            .collect(),
        id,
        maker_id,
        script_file,
    })
}

/// The codec that the newest firmware names for any region.
fn codec_id(device: &Json) -> Option<&str> {
    let firmware = device["firmwareVersions"].as_array()?;
    let of_regions = firmware.iter().rev().filter_map(|firmware| firmware["profiles"].as_object());
    of_regions.flat_map(|regions| regions.values()).find_map(|region| region["codec"].as_str())
}

fn chirpstack(file: &Path) -> Result<Device, FolderError> {
    let wrong = |error: toml::de::Error| FolderError::Wrong { path: file.to_owned(), detail: error.to_string() };
    let document: toml::Table = toml::from_str(&read(file)?).map_err(wrong)?;
    let device = document.get("device").ok_or_else(|| FolderError::Unknown(file.to_owned()))?;
    let text = |value: &toml::Value, key: &str| value.get(key).and_then(|value| value.as_str()).map(str::to_owned);
    let firmware = device.get("firmware").and_then(|firmware| firmware.as_array());
    let script = firmware.and_then(|all| all.iter().rev().find_map(|firmware| text(firmware, "codec")));
    let script =
        script.filter(|name| is_plain(Path::new(name))).ok_or_else(|| FolderError::NoCodec(file.to_owned()))?;
    let folder = file.parent().and_then(Path::parent).unwrap_or(Path::new(""));
    let maker_id = name_of(folder);
    let tests_file = folder.join("codecs").join(format!("test_decode_{}.json", stem(Path::new(&script))));
    // Many scripts have no tests, which then are to be told apart from tests that cannot be read.
    let tests: Vec<Json> = if tests_file.exists() { yaml(&tests_file)? } else { Vec::new() };
    let vendor = read(&folder.join("vendor.toml")).ok().and_then(|text| toml::from_str::<toml::Table>(&text).ok());
    let maker = vendor.and_then(|vendor| text(vendor.get("vendor")?, "name"));
    let id = stem(file);
    let script_file = folder.join("codecs").join(&script);
    Ok(Device {
        maker: maker.unwrap_or_else(|| maker_id.clone()),
        model: text(device, "name").unwrap_or_else(|| id.clone()),
        url: device.get("metadata").and_then(|metadata| text(metadata, "product_url")),
        source: format!("ChirpStack device profiles: vendors/{maker_id}/codecs/{}", name_of(&tests_file)),
        script: read(&script_file)?,
        examples: tests.iter().enumerate().filter_map(|test| published(test, "name", "expected")).collect(),
        id,
        maker_id,
        script_file,
    })
}

/// An example, if it is one of a payload and says what becomes of it.
fn published((index, example): (usize, &Json), name: &str, output: &str) -> Option<Published> {
    let (input, output) = (&example["input"], &example[output]);
    let bytes: Option<Vec<u8>> = input["bytes"].as_array()?.iter().map(byte).collect();
    let data = output.get("data").filter(|data| !data.is_null());
    let is_refused = output["errors"].as_array().is_some_and(|errors| !errors.is_empty());
    Some(Published {
        name: example[name].as_str().map_or_else(|| format!("example {}", index + 1), str::to_owned),
        port: input["fPort"].as_u64().and_then(|port| u8::try_from(port).ok()),
        bytes: bytes?,
        data: match (data, is_refused) {
            (Some(data), _) => Some(data.clone()),
            (None, true) => None,
            (None, false) => return None,
        },
    })
}

/// A byte as examples write it: a number, or its two hexadecimal digits.
fn byte(value: &Json) -> Option<u8> {
    match value {
        Json::String(digits) => u8::from_str_radix(digits.trim_start_matches("0x"), 16).ok(),
        value => value.as_u64().and_then(|byte| u8::try_from(byte).ok()),
    }
}

/// YAML, of which JSON is a part; so are the hexadecimal numbers that some of the JSON has.
fn yaml<T: DeserializeOwned>(path: &Path) -> Result<T, FolderError> {
    let text = read(path)?;
    let wrong = |detail: String| FolderError::Wrong { path: path.to_owned(), detail };
    match serde_json::from_str(&text) {
        Ok(value) => Ok(value),
        Err(_) => {
            // As YAML 1.2 has it: `On`, `Off` and `NO` are texts.
            let options = serde_saphyr::options! { strict_booleans: true };
            serde_saphyr::from_str_with_options(&text, options).map_err(|error| wrong(error.to_string()))
        }
    }
}

fn read(path: &Path) -> Result<String, FolderError> {
    let unreadable = |error| FolderError::Unreadable { path: path.to_owned(), error };
    if std::fs::metadata(path).map_err(unreadable)?.len() > FILE_BYTES_MAX {
        return Err(FolderError::TooLarge(path.to_owned()));
    }
    std::fs::read_to_string(path).map_err(unreadable)
}

/// Whether a name that a file gives stays below the folder.
fn is_plain(path: &Path) -> bool {
    path.components().all(|part| matches!(part, Component::Normal(_)))
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
