//! Curves of a study: scores by budget, with their intervals.

use anyhow::anyhow;
use plotters::coord::ranged1d::{KeyPointHint, Ranged, ValueFormatter};
use plotters::prelude::*;

/// The points of one method.
pub struct Curve {
    pub name: String,
    /// Place of the budget among those of the study, mean, and interval.
    pub points: Vec<(usize, f64, Option<[f64; 2]>)>,
    /// Place of the budget and mean of each seed.
    pub seeds: Vec<(usize, f64)>,
}

/// Okabe and Ito's colours, apart for the colour-blind.
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 0, 0),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(150, 140, 0),
];
const SIZE: (u32, u32) = (980, 540);
/// Width of the names at the right.
const LEGEND: u32 = 320;
/// Room between the curves of two methods at one budget, as a part of that between budgets.
const SPREAD: f64 = 0.6;

/// One picture in SVG. Every method has a colour, a shape and a way of dashing of its own, so that a grey
/// print tells them apart, too.
pub fn svg(
    title: &str,
    [effort, measure]: [&str; 2],
    budgets: &[String],
    curves: &[Curve],
) -> anyhow::Result<String> {
    let mut picture = String::new();
    plot(&mut picture, title, [effort, measure], budgets, curves)
        .map_err(|e| anyhow!("drawing the curves: {e}"))?;
    Ok(picture)
}

type Drawn = Result<(), Box<dyn std::error::Error>>;
type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn plot(
    picture: &mut String,
    title: &str,
    [effort, measure]: [&str; 2],
    budgets: &[String],
    curves: &[Curve],
) -> Drawn {
    let area = SVGBackend::with_string(picture, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let (plot, _) = area.split_horizontally(SIZE.0 - LEGEND);
    let ends = |&(_, mean, interval): &(usize, f64, Option<[f64; 2]>)| interval.unwrap_or([mean; 2]);
    let seeds = || curves.iter().flat_map(|curve| &curve.seeds).map(|&(_, mean)| mean);
    let all = || curves.iter().flat_map(|curve| &curve.points).flat_map(ends).chain(seeds());
    let (low, high) = (all().fold(f64::MAX, f64::min), all().fold(f64::MIN, f64::max));
    if low > high {
        return Err("there is no score to draw".into());
    }
    let margin = (high - low).max(1e-3) * 0.06;
    let places = Places(budgets.len());
    let mut chart = ChartBuilder::on(&plot)
        .caption(title, ("sans-serif", 18))
        .margin(10)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d(places, low - margin..high + margin)?;
    let name = |at: &f64| budgets.get(at.round() as usize).cloned().unwrap_or_default();
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(WHITE)
        .x_desc(effort)
        .y_desc(measure)
        .x_label_formatter(&name)
        .draw()?;
    for (number, curve) in curves.iter().enumerate() {
        let style = COLOURS[number % COLOURS.len()].stroke_width(2);
        let aside = SPREAD * ((number as f64 + 0.5) / curves.len() as f64 - 0.5);
        let at = |&(place, mean, _): &(usize, f64, Option<[f64; 2]>)| (place as f64 + aside, mean);
        let bars = curve.points.iter().filter_map(|point| {
            let ([low, high], (x, _)) = (point.2?, at(point));
            Some(PathElement::new([(x, low), (x, high)], style.stroke_width(1)))
        });
        chart.draw_series(bars)?;
        // Beside the bar, which would hide them.
        let beside = aside + 0.25 * SPREAD / curves.len() as f64;
        let dot =
            |&(place, mean): &(usize, f64)| Circle::new((place as f64 + beside, mean), 2, style.filled());
        chart.draw_series(curve.seeds.iter().map(dot))?;
        let line = curve.points.iter().map(at);
        match number % 3 {
            0 => drop(chart.draw_series(LineSeries::new(line, style))?),
            1 => drop(chart.draw_series(DashedLineSeries::new(line, 8, 4, style))?),
            _ => drop(chart.draw_series(DashedLineSeries::new(line, 2, 4, style))?),
        }
        for point in &curve.points {
            mark(&area, number, chart.backend_coord(&at(point)))?;
        }
        let (x, y) = ((SIZE.0 - LEGEND + 14) as i32, 50 + 24 * number as i32);
        mark(&area, number, (x, y))?;
        area.draw(&Text::new(curve.name.clone(), (x + 14, y - 7), ("sans-serif", 15)))?;
    }
    area.present()?;
    Ok(())
}

/// Draws the shape of a method: circle, square, diamond and triangle, full, then hollow.
fn mark(area: &Area<'_>, number: usize, (x, y): (i32, i32)) -> Drawn {
    let corners: &[(i32, i32)] = match number % 4 {
        0 => &[(2, 5), (5, 2), (5, -2), (2, -5), (-2, -5), (-5, -2), (-5, 2), (-2, 5)],
        1 => &[(4, 4), (4, -4), (-4, -4), (-4, 4)],
        2 => &[(6, 0), (0, -6), (-6, 0), (0, 6)],
        _ => &[(5, 4), (0, -5), (-5, 4)],
    };
    let colour = COLOURS[number % COLOURS.len()];
    let outline: Vec<(i32, i32)> = corners.iter().map(|(dx, dy)| (x + dx, y + dy)).collect();
    let full = (number / 4).is_multiple_of(2);
    area.draw(&Polygon::new(outline.clone(), if full { colour.filled() } else { WHITE.filled() }))?;
    let closed = outline.iter().chain(&outline[..1]).copied().collect::<Vec<_>>();
    Ok(area.draw(&PathElement::new(closed, colour.stroke_width(2)))?)
}

/// Budgets side by side, whatever their size.
#[derive(Clone)]
struct Places(usize);

impl ValueFormatter<f64> for Places {
    fn format(value: &f64) -> String {
        value.to_string()
    }
}

impl Ranged for Places {
    type FormatOption = plotters::coord::ranged1d::NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let part = (value + 0.5) / self.0 as f64;
        limit.0 + (part * f64::from(limit.1 - limit.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        (0..self.0).map(|place| place as f64).collect()
    }

    fn range(&self) -> std::ops::Range<f64> {
        -0.5..self.0 as f64 - 0.5
    }
}
