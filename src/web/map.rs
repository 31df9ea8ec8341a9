//! `/map`: the devices where they stand, drawn from their coordinates alone: no map of somebody else is needed, and none
//! is asked.
//!
//! The projection is equirectangular, with degrees of longitude as short as they are at the middle of what is shown:
//! right enough for a city. Devices that stand close together are one sign with their number, which leads nearer. All
//! that the drawing shows, the list beside it says; the drawing is for the eye and the pointer only.

use std::collections::BTreeMap;
use std::sync::Arc;

use maud::{Markup, html};

use super::asked::Asked;
use super::chart::round_step;
use super::page::{Content, Tab};
use super::parts::{self, Mark};
use super::query::{DevicesQuery, percent_encoded};
use super::text::Text;
use super::{devices, format};
use crate::fleet::{DeviceView, Fleet, Listed, Liveness, Query, Snapshot, Value};
use crate::registry::Coordinates;
use crate::registry::Registry;

/// The drawing's own units.
const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 560.0;
/// Room for the numbers at the lines.
const MARGIN: f64 = 34.0;
/// Devices in one square of this size are one sign.
const CELL: f64 = 30.0;
/// Devices that are drawn; who has more chooses a class or a state.
const DEVICES_MAX: usize = 20_000;
/// Places that are listed.
const LISTED_MAX: usize = 200;
/// Names that a place tells.
const NAMES_MAX: usize = 5;
/// Degrees that are shown at least: some fifty metres.
const EXTENT_MIN: f64 = 0.000_5;
/// Metres in a degree of latitude.
const METRES_A_DEGREE: f64 = 111_320.0;

/// The part of the world that is shown, in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Area {
    south: f64,
    west: f64,
    north: f64,
    east: f64,
}

impl Area {
    /// The parameter `area`, as a link of this page gives it: south, west, north, east.
    fn of(text: &str) -> Option<Area> {
        let numbers: Vec<f64> = text.split(',').map(|number| number.trim().parse().ok()).collect::<Option<_>>()?;
        let [south, west, north, east] = numbers[..] else { return None };
        let is_valid =
            (-90.0..=90.0).contains(&south) && north <= 90.0 && (-180.0..=180.0).contains(&west) && east <= 180.0;
        (is_valid && south < north && west < east).then_some(Area { south, west, north, east })
    }

    /// What holds all of these, with some room around.
    fn around(places: impl IntoIterator<Item = Coordinates>) -> Option<Area> {
        let mut places = places.into_iter();
        let first = places.next()?;
        let mut area =
            Area { south: first.latitude, west: first.longitude, north: first.latitude, east: first.longitude };
        for place in places {
            area.south = area.south.min(place.latitude);
            area.north = area.north.max(place.latitude);
            area.west = area.west.min(place.longitude);
            area.east = area.east.max(place.longitude);
        }
        let grow = |low: &mut f64, high: &mut f64, limit: f64| {
            let room = ((*high - *low) * 0.05).max((EXTENT_MIN - (*high - *low)) / 2.0);
            (*low, *high) = ((*low - room).max(-limit), (*high + room).min(limit));
        };
        grow(&mut area.south, &mut area.north, 90.0);
        grow(&mut area.west, &mut area.east, 180.0);
        Some(area)
    }

    fn contains(&self, place: Coordinates) -> bool {
        (self.south..=self.north).contains(&place.latitude) && (self.west..=self.east).contains(&place.longitude)
    }
}

/// Degrees to places in the drawing: the area in the middle, as large as fits, as high as wide where it stands.
struct Projection {
    area: Area,
    /// Units of the drawing for a degree of latitude, and for one of longitude.
    scale: f64,
    scale_x: f64,
}

impl Projection {
    fn of(area: Area) -> Projection {
        let middle = (area.south + area.north) / 2.0;
        let narrowing = middle.to_radians().cos().max(0.01);
        let wide = (WIDTH - 2.0 * MARGIN) / ((area.east - area.west) * narrowing);
        let high = (HEIGHT - 2.0 * MARGIN) / (area.north - area.south);
        let scale = wide.min(high);
        Projection { area, scale, scale_x: scale * narrowing }
    }

    fn x(&self, longitude: f64) -> f64 {
        WIDTH / 2.0 + (longitude - (self.area.west + self.area.east) / 2.0) * self.scale_x
    }

    fn y(&self, latitude: f64) -> f64 {
        HEIGHT / 2.0 - (latitude - (self.area.south + self.area.north) / 2.0) * self.scale
    }
}

