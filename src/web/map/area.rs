//! The part of the world that a map shows, and where its places are in the drawing.

use maud::{Markup, html};

use super::super::chart::round_step;
use super::super::text::Text;
use crate::registry::Coordinates;

/// The drawing's own units.
pub(super) const WIDTH: f64 = 760.0;
pub(super) const HEIGHT: f64 = 560.0;
/// Room for the numbers at the lines.
pub(super) const MARGIN: f64 = 34.0;
/// Degrees that are shown at least: some fifty metres.
pub(super) const EXTENT_MIN: f64 = 0.000_5;
/// Metres in a degree of latitude.
const METRES_A_DEGREE: f64 = 111_320.0;

/// The part of the world that is shown, in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Area {
    pub south: f64,
    pub west: f64,
    pub north: f64,
    pub east: f64,
}

impl Area {
    /// The parameter `area`, as a link of this page gives it: south, west, north, east.
    pub fn of(text: &str) -> Option<Area> {
        let numbers: Vec<f64> = text.split(',').map(|number| number.trim().parse().ok()).collect::<Option<_>>()?;
        let [south, west, north, east] = numbers[..] else { return None };
        let is_valid =
            (-90.0..=90.0).contains(&south) && north <= 90.0 && (-180.0..=180.0).contains(&west) && east <= 180.0;
        (is_valid && south < north && west < east).then_some(Area { south, west, north, east })
    }

    /// What holds all of these, with some room around.
    pub fn around(places: impl IntoIterator<Item = Coordinates>) -> Option<Area> {
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

    pub fn contains(&self, place: Coordinates) -> bool {
        (self.south..=self.north).contains(&place.latitude) && (self.west..=self.east).contains(&place.longitude)
    }
}

/// Degrees to places in the drawing: the area in the middle, as large as fits, as high as wide where it stands.
pub(super) struct Projection {
    pub area: Area,
    /// Units of the drawing for a degree of latitude, and for one of longitude.
    pub scale: f64,
    pub scale_x: f64,
}

impl Projection {
    pub fn of(area: Area) -> Projection {
        let middle = (area.south + area.north) / 2.0;
        let narrowing = middle.to_radians().cos().max(0.01);
        let wide = (WIDTH - 2.0 * MARGIN) / ((area.east - area.west) * narrowing);
        let high = (HEIGHT - 2.0 * MARGIN) / (area.north - area.south);
        let scale = wide.min(high);
        Projection { area, scale, scale_x: scale * narrowing }
    }

    pub fn x(&self, longitude: f64) -> f64 {
        WIDTH / 2.0 + (longitude - (self.area.west + self.area.east) / 2.0) * self.scale_x
    }

    pub fn y(&self, latitude: f64) -> f64 {
        HEIGHT / 2.0 - (latitude - (self.area.south + self.area.north) / 2.0) * self.scale
    }
}

/// Lines at round degrees, with their numbers.
pub(super) fn graticule(projection: &Projection, text: &Text) -> Markup {
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
