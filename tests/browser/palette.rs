//! Pictures of a page in 256 colours, which takes a third of the room and shows no difference: PNG as of
//! <https://www.w3.org/TR/png-3/>, as far as a browser writes it.

use std::collections::HashMap;
use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
const COLORS_MAX: usize = 256;

type Color = [u8; 3];

/// Colours nearer than this (a sum of squares) are one, as long as there are others: a small sign keeps its own.
const DISTANCE_MIN: u32 = 300;

/// The same picture with the most frequent colours; each other is replaced by the nearest of them.
pub fn with_palette(png: &[u8]) -> Vec<u8> {
    let picture = Picture::read(png);
    let mut counts: HashMap<Color, u32> = HashMap::new();
    picture.pixels.iter().for_each(|color| *counts.entry(*color).or_default() += 1);
    let mut colors: Vec<Color> = counts.keys().copied().collect();
    colors.sort_by_key(|color| (std::cmp::Reverse(counts[color]), *color));
    let mut palette: Vec<Color> = Vec::new();
    for distance_min in [DISTANCE_MIN, 1] {
        for color in &colors {
            let is_far = palette.iter().all(|known| distance(*known, *color) >= distance_min);
            if palette.len() < COLORS_MAX && is_far {
                palette.push(*color);
            }
        }
    }
    let number = |color: &Color| (0..palette.len()).min_by_key(|number| distance(palette[*number], *color));
    let numbers: HashMap<Color, u8> =
        counts.keys().map(|color| (*color, number(color).expect("a colour") as u8)).collect();
    let mut rows = Vec::with_capacity(picture.pixels.len() + picture.width);
    for row in picture.pixels.chunks(picture.width) {
        rows.push(0);
        rows.extend(row.iter().map(|color| numbers[color]));
    }
    picture.write(&palette, &rows)
}

fn distance(a: Color, b: Color) -> u32 {
    a.iter().zip(b).map(|(a, b)| u32::from(a.abs_diff(b)).pow(2)).sum()
}

struct Picture {
    width: usize,
    height: usize,
    pixels: Vec<Color>,
}

impl Picture {
    fn read(png: &[u8]) -> Picture {
        let mut rest = png.strip_prefix(SIGNATURE).expect("a PNG");
        let (mut header, mut data) = ([0; 13], Vec::new());
        while let Some((length, behind)) = rest.split_at_checked(4) {
            let length = u32::from_be_bytes(length.try_into().expect("four bytes")) as usize;
            let (kind, content) = (&behind[..4], &behind[4..4 + length]);
            match kind {
                b"IHDR" => header.copy_from_slice(content),
                b"IDAT" => data.extend_from_slice(content),
                _ => {}
            }
            rest = &behind[4 + length + 4..];
        }
        let number = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().expect("four bytes")) as usize;
        let (width, height) = (number(0), number(4));
        let channels = match header[8..] {
            [8, 2, 0, 0, 0] => 3,
            [8, 6, 0, 0, 0] => 4,
            _ => panic!("neither RGB nor RGBA with 8 bits: {header:?}"),
        };
        let mut bytes = Vec::new();
        ZlibDecoder::new(&data[..]).read_to_end(&mut bytes).expect("what a browser has compressed");
        unfilter(&mut bytes, width * channels, channels);
        let rows = bytes.chunks(width * channels + 1).flat_map(|row| row[1..].chunks(channels));
        Picture { width, height, pixels: rows.map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect() }
    }

    fn write(&self, palette: &[Color], rows: &[u8]) -> Vec<u8> {
        let mut header = Vec::new();
        for number in [self.width, self.height] {
            header.extend((number as u32).to_be_bytes());
        }
        header.extend([8, 3, 0, 0, 0]);
        let mut data = ZlibEncoder::new(Vec::new(), Compression::best());
        data.write_all(rows).expect("compress");
        let mut png = SIGNATURE.to_vec();
        let chunks = [
            (b"IHDR", header),
            (b"PLTE", palette.concat()),
            (b"IDAT", data.finish().expect("compress")),
            (b"IEND", Vec::new()),
        ];
        for (kind, content) in chunks {
            png.extend((content.len() as u32).to_be_bytes());
            let checked = [&kind[..], &content].concat();
            png.extend(&checked);
            png.extend(crc32fast::hash(&checked).to_be_bytes());
        }
        png
    }
}

/// Section 9 of the specification. Each row has its filter's number before it.
fn unfilter(bytes: &mut [u8], row_bytes: usize, pixel_bytes: usize) {
    let mut above = vec![0; row_bytes];
    for row in bytes.chunks_mut(row_bytes + 1) {
        let (filter, row) = row.split_first_mut().expect("a filter");
        for at in 0..row_bytes {
            let left = if at < pixel_bytes { 0 } else { row[at - pixel_bytes] };
            let above_left = if at < pixel_bytes { 0 } else { above[at - pixel_bytes] };
            let guess = match filter {
                0 => 0,
                1 => left,
                2 => above[at],
                3 => ((u16::from(left) + u16::from(above[at])) / 2) as u8,
                _ => paeth(left, above[at], above_left),
            };
            row[at] = row[at].wrapping_add(guess);
        }
        above.copy_from_slice(row);
    }
}

fn paeth(left: u8, above: u8, above_left: u8) -> u8 {
    let [a, b, c] = [left, above, above_left].map(i16::from);
    let near = |value: i16| (a + b - c - value).abs();
    if near(a) <= near(b) && near(a) <= near(c) {
        left
    } else if near(b) <= near(c) {
        above
    } else {
        above_left
    }
}
