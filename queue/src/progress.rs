//! How far the images are that workers have in hand.
//!
//! A heartbeat tells it in one text: the steps done and in all, and on lines of their own the nodes done and in all, the
//! class of the node that runs, and its id. [`Queue::stats`] reads the first line only: it is called every second, for all
//! leases.

use std::collections::HashMap;

use redis::Cmd;

use crate::{
    Error, HeldLease, JobUid, NodeProgress, Queue, Result, RunningNode, TaskProgress, WorkerId,
    spec::Spec,
    task::{self, held_since},
};

/// Ids and classes of nodes are told up to this length, in characters.
pub const LONGEST_NAME: usize = 60;

/// A held task as the script returns it: job, index, worker, state, tenant and progress.
type Row = (String, u32, String, Vec<u8>, String);

impl Queue {
    /// How far a job's images are that workers have in hand, by index, as of the workers' last heartbeats. Empty too where
    /// the queue does not know the job.
    ///
    /// The cost grows with the number of workers in the pool, not with the number of the job's images.
    ///
    /// # Errors
    /// When Redis can't be reached or the job's record is malformed.
    pub async fn progress(&self, job: &JobUid) -> Result<Vec<TaskProgress>> {
        Ok(self.progress_of(&job.0).await?.remove(job).unwrap_or_default())
    }

    /// The same of all jobs, at the same cost; without those of which no worker has an image.
    ///
    /// # Errors
    /// When Redis can't be reached or a job's record is malformed.
    pub async fn progress_of_all(&self) -> Result<HashMap<JobUid, Vec<TaskProgress>>> {
        const ALL: &str = "";
        self.progress_of(ALL).await
    }

    async fn progress_of(&self, job: &str) -> Result<HashMap<JobUid, Vec<TaskProgress>>> {
        let fill = |call: &mut Cmd| {
            call.arg(job);
        };
        let (records, rows): (Vec<(String, Vec<u8>)>, Vec<Row>) = self.run(|s| &s.progress, fill).await?;
        let mut jobs = HashMap::new();
        let mut totals = HashMap::new();
        for (uid, record) in records {
            let Spec { total, .. } = Spec::decode(&record)?;
            totals.insert(uid.clone(), total);
            jobs.insert(JobUid(uid), vec![]);
        }
        for row in rows {
            // A job's listing is made like an image, but is none.
            if totals.get(&row.0).is_some_and(|total| row.1 < *total) {
                jobs.entry(JobUid(row.0.clone())).or_default().push(of_row(row)?);
            }
        }
        jobs.values_mut().for_each(|images| images.sort_by_key(|image| image.index));
        Ok(jobs)
    }
}

fn of_row((_job, index, worker, state, told): Row) -> Result<TaskProgress> {
    let (attempt, started_ms) =
        held_since(&state).ok_or_else(|| Error::malformed("task", "nobody holds it"))?;
    let (_tenant, told) = told.split_once(' ').unwrap_or_default();
    let (first, rest) = told.split_once('\n').unwrap_or((told, ""));
    let steps = task::steps(first);
    Ok(TaskProgress { index, attempt, worker: WorkerId(worker), started_ms, steps, nodes: nodes(rest) })
}

pub(crate) fn encode(held: &HeldLease) -> String {
    let (done, all) = held.progress.unwrap_or_default();
    let mut told = format!("{done} {all}");
    if let Some(NodeProgress { done, total, running }) = &held.nodes {
        told += &format!("\n{done} {total}");
        if let Some(RunningNode { id, class }) = running {
            told += &format!("\n{}\n{}", brief(class.as_deref().unwrap_or_default()), brief(id));
        }
    }
    told
}

fn nodes(told: &str) -> Option<NodeProgress> {
    let mut lines = told.split('\n');
    let (done, total) = lines.next()?.split_once(' ')?;
    let running = lines.next().zip(lines.next()).map(|(class, id)| RunningNode {
        id: id.to_owned(),
        class: Some(class.to_owned()).filter(|class| !class.is_empty()),
    });
    Some(NodeProgress { done: done.parse().ok()?, total: total.parse().ok()?, running })
}

fn brief(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect()
}

#[cfg(test)]
mod tests {
    use super::{encode, of_row};
    use crate::{HeldLease, JobUid, NodeProgress, RunningNode, TaskId};

    fn told(steps: Option<(u32, u32)>, nodes: Option<NodeProgress>) -> (String, Option<NodeProgress>) {
        let task = TaskId { job: JobUid("a".into()), index: 0 };
        let text = encode(&HeldLease { task, attempt: 1, progress: steps, nodes });
        let row = ("a".into(), 0, "w".into(), b"held 1 5 0.000 w\n".to_vec(), format!("- {text}"));
        let read = of_row(row).expect("readable");
        assert_eq!(read.steps, steps);
        (text, read.nodes)
    }

    fn at(id: &str, class: Option<&str>) -> Option<NodeProgress> {
        let running = RunningNode { id: id.into(), class: class.map(Into::into) };
        Some(NodeProgress { done: 3, total: 7, running: Some(running) })
    }

    #[test]
    fn what_is_told_is_read_back() {
        for nodes in [
            None,
            Some(NodeProgress { done: 0, total: 7, running: None }),
            at("12", Some("KSampler")),
            at("a node", Some("Power Lora Loader (rgthree)")),
            at("12.0.3", None),
        ] {
            assert_eq!(told(Some((3, 20)), nodes.clone()).1, nodes);
            assert_eq!(told(None, nodes.clone()).1, nodes);
        }
    }

    #[test]
    fn long_names_and_line_breaks_do_not_get_in() {
        let (text, nodes) = told(None, at(&"ä".repeat(1000), Some("a\nb\t\0c")));
        assert_eq!(nodes, at(&"ä".repeat(60), Some("abc")));
        assert!(text.chars().count() < 80, "{text:?}");
    }
}
