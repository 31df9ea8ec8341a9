//! The pictures of the documentation: `make screenshots`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::palette::with_palette;
use super::support::browser::Browser;
use super::town::Town;

/// How long the town speaks before it is photographed: the curve of the last two minutes is filled.
const SPEAKING: Duration = Duration::from_secs(40);
/// A page is cut below this.
const HEIGHT_MAX: u32 = 1_600;
/// What a picture may take in the repository.
const BYTES_MAX: usize = 200 * 1024;

struct Picture {
    name: &'static str,
    path: String,
    width: u32,
    language: &'static str,
    dark: bool,
}

const DESK: u32 = 1280;
const PHONE: u32 = 390;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it writes docs/screenshots, and takes some minutes: make screenshots"]
async fn pictures_of_every_page_of_a_town() {
    let mut town = Town::start(170, 1_500).await;
    let browser = Browser::start().await;
    let until = Instant::now() + SPEAKING;
    while Instant::now() < until {
        let second = Instant::now();
        town.say(fastrand::usize(8..22)).await;
        tokio::time::sleep(Duration::from_secs(1).saturating_sub(second.elapsed())).await;
    }
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/screenshots");
    std::fs::create_dir_all(&directory).expect("make the directory");
    for picture in pictures(&town) {
        town.say(12).await;
        let Picture { name, path, width, language, dark } = picture;
        browser.be(width, 900, language, dark).await;
        browser.open(&format!("http://127.0.0.1:{}{path}", town.citywire.http_port())).await;
        let height = browser.run("return document.documentElement.scrollHeight;").await;
        let height = height.as_u64().expect("a height").min(HEIGHT_MAX.into());
        let taken = with_palette(&browser.picture(width, height as u32).await);
        eprintln!("{name}.png: {width} x {height}, {} KiB", taken.len() / 1024);
        assert!(taken.len() <= BYTES_MAX, "{name} is too large");
        std::fs::write(directory.join(format!("{name}.png")), taken).expect("write the picture");
        assert_eq!(browser.console().await, Vec::<String>::new(), "{name}");
    }
}

fn pictures(town: &Town) -> Vec<Picture> {
    let page = |name, path: &str| Picture { name, path: path.to_owned(), width: DESK, language: "en", dark: false };
    let device = format!("/devices/{}", town.device_in_alarm("water_meter"));
    let elevator = format!("/devices/{}", town.device_in_alarm("elevator"));
    vec![
        page("overview", "/"),
        Picture { dark: true, ..page("overview-dark", "/") },
        Picture { language: "zh-CN", ..page("overview-chinese", "/") },
        Picture { width: PHONE, ..page("overview-phone", "/") },
        Picture { width: PHONE, language: "zh-CN", dark: true, ..page("overview-phone-chinese-dark", "/") },
        page("devices", "/devices"),
        Picture { width: PHONE, ..page("devices-phone", "/devices") },
        page("device", &device),
        Picture { language: "zh-CN", dark: true, ..page("device-chinese-dark", &elevator) },
        Picture { width: PHONE, ..page("device-phone", &device) },
        page("map", "/map"),
        Picture { width: PHONE, dark: true, ..page("map-phone-dark", "/map") },
        page("refused", "/refused"),
        page("replay", "/refused/replay?stage=registry&reason=quarantined"),
        page("journal", "/journal"),
        page("profiles", "/profiles"),
        page("profile", "/profiles/cjt188"),
    ]
}
