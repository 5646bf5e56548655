use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::{
    duty::{Duty, Now},
    held::{Held, Stage},
};

/// After the last step there is still to decode, upload and report.
const AFTER_GENERATING: Duration = Duration::from_secs(2);
/// An upload that has begun takes about this long.
const UPLOAD: Duration = Duration::from_millis(500);
/// A picture of which nothing is known may go on while there is more time left than this.
const UNKNOWN: Duration = Duration::from_secs(10);
/// Between two looks at what still fits.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Once the worker has to leave: hands back what won't be done in time, as soon as that is known.
pub(crate) async fn watch(duty: Duty, held: Held) {
    let mut orders = duty.watch();
    let _ = orders.wait_for(|now| matches!(now, Now::Leave { .. })).await;
    while let Now::Leave { by } = duty.now() {
        let now = Instant::now();
        let time_left = by.saturating_duration_since(now);
        held.hand_back(now, |stage, work_left| fits(stage, work_left, time_left));
        sleep_until(now + LOOK_EVERY).await;
    }
}

/// Will a task in this stage be done in time?
fn fits(stage: Stage, work_left: Option<Duration>, time_left: Duration) -> bool {
    match stage {
        // Nothing is spent on it yet: another worker can have it right away.
        Stage::Preparing | Stage::Queued => false,
        Stage::Generating => match work_left {
            Some(work_left) => work_left + AFTER_GENERATING <= time_left,
            None => UNKNOWN <= time_left,
        },
        Stage::Uploading | Stage::Listing => UPLOAD <= time_left,
        // Its picture is stored; reporting it is all that is left.
        Stage::Reporting | Stage::Stopping => true,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::fits;
    use crate::held::Stage;

    #[test]
    fn what_fits_is_finished_and_the_rest_handed_back() {
        let seconds = Duration::from_secs;
        let table = [
            (Stage::Preparing, Some(seconds(1)), seconds(100), false),
            (Stage::Queued, Some(seconds(1)), seconds(100), false),
            (Stage::Generating, Some(seconds(10)), seconds(12), true),
            (Stage::Generating, Some(seconds(10)), seconds(11), false),
            (Stage::Generating, None, seconds(10), true),
            (Stage::Generating, None, seconds(9), false),
            (Stage::Uploading, None, seconds(1), true),
            (Stage::Uploading, None, Duration::ZERO, false),
            (Stage::Reporting, None, Duration::ZERO, true),
        ];
        for (stage, work_left, time_left, expected) in table {
            assert_eq!(fits(stage, work_left, time_left), expected, "{stage:?} {work_left:?} {time_left:?}");
        }
    }
}
