//! Reasons of the Events the operator writes.

use crate::constants::constants;

constants! {
    /// What happened to an ImageJob or a WorkerPool.
    pub enum EventReason {
        /// ImageJob: its images are queued.
        Queued,
        /// ImageJob: a worker makes the first image.
        Started,
        /// ImageJob: something that it refers to is missing; the job waits.
        Pending,
        /// ImageJob: a machine or its engine went away, and its images are queued again.
        Interrupted,
        /// ImageJob: an image failed and is tried again.
        ImageRetried,
        /// ImageJob: an image failed for good.
        ImageFailed,
        /// ImageJob: its user suspended it.
        Suspended,
        /// ImageJob: it goes on after a suspension.
        Resumed,
        /// ImageJob: there is still time, but by the pool's forecast not enough.
        SlaAtRisk,
        /// ImageJob: `dueTime` passed before every image was made.
        SlaMissed,
        /// ImageJob: it was at risk of being late and no longer is.
        SlaRecovered,
        /// ImageJob: all images are made.
        Completed,
        /// ImageJob: it ended without all of its images.
        Failed,
        /// ImageJob: its user cancelled it.
        Cancelled,
        /// ImageJob: the API server refuses its status; what can be written is written.
        StatusRefused,
        /// WorkerPool: workers were started.
        ScaledUp,
        /// WorkerPool: idle workers were removed.
        ScaledDown,
        /// WorkerPool: a worker's machine goes away soon; the worker takes no more work.
        WorkerDoomed,
        /// WorkerPool: a worker is gone; its images are queued again.
        WorkerLost,
        /// WorkerPool: a worker failed the images of several jobs in a row and is replaced.
        WorkerUnhealthy,
        /// WorkerPool: a worker was not ready in time.
        StartupFailed,
        /// WorkerPool: no spot machine is available; on-demand machines take over where the class allows.
        SpotShortage,
        /// WorkerPool: spot machines are available again.
        SpotRecovered,
        /// WorkerPool: no on-demand machine is available.
        OnDemandShortage,
        /// WorkerPool: on-demand machines are available again.
        OnDemandRecovered,
        /// WorkerPool: the API server refused a worker Pod.
        PodRefused,
        /// WorkerPool: a Secret of somebody else has the name that the pool needs.
        SecretConflict,
    }
}
