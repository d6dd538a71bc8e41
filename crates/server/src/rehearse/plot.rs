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

/// Draws how many had clicked, been answered and been given a place at each moment.
pub fn intake_curve(moments: &[Moment], title: &str) -> String {
    let placed = moments.iter().filter(|moment| moment.placed);
    let curves = [
        Curve::new("clicked", "#8a8f98", moments.iter().map(|moment| moment.clicked)),
        Curve::new("answered", "#2563eb", moments.iter().map(|moment| moment.answered)),
        Curve::new("placed", "#15803d", placed.map(|moment| moment.answered)),
    ];
    let end = curves.iter().filter_map(|curve| curve.at.last()).max();
    let sheet =
        Sheet { end_s: end.map_or(1.0, |end| end.as_secs_f64().max(0.001)), people: moments.len().max(1) as f64 };
    let title = title.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"26\" font-size=\"17\">{title}</text>\n"
    );
    sheet.draw_grid(&mut svg);
    let mut legend = LEFT;
    for curve in &curves {
        sheet.draw_curve(curve, legend, &mut svg);
        legend += 180.0;
    }
    svg.push_str("</svg>\n");
    svg
}

/// A curve that rises by one at each of its times.
struct Curve {
    name: &'static str,
    color: &'static str,
    at: Vec<Duration>,
}

impl Curve {
    fn new(name: &'static str, color: &'static str, at: impl Iterator<Item = Duration>) -> Curve {
        let mut at: Vec<Duration> = at.collect();
        at.sort_unstable();
        Curve { name, color, at }
    }
}

/// Time to the right, people upwards.
struct Sheet {
    end_s: f64,
    people: f64,
}

// Writing to a string cannot fail.
impl Sheet {
    fn x(&self, at_s: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * at_s / self.end_s
    }

    fn y(&self, count: f64) -> f64 {
        HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * count / self.people
    }

    fn draw_grid(&self, svg: &mut String) {
        let (right, label, below) = (WIDTH - RIGHT, LEFT - 8.0, HEIGHT - BOTTOM + 22.0);
        for tick in 0..=TICKS {
            let share = f64::from(tick) / f64::from(TICKS);
            let (at_s, count) = (self.end_s * share, self.people * share);
            let (x, y) = (self.x(at_s), self.y(count));
            _ = writeln!(svg, "<path d=\"M{LEFT} {y:.1}H{right}\" stroke=\"#e5e7eb\"/>");
            _ = writeln!(svg, "<text x=\"{label}\" y=\"{:.1}\" text-anchor=\"end\">{count:.0}</text>", y + 4.0);
            _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{below}\" text-anchor=\"middle\">{at_s:.2} s</text>");
        }
    }

    fn draw_curve(&self, curve: &Curve, legend: f64, svg: &mut String) {
        let Curve { name, color, at } = curve;
        let mut path = format!("M{:.1} {:.1}", self.x(0.0), self.y(0.0));
        let step = at.len().div_ceil(POINTS_MAX).max(1);
        for (before, time) in at.iter().enumerate() {
            if before % step == 0 || before + 1 == at.len() {
                let (x, y) = (self.x(time.as_secs_f64()), self.y((before + 1) as f64));
                _ = write!(path, "L{x:.1} {y:.1}");
            }
        }
        // A curve stays where it ended.
        _ = write!(path, "H{:.1}", self.x(self.end_s));
        _ = writeln!(svg, "<path d=\"{path}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"/>");
        _ = writeln!(svg, "<path d=\"M{legend} 42h24\" stroke=\"{color}\" stroke-width=\"3\"/>");
        _ = writeln!(svg, "<text x=\"{}\" y=\"46\">{} {name}</text>", legend + 30.0, at.len());
    }
}