/// Devices that are one sign.
#[derive(Debug, Default)]
struct Cluster {
    devices: usize,
    latitudes: f64,
    longitudes: f64,
    area: Option<Area>,
    worst: Look,
    /// The first names.
    names: Vec<Arc<str>>,
}

/// How a device, or the worst of several, does; the last is the worst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Look {
    #[default]
    Well,
    Late,
    NeverHeard,
    Trouble,
    Silent,
    Alarm,
}

impl Look {
    fn of(device: &DeviceView) -> Look {
        match device.liveness {
            _ if !device.alarms.is_empty() => Look::Alarm,
            Liveness::NeverHeard => Look::NeverHeard,
            Liveness::Silent => Look::Silent,
            _ if !device.conditions.is_empty() => Look::Trouble,
            Liveness::Late => Look::Late,
            Liveness::Online => Look::Well,
        }
    }

    const fn mark(self) -> Mark {
        match self {
            Look::Well => Mark::Good,
            Look::Late | Look::NeverHeard => Mark::Quiet,
            Look::Trouble | Look::Silent => Mark::Warning,
            Look::Alarm => Mark::Bad,
        }
    }

    const fn word(self, text: &Text) -> &'static str {
        match self {
            Look::Well => text.state_ok,
            Look::Late => text.late,
            Look::NeverHeard => text.never_heard,
            Look::Trouble => text.condition,
            Look::Silent => text.silent,
            Look::Alarm => text.state_alarm,
        }
    }
}

/// A device where it stands.
struct Placed {
    name: Arc<str>,
    position: Coordinates,
    look: Look,
}

/// What is on the map.
pub(super) struct Places {
    placed: Vec<Placed>,
    /// Devices that the query matches, wherever they are.
    total: usize,
}

/// The devices that are asked for, as many as are drawn.
pub(super) fn query(query: &DevicesQuery) -> Query {
    Query { page: 1, page_size: DEVICES_MAX, ..query.for_fleet() }
}

/// Those besides that were never heard, as far as there is room for them.
pub(super) fn unheard(fleet: &Fleet, asked: &DevicesQuery, snapshot: &Snapshot) -> Listed {
    let page_size = DEVICES_MAX.saturating_sub(snapshot.devices.len());
    match query(asked) {
        // They are the snapshot.
        query if query.asks_for_unheard() => Listed::default(),
        query => fleet.unheard(&Query { page_size, ..query }, |_| true),
    }
}

impl Places {
    /// Where the registry says that devices stand, or else they themselves.
    pub(super) fn of(snapshot: &Snapshot, unheard: &Listed, registry: &Registry) -> Places {
        let place = |device: &DeviceView| {
            let position = registry.find(&device.name).and_then(|registered| registered.coordinates());
            let position = position.or_else(|| own_position(device))?;
            Some(Placed { name: device.name.as_str().into(), position, look: Look::of(device) })
        };
        Places {
            placed: snapshot.devices.iter().chain(&unheard.devices).filter_map(place).collect(),
            total: snapshot.matching + unheard.matching,
        }
    }
}

/// Where the device itself says that it is.
fn own_position(device: &DeviceView) -> Option<Coordinates> {
    let number = |name: &str| {
        let field = device.reading.iter().find(|field| field.name == name)?;
        if let Value::Float(value) = field.value { Some(value) } else { None }
    };
    let (latitude, longitude) = (number("latitude_deg")?, number("longitude_deg")?);
    let is_valid = (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude);
    is_valid.then_some(Coordinates { latitude, longitude })
}

pub(super) fn content(places: &Places, snapshot: &Snapshot, query: &DevicesQuery, asked: &Asked) -> Content {
    let text = asked.text;
    let chosen = asked.given("area").and_then(Area::of);
    let area = chosen.or_else(|| Area::around(places.placed.iter().map(|placed| placed.position)));
    let count = format::count(places.placed.len() as u64);
    let total = format::count(places.total as u64);
    let body = html! {
        section #mapped class="panel" aria-label=(text.map) {
            div class="heading" {
                p #matching data-live class="muted" role="status" { ((text.on_map)(&count, &total)) }
                (devices::form(Tab::Map, snapshot, query, text))
            }
            div #places data-live {
                @match area {
                    None => p class="empty" { (text.no_places) },
                    Some(area) => (drawn(area, chosen.is_some(), places, query, text)),
                }
            }
        }
    };
    Content::of(Tab::Map, body)
}

