//! What can be made to go wrong.
use std::{str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

/// One thing that goes wrong, on every prompt (or request) or on the next few.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// What happens.
    pub kind: FaultKind,
    /// After how many steps of the prompt, of sampling or of enlarging; at once where there are no steps.
    #[serde(default)]
    pub step: u32,
    /// On how many prompts (or requests), counted down as it happens; `None`: on all.
    #[serde(default)]
    pub times: Option<u32>,
    /// Only on prompts whose JSON has this text in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// What can go wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FaultKind {
    /// The process dies as by SIGKILL: sockets end without a word, queue and history are lost.
    Crash,
    /// The prompt fails with `torch.OutOfMemoryError`.
    OutOfMemory,
    /// The prompt fails with a CUDA error, and so does every later one until a restart.
    CudaError,
    /// The prompt fails with this exception. The engine is well, whatever the words say.
    Raise {
        /// As `exception_type` says: `RuntimeError`.
        exception: String,
        /// As `exception_message` says.
        message: String,
    },
    /// No frame is sent any more, though the work goes on.
    Silence,
    /// The prompt goes no further and can't be interrupted.
    Hang,
    /// The prompt can't be interrupted any more, and goes on to its end.
    IgnoreInterrupt,
    /// The process answers nothing for a time, as when Python's lock is held.
    Stall {
        /// Milliseconds.
        millis: u64,
    },
    /// Every WebSocket is cut; clients may connect again.
    DropSockets,
    /// The latent becomes NaN: an all-black image, and a success.
    BlackImage,
    /// Loading a checkpoint takes this much longer.
    SlowLoad {
        /// Milliseconds.
        millis: u64,
    },
    /// The prompt leaves memory behind, for as long as the process lives.
    Leak {
        /// 2^20 bytes.
        megabytes: u32,
    },
    /// `POST /prompt` answers 500, yet the prompt is queued and runs.
    PromptError,
    /// No file can be written: `OSError: [Errno 28] No space left on device`, and uploads get 500.
    DiskFull,
    /// The folders of models are empty, for as long as this is in force.
    NoModels,
    /// A node class is not there, for as long as this is in force.
    MissingNode {
        /// Its name.
        class: String,
    },
    /// The process does not end on SIGTERM. Only the program gets that signal.
    IgnoreSigterm,
    /// A route answers otherwise than it should.
    Answer {
        /// The first part of the path: `view`, `history`, `upload`.
        route: String,
        /// How.
        how: Answer,
    },
}

/// How a route answers that does not do what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    /// With this status and no more; nothing is done.
    Status(u16),
    /// Piece by piece, over a time.
    Slow {
        /// Milliseconds.
        millis: u64,
    },
    /// The connection ends in the middle of the body.
    Cut,
}

impl FaultKind {
    /// Whether it happens to a prompt that runs, at some step.
    pub(crate) fn is_of_prompt(&self) -> bool {
        match self {
            Self::Crash | Self::OutOfMemory | Self::CudaError | Self::Raise { .. } | Self::Silence => true,
            Self::Hang | Self::IgnoreInterrupt | Self::Stall { .. } | Self::DropSockets => true,
            Self::BlackImage | Self::Leak { .. } => true,
            Self::SlowLoad { .. } | Self::PromptError | Self::DiskFull | Self::NoModels => false,
            Self::MissingNode { .. } | Self::IgnoreSigterm | Self::Answer { .. } => false,
        }
    }

