//! The intake curve as an SVG: who came, who knew, who got a place, over time.

use std::fmt::Write;
use std::time::Duration;

use super::Moment;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 540.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 56.0;
const BOTTOM: f64 = 56.0;
/// Points of one curve; more would not be seen.
const POINTS_MAX: usize = 800;
const TICKS: u32 = 6;

/// A curve that rises by one at each of its times.
struct Curve {
    name: &'static str,
    color: &'static str,
    at: Vec<Duration>,
}

/// Draws how many had clicked, been answered and been given a place at each moment.
pub fn intake_curve(moments: &[Moment], title: &str) -> String {
    let curve = |name, color, mut at: Vec<Duration>| {
        at.sort_unstable();
        Curve { name, color, at }
    };
    let curves = [
        curve("clicked", "#8a8f98", moments.iter().map(|moment| moment.clicked).collect()),
        curve("answered", "#2563eb", moments.iter().map(|moment| moment.answered).collect()),
        curve("placed", "#15803d", moments.iter().filter(|moment| moment.placed).map(|moment| moment.answered).collect()),
    ];
    let end_s = curves.iter().filter_map(|curve| curve.at.last()).max().map_or(1.0, |end| end.as_secs_f64().max(0.001));
    let people = moments.len().max(1) as f64;
    let x = |at_s: f64| LEFT + (WIDTH - LEFT - RIGHT) * at_s / end_s;
    let y = |count: f64| HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * count / people;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"{LEFT}\" y=\"26\" font-size=\"17\">{}</text>\n",
        escaped(title)
    );
    // Writing to a string cannot fail.
    let mut draw = |element: std::fmt::Arguments<'_>| _ = writeln!(svg, "{element}");
    for tick in 0..=TICKS {
        let share = f64::from(tick) / f64::from(TICKS);
        let (at, count) = (x(end_s * share), y(people * share));
        draw(format_args!("<path d=\"M{LEFT} {count:.1}H{:.1}\" stroke=\"#e5e7eb\"/>", WIDTH - RIGHT));
        draw(format_args!("<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{:.0}</text>", LEFT - 8.0, count + 4.0, people * share));
        draw(format_args!("<text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{:.2} s</text>", HEIGHT - BOTTOM + 22.0, end_s * share));
    }
    for (place, curve) in (0_u32..).zip(&curves) {
        let mut path = format!("M{:.1} {:.1}", x(0.0), y(0.0));
        let step = curve.at.len().div_ceil(POINTS_MAX).max(1);
        for (before, at) in curve.at.iter().enumerate() {
            let last = before + 1 == curve.at.len();
            if before % step == 0 || last {
                _ = write!(path, "L{:.1} {:.1}", x(at.as_secs_f64()), y((before + 1) as f64));
            }
        }
        // A curve stays where it ended.
        _ = write!(path, "H{:.1}", x(end_s));
        draw(format_args!("<path d=\"{path}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"/>", curve.color));
        let legend = WIDTH - RIGHT - 150.0 * f64::from(3 - place);
        draw(format_args!("<path d=\"M{legend:.1} 40h24\" stroke=\"{}\" stroke-width=\"3\"/>", curve.color));
        draw(format_args!("<text x=\"{:.1}\" y=\"44\">{} {}</text>", legend + 30.0, curve.at.len(), curve.name));
    }
    svg.push_str("</svg>\n");
    svg
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
