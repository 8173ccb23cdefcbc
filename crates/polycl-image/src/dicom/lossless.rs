//! Lossless JPEG (process 14, ITU-T T.81 annex H) of one component, as CT scanners write it.
//!
//! The crate `jpeg-decoder` reads such streams too, but forgets to predict anew after a restart marker, shifts
//! before it predicts where there is a point transform, and is several times slower.

use super::huffman::{Bits, Table};

/// What the segments before the scan say.
#[derive(Default)]
struct Header {
    tables: [Option<Table>; 4],
    precision: u32,
    /// Samples between restart markers; 0 for none.
    restart: usize,
}

struct Scan<'a> {
    table: Table,
    predictor: u8,
    shift: u32,
    /// The prediction where there is nothing to predict from.
    middle: i32,
    restart: usize,
    data: &'a [u8],
}

/// The samples of a stream whose frame header was found to say `rows` and `columns` and one component.
pub(super) fn decode(data: &[u8], rows: usize, columns: usize) -> Result<Vec<u16>, String> {
    let scan = scan(data)?;
    if scan.restart % columns != 0 {
        return Err("restart markers within a row".to_owned());
    }
    let mut bits = Bits::new(scan.data);
    // Every sample takes a bit at least.
    if rows * columns > 8 * scan.data.len() {
        return Err(format!("{} bytes for {rows} x {columns} pixels", scan.data.len()));
    }
    let mut out = vec![0u16; rows * columns];
    for y in 0..rows {
        let fresh = y == 0 || (scan.restart > 0 && (y * columns).is_multiple_of(scan.restart));
        if y > 0 && fresh && !bits.restart() {
            return Err(format!("no restart marker before row {y}"));
        }
        let (above, row) = out[..(y + 1) * columns].split_at_mut(y * columns);
        let above = if fresh { None } else { Some(&above[(y - 1) * columns..]) };
        decode_row(&scan, &mut bits, above, row)?;
        if bits.overrun() {
            return Err(format!("compressed data that end in row {y} of {rows}"));
        }
    }
    out.iter_mut().for_each(|value| *value <<= scan.shift);
    Ok(out)
}

fn decode_row(scan: &Scan, bits: &mut Bits, above: Option<&[u16]>, row: &mut [u16]) -> Result<(), String> {
    let Some(above) = above else {
        let mut left = scan.middle;
        for value in row {
            *value = (left + difference(scan, bits)?) as u16;
            left = i32::from(*value);
        }
        return Ok(());
    };
    let mut left = (i32::from(above[0]) + difference(scan, bits)?) as u16;
    row[0] = left;
    let mut corner = i32::from(above[0]);
    for (value, &up) in row[1..].iter_mut().zip(&above[1..]) {
        let up = i32::from(up);
        let predicted = predict(scan.predictor, left.into(), up, corner);
        left = (predicted + difference(scan, bits)?) as u16;
        *value = left;
        corner = up;
    }
    Ok(())
}

/// Table H.1: from the samples to the left, above, and above to the left.
#[inline]
fn predict(predictor: u8, a: i32, b: i32, c: i32) -> i32 {
    match predictor {
        1 => a,
        2 => b,
        3 => c,
        4 => a + b - c,
        5 => a + ((b - c) >> 1),
        6 => b + ((a - c) >> 1),
        _ => (a + b) >> 1,
    }
}

/// Table H.2: how many bits follow, and what they say.
#[inline]
fn difference(scan: &Scan, bits: &mut Bits) -> Result<i32, String> {
    let size = bits.symbol(&scan.table).ok_or("a code that is not in the table")?;
    match size {
        0 => Ok(0),
        1..=15 => {
            let more = bits.take(size.into()) as i32;
            let half = 1 << (size - 1);
            Ok(if more < half { more - 2 * half + 1 } else { more })
        }
        16 => Ok(32_768),
        _ => Err("a difference of more than 16 bits".to_owned()),
    }
}

/// Reads the segments up to the scan.
fn scan(data: &[u8]) -> Result<Scan<'_>, String> {
    let mut header = Header::default();
    let mut at = 2;
    loop {
        let broken = || "segments that end early".to_owned();
        let mark = data.get(at..at + 2).ok_or_else(broken)?;
        if mark[1] == 0xFF {
            at += 1;
            continue;
        }
        let length: [u8; 2] =
            data.get(at + 2..at + 4).ok_or_else(broken)?.try_into().map_err(|_| broken())?;
        let end = at + 2 + usize::from(u16::from_be_bytes(length));
        let segment = data.get(at + 4..end).ok_or_else(broken)?;
        match mark[1] {
            0xC3 => header.precision = (*segment.first().ok_or_else(broken)?).into(),
            0xC4 => tables(segment, &mut header.tables).ok_or("a damaged Huffman table")?,
            0xDD => {
                header.restart = segment.get(..2).map_or(0, |n| usize::from(u16::from_be_bytes([n[0], n[1]])))
            }
            0xDA => return begin(segment, header, &data[end..]),
            _ => {}
        }
        at = end;
    }
}

fn begin<'a>(segment: &[u8], mut header: Header, data: &'a [u8]) -> Result<Scan<'a>, String> {
    let &[1, _, table, predictor, _, shift] = segment else {
        return Err("a scan of several components".to_owned());
    };
    let shift = u32::from(shift & 15);
    if !(1..=7).contains(&predictor) || !(2..=16).contains(&header.precision) || shift >= header.precision {
        return Err(format!("predictor {predictor} of {} bits", header.precision));
    }
    let table = header.tables.get_mut(usize::from(table >> 4)).and_then(Option::take);
    Ok(Scan {
        table: table.ok_or("a scan without its Huffman table")?,
        predictor,
        shift,
        middle: 1 << (header.precision - shift - 1),
        restart: header.restart,
        data,
    })
}

/// One segment may hold several tables.
fn tables(mut segment: &[u8], tables: &mut [Option<Table>; 4]) -> Option<()> {
    while let Some((&which, rest)) = segment.split_first() {
        let counts: [u8; 16] = *rest.first_chunk()?;
        let symbols = rest.get(16..16 + counts.iter().map(|&n| usize::from(n)).sum::<usize>())?;
        segment = &rest[16 + symbols.len()..];
        *tables.get_mut(usize::from(which & 15))? = Some(Table::new(&counts, symbols)?);
    }
    Some(())
}