    /// From `slow-load`, and the value after `=`.
    fn parse(name: &str, value: Option<&str>) -> Result<Self, String> {
        const NAMES: &str = "crash, out-of-memory, cuda-error, silence, hang, ignore-interrupt, stall=MILLIS, \
                             drop-sockets, black-image, slow-load=MILLIS, leak=MEGABYTES, prompt-error, disk-full, \
                             no-models, no-node=CLASS, ignore-sigterm, ROUTE-STATUS (view-404), ROUTE-slow=MILLIS, \
                             ROUTE-cut (with @STEP and xTIMES after it), or a fault in JSON";
        let number = || value.and_then(|value| value.parse().ok());
        let route = |(route, how): (&str, Answer)| Self::Answer { route: route.to_owned(), how };
        let kind = match (name, value) {
            ("crash", None) => Some(Self::Crash),
            ("out-of-memory", None) => Some(Self::OutOfMemory),
            ("cuda-error", None) => Some(Self::CudaError),
            ("silence", None) => Some(Self::Silence),
            ("hang", None) => Some(Self::Hang),
            ("ignore-interrupt", None) => Some(Self::IgnoreInterrupt),
            ("stall", _) => number().map(|millis| Self::Stall { millis }),
            ("drop-sockets", None) => Some(Self::DropSockets),
            ("black-image", None) => Some(Self::BlackImage),
            ("slow-load", _) => number().map(|millis| Self::SlowLoad { millis }),
            ("leak", _) => number().and_then(|n| n.try_into().ok()).map(|megabytes| Self::Leak { megabytes }),
            ("prompt-error", None) => Some(Self::PromptError),
            ("disk-full", None) => Some(Self::DiskFull),
            ("no-models", None) => Some(Self::NoModels),
            ("no-node", Some(class)) => Some(Self::MissingNode { class: class.to_owned() }),
            ("ignore-sigterm", None) => Some(Self::IgnoreSigterm),
            (name, value) => name.rsplit_once('-').and_then(|(path, how)| match (how, value) {
                ("slow", _) => number().map(|millis| route((path, Answer::Slow { millis }))),
                ("cut", None) => Some(route((path, Answer::Cut))),
                (status, None) => Some(route((path, Answer::Status(status.parse().ok()?)))),
                _ => None,
            }),
        };
        kind.ok_or_else(|| format!("{name} is none of {NAMES}"))
    }
}

impl Fault {
    /// On every prompt, before its first step.
    pub fn always(kind: FaultKind) -> Self {
        Self { kind, step: 0, times: None, text: None }
    }

    /// On the next prompt only, after `step` steps.
    pub fn once(kind: FaultKind, step: u32) -> Self {
        Self { kind, step, times: Some(1), text: None }
    }
}

/// `crash@3`, `out-of-memory@2x1` (once), `slow-load=5000`; or JSON, as `PUT /sim/faults` takes it.
impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with('{') {
            return serde_json::from_str(text).map_err(|error| format!("{text}: {error}"));
        }
        let number = |what: &str, number: &str| {
            number.parse().map_err(|_| format!("{text}: the {what} {number} is no number"))
        };
        let (rest, times) = match text.rsplit_once('x') {
            Some((rest, times)) if times.chars().all(|c| c.is_ascii_digit()) => {
                (rest, Some(number("count", times)?))
            }
            _ => (text, None),
        };
        let (rest, step) = match rest.split_once('@') {
            Some((rest, step)) => (rest, number("step", step)?),
            None => (rest, 0),
        };
        let (name, value) = match rest.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (rest, None),
        };
        Ok(Self { kind: FaultKind::parse(name, value)?, step, times, text: None })
    }
}