fn drawn(area: Area, is_part: bool, places: &Places, query: &DevicesQuery, text: &Text) -> Markup {
    let projection = Projection::of(area);
    let clusters = clusters(&projection, places);
    let mut listed: Vec<&Cluster> = clusters.values().collect();
    listed.sort_by_key(|cluster| std::cmp::Reverse((cluster.worst, cluster.devices)));
    let further = listed.len().saturating_sub(LISTED_MAX);
    html! {
        div class="mapped" {
            (drawing(&projection, &clusters, query, text))
            section class="places" aria-labelledby="places-title" {
                h2 #places-title { (text.places) }
                @if is_part { p { a href=(link(query, None)) { (text.whole_city) } } }
                ul { @for cluster in listed.into_iter().take(LISTED_MAX) { (place(cluster, query, text)) } }
                @if further > 0 { p class="muted" { ((text.further_places)(further)) } }
            }
        }
    }
}

fn clusters(projection: &Projection, places: &Places) -> BTreeMap<(i64, i64), Cluster> {
    let mut clusters: BTreeMap<(i64, i64), Cluster> = BTreeMap::new();
    let mut add = |name: &Arc<str>, position: Coordinates, look: Look| {
        if !projection.area.contains(position) {
            return;
        }
        let cell = |place: f64| (place / CELL).floor() as i64;
        let at = (cell(projection.y(position.latitude)), cell(projection.x(position.longitude)));
        clusters.entry(at).or_default().add(name, position, look);
    };
    for placed in &places.placed {
        add(&placed.name, placed.position, placed.look);
    }
    clusters
}

impl Cluster {
    fn add(&mut self, name: &Arc<str>, position: Coordinates, look: Look) {
        self.devices += 1;
        self.latitudes += position.latitude;
        self.longitudes += position.longitude;
        let area = self.area.get_or_insert(Area {
            south: position.latitude,
            west: position.longitude,
            north: position.latitude,
            east: position.longitude,
        });
        area.south = area.south.min(position.latitude);
        area.north = area.north.max(position.latitude);
        area.west = area.west.min(position.longitude);
        area.east = area.east.max(position.longitude);
        // The names that stand there are of those that do worst.
        if look > self.worst {
            self.names.clear();
        }
        if look >= self.worst && self.names.len() < NAMES_MAX {
            self.names.push(Arc::clone(name));
        }
        self.worst = self.worst.max(look);
    }

    fn center(&self) -> Coordinates {
        let devices = self.devices.max(1) as f64;
        Coordinates { latitude: self.latitudes / devices, longitude: self.longitudes / devices }
    }

    /// What is shown when somebody wants to see these nearer; nothing when they stand in one place.
    fn nearer(&self) -> Option<Area> {
        let area = self.area?;
        let is_one_place = area.north - area.south < EXTENT_MIN / 10.0 && area.east - area.west < EXTENT_MIN / 10.0;
        let corners = [(area.south, area.west), (area.north, area.east)];
        let corners = corners.map(|(latitude, longitude)| Coordinates { latitude, longitude });
        if is_one_place { None } else { Area::around(corners) }
    }
}

/// Where a sign leads: to its device, or nearer to its devices.
fn address(cluster: &Cluster, query: &DevicesQuery) -> String {
    match (&cluster.names[..], cluster.nearer()) {
        ([name], _) if cluster.devices == 1 => parts::device_path(name),
        (_, Some(area)) => link(query, Some(area)),
        (names, None) => names.first().map_or_else(|| Tab::Map.path().to_owned(), |name| parts::device_path(name)),
    }
}

fn link(query: &DevicesQuery, area: Option<Area>) -> String {
    let address = query.link_on(Tab::Map, 1);
    let Some(Area { south, west, north, east }) = area else { return address };
    let separator = if address.contains('?') { '&' } else { '?' };
    let area = format!("{south:.6},{west:.6},{north:.6},{east:.6}");
    format!("{address}{separator}area={}", percent_encoded(&area))
}

