//! Reasons of the Events the operator writes.

use crate::constants::constants;

constants! {
    /// What happened, on an ImageJob or a WorkerPool.
    pub enum EventReason {
        /// ImageJob: its images are queued.
        Queued,
        /// ImageJob: the first image is being made.
        Started,
        /// ImageJob: something it refers to is missing; it waits.
        Pending,
        /// ImageJob: a machine went away and its images came back to the queue.
        Interrupted,
        /// ImageJob: an image failed and is tried again.
        ImageRetried,
        /// ImageJob: an image failed for good.
        ImageFailed,
        /// ImageJob: suspended by its user.
        Suspended,
        /// ImageJob: goes on after a suspension.
        Resumed,
        /// ImageJob: there is still time, but by the pool's forecast it will not do.
        SlaAtRisk,
        /// ImageJob: time ran out before every image was made.
        SlaMissed,
        /// ImageJob: it was at risk of being late, and is no longer.
        SlaRecovered,
        /// ImageJob: all images are made.
        Completed,
        /// ImageJob: ended without all of its images.
        Failed,
        /// ImageJob: stopped by its user.
        Cancelled,
        /// WorkerPool: workers were started.
        ScaledUp,
        /// WorkerPool: idle workers were taken away.
        ScaledDown,
        /// WorkerPool: a worker's machine will go away soon; it claims nothing more.
        WorkerDoomed,
        /// WorkerPool: a worker is gone; what it held is queued again.
        WorkerLost,
        /// WorkerPool: spot machines cannot be had; on-demand ones take over where the class allows.
        SpotShortage,
        /// WorkerPool: spot machines can be had again.
        SpotRecovered,
        /// WorkerPool: the API server refused a worker Pod.
        PodRefused,
    }
}
