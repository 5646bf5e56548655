//! Draws the chart on a terminal at each check, or prints plain lines.

use std::{
    io::{IsTerminal as _, Write as _, stdout},
    time::Duration,
};

use rustix::termios::tcgetwinsize;

use super::{
    ON_DEMAND_MACHINES,
    market::{MACHINES, Market, SPEED, ZONE, clock},
    watch::{History, Moment, Workers},
};

/// The time between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// The number of columns left of the chart.
const MARGIN: usize = 14;
/// The number of lines in the queue's chart.
const QUEUE_LINES: u32 = 3;
const IMAGES_PER_LINE: u64 = 8;

const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
const RED: &str = "\x1b[31m";
const CYAN: &str = "\x1b[36m";
const PLAIN: &str = "\x1b[0m";

/// The output of the demo.
pub(crate) enum Screen {
    /// A terminal. The cursor is hidden until the end.
    Chart,
    /// A file or a pipe, with the time at which the next line is due.
    Lines(Duration),
}

impl Screen {
    pub(crate) fn open() -> Self {
        if !stdout().is_terminal() {
            return Self::Lines(Duration::ZERO);
        }
        print!("\x1b[2J\x1b[?25l");
        Self::Chart
    }

    pub(crate) fn show(&mut self, market: &Market, history: &History, at: Duration) {
        match self {
            Self::Chart => draw(market, history, at),
            Self::Lines(due) if at >= *due => {
                *due = at + LINE_EVERY;
                println!("{}", line(market, history.last(), at));
            }
            Self::Lines(_) => {}
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if matches!(self, Self::Chart) {
            println!("\x1b[?25h");
        }
    }
}

fn line(market: &Market, now: &Moment, at: Duration) -> String {
    let tick = market.tick_after(at);
    let workers = |workers: &Workers| format!("{} of {} ready", workers.ready, workers.wanted());
    format!(
        "{:5.1}s  {:>5} h  {} of {} spot machines offered; workers: spot {}, on demand {}; images: {} waiting, \
         {} in time, {} late; {} USD",
        at.as_secs_f64(),
        clock(market.time_of(tick)),
        market.offered(tick),
        MACHINES,
        workers(&now.spot),
        workers(&now.on_demand),
        now.waiting,
        now.in_time,
        now.late,
        now.spent,
    )
}

/// Every line is cleared to its end, because the last drawing may be longer.
fn draw(market: &Market, history: &History, at: Duration) {
    let width = tcgetwinsize(stdout()).map_or(80, |size| usize::from(size.ws_col));
    let ticks_per_column = market.ticks().div_ceil(width.saturating_sub(MARGIN + 1).max(1));
    let mut lines = head(market, at);
    let columns = Columns { market, seen: history.by_tick(), ticks: ticks_per_column };
    lines.push(String::new());
    for machine in (1..=MACHINES).rev() {
        let cell = |tick, now: &Moment| {
            let offered = market.offered(tick) >= machine;
            machine_cell(machine, now.spot, if offered { '·' } else { ' ' })
        };
        lines.push(columns.row(if machine == MACHINES { "spot" } else { "" }, GREEN, cell));
    }
    for machine in (1..=ON_DEMAND_MACHINES).rev() {
        let cell = |_, now: &Moment| machine_cell(machine, now.on_demand, ' ');
        let label = if machine == ON_DEMAND_MACHINES { "on demand" } else { "" };
        lines.push(columns.row(label, YELLOW, cell));
    }
    for line in (0..QUEUE_LINES).rev() {
        let cell = |_, now: &Moment| bar(now.waiting.saturating_sub(u64::from(line) * IMAGES_PER_LINE));
        lines.push(columns.row(if line + 1 == QUEUE_LINES { "waiting" } else { "" }, CYAN, cell));
    }
    lines.push(columns.row("late", RED, |tick, now| {
        let before = tick.checked_sub(1).and_then(|tick| columns.seen.get(tick)).map_or(0, |m| m.late);
        if now.late > before { '!' } else { ' ' }
    }));
    lines.push(columns.axis());
    lines.extend(foot(history.last(), width));
    let mut out = stdout().lock();
    // If the terminal is closed the demo continues.
    let _ = write!(out, "\x1b[H{}\x1b[K\x1b[J", lines.join("\x1b[K\n")).and_then(|()| out.flush());
}

fn head(market: &Market, at: Duration) -> Vec<String> {
    let tick = market.tick_after(at);
    vec![
        format!(
            "AWS V100 spot market, {ZONE}, recorded: {} of {} h, {SPEED} × faster ({:.0} s so far)",
            clock(market.time_of(tick.min(market.ticks()))),
            clock(market.time_of(market.ticks())),
            at.as_secs_f64(),
        ),
        format!("█ ready  ▒ starting  ○ without a machine  {GREEN}·{PLAIN} machine that the market offers"),
    ]
}

fn foot(now: &Moment, width: usize) -> Vec<String> {
    let Moment { waiting, spot: _, on_demand: _, asked, in_time, late, spent, all_on_demand, decision } = now;
    let decision = format!("operator      {decision}");
    vec![
        String::new(),
        format!("images        {asked} asked for: {in_time} made in time, {late} late; {waiting} waiting"),
        format!("spent         {spent} USD; the same machines on demand {all_on_demand} USD"),
        decision.chars().take(width).collect(),
    ]
}

/// The ticks so far, one or more per column.
struct Columns<'a> {
    market: &'a Market,
    seen: Vec<&'a Moment>,
    ticks: usize,
}

impl Columns<'_> {
    /// A line of the chart; each column shows its last tick.
    fn row(&self, label: &str, colour: &str, cell: impl Fn(usize, &Moment) -> char) -> String {
        let mut cells = String::new();
        for (column, moments) in self.seen.chunks(self.ticks).enumerate() {
            let tick = column * self.ticks + moments.len() - 1;
            cells.extend(moments.last().map(|now| cell(tick, now)));
        }
        format!("{label:MARGIN$}{colour}{cells}{PLAIN}")
    }

    /// The axis, with a mark for every hour.
    fn axis(&self) -> String {
        let mut line = " ".repeat(MARGIN);
        let ticks = self.market.ticks();
        for column in 0..=ticks / self.ticks {
            let time = self.market.time_of(column * self.ticks);
            let before = column.checked_sub(1).map(|column| self.market.time_of(column * self.ticks));
            let hour = time.as_secs() / 3600;
            if before.is_none_or(|before| before.as_secs() / 3600 < hour) {
                let label = format!("{hour} h");
                let reached = line.chars().count();
                line.extend(std::iter::repeat_n(' ', (MARGIN + column).saturating_sub(reached)));
                line.push_str(&label);
            }
        }
        line
    }
}

fn machine_cell(machine: u32, workers: Workers, else_: char) -> char {
    match machine {
        n if n <= workers.ready => '█',
        n if n <= workers.on_machines() => '▒',
        n if n <= workers.wanted() => '○',
        _ => else_,
    }
}

/// A bar of this many eighths of a line.
fn bar(eighths: u64) -> char {
    match eighths {
        0 => ' ',
        1 => '▁',
        2 => '▂',
        3 => '▃',
        4 => '▄',
        5 => '▅',
        6 => '▆',
        7 => '▇',
        _ => '█',
    }
}