/// For the eye and the pointer: the list beside it says the same.
fn drawing(
    projection: &Projection,
    clusters: &BTreeMap<(i64, i64), Cluster>,
    query: &DevicesQuery,
    text: &Text,
) -> Markup {
    html! {
        svg class="map" viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } aria-hidden="true" {
            (graticule(projection, text))
            @for cluster in clusters.values() {
                @let center = cluster.center();
                @let (x, y) = (projection.x(center.longitude), projection.y(center.latitude));
                a href=(address(cluster, query)) tabindex="-1" class={ "sign " (cluster.worst.mark().class()) } {
                    title { (parts::seen(&cluster.names.join(", "))) }
                    @if cluster.devices == 1 {
                        circle class="ground" cx=(format!("{x:.1}")) cy=(format!("{y:.1}")) r="9" {}
                        path transform={ "translate(" (format!("{:.1} {:.1}", x - 8.0, y - 8.0)) ")" } fill-rule="evenodd" d=(cluster.worst.mark().path()) {}
                    } @else {
                        circle class="several" cx=(format!("{x:.1}")) cy=(format!("{y:.1}")) r=(format!("{:.1}", radius(cluster.devices))) {}
                        text x=(format!("{x:.1}")) y=(format!("{y:.1}")) dy="0.35em" text-anchor="middle" { (format::short(cluster.devices as u64)) }
                    }
                }
            }
        }
    }
}

/// Larger for more devices, within its square.
fn radius(devices: usize) -> f64 {
    (9.0 + (devices as f64).log10() * 3.0).min(CELL * 0.6)
}

/// Lines at round degrees, with their numbers.
fn graticule(projection: &Projection, text: &Text) -> Markup {
    let area = projection.area;
    let step = round_step((area.north - area.south).max(area.east - area.west) / 5.0);
    let lines = |low: f64, high: f64| {
        let first = (low / step).ceil() as i64;
        (first..first + 12).map(move |number| number as f64 * step).take_while(move |degrees| *degrees <= high)
    };
    let decimals = (-step.log10().floor()).clamp(0.0, 6.0) as usize;
    let number = |degrees: f64, positive: &str, negative: &str| {
        let letter = if degrees < 0.0 { negative } else { positive };
        format!("{:.decimals$}°{letter}", degrees.abs())
    };
    html! {
        @for latitude in lines(area.south, area.north) {
            @let y = format!("{:.1}", projection.y(latitude));
            line class="level" x1="0" x2=(WIDTH) y1=(y) y2=(y) {}
            text class="value" x="4" y=(y) dy="-0.3em" { (number(latitude, "N", "S")) }
        }
        @for longitude in lines(area.west, area.east) {
            @let x = format!("{:.1}", projection.x(longitude));
            line class="level" x1=(x) x2=(x) y1="0" y2=(HEIGHT) {}
            text class="value" x=(x) y=(HEIGHT - 4.0) dx="4" { (number(longitude, "E", "W")) }
        }
        text class="value" x=(WIDTH - 6.0) y="16" text-anchor="end" { ((text.scale)(&length(step * METRES_A_DEGREE))) }
    }
}

fn length(metres: f64) -> String {
    if metres >= 1_000.0 { format!("{:.1} km", metres / 1_000.0) } else { format!("{metres:.0} m") }
}

fn place(cluster: &Cluster, query: &DevicesQuery, text: &Text) -> Markup {
    let center = cluster.center();
    let state = parts::marked(cluster.worst.mark(), cluster.worst.word(text));
    html! {
        li {
            (state) " "
            @if cluster.devices > 1 {
                span { ((text.devices_here)(cluster.devices)) }
                @if let Some(area) = cluster.nearer() {
                    " " a href=(link(query, Some(area))) aria-label={ (text.zoom) ": " (coordinates(center)) } { (text.zoom) }
                }
                " "
            }
            @for name in &cluster.names { (parts::device_link(name)) " " }
            span class="under" { (coordinates(center)) }
        }
    }
}

