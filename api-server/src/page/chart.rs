//! Bars, as an SVG in the page.

use maud::{Markup, html};

/// What a chart shows: a value for each hour or minute, the oldest first.
#[derive(Debug)]
pub(crate) struct Chart<'a> {
    pub(crate) title: &'a str,
    /// What is said of the values for who can't see them.
    pub(crate) summary: String,
    /// The largest value as text, at the top of the scale.
    pub(crate) most: String,
    /// What stands below the first and the last bar.
    pub(crate) ends: [&'a str; 2],
    pub(crate) values: &'a [f64],
}

const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 96.0;
/// Of a bar's room the part that it fills.
const FILLS: f64 = 0.8;
/// A value that is not 0 shows at least so high.
const LEAST: f64 = 2.0;

impl Chart<'_> {
    pub(crate) fn markup(&self) -> Markup {
        let top = self.values.iter().copied().fold(0.0, f64::max);
        #[allow(clippy::cast_precision_loss, reason = "some hundred bars")]
        let room = WIDTH / self.values.len().max(1) as f64;
        let mut x = 0.0;
        html! {
            figure.chart {
                figcaption { (self.title) span.most { (self.most) } }
                svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label={ (self.title) ": " (self.summary) } preserveAspectRatio="none" {
                    line x1="0" x2=(WIDTH) y1=(HEIGHT) y2=(HEIGHT) {}
                    @for value in self.values {
                        @let high = if *value > 0.0 && top > 0.0 { (value / top * HEIGHT).max(LEAST) } else { 0.0 };
                        @let left = { let left = x; x += room; left };
                        @if high > 0.0 {
                            rect x=(rounded(left)) y=(rounded(HEIGHT - high)) width=(rounded(room * FILLS)) height=(rounded(high)) {}
                        }
                    }
                }
                p.ends aria-hidden="true" { span { (self.ends[0]) } span { (self.ends[1]) } }
            }
        }
    }
}

fn rounded(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}
