//! Charts as SVG, plain enough to be read as text.
use std::fmt::Write as _;

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 300.0;
/// Left, top, right, bottom.
const MARGIN: (f64, f64, f64, f64) = (60.0, 40.0, 20.0, 40.0);
/// About so many numbers on an axis.
const TICKS: f64 = 6.0;

/// Something drawn over time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Line {
    /// What it is.
    pub(crate) name: &'static str,
    /// An SVG colour.
    pub(crate) colour: &'static str,
    /// The area below is filled.
    pub(crate) filled: bool,
    /// By x.
    pub(crate) points: Vec<(f64, f64)>,
}

/// Lines over a common x axis, as steps.
pub(crate) fn lines(title: &str, x: &str, lines: &[Line]) -> String {
    let points = || lines.iter().flat_map(|line| &line.points);
    let first = points().map(|(x, _)| *x).fold(f64::INFINITY, f64::min);
    let last = points().map(|(x, _)| *x).fold(first, f64::max);
    let most = points().map(|(_, y)| *y).fold(1.0, f64::max);
    let frame = Frame { first, last: last.max(first + f64::EPSILON), most };
    let mut svg = open(title);
    frame.axes(&mut svg, x);
    for (i, line) in lines.iter().enumerate() {
        frame.line(&mut svg, line);
        let at = MARGIN.0 + 150.0 * i as f64;
        text(&mut svg, (at, 34.0), "start", line.colour, line.name);
    }
    svg.push_str("</svg>\n");
    svg
}

/// Bars with their names and numbers.
pub(crate) fn bars(title: &str, bars: &[(String, f64)]) -> String {
    let most = bars.iter().map(|(_, value)| *value).fold(f64::MIN_POSITIVE, f64::max);
    let step = (HEIGHT - MARGIN.1 - 10.0) / bars.len().max(1) as f64;
    let mut svg = open(title);
    for (i, (name, value)) in bars.iter().enumerate() {
        let top = MARGIN.1 + step * i as f64;
        let width = (WIDTH - 400.0) * value / most;
        let middle = top + step / 2.0 + 4.0;
        text(&mut svg, (190.0, middle), "end", "#222", name);
        let _ = writeln!(
            svg,
            r##"<rect x="200" y="{:.1}" width="{width:.1}" height="{:.1}" fill="#4878a8"/>"##,
            top + step * 0.15,
            step * 0.7
        );
        text(&mut svg, (210.0 + width, middle), "start", "#222", &format!("{value:.2}"));
    }
    svg.push_str("</svg>\n");
    svg
}

fn open(title: &str) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
    );
    text(&mut svg, (MARGIN.0, 18.0), "start", "#222", title);
    svg
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, colour: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    let _ =
        writeln!(svg, r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" fill="{colour}">{text}</text>"#);
}

/// Where points come to lie.
#[derive(Debug, Clone, Copy)]
struct Frame {
    first: f64,
    last: f64,
    most: f64,
}

impl Frame {
    fn x(&self, x: f64) -> f64 {
        MARGIN.0 + (x - self.first) / (self.last - self.first) * (WIDTH - MARGIN.0 - MARGIN.2)
    }

    fn y(&self, y: f64) -> f64 {
        HEIGHT - MARGIN.3 - y / self.most * (HEIGHT - MARGIN.1 - MARGIN.3)
    }

    fn axes(&self, svg: &mut String, name: &str) {
        for value in ticks(0.0, self.most) {
            let y = self.y(value);
            let (left, right) = (MARGIN.0, WIDTH - MARGIN.2);
            let _ = writeln!(svg, r##"<path d="M{left} {y:.1}H{right}" stroke="#ddd"/>"##);
            text(svg, (left - 6.0, y + 4.0), "end", "#222", &format!("{value}"));
        }
        for value in ticks(self.first, self.last) {
            text(svg, (self.x(value), HEIGHT - 22.0), "middle", "#222", &format!("{value}"));
        }
        text(svg, (WIDTH - MARGIN.2, HEIGHT - 6.0), "end", "#222", name);
    }

    fn line(&self, svg: &mut String, line: &Line) {
        let mut path = String::new();
        for (i, (x, y)) in line.points.iter().enumerate() {
            let (x, y) = (self.x(*x), self.y(*y));
            let _ = if i == 0 { write!(path, "M{x:.1} {y:.1}") } else { write!(path, "H{x:.1}V{y:.1}") };
        }
        if let (true, Some(first), Some(last)) = (line.filled, line.points.first(), line.points.last()) {
            let (ground, first, last) = (self.y(0.0), self.x(first.0), self.x(last.0));
            let _ = writeln!(
                svg,
                r#"<path d="{path}H{last:.1}V{ground:.1}H{first:.1}Z" fill="{}" fill-opacity="0.25"/>"#,
                line.colour
            );
        }
        let _ = writeln!(svg, r#"<path d="{path}" fill="none" stroke="{}"/>"#, line.colour);
    }
}

/// Round numbers between two.
fn ticks(from: f64, to: f64) -> Vec<f64> {
    let raw = (to - from) / TICKS;
    let power = 10f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|n| n * power).into_iter().find(|step| *step >= raw).unwrap_or(raw);
    let first = (from / step).ceil();
    (0..).map(|i| (first + f64::from(i)) * step).take_while(|value| *value <= to).map(tidy).collect()
}

/// Without the dust that multiplying leaves.
fn tidy(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_round_numbers() {
        assert_eq!(ticks(0.0, 23.0), [0.0, 5.0, 10.0, 15.0, 20.0]);
        assert_eq!(ticks(0.0, 0.9), [0.0, 0.2, 0.4, 0.6, 0.8]);
        assert_eq!(ticks(48.0, 72.0), [50.0, 55.0, 60.0, 65.0, 70.0]);
    }

    #[test]
    fn names_cant_break_the_picture() {
        let svg = bars("a < b", &[("<&>".into(), 1.0)]);
        assert!(svg.contains("a &lt; b") && svg.contains("&lt;&amp;>"));
    }
}
