//! The training curve as a picture.

use std::io::Write;
use std::path::Path;

use anyhow::anyhow;
use plotters::prelude::*;
use polycl_base::output;
use polycl_nn::train::Record;

/// Dark blue and orange: apart for the colour-blind and on grey paper.
const LOSS: RGBColor = RGBColor(0, 84, 147);
const SCORE: RGBColor = RGBColor(213, 94, 0);
const HEIGHT: RGBColor = RGBColor(0, 158, 115);
const IDENTITY: RGBColor = RGBColor(120, 120, 120);

/// Reads the value of an epoch that is drawn.
type Read = fn(&Record) -> Option<f64>;

/// Training loss and, where there are some, scores and what is read off an encoder against epochs, as an SVG file.
pub fn draw(path: &Path, title: &str, log: &[Record]) -> anyhow::Result<()> {
    let picture = svg(title, log)?;
    Ok(output::atomically(path, |file| file.write_all(picture.as_bytes()))?)
}

/// The same as text, for reports.
pub fn svg(title: &str, log: &[Record]) -> anyhow::Result<String> {
    let mut picture = String::new();
    plot(&mut picture, title, log).map_err(|e| anyhow!("drawing the curve: {e}"))?;
    Ok(picture)
}

fn plot(picture: &mut String, title: &str, log: &[Record]) -> Result<(), Box<dyn std::error::Error>> {
    let area = SVGBackend::with_string(picture, (640, 360)).into_drawing_area();
    area.fill(&WHITE)?;
    let last = log.last().map_or(1, |record| record.epoch).max(2) as f64;
    let losses = || log.iter().map(|record| record.loss);
    let (lowest, highest) = (losses().fold(f64::MAX, f64::min), losses().fold(1e-9, f64::max));
    let margin = (highest - lowest).max(1e-3 * highest) * 0.05;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 18))
        .margin(10)
        .x_label_area_size(36)
        .y_label_area_size(54)
        .right_y_label_area_size(54)
        .build_cartesian_2d(1.0..last, lowest - margin..highest + margin)?
        .set_secondary_coord(1.0..last, 0.0..1.0);
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_desc("epoch")
        .y_desc("training loss")
        .x_label_formatter(&|epoch| format!("{epoch:.0}"))
        .draw()?;
    let losses = log.iter().map(|record| (record.epoch as f64, record.loss));
    chart
        .draw_series(LineSeries::new(losses, LOSS.stroke_width(2)))?
        .label("training loss")
        .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], LOSS.stroke_width(2)));
    let lines: [(&str, RGBColor, Read); 4] = [
        ("validation Dice", SCORE, |record| record.score),
        ("organ present (AUC)", SCORE, |record| record.probe?.presence),
        ("height (correlation)", HEIGHT, |record| Some(record.probe?.height.max(0.0))),
        ("nearest is of the same scan", IDENTITY, |record| Some(record.probe?.identity)),
    ];
    let mut titles = Vec::new();
    for (title, colour, of) in lines {
        let line: Vec<(f64, f64)> = log.iter().filter_map(|r| Some((r.epoch as f64, of(r)?))).collect();
        if line.is_empty() {
            continue;
        }
        titles.push(title);
        chart
            .draw_secondary_series(LineSeries::new(line, colour.stroke_width(2)))?
            .label(title)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    if let [first, rest @ ..] = &*titles {
        let title = if rest.is_empty() { first } else { "read off the encoder" };
        chart.configure_secondary_axes().y_desc(title).draw()?;
        chart
            .configure_series_labels()
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.3))
            .draw()?;
    }
    area.present()?;
    Ok(())
}
