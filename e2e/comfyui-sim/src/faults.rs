//! The faults that a simulator can have.
use std::{str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

/// A fault that happens on every prompt (or request) or on the next few.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// The kind of the fault.
    pub kind: FaultKind,
    /// The number of steps of the prompt (of sampling or of enlarging) after which the fault happens. In a prompt
    /// without steps it happens at once.
    #[serde(default)]
    pub step: u32,
    /// The number of prompts (or requests) on which the fault still happens; `None`: on all.
    #[serde(default)]
    pub times: Option<u32>,
    /// The fault happens only on prompts whose JSON contains this text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// The kind of a fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FaultKind {
    /// The process dies as by SIGKILL: sockets close without a message, and queue and history are lost.
    Crash,
    /// The prompt fails with `torch.OutOfMemoryError`.
    OutOfMemory,
    /// The prompt fails with a CUDA error, and so does every later one until a restart.
    CudaError,
    /// The prompt fails with this exception. The engine works on, whatever the message says.
    Raise {
        /// The value of `exception_type`, e.g. `RuntimeError`.
        exception: String,
        /// The value of `exception_message`.
        message: String,
    },
    /// The server sends no more frames, though the work goes on.
    Silence,
    /// The prompt stops making progress and can't be interrupted.
    Hang,
    /// The prompt can't be interrupted and runs to its end.
    IgnoreInterrupt,
    /// The process answers nothing for a while, as when Python's lock is held.
    Stall {
        /// Milliseconds.
        millis: u64,
    },
    /// Every WebSocket is cut; clients may connect again.
    DropSockets,
    /// The latent becomes NaN: the prompt succeeds with an all-black image.
    BlackImage,
    /// Loading a checkpoint takes this much longer.
    SlowLoad {
        /// Milliseconds.
        millis: u64,
    },
    /// The prompt leaves memory allocated until the process ends.
    Leak {
        /// The size of the memory, in units of 2^20 bytes.
        megabytes: u32,
    },
    /// `POST /prompt` answers 500, although the prompt is queued and runs.
    PromptError,
    /// Files can't be written: `OSError: [Errno 28] No space left on device`; uploads get 500.
    DiskFull,
    /// The files of an output node are cut in half, and the prompt succeeds all the same.
    HalfFile,
    /// The files of an output node are empty, and the prompt succeeds all the same.
    EmptyFile,
    /// The folders of models are empty while this fault is active.
    NoModels,
    /// A node class is missing while this fault is active.
    MissingNode {
        /// The name of the class.
        class: String,
    },
    /// The process ignores SIGTERM. Only the program gets this signal.
    IgnoreSigterm,
    /// A route gives a wrong answer.
    Answer {
        /// The first part of the route's path: `view`, `history`, `upload`.
        route: String,
        /// What is wrong with the answer.
        how: Answer,
    },
}

/// What is wrong with a route's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    /// The answer has this status and no content, and the route has no effect.
    Status(u16),
    /// The answer arrives in pieces, over a time.
    Slow {
        /// Milliseconds.
        millis: u64,
    },
    /// The connection closes in the middle of the body.
    Cut,
}

impl FaultKind {
    /// Whether the fault happens to a running prompt, at some step.
    pub(crate) fn is_of_prompt(&self) -> bool {
        match self {
            Self::Crash | Self::OutOfMemory | Self::CudaError | Self::Raise { .. } | Self::Silence => true,
            Self::Hang | Self::IgnoreInterrupt | Self::Stall { .. } | Self::DropSockets => true,
            Self::BlackImage | Self::Leak { .. } => true,
            Self::SlowLoad { .. } | Self::PromptError | Self::DiskFull | Self::NoModels => false,
            Self::HalfFile | Self::EmptyFile => false,
            Self::MissingNode { .. } | Self::IgnoreSigterm | Self::Answer { .. } => false,
        }
    }

    /// Parses a kind such as `slow-load`, and the value after `=`.
    fn parse(name: &str, value: Option<&str>) -> Result<Self, String> {
        const NAMES: &str = "crash, out-of-memory, cuda-error, silence, hang, ignore-interrupt, stall=MILLIS, \
                             drop-sockets, black-image, slow-load=MILLIS, leak=MEGABYTES, prompt-error, disk-full, half-file, empty-file, \
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
            ("half-file", None) => Some(Self::HalfFile),
            ("empty-file", None) => Some(Self::EmptyFile),
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
    /// A fault on every prompt, before its first step.
    pub fn always(kind: FaultKind) -> Self {
        Self { kind, step: 0, times: None, text: None }
    }

    /// A fault on the next prompt only, after `step` steps.
    pub fn once(kind: FaultKind, step: u32) -> Self {
        Self { kind, step, times: Some(1), text: None }
    }
}

/// Parses `crash@3`, `out-of-memory@2x1` (once), `slow-load=5000`, or JSON as in `PUT /sim/faults`.
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

/// The active faults.
#[derive(Debug)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn of(faults: Vec<Fault>) -> Self {
        Self(faults)
    }

    pub(crate) fn list(&self) -> &[Fault] {
        &self.0
    }

    /// The faults that happen after `step` steps of a prompt. Each is counted.
    pub(crate) fn of_prompt(&mut self, step: u32, prompt: impl Fn() -> String) -> Vec<FaultKind> {
        self.take(|fault| {
            let in_prompt = || fault.text.as_ref().is_none_or(|text| prompt().contains(text));
            fault.kind.is_of_prompt() && fault.step == step && in_prompt()
        })
    }

    /// The faults that happen outside prompts and that `concerns` selects. Each is counted.
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

    /// Whether a fault of this kind is active. It is not counted.
    pub(crate) fn has(&self, kind: &FaultKind) -> bool {
        self.0.iter().any(|fault| fault.kind == *kind)
    }

    /// The additional time to load a checkpoint.
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
        assert_eq!("half-filex1".parse(), fault(FaultKind::HalfFile, 0, Some(1)));
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
