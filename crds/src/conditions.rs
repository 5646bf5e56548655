//! Conditions: their types, their reasons, and how one is set.
//!
//! They follow kstatus: `Reconciling=True` while things are on their way, `Stalled=True` when nothing will
//! change without a hand, `Ready=True` when all is as asked. The reason of `Ready` is the State that
//! `kubectl get` shows.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::constants::constants;

constants! {
    /// The condition types of both kinds; `Complete`, `Failed` and `Late` are an ImageJob's only.
    pub enum ConditionType {
        /// True: all is as the spec asks. Its reason is the object's state in one word.
        Ready,
        /// True: the operator is still working towards the spec.
        Reconciling,
        /// True: every image of the job is made. Final.
        Complete,
        /// True: the job ended without all of its images. Final.
        Failed,
        /// True: nothing more will happen until somebody changes something.
        Stalled,
        /// True: the promise of the job's class (`dueTime`) will not be kept by what can be told, or was not kept.
        /// Absent while it was never in doubt.
        Late,
    }
}

constants! {
    /// Why an ImageJob's conditions are as they are.
    pub enum JobReason {
        /// All unfinished images wait for a worker.
        Waiting,
        /// At least one image is being made.
        Running,
        /// `spec.suspend` is true: no image is started; those that are finished stay.
        Suspended,
        /// The pool is paused: images wait until it goes on.
        PoolPaused,
        /// The pool named does not exist (yet), or none was named and the namespace has no default pool.
        PoolNotFound,
        /// The pool is there but its own spec cannot be used; its conditions say why.
        PoolNotReady,
        /// The ConfigMap that holds the workflow does not exist (yet), or lacks the key.
        ConfigMapNotFound,
        /// The queue cannot be reached or is full; the job waits in the API server, nothing is lost.
        QueueUnavailable,
        /// Every image is made. Final.
        Completed,
        /// At least one image failed more often than `spec.retries` allows. Final.
        ImagesFailed,
        /// The engine refuses the work, e.g. a node error in the workflow; trying again would not help. Final.
        Rejected,
        /// `spec.cancel` was set before all images were made. Final.
        Cancelled,
        /// The pool does not let this namespace use it. Final.
        PoolNotAllowed,
        /// The pool has no such class, or none was named and the pool has no default class. Final.
        ClassNotFound,
        /// What the ConfigMap holds is not a workflow in ComfyUI's API format. Final.
        ConfigMapInvalid,
        /// `Late` is True: there is still time, but by the pool's forecast it will not do. Passes when the forecast does.
        SlaAtRisk,
        /// `Late` is True: time ran out before every image was made. Final.
        SlaMissed,
        /// `Late` is False: it was at risk, and is no longer.
        SlaRecovered,
        /// The workflow cannot be run: too large, an input that names no node, or no node that makes an image. Final.
        WorkflowInvalid,
    }
}

constants! {
    /// Why a WorkerPool's conditions are as they are.
    pub enum PoolReason {
        /// No work and no workers; the pool costs nothing.
        Idle,
        /// Workers are there, or on their way, for all the work that waits.
        Serving,
        /// Work waits and workers are being started for it.
        ScalingUp,
        /// Spot machines cannot be had just now.
        SpotShortage,
        /// Work waits, but every worker the limits allow is there already.
        AtLimit,
        /// `spec.paused` is true: nothing is started, running images are finished.
        Paused,
        /// Workers start but their containers fail.
        WorkersFailing,
        /// No machine would do for the workers: something else is missing, e.g. a volume claim of the podTemplate.
        WorkersUnschedulable,
        /// `spec.podTemplate` is not a Pod template.
        PodTemplateInvalid,
        /// The API server refused the worker Pods, e.g. by quota or Pod Security.
        PodsRefused,
        /// The queue cannot be reached: nothing is scaled down until it can.
        QueueUnavailable,
    }
}

/// Longest message kept in a condition, in characters; longer ones are cut (the schema allows no more).
pub const MESSAGE_MAX: usize = 4096;

/// A condition to be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionUpdate {
    /// Which.
    pub kind: ConditionType,
    /// True or False.
    pub status: bool,
    /// A constant: [`JobReason`] or [`PoolReason`].
    pub reason: &'static str,
    /// For people. Cut at [`MESSAGE_MAX`] characters.
    pub message: String,
    /// The `metadata.generation` it speaks of.
    pub observed_generation: Option<i64>,
}

/// Sets one condition. `lastTransitionTime` moves only when the status changes; says whether anything changed.
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

/// Is the condition there and True?
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
