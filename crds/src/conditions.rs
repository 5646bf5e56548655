//! Conditions: their types, their reasons, and how one is set.
//!
//! They follow kstatus: `Reconciling=True` while the operator works towards the spec, `Stalled=True` when nothing
//! changes until somebody acts, `Ready=True` when the object is as its spec asks. The reason of `Ready` is the State
//! that `kubectl get` shows.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::constants::constants;

constants! {
    /// The condition types of both kinds. `Accepted`, `Complete`, `Failed` and `Late` are an ImageJob's only.
    pub enum ConditionType {
        /// True: the job's images are queued, on the terms in its status. False: the job waits for what the reason says,
        /// and is accepted once that is there. Absent once the job has ended.
        Accepted,
        /// True: the object is as its spec asks: the job is complete, or cancelled as it asks; the pool's workers do all work
        /// that waits. The reason is the object's state in one word.
        Ready,
        /// True: the operator is still working towards the spec.
        Reconciling,
        /// True: every image of the job is made. Final.
        Complete,
        /// True: the job ended without all of its images, also if it was cancelled. Final.
        Failed,
        /// True: the object is not as its spec asks, and stays so until somebody changes something: a job failed, or the
        /// pool's spec can't be used.
        Stalled,
        /// True: the job misses its `dueTime`, or will miss it by the pool's forecast. Absent while it was never in
        /// doubt.
        Late,
    }
}

constants! {
    /// Why an ImageJob's conditions are as they are.
    pub enum JobReason {
        /// `Accepted` is True: the job is queued on the terms in its status.
        Accepted,
        /// All unfinished images wait for a worker.
        Waiting,
        /// At least one image is being made.
        Running,
        /// `spec.suspend` is true: no image is started; finished images stay.
        Suspended,
        /// The pool is suspended. The images wait until it goes on.
        PoolSuspended,
        /// The named pool does not exist (yet), or the job names none and its namespace has no default pool. The job
        /// waits for it. Also of a job that was accepted and whose pool was deleted since.
        PoolNotFound,
        /// The pool does not let the job's namespace use it. The job waits until the pool or the namespace's labels
        /// change.
        PoolNotAllowed,
        /// The pool has no class of this name, or the job names none and the pool has no default class. The job waits
        /// until the pool has one.
        ClassNotFound,
        /// `spec.tenant` names another tenant than the namespace, and the pool's `fairness.tenancy` does not allow it.
        /// The job waits until the pool changes.
        TenantNotAllowed,
        /// The pool's `limits` do not allow this work. The job waits until the pool changes.
        LimitExceeded,
        /// The job is due sooner than its class promises. The job waits until the pool changes.
        DueTooSoon,
        /// A newer API has this type of work or input, and this operator does not know it. The job waits for a newer
        /// operator.
        WorkTypeUnknown,
        /// The ImageRecipe does not exist (yet). The job waits for it.
        RecipeNotFound,
        /// The ImageRecipe's workflow or inputs are not right. The job waits until it changes.
        RecipeInvalid,
        /// A model, a node or a choice of the work is on no worker of the pool. The job waits until a worker has it.
        NotOnWorkers,
        /// An input does not exist (yet): another job has not made it, or a ConfigMap is missing. The job waits for it.
        InputNotFound,
        /// The pool's `inputs` do not allow the place that an input comes from. The job waits until the pool changes.
        InputNotAllowed,
        /// The ConfigMap of the workflow does not exist (yet), or lacks the key. The job waits for it.
        ConfigMapNotFound,
        /// The ConfigMap's text is not a workflow in ComfyUI's API format. The job waits until the text changes.
        ConfigMapInvalid,
        /// The queue cannot be reached or is full. The job waits; nothing is lost.
        QueueUnavailable,
        /// The API server refuses the job's status, e.g. because it is too large. The images are made all the same;
        /// the message says what is missing here.
        StatusRefused,
        /// Every image is made. Final.
        Completed,
        /// At least one image failed more often than `spec.retries` allows. Final.
        ImagesFailed,
        /// Too many images failed, by `spec.maxFailedImages` or its default; the rest is not started. Final.
        TooManyFailedImages,
        /// The job's images ended the engines of several workers; the rest is not started. Final.
        EngineCrashed,
        /// The engine refuses the work, e.g. because a model is missing; another attempt would not help. Final.
        Rejected,
        /// The user set `spec.cancel` before all images were made. Final.
        Cancelled,
        /// The work cannot be run: it is too large, a node is not a node, an input does not exist or has a wrong value.
        /// Final.
        WorkflowInvalid,
        /// The ConfigMap or the ImageRecipe gives another workflow than the one that was accepted, and the queue has lost
        /// that one. Final: one job makes images of one workflow.
        WorkflowChanged,
        /// `Late` is True: there is still time, but by the pool's forecast not enough. It passes when the forecast does.
        SlaAtRisk,
        /// `Late` is True: `dueTime` passed before every image was made. Final.
        SlaMissed,
        /// `Late` is False: the job was at risk and no longer is.
        SlaRecovered,
    }
}