/// The faults in force.
#[derive(Debug)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn of(faults: Vec<Fault>) -> Self {
        Self(faults)
    }

    pub(crate) fn list(&self) -> &[Fault] {
        &self.0
    }

    /// The faults that happen after `step` steps of a prompt, each counted as having happened.
    pub(crate) fn of_prompt(&mut self, step: u32, prompt: impl Fn() -> String) -> Vec<FaultKind> {
        self.take(|fault| {
            let in_prompt = || fault.text.as_ref().is_none_or(|text| prompt().contains(text));
            fault.kind.is_of_prompt() && fault.step == step && in_prompt()
        })
    }

    /// The faults that happen outside of prompts and that `concern` what is done, each counted as having happened.
    pub(crate) fn of_kind(&mut self, concerns: impl Fn(&FaultKind) -> bool) -> Vec<FaultKind> {
        self.take(|fault| concerns(&fault.kind))
    }

    fn take(&mut self, happens: impl Fn(&Fault) -> bool) -> Vec<FaultKind> {
        let mut happen = Vec::new();
        for fault in &mut self.0 {
            if fault.times != Some(0) && happens(fault) {
                fault.times = fault.times.map(|times| times - 1);
                happen.push(fault.kind.clone());
            }
        }
        self.0.retain(|fault| fault.times != Some(0));
        happen
    }

    /// Whether a fault of this kind is in force; it is not counted.
    pub(crate) fn has(&self, kind: &FaultKind) -> bool {
        self.0.iter().any(|fault| fault.kind == *kind)
    }

    /// How much longer loading a checkpoint takes.
    pub(crate) fn load_delay(&mut self) -> Duration {
        let delays = self.of_kind(|kind| matches!(kind, FaultKind::SlowLoad { .. }));
        delays
            .iter()
            .map(|kind| match kind {
                FaultKind::SlowLoad { millis } => Duration::from_millis(*millis),
                _ => Duration::ZERO,
            })
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_reads_as_on_the_command_line() {
        let fault = |kind, step, times| Ok(Fault { kind, step, times, text: None });
        let view = |how| FaultKind::Answer { route: "view".to_owned(), how };
        assert_eq!("crash".parse(), fault(FaultKind::Crash, 0, None));
        assert_eq!("hang@3".parse(), fault(FaultKind::Hang, 3, None));
        assert_eq!("out-of-memory@2x1".parse(), fault(FaultKind::OutOfMemory, 2, Some(1)));
        assert_eq!("slow-load=50x2".parse(), fault(FaultKind::SlowLoad { millis: 50 }, 0, Some(2)));
        assert_eq!("view-404x3".parse(), fault(view(Answer::Status(404)), 0, Some(3)));
        assert_eq!("view-slow=9".parse(), fault(view(Answer::Slow { millis: 9 }), 0, None));
        assert_eq!("view-cut".parse(), fault(view(Answer::Cut), 0, None));
        let missing = FaultKind::MissingNode { class: "KSampler".to_owned() };
        assert_eq!("no-node=KSampler".parse(), fault(missing, 0, None));
        assert!("flood".parse::<Fault>().unwrap_err().contains("none of crash"));
        assert!("crash@x".parse::<Fault>().is_err());
        assert!("crash=7".parse::<Fault>().is_err());
        let of_one = r#"{"kind": "crash", "step": 3, "text": "poison"}"#.parse();
        assert_eq!(
            of_one,
            Ok(Fault { step: 3, text: Some("poison".to_owned()), ..Fault::always(FaultKind::Crash) })
        );
        assert!(r#"{"kind": "crash", "stepp": 3}"#.parse::<Fault>().is_err());
    }

    #[test]
    fn a_fault_happens_as_often_as_asked() {
        let mut faults = Faults::of(vec![Fault::once(FaultKind::Crash, 2), Fault::always(FaultKind::Hang)]);
        let prompt = String::new;
        assert_eq!(faults.of_prompt(0, prompt), [FaultKind::Hang]);
        assert_eq!(faults.of_prompt(2, prompt), [FaultKind::Crash]);
        assert_eq!(faults.of_prompt(2, prompt), []);
        assert_eq!(faults.of_prompt(0, prompt), [FaultKind::Hang]);
    }

    #[test]
    fn a_fault_may_be_for_some_prompts_only() {
        let poison = Fault { text: Some("poison".to_owned()), ..Fault::once(FaultKind::Crash, 0) };
        let mut faults = Faults::of(vec![poison]);
        assert_eq!(faults.of_prompt(0, || "bread".to_owned()), []);
        assert_eq!(faults.of_prompt(0, || "a poison".to_owned()), [FaultKind::Crash]);
    }
}
