//! Draws the chart as SVG: what the screen showed, and the spending.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, Result};

use super::{
    ON_DEMAND_MACHINES,
    market::{MACHINES, Market, SPEED, ZONE, clock},
    watch::{History, Moment},
};

/// Sizes in pixels.
const LEFT: f64 = 120.0;
const WIDTH: f64 = 900.0;
const PANEL: f64 = 90.0;
const GAP: f64 = 34.0;
const TOP: f64 = 90.0;

const OFFERED: &str = "#d7ecd9";
const GREEN: &str = "#2e8b57";
const YELLOW: &str = "#e0a100";
const PALE: &str = "#a9a9a9";
const BLUE: &str = "#3778bf";
const RED: &str = "#c8372d";

/// A quantity over the ticks; each value lasts for its tick.
struct Series {
    name: &'static str,
    colour: &'static str,
    look: Look,
    values: Vec<f64>,
}

#[derive(Clone, Copy)]
enum Look {
    Area,
    Line,
}

struct Panel {
    title: &'static str,
    /// The value at the top of the panel.
    most: f64,
    series: Vec<Series>,
}

/// Writes the chart.
pub(crate) fn write(file: &Path, market: &Market, history: &History) -> Result<()> {
    let panels = panels(market, &history.by_tick());
    let svg = draw(market, &panels)?;
    fs::write(file, svg).with_context(|| format!("write {}", file.display()))
}

fn panels(market: &Market, seen: &[&Moment]) -> Vec<Panel> {
    let series = |name, colour, look, value: fn(&Moment) -> f64| {
        let values = seen.iter().map(|now| value(now)).collect();
        Series { name, colour, look, values }
    };
    let offered = (0..seen.len()).map(|tick| f64::from(market.offered(tick))).collect();
    let spot = vec![
        Series { name: "offered by the market", colour: OFFERED, look: Look::Area, values: offered },
        series("starting", PALE, Look::Area, |now| f64::from(now.spot.on_machines())),
        series("ready", GREEN, Look::Area, |now| f64::from(now.spot.ready)),
        series("wanted", RED, Look::Line, |now| f64::from(now.spot.wanted())),
    ];
    let on_demand = vec![
        series("starting", PALE, Look::Area, |now| f64::from(now.on_demand.on_machines())),
        series("ready", YELLOW, Look::Area, |now| f64::from(now.on_demand.ready)),
        series("wanted", RED, Look::Line, |now| f64::from(now.on_demand.wanted())),
    ];
    let waiting = vec![series("images", BLUE, Look::Area, |now| count(now.waiting))];
    let images = vec![
        series("made in time", GREEN, Look::Line, |now| f64::from(now.in_time)),
        series("late", RED, Look::Line, |now| f64::from(now.late)),
    ];
    let spent = vec![
        series("the same machines on demand", PALE, Look::Line, |now| cents(now.all_on_demand)),
        series("spent", BLUE, Look::Line, |now| cents(now.spent)),
    ];
    vec![
        Panel { title: "spot", most: MACHINES.into(), series: spot },
        Panel { title: "on demand", most: ON_DEMAND_MACHINES.into(), series: on_demand },
        Panel::up_to_its_largest("waiting", waiting),
        Panel::up_to_its_largest("images", images),
        Panel::up_to_its_largest("US cents", spent),
    ]
}

fn count(images: u64) -> f64 {
    u32::try_from(images).map_or(f64::INFINITY, f64::from)
}

fn cents(amount: crds::Money) -> f64 {
    const MICROS: f64 = 10_000.0;
    count(amount.micros()) / MICROS
}

impl Panel {
    fn up_to_its_largest(title: &'static str, series: Vec<Series>) -> Self {
        let most = series.iter().flat_map(|series| &series.values).copied().fold(1.0, f64::max);
        Self { title, most, series }
    }
}

fn draw(market: &Market, panels: &[Panel]) -> Result<String> {
    let height = TOP + f64::from(u32::try_from(panels.len())?) * (PANEL + GAP) + GAP;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {height}\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        LEFT + WIDTH + 20.0
    );
    writeln!(svg, "<text x=\"20\" y=\"28\" font-size=\"17\">ImageJobs on a recorded spot market</text>")?;
    writeln!(
        svg,
        "<text x=\"20\" y=\"48\" fill=\"#555\">AWS V100, {ZONE}, {} h played {SPEED} times faster; {MACHINES} machines \
         for the 16 recorded; machines and images take their own time</text>",
        clock(market.time_of(market.ticks()))
    )?;
    let mut top = TOP;
    for panel in panels {
        panel.draw(&mut svg, top, market.ticks())?;
        top += PANEL + GAP;
    }
    hours(&mut svg, market, top - GAP + 16.0)?;
    svg.push_str("</svg>\n");
    Ok(svg)
}

fn hours(svg: &mut String, market: &Market, y: f64) -> Result<()> {
    const HOUR: u64 = 3600;
    let all = market.time_of(market.ticks()).as_secs_f64();
    let mut hour = 0;
    while let at = (hour * HOUR) as f64
        && at <= all
    {
        let x = LEFT + at / all * WIDTH;
        writeln!(svg, "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\" fill=\"#555\">{hour} h</text>")?;
        hour += 1;
    }
    Ok(())
}

impl Panel {
    fn draw(&self, svg: &mut String, top: f64, ticks: usize) -> Result<()> {
        let bottom = top + PANEL;
        writeln!(svg, "<text x=\"20\" y=\"{}\">{}</text>", top + 14.0, self.title)?;
        writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\" fill=\"#555\">{:.0}</text>",
            LEFT - 6.0,
            top + 14.0,
            self.most
        )?;
        let mut x = LEFT;
        for series in &self.series {
            let Series { name, colour, .. } = series;
            writeln!(
                svg,
                "<rect x=\"{x}\" y=\"{}\" width=\"10\" height=\"10\" fill=\"{colour}\"/>",
                top - 13.0
            )?;
            writeln!(svg, "<text x=\"{}\" y=\"{}\" font-size=\"11\">{name}</text>", x + 14.0, top - 4.0)?;
            x += 200.0;
            series.draw(svg, bottom, self.most, ticks)?;
        }
        writeln!(svg, "<path d=\"M{LEFT} {bottom}H{}\" stroke=\"#999\" fill=\"none\"/>", LEFT + WIDTH)?;
        Ok(())
    }
}

impl Series {
    /// Values above `most` are drawn as `most`.
    fn draw(&self, svg: &mut String, bottom: f64, most: f64, ticks: usize) -> Result<()> {
        let step = WIDTH / f64::from(u32::try_from(ticks)?);
        let mut path = String::new();
        let mut x = LEFT;
        for value in &self.values {
            let y = bottom - (value / most).min(1.0) * PANEL;
            let command = if path.is_empty() { 'M' } else { 'L' };
            write!(path, "{command}{x:.1} {y:.1}H{:.1}", x + step)?;
            x += step;
        }
        let colour = self.colour;
        match self.look {
            Look::Area => {
                writeln!(svg, "<path d=\"{path}V{bottom}H{LEFT}Z\" fill=\"{colour}\"/>")?;
            }
            Look::Line => {
                writeln!(svg, "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>")?;
            }
        }
        Ok(())
    }
}
