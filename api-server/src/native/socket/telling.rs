//! What a client was told of one prompt, and what comes next. Pure.

use std::time::Duration;

use queue::TaskProgress;
use tokio::time::Instant;

use super::super::{
    frame::Frame,
    own_jobs::{Stage, stage},
};
use crate::cache::{Job, State};

/// Between two messages of how far a prompt is.
const PACE: Duration = Duration::from_millis(500);

/// What was told of a prompt.
#[derive(Debug, Default)]
pub(super) struct Telling {
    begun: bool,
    /// The id and the class of the node that runs.
    node: Option<(String, String)>,
    steps: Option<(u32, u32)>,
    told: Option<Instant>,
}

impl Telling {
    /// What there is to tell of a prompt that has not ended. `image`: what a worker makes of it now. An attempt that was
    /// lost is not told: the prompt begins once, and its steps fall back.
    pub(super) fn go_on(&mut self, job: &Job, image: Option<&TaskProgress>, now: Instant) -> Vec<Frame> {
        if image.is_none() && stage(job) != Stage::Running {
            return vec![];
        }
        let mut frames = self.begin(job);
        let Some(image) = image else { return frames };
        if let Some(node) = image.nodes.as_ref().and_then(|nodes| nodes.running.as_ref())
            && self.node.as_ref().is_none_or(|(id, _)| *id != node.id)
        {
            self.node = Some((node.id.clone(), node.class.clone().unwrap_or_default()));
            frames.push(Frame::executing(job, &node.id));
        }
        let is_time = self.told.is_none_or(|told| now.duration_since(told) >= PACE);
        if let Some(steps) = image.steps.filter(|steps| is_time && self.steps != Some(*steps)) {
            (self.steps, self.told) = (Some(steps), Some(now));
            frames.push(Frame::progress(job, self.node.as_ref().map(|(id, _)| id.as_str()), steps));
        }
        frames
    }

    /// What there is to tell at the prompt's end, but for the last message.
    pub(super) fn end(&mut self, job: &Job) -> Vec<Frame> {
        let mut frames = match job.state() {
            State::Completed | State::Failed => self.begin(job),
            _ => vec![],
        };
        frames.extend(Frame::executed(job));
        let node = self.node.as_ref().map_or(("", ""), |(id, class)| (id.as_str(), class.as_str()));
        frames.push(Frame::end(job, node));
        frames
    }

    fn begin(&mut self, job: &Job) -> Vec<Frame> {
        if std::mem::replace(&mut self.begun, true) { vec![] } else { Frame::start(job).to_vec() }
    }
}

#[cfg(test)]
mod tests {
    use queue::{NodeProgress, RunningNode, WorkerId};
    use serde_json::json;

    use super::*;

    fn job(state: State) -> Job {
        Job { name: "p".to_owned(), state: Some(state), ..Job::default() }
    }

    fn image(attempt: u32, node: &str, steps: (u32, u32)) -> TaskProgress {
        let running = RunningNode { id: node.to_owned(), class: Some("KSampler".to_owned()) };
        TaskProgress {
            index: 0,
            attempt,
            worker: WorkerId("w".into()),
            started_ms: 0,
            steps: Some(steps),
            nodes: Some(NodeProgress { done: 0, total: 8, running: Some(running) }),
        }
    }

    fn kinds(frames: &[Frame]) -> Vec<&str> {
        frames.iter().map(|frame| frame.kind).collect()
    }

    #[test]
    fn a_prompt_begins_once_though_an_attempt_is_lost() {
        let (mut telling, began) = (Telling::default(), Instant::now());
        let at = |ms: u64| began + Duration::from_millis(ms);
        assert_eq!(telling.go_on(&job(State::Queued), None, at(0)), []);
        let first = telling.go_on(&job(State::Running), Some(&image(1, "3", (10, 20))), at(0));
        assert_eq!(kinds(&first), ["execution_start", "execution_cached", "executing", "progress"]);
        assert_eq!(first[3].data, json!({"value": 10, "max": 20, "prompt_id": "p", "node": "3"}));
        // The attempt is lost: the job waits again, and another one begins.
        assert_eq!(telling.go_on(&job(State::Queued), None, at(600)), []);
        let second = telling.go_on(&job(State::Running), Some(&image(2, "3", (1, 20))), at(1200));
        assert_eq!(kinds(&second), ["progress"]);
        assert_eq!(second[0].data["value"], 1);
        assert_eq!(kinds(&telling.end(&job(State::Completed))), ["execution_success"]);
    }

    #[test]
    fn progress_comes_twice_a_second_at_most() {
        let (mut telling, began) = (Telling::default(), Instant::now());
        let mut told = 0;
        for step in 0..100 {
            let now = began + Duration::from_millis(u64::from(step) * 20);
            let frames = telling.go_on(&job(State::Running), Some(&image(1, "3", (step, 100))), now);
            told += frames.iter().filter(|frame| frame.kind == "progress").count();
        }
        assert_eq!(told, 4, "in two seconds");
    }

    #[test]
    fn an_end_is_told_with_the_node_that_ran_last() {
        let mut telling = Telling::default();
        telling.go_on(&job(State::Running), Some(&image(1, "3", (1, 2))), Instant::now());
        let end = telling.end(&Job { reason: "ImagesFailed".to_owned(), ..job(State::Failed) });
        assert_eq!(kinds(&end), ["execution_error"]);
        assert_eq!((&end[0].data["node_id"], &end[0].data["node_type"]), (&json!("3"), &json!("KSampler")));
        assert_eq!(kinds(&Telling::default().end(&job(State::Cancelled))), ["execution_interrupted"]);
        let unseen = Telling::default().end(&job(State::Completed));
        assert_eq!(kinds(&unseen), ["execution_start", "execution_cached", "execution_success"]);
    }
}
