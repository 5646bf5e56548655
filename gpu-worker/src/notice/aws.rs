//! EC2, instance metadata version 2.
//! Sources: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html>,
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/rebalance-recommendations.html>,
//! <https://docs.aws.amazon.com/autoscaling/ec2/userguide/retrieving-target-lifecycle-state-through-imds.html>.

use std::time::Duration;

use super::Notice;
use jiff::Timestamp;
use reqwest::{Method, StatusCode};
use serde::Deserialize;

use super::{
    doomed_at, doomed_in,
    service::{Answer, Error, Service},
};

const TOKEN: &str = "/latest/api/token";
/// The longest there is; one that has ended is answered with 401.
const TOKEN_SECONDS: &str = "21600";
const SPOT: &str = "/latest/meta-data/spot/instance-action";
const REBALANCE: &str = "/latest/meta-data/events/recommendations/rebalance";
const LIFECYCLE: &str = "/latest/meta-data/autoscaling/target-lifecycle-state";
/// What is promised where no time is given.
const NOTICE: Duration = Duration::from_secs(120);

pub(super) struct Aws {
    service: Service,
    token: Option<String>,
}

#[derive(Deserialize)]
struct InstanceAction {
    action: Action,
    time: Option<String>,
}

#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Action {
    Terminate,
    Stop,
    /// Begins with the notice.
    Hibernate,
}

#[derive(Deserialize)]
struct Rebalance {
    #[serde(rename = "noticeTime")]
    _notice_time: String,
}

impl Aws {
    pub(super) fn new(service: Service) -> Self {
        Self { service, token: None }
    }

    pub(super) async fn is_there(&mut self) -> Result<(), Error> {
        self.renew_token().await.map(drop)
    }

    pub(super) async fn ask(&mut self, now_ms: u64) -> Result<Option<Notice>, Error> {
        if let Some(answer) = self.get(SPOT).await? {
            return interruption(&answer.body, now_ms).map(Some).ok_or_else(|| answer.unreadable());
        }
        if self.get(LIFECYCLE).await?.is_some_and(|state| state.body.trim() == "Terminated") {
            return Ok(Some(doomed_in(now_ms, NOTICE)));
        }
        match self.get(REBALANCE).await? {
            Some(answer) if is_rebalance(&answer.body) => Ok(Some(Notice::AtRisk)),
            Some(answer) => Err(answer.unreadable()),
            None => Ok(None),
        }
    }

    async fn get(&mut self, path: &str) -> Result<Option<Answer>, Error> {
        const HEADER: &str = "X-aws-ec2-metadata-token";
        let token = match &self.token {
            Some(token) => token.clone(),
            None => self.renew_token().await?,
        };
        let mut answer = self.service.ask(Method::GET, path, (HEADER, &token)).await?;
        if answer.status == StatusCode::UNAUTHORIZED {
            let token = self.renew_token().await?;
            answer = self.service.ask(Method::GET, path, (HEADER, &token)).await?;
        }
        answer.found()
    }

    async fn renew_token(&mut self) -> Result<String, Error> {
        const HEADER: &str = "X-aws-ec2-metadata-token-ttl-seconds";
        let answer = self.service.ask(Method::PUT, TOKEN, (HEADER, TOKEN_SECONDS)).await?;
        // As what a header can carry, without spaces.
        let is_token = answer.status == StatusCode::OK
            && !answer.body.is_empty()
            && answer.body.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_token {
            return Err(answer.unreadable());
        }
        self.token = Some(answer.body.clone());
        Ok(answer.body)
    }
}

fn interruption(body: &str, now_ms: u64) -> Option<Notice> {
    let InstanceAction { action, time } = serde_json::from_str(body).ok()?;
    if action == Action::Hibernate {
        return Some(doomed_in(now_ms, Duration::ZERO));
    }
    let time = time.and_then(|time| time.parse::<Timestamp>().ok());
    Some(time.map_or_else(|| doomed_in(now_ms, NOTICE), doomed_at))
}

fn is_rebalance(body: &str) -> bool {
    serde_json::from_str::<Rebalance>(body).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_interruption_says() {
        let at = |deadline_ms| Some(Notice::Doomed { deadline_ms });
        let table = [
            (r#"{"action": "terminate", "time": "2026-01-01T00:02:00Z"}"#, at(1_767_225_720_000)),
            (r#"{"action": "stop", "time": "2026-01-01T00:02:00Z"}"#, at(1_767_225_720_000)),
            (r#"{"action": "hibernate"}"#, at(1000)),
            (r#"{"action": "terminate", "time": "soon"}"#, at(121_000)),
            (r#"{"action": "terminate"}"#, at(121_000)),
            (r#"{"action": "resize", "time": "2026-01-01T00:02:00Z"}"#, None),
            (r#"{"time": "2026-01-01T00:02:00Z"}"#, None),
            ("<html>502 Bad Gateway</html>", None),
            ("", None),
        ];
        for (body, want) in table {
            assert_eq!(interruption(body, 1000), want, "{body}");
        }
    }
}
