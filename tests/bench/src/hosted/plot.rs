//! Ratios as a picture: a line for each row, a dot for each allocator.

use std::io;
use std::path::Path;

use plotters::prelude::*;

const LINE_PIXELS: u32 = 18;
const WIDTH_PIXELS: u32 = 1000;
/// What is further out is drawn at the edge.
const MOST: f64 = 3.0;

/// What is drawn.
pub struct Picture<'a> {
    /// What the ratios are of.
    pub title: &'a str,
    /// Names of the lines, from the top down.
    pub rows: Vec<&'a str>,
    /// The allocators.
    pub columns: &'a [&'static str],
    /// The ratio to the reference, for the index of a row and of a column.
    pub ratio: &'a dyn Fn(usize, usize) -> Option<f64>,
}

impl Picture<'_> {
    /// Draws it into an SVG file.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        draw(self, path).map_err(|error| io::Error::other(error.to_string()))
    }
}

fn draw(picture: &Picture<'_>, path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let rows = &picture.rows;
    let longest = rows.iter().map(|row| row.len()).max().unwrap_or(0) as u32;
    let area = SVGBackend::new(path, (WIDTH_PIXELS, LINE_PIXELS * rows.len() as u32 + 120)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(format!("{}: ratio to mimalloc's", picture.title), ("sans-serif", 18))
        .margin(10)
        .x_label_area_size(30)
        .y_label_area_size(7 * longest + 10)
        .build_cartesian_2d(0.0..MOST, -0.5..rows.len() as f64 - 0.5)?;
    let name_of = |y: &f64| {
        // From the top down; only whole numbers are rows.
        let place = rows.len() as f64 - 1.0 - y;
        if place.fract().abs() < 1e-6 && place >= 0.0 { rows[place as usize].to_string() } else { String::new() }
    };
    chart.configure_mesh().disable_y_mesh().y_labels(2 * rows.len() + 1).y_label_formatter(&name_of).x_labels(13).draw()?;
    chart.draw_series([PathElement::new([(1.0, -0.5), (1.0, rows.len() as f64 - 0.5)], BLACK.stroke_width(1))])?;
    for (column, name) in picture.columns.iter().enumerate() {
        // coreheap, the first, is big and red.
        let (color, size) = if column == 0 { (RED.to_rgba(), 5) } else { (Palette99::pick(column).mix(0.7), 3) };
        let dots = (0..rows.len()).filter_map(|row| {
            let ratio = (picture.ratio)(row, column)?.min(MOST);
            Some(Circle::new((ratio, (rows.len() - 1 - row) as f64), size, color.filled()))
        });
        chart.draw_series(dots)?.label(*name).legend(move |(x, y)| Circle::new((x, y), size, color.filled()));
    }
    chart.configure_series_labels().position(SeriesLabelPosition::LowerRight).background_style(WHITE.mix(0.8)).draw()?;
    area.present()?;
    Ok(())
}