/// `31.23041° N, 121.47370° E`: to about a metre.
pub(super) fn coordinates(place: Coordinates) -> String {
    let north = if place.latitude < 0.0 { "S" } else { "N" };
    let east = if place.longitude < 0.0 { "W" } else { "E" };
    format!("{:.5}° {north}, {:.5}° {east}", place.latitude.abs(), place.longitude.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(latitude: f64, longitude: f64) -> Coordinates {
        Coordinates { latitude, longitude }
    }

    fn places(positions: &[(f64, f64)]) -> Places {
        let place = |(number, (latitude, longitude)): (usize, &(f64, f64))| Placed {
            name: format!("d-{number}").into(),
            position: at(*latitude, *longitude),
            look: Look::Well,
        };
        Places { placed: positions.iter().enumerate().map(place).collect(), total: positions.len() }
    }

    #[test]
    fn what_is_shown_holds_all_places_and_is_never_empty() {
        assert_eq!(Area::around([]), None);
        let one = Area::around([at(31.2, 121.4)]).unwrap();
        assert!((one.north - one.south - EXTENT_MIN).abs() < 1e-9 && one.contains(at(31.2, 121.4)));
        let pole = Area::around([at(90.0, 180.0), at(-90.0, -180.0)]).unwrap();
        assert_eq!(pole, Area { south: -90.0, west: -180.0, north: 90.0, east: 180.0 });
    }

    #[test]
    fn an_area_is_read_as_a_link_writes_it() {
        let area = Area { south: 31.2, west: 121.4, north: 31.3, east: 121.5 };
        let link = link(&DevicesQuery::default(), Some(area));
        assert_eq!(link, "/map?area=31.200000%2C121.400000%2C31.300000%2C121.500000");
        assert_eq!(Area::of("31.2,121.4,31.3,121.5"), Some(area));
        for nonsense in ["", "1,2,3", "1,2,3,4,5", "3,2,1,4", "1,2,3,181", "NaN,1,2,3", "1,1,inf,2", "a,b,c,d"] {
            assert_eq!(Area::of(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn the_drawing_is_as_high_as_wide_where_it_stands_and_within_its_frame() {
        for (south, west, north, east) in
            [(31.0, 121.0, 31.5, 122.0), (59.0, 10.0, 61.0, 10.5), (-0.1, -0.1, 0.1, 0.1)]
        {
            let area = Area { south, west, north, east };
            let projection = Projection::of(area);
            for (x, y) in [(projection.x(west), projection.y(north)), (projection.x(east), projection.y(south))] {
                assert!((MARGIN - 0.1..=WIDTH - MARGIN + 0.1).contains(&x), "{x}");
                assert!((MARGIN - 0.1..=HEIGHT - MARGIN + 0.1).contains(&y), "{y}");
            }
            let narrowing = ((south + north) / 2.0).to_radians().cos();
            assert!((projection.scale_x / projection.scale - narrowing).abs() < 1e-9);
            assert!(projection.y(north) < projection.y(south), "north is up");
        }
    }

    #[test]
    fn devices_close_together_are_one_sign_that_leads_nearer() {
        let places = places(&[(31.200_0, 121.4), (31.200_1, 121.4), (31.3, 121.5)]);
        let area = Area::around(places.placed.iter().map(|placed| placed.position)).unwrap();
        let clusters = clusters(&Projection::of(area), &places);
        let mut sizes: Vec<usize> = clusters.values().map(|cluster| cluster.devices).collect();
        sizes.sort_unstable();
        assert_eq!(sizes, [1, 2]);
        let query = DevicesQuery::default();
        for cluster in clusters.values() {
            let address = address(cluster, &query);
            if cluster.devices == 1 {
                assert_eq!(address, "/devices/d-2");
                continue;
            }
            let area = Area::of(&address.split("area=").nth(1).unwrap().replace("%2C", ",")).unwrap();
            assert_eq!(super::clusters(&Projection::of(area), &places).len(), 2, "nearer, they are two");
        }
    }

    #[test]
    fn devices_in_one_place_lead_to_the_first_of_them() {
        let places = places(&[(31.2, 121.4), (31.2, 121.4)]);
        let area = Area::around([at(31.2, 121.4)]).unwrap();
        let clusters = clusters(&Projection::of(area), &places);
        let cluster = clusters.values().next().unwrap();
        assert_eq!((cluster.devices, address(cluster, &DevicesQuery::default()).as_str()), (2, "/devices/d-0"));
    }

    #[test]
    fn the_names_of_a_sign_are_those_that_do_worst() {
        let mut cluster = Cluster::default();
        for (name, look) in [("a", Look::Well), ("b", Look::Alarm), ("c", Look::Silent), ("d", Look::Alarm)] {
            cluster.add(&name.into(), at(1.0, 1.0), look);
        }
        let names: Vec<&str> = cluster.names.iter().map(|name| &**name).collect();
        assert_eq!((cluster.devices, cluster.worst, names), (4, Look::Alarm, vec!["b", "d"]));
    }

    #[test]
    fn places_are_told_with_the_side_of_the_world() {
        assert_eq!(coordinates(at(31.230_41, 121.473_7)), "31.23041° N, 121.47370° E");
        assert_eq!(coordinates(at(-33.9, -18.4)), "33.90000° S, 18.40000° W");
    }
}
