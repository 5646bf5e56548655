//! What can be made to go wrong.
use std::{str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

/// One thing that goes wrong, on every prompt or on the next few.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fault {
    /// What happens.
    pub kind: FaultKind,
    /// After how many sampling steps of the prompt; at once where there are no steps.
    #[serde(default)]
    pub step: u32,
    /// On how many prompts, counted down as it happens; `None`: on all.
    #[serde(default)]
    pub times: Option<u32>,
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
    /// No frame is sent any more, though the work goes on.
    Silence,
    /// The prompt goes no further and can't be interrupted.
    Hang,
    /// Every WebSocket is cut; clients may connect again.
    DropSockets,
    /// The latent becomes NaN: an all-black image, and a success.
    BlackImage,
    /// Loading a checkpoint takes this much longer.
    SlowLoad {
        /// Milliseconds.
        millis: u64,
    },
    /// `POST /prompt` answers 500, yet the prompt is queued and runs.
    PromptError,
}

impl Fault {
    /// On every prompt, before its first step.
    pub fn always(kind: FaultKind) -> Self {
        Self { kind, step: 0, times: None }
    }

    /// On the next prompt only, after `step` steps.
    pub fn once(kind: FaultKind, step: u32) -> Self {
        Self { kind, step, times: Some(1) }
    }
}

/// `crash@3`, `out-of-memory@2x1` (once), `slow-load=5000`.
impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |what: &str, number: &str| {
            number.parse().map_err(|_| format!("{text}: the {what} {number} is no number"))
        };
        let (rest, times) = match text.rsplit_once('x') {
            Some((rest, times)) if times.chars().all(|c| c.is_ascii_digit()) => {
                (rest, Some(number("count", times)?))
            }
            _ => (text, None),
        };
        let (name, step) = match rest.split_once('@') {
            Some((name, step)) => (name, number("step", step)?),
            None => (rest, 0),
        };
        let kind = match name.split_once('=') {
            Some(("slow-load", millis)) => FaultKind::SlowLoad { millis: number("delay", millis)?.into() },
            _ => match name {
                "crash" => FaultKind::Crash,
                "out-of-memory" => FaultKind::OutOfMemory,
                "cuda-error" => FaultKind::CudaError,
                "silence" => FaultKind::Silence,
                "hang" => FaultKind::Hang,
                "drop-sockets" => FaultKind::DropSockets,
                "black-image" => FaultKind::BlackImage,
                "prompt-error" => FaultKind::PromptError,
                _ => {
                    return Err(format!(
                        "{name} is none of crash, out-of-memory, cuda-error, silence, hang, drop-sockets, \
                         black-image, slow-load=MILLIS, prompt-error (with @STEP and xTIMES after it)"
                    ));
                }
            },
        };
        Ok(Self { kind, step, times })
    }
}

/// The faults in force.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn set(&mut self, faults: Vec<Fault>) {
        self.0 = faults;
    }

    pub(crate) fn list(&self) -> &[Fault] {
        &self.0
    }

    /// The faults that happen after `step` steps, each counted as having happened.
    pub(crate) fn take(&mut self, step: u32, concerns: impl Fn(&FaultKind) -> bool) -> Vec<FaultKind> {
        let mut happen = Vec::new();
        for fault in &mut self.0 {
            if fault.step == step && fault.times != Some(0) && concerns(&fault.kind) {
                fault.times = fault.times.map(|times| times - 1);
                happen.push(fault.kind.clone());
            }
        }
        self.0.retain(|fault| fault.times != Some(0));
        happen
    }

    /// How much longer loading a checkpoint takes.
    pub(crate) fn load_delay(&mut self) -> Duration {
        let delays = self.take(0, |kind| matches!(kind, FaultKind::SlowLoad { .. }));
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
        let fault = |kind, step, times| Ok(Fault { kind, step, times });
        assert_eq!("crash".parse(), fault(FaultKind::Crash, 0, None));
        assert_eq!("hang@3".parse(), fault(FaultKind::Hang, 3, None));
        assert_eq!("out-of-memory@2x1".parse(), fault(FaultKind::OutOfMemory, 2, Some(1)));
        assert_eq!("slow-load=50x2".parse(), fault(FaultKind::SlowLoad { millis: 50 }, 0, Some(2)));
        assert!("flood".parse::<Fault>().unwrap_err().contains("none of crash"));
        assert!("crash@x".parse::<Fault>().is_err());
    }

    #[test]
    fn a_fault_happens_as_often_as_asked() {
        let mut faults = Faults::default();
        faults.set(vec![Fault::once(FaultKind::Crash, 2), Fault::always(FaultKind::Hang)]);
        let any = |_: &FaultKind| true;
        assert_eq!(faults.take(0, any), [FaultKind::Hang]);
        assert_eq!(faults.take(2, any), [FaultKind::Crash]);
        assert_eq!(faults.take(2, any), []);
        assert_eq!(faults.take(0, any), [FaultKind::Hang]);
    }
}
