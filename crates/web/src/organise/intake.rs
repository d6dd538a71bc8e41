//! The intake curve as markup of its own: registrations by time, bars for started ones, darker for confirmed ones.

use std::fmt::Write;

use crate::answers::Funnel;

const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 160.0;
const BARS: f64 = 60.0;

/// The inside of an SVG of 600 by 160.
pub fn curve(funnel: &Funnel) -> String {
    let most = funnel.intake.iter().map(|point| point.started.max(point.confirmed)).max().unwrap_or(0).max(1) as f64;
    let (from, span) = (funnel.from.0, (funnel.to.0 - funnel.from.0).max(1) as f64);
    let width = WIDTH / BARS;
    let mut svg = String::new();
    for point in &funnel.intake {
        let x = ((point.at.0 - from) as f64 / span * WIDTH).clamp(0.0, WIDTH - width);
        for (count, opacity) in [(point.started, "0.35"), (point.confirmed, "1")] {
            let high = count as f64 / most * (HEIGHT - 10.0);
            let (y, bar) = (HEIGHT - high, width - 1.0);
            // Writing to a string cannot fail.
            let _ = write!(
                svg,
                r#"<rect x="{x:.1}" y="{y:.1}" width="{bar:.1}" height="{high:.1}" fill="currentColor" fill-opacity="{opacity}"/>"#
            );
        }
    }
    svg
}