constants! {
    /// Why a WorkerPool's conditions are as they are.
    pub enum PoolReason {
        /// No work and no workers beyond the minimum.
        Idle,
        /// The workers that are there or starting do all waiting work in time.
        Serving,
        /// Images wait, and workers are starting for them.
        ScalingUp,
        /// No spot machine is available at the moment.
        SpotShortage,
        /// No on-demand machine is available at the moment.
        OnDemandShortage,
        /// No machine is available at the moment, neither spot nor on-demand.
        NoMachines,
        /// Images wait, and the pool already has as many workers as its limits allow.
        AtLimit,
        /// Images wait in a class that the pool no longer has.
        ClassNotFound,
        /// `spec.suspend` is true: no image and no worker is started; images being made are finished.
        Suspended,
        /// A value in `spec` is one of a later version of the API, which this operator does not know. No worker is started
        /// until the operator is a newer one or the value another.
        SpecUnknown,
        /// Workers start, but their containers fail.
        WorkersFailing,
        /// Workers get a machine but are not ready in time; the operator starts new ones ever more rarely.
        StartupFailed,
        /// Workers fail the images of several jobs in a row; they take no more work and are replaced.
        WorkersUnhealthy,
        /// No machine can help: something else is missing, e.g. a volume claim of the podTemplate.
        WorkersUnschedulable,
        /// `spec.podTemplate` is not a Pod template.
        PodTemplateInvalid,
        /// The API server refuses the worker Pods, e.g. by quota or Pod Security.
        PodsRefused,
        /// A Secret that belongs to somebody else has the name that the pool needs for its queue's address.
        SecretConflict,
        /// The bucket refuses the workers' credentials.
        OutputDenied,
        /// The bucket does not exist.
        OutputMissing,
        /// The bucket cannot be reached or answers what no bucket answers.
        OutputFailed,
        /// The queue cannot be reached. Nothing is scaled down until it can.
        QueueUnavailable,
        /// Redis may drop what is queued: its `maxmemory-policy` is not `noeviction`. The operator queues dropped jobs
        /// again.
        QueueLosesData,
    }
}

/// Longest message kept in a condition, in characters; longer ones are cut (the schema allows no more).
pub const MESSAGE_MAX: usize = 4096;

/// A condition to set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionUpdate {
    /// The condition's type.
    pub kind: ConditionType,
    /// Whether it is True or False.
    pub status: bool,
    /// Why, as a constant: [`JobReason`] or [`PoolReason`].
    pub reason: &'static str,
    /// Why, for people. Cut at [`MESSAGE_MAX`] characters.
    pub message: String,
    /// The `metadata.generation` that the condition describes.
    pub observed_generation: Option<i64>,
}

/// Sets one condition and returns whether anything changed. `lastTransitionTime` moves only with the status.
pub fn set_condition(conditions: &mut Vec<Condition>, update: ConditionUpdate, now: &Time) -> bool {
    let ConditionUpdate { kind, status, reason, message, observed_generation } = update;
    let status = if status { "True" } else { "False" };
    let mut new = Condition {
        type_: kind.as_str().to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: cut(&message, MESSAGE_MAX),
        observed_generation,
        last_transition_time: now.clone(),
    };
    match conditions.iter_mut().find(|c| c.type_ == new.type_) {
        Some(old) => {
            if old.status == new.status {
                new.last_transition_time = old.last_transition_time.clone();
            }
            let changed = *old != new;
            *old = new;
            changed
        }
        None => {
            conditions.push(new);
            true
        }
    }
}

/// The condition of this type.
#[must_use]
pub fn find_condition(conditions: &[Condition], kind: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|c| c.type_ == kind.as_str())
}

/// Whether the condition is there and True.
#[must_use]
pub fn is_true(conditions: &[Condition], kind: ConditionType) -> bool {
    find_condition(conditions, kind).is_some_and(|c| c.status == "True")
}

/// The text, cut to at most `max` characters with an ellipsis; the API server counts characters, not bytes.
#[must_use]
pub fn cut(text: &str, max: usize) -> String {
    if text.chars().nth(max).is_none() {
        return text.to_owned();
    }
    text.chars().take(max.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Time {
        Time(jiff::Timestamp::from_second(second).unwrap())
    }

    fn ready(status: bool, reason: JobReason) -> ConditionUpdate {
        ConditionUpdate {
            kind: ConditionType::Ready,
            status,
            reason: reason.as_str(),
            message: String::new(),
            observed_generation: Some(1),
        }
    }

    #[test]
    fn the_transition_time_moves_only_with_the_status() {
        let mut conditions = vec![];
        assert!(set_condition(&mut conditions, ready(false, JobReason::Waiting), &at(1)));
        assert!(set_condition(&mut conditions, ready(false, JobReason::Running), &at(2)));
        assert_eq!(conditions[0].last_transition_time, at(1));
        assert!(set_condition(&mut conditions, ready(true, JobReason::Completed), &at(3)));
        assert_eq!(conditions[0].last_transition_time, at(3));
        assert_eq!(conditions.len(), 1);
    }

    #[test]
    fn setting_what_is_there_changes_nothing() {
        let mut conditions = vec![];
        set_condition(&mut conditions, ready(false, JobReason::Waiting), &at(1));
        let before = conditions.clone();
        assert!(!set_condition(&mut conditions, ready(false, JobReason::Waiting), &at(9)));
        assert_eq!(conditions, before);
    }

    #[test]
    fn messages_are_cut_by_characters() {
        assert_eq!(cut("äöü", 3), "äöü");
        assert_eq!(cut("äöüß", 3), "äö…");
        assert_eq!(cut("", 0), "");
    }

    #[test]
    fn reasons_carry_their_documentation() {
        assert_eq!(JobReason::Completed.as_str(), "Completed");
        assert_eq!(JobReason::Completed.meaning(), "Every image is made. Final.");
        assert!(JobReason::ALL.iter().all(|r| !r.meaning().is_empty()));
    }
}
