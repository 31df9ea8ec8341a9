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
use super::devices::{self, Form};
use super::format;
use super::page::{Content, Tab};
use super::parts;
use super::query::{DevicesQuery, has_tags, percent_encoded};
use super::text::Text;
use super::words::Words;
use crate::fleet::{DeviceView, Fleet, Listed, Query, Snapshot, Value};
use crate::registry::{Coordinates, Registry};

mod area;
mod cluster;

use area::{Area, HEIGHT, Projection, WIDTH, graticule};
use cluster::{CELL, Cluster, Look, clusters};

/// Devices that are drawn; who has more chooses a class or a state.
const DEVICES_MAX: usize = 20_000;
/// Places that are listed.
const LISTED_MAX: usize = 200;

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
pub(super) fn unheard(fleet: &Fleet, asked: &DevicesQuery, snapshot: &Snapshot, registry: &Registry) -> Listed {
    let tags = asked.tags();
    let page_size = DEVICES_MAX.saturating_sub(snapshot.devices.len());
    match query(asked) {
        // They are the snapshot.
        query if query.asks_for_unheard() => Listed::default(),
        query => fleet.unheard(&Query { page_size, ..query }, |device| has_tags(registry, device, &tags)),
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
pub(super) fn own_position(device: &DeviceView) -> Option<Coordinates> {
    let number = |name: &str| {
        let field = device.reading.iter().find(|field| field.name == name)?;
        if let Value::Float(value) = field.value { Some(value) } else { None }
    };
    let (latitude, longitude) = (number("latitude_deg")?, number("longitude_deg")?);
    let is_valid = (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude);
    is_valid.then_some(Coordinates { latitude, longitude })
}

pub(super) fn content(places: &Places, form: &Form<'_>, asked: &Asked, words: Words<'_>) -> Content {
    let (text, query) = (words.text, form.query);
    let chosen = asked.given("area").and_then(Area::of);
    let area = chosen.or_else(|| Area::around(places.placed.iter().map(|placed| placed.position)));
    let count = format::count(places.placed.len() as u64);
    let total = format::count(places.total as u64);
    let body = html! {
        section #mapped class="panel" aria-label=(text.map) {
            div class="heading" {
                p #matching data-live class="muted" role="status" { ((text.on_map)(&count, &total)) }
                (devices::form(Tab::Map, form, words))
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
            div {
                (drawing(&projection, &clusters, query, text))
                (legend(text))
            }
            section class="places" tabindex="0" aria-labelledby="places-title" {
                h2 #places-title { (text.places) }
                @if is_part { p { a href=(link(query, None)) { (text.whole_city) } } }
                ul { @for cluster in listed.into_iter().take(LISTED_MAX) { (place(cluster, query, text)) } }
                @if further > 0 { p class="muted" { ((text.further_places)(further)) } }
            }
        }
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

fn place(cluster: &Cluster, query: &DevicesQuery, text: &Text) -> Markup {
    let center = cluster.center();
    html! {
        li {
            p class="beside" {
                (parts::marked(cluster.worst.mark(), cluster.worst.word(text)))
                @if cluster.devices > 1 {
                    span class="muted" { ((text.devices_here)(cluster.devices)) }
                    @if let Some(area) = cluster.nearer() {
                        a href=(link(query, Some(area))) aria-label={ (text.zoom) ": " (coordinates(center)) } { (text.zoom) }
                    }
                }
            }
            p { @for (index, name) in cluster.names.iter().enumerate() { @if index > 0 { ", " } (parts::device_link(name)) } }
            span class="under" { (coordinates(center)) }
        }
    }
}

/// What the signs mean.
fn legend(text: &Text) -> Markup {
    html! {
        ul class="marks legend" aria-label=(text.legend) {
            @for looks in Look::ALL.chunk_by(|a, b| a.mark() == b.mark()) {
                @let words: Vec<&str> = looks.iter().map(|look| look.word(text)).collect();
                li { (parts::marked(looks[0].mark(), &words.join(", "))) }
            }
            li { (text.legend_number) }
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
    use super::area::{EXTENT_MIN, MARGIN};
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
