//! Where things stand, for scripts: once as JSON, or live as server-sent events.

use std::{convert::Infallible, time::Duration};

use axum::{
    Json,
    extract::State,
    http::{HeaderValue, header::CACHE_CONTROL},
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use chrono::{DateTime, SecondsFormat, Utc};
use futures_util::{Stream, StreamExt, stream};
use serde::Serialize;
use tokio::time::Instant;

use super::{
    auth::CurrentUser,
    error::{Error, SOON},
    hub::{Follower, Hub},
    state::{People, Starter},
    views::Known,
};
use crate::{
    causes::causes,
    domain::{Person, UserStatus, advice},
    store::PersonView,
};

/// A comment now and then keeps proxies from closing a quiet stream, and shows us who has gone.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// A page left open for longer asks anew.
const LONGEST: Duration = Duration::from_mins(10);
/// What a browser waits before it comes back after a lost connection.
const RETRY: Duration = Duration::from_secs(3);
/// Between two reads by one stream, and before reading again after the database failed.
const REST: Duration = Duration::from_millis(250);
const RECOVER: Duration = Duration::from_secs(2);

/// A state.
const STATUS_EVENT: &str = "status";
/// Says that nothing more is to be heard, so that the browser does not come back for it.
const END_EVENT: &str = "end";

/// What `/status` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Report {
    status: UserStatus,
    verification_id: Option<String>,
    last_error: Option<LastError>,
    updated_at: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct LastError {
    code: String,
    advice: String,
}

impl Report {
    /// Of somebody we may never have met.
    pub(crate) fn of(view: Option<&PersonView>) -> Self {
        let Some(view) = view else {
            return Self {
                status: UserStatus::None,
                verification_id: None,
                last_error: None,
                updated_at: None,
            };
        };
        Self {
            status: view.status,
            verification_id: view.verification_id.map(|id| id.to_string()),
            last_error: view.error_code.as_deref().map(LastError::of),
            updated_at: Some(written(view.updated_at)),
        }
    }

    /// What a page that shows this must remember, so that its script can tell news from repetition.
    pub(crate) fn into_known(self) -> Known {
        Known {
            status: self.status.as_str().to_owned(),
            error: self.last_error.map(|error| error.code),
        }
    }

    /// Nothing more is to be expected without the person doing something.
    fn is_verdict(&self) -> bool {
        match self.status {
            UserStatus::Verified | UserStatus::Canceled => true,
            UserStatus::RequiresInput => self.last_error.is_some(),
            UserStatus::None | UserStatus::Processing => false,
        }
    }
}

impl LastError {
    fn of(code: &str) -> Self {
        let advice = advice(Some(code));
        let advice = std::iter::once(advice.reason)
            .chain(advice.tips)
            .collect::<Vec<_>>();
        Self {
            code: code.to_owned(),
            advice: advice.join(" "),
        }
    }
}

fn written(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// `GET /status`.
pub(crate) async fn show_status(
    user: CurrentUser,
    State(people): State<People>,
) -> Result<Json<Report>, Error> {
    let view = people.find(user.person(), user.policy()).await?;
    Ok(Json(Report::of(view.as_ref())))
}

/// `GET /status/stream`.
pub(crate) async fn stream_status(
    user: CurrentUser,
    State(people): State<People>,
    State(starter): State<Starter>,
    State(hub): State<Hub>,
) -> Result<Response, Error> {
    // Followed before the first read, so that no change falls between the two.
    let mut follower = hub
        .follow(user.person())
        .ok_or(Error::TooMany { retry_after: SOON })?;
    let told = read(&people, &user, &mut follower).await?;
    if !told.is_verdict() {
        ask_stripe(starter, user.person().clone());
    }
    let live = Live {
        // A failure told before this stream began may be of an earlier try: what the person has just given is still
        // to come.
        is_over: told.is_verdict() && told.status != UserStatus::RequiresInput,
        until: Instant::now() + LONGEST,
        people,
        user,
        follower,
        told,
    };
    let events = Sse::new(live.events()).keep_alive(KeepAlive::new().interval(HEARTBEAT));
    let mut response = events.into_response();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // nginx would otherwise keep the events until it has a bufferful.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// A stream that comes back after an outage may have missed for good what happened meanwhile. Right after the page itself
/// has asked this is no second call.
fn ask_stripe(starter: Starter, person: Person) {
    tokio::spawn(async move {
        if let Err(error) = starter.verifier.look(&person).await {
            let error = causes(&error);
            tracing::debug!(%error, "nobody could look for a stream");
        }
    });
}

/// One open stream.
struct Live {
    people: People,
    user: CurrentUser,
    follower: Follower,
    /// The last state sent.
    told: Report,
    until: Instant,
    is_over: bool,
}

impl Live {
    fn events(self) -> impl Stream<Item = Result<Event, Infallible>> {
        let first = event(&self.told).retry(RETRY);
        let later = stream::unfold(Some(self), |live| async move {
            let mut live = live?;
            if let Some(event) = live.next().await {
                return Some((event, Some(live)));
            }
            let has_ended = live.is_over || Instant::now() >= live.until;
            // Browsers tell their page of no event without data.
            let end = Event::default().event(END_EVENT).data("over");
            has_ended.then_some((end, None))
        });
        stream::iter([first]).chain(later).map(Ok)
    }

    /// The next state that differs; `None` ends the stream.
    async fn next(&mut self) -> Option<Event> {
        while !self.is_over {
            let heard = tokio::time::timeout_at(self.until, self.follower.changed()).await;
            if heard != Ok(true) {
                return None;
            }
            let life = self.follower.life();
            let report = tokio::select! {
                () = life.closed() => return None,
                report = self.read_at_last() => report?,
            };
            if report != self.told {
                self.is_over = report.is_verdict();
                self.told = report;
                return Some(event(&self.told));
            }
        }
        None
    }

    /// Reads until the database answers; `None` when the time is over first, or nobody is signed in any more.
    async fn read_at_last(&mut self) -> Option<Report> {
        // Spread, because after a lost connection every stream of this process reads at once.
        tokio::time::sleep(REST.mul_f64(1.0 + rand::random::<f64>())).await;
        while Instant::now() < self.until {
            match self.read().await {
                Ok(found) => return found,
                Err(_) => tokio::time::sleep(RECOVER).await,
            }
        }
        None
    }

    /// Whoever has signed out hears nothing more: somebody else may sit there by now.
    async fn read(&mut self) -> Result<Option<Report>, Error> {
        if !self.people.knows(&self.user).await? {
            return Ok(None);
        }
        let report = read(&self.people, &self.user, &mut self.follower).await?;
        Ok(Some(report))
    }
}

async fn read(
    people: &People,
    user: &CurrentUser,
    follower: &mut Follower,
) -> Result<Report, Error> {
    let view = people.find(user.person(), user.policy()).await?;
    if let Some(view) = &view {
        follower.attend(view.user);
    }
    Ok(Report::of(view.as_ref()))
}

fn event(report: &Report) -> Event {
    // A report of strings cannot fail to be written; an empty event would say nothing false.
    let data = serde_json::to_string(report).unwrap_or_default();
    Event::default().event(STATUS_EVENT).data(data)
}
