//! What happened, for whoever would rather ask than be told.

use std::{fmt, str::FromStr};

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    Backend,
    input::{LONGEST_USER_ID, Parameters, is_user_id},
    key::{ApiKey, Read},
    read,
};
use crate::{
    domain::MessageType,
    http::error::Error,
    store::{self, Message, MessageListing, Position},
};

const USUAL_PAGE: u8 = 20;
const LARGEST_PAGE: u8 = 100;

/// Something that happened to a person or to a verification of theirs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Event {
    /// The same wherever it is told: seen once, it can be left out the next time.
    id: String,
    /// What happened.
    r#type: EventType,
    /// When.
    timestamp: DateTime<Utc>,
    /// Its number among the events of the person, from one and without a gap.
    #[schema(minimum = 1)]
    sequence: i64,
    /// Whether it is about a live verification.
    livemode: bool,
    /// The whole state as of then: `user` and `verification`.
    #[schema(value_type = Object)]
    data: Value,
}

/// What happened.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
pub(crate) enum EventType {
    /// A verification has passed.
    #[serde(rename = "verification.verified")]
    Verified,
    /// A verification waits for the person, whose last try may have failed.
    #[serde(rename = "verification.requires_input")]
    RequiresInput,
    /// A document is being checked.
    #[serde(rename = "verification.processing")]
    Processing,
    /// A verification was called off.
    #[serde(rename = "verification.canceled")]
    Canceled,
    /// What a verification collected is erased.
    #[serde(rename = "verification.redacted")]
    Redacted,
    /// A person's status is another one.
    #[serde(rename = "user.status_changed")]
    UserStatusChanged,
}

/// Events, oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventPage {
    /// The events.
    data: Vec<Event>,
    /// Are there more already?
    has_more: bool,
    /// Ask with it for whatever comes after these, now or later; also where there is nothing yet.
    next_cursor: String,
}

/// Which events.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventFilter {
    /// How many at most.
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<u8>,
    /// The `next_cursor` of an earlier answer; without it, from the beginning.
    #[param(max_length = 64)]
    cursor: Option<String>,
    /// Only those of this type.
    r#type: Option<EventType>,
    /// Only those of this person, by the application's own id.
    #[param(min_length = 1, max_length = 255)]
    user_id: Option<String>,
}

/// A position, as applications carry it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor(Position);

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0.transaction, self.0.id.simple())
    }
}

impl FromStr for Cursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (transaction, id) = text.split_once('-').ok_or(())?;
        let transaction = transaction.parse().map_err(|_| ())?;
        let id = Uuid::try_parse(id).map_err(|_| ())?;
        let position = Position { transaction, id };
        // Only what we gave out ourselves.
        let cursor = Self(position);
        (transaction >= 0 && cursor.to_string() == text)
            .then_some(cursor)
            .ok_or(())
    }
}

impl From<MessageType> for EventType {
    fn from(kind: MessageType) -> Self {
        match kind {
            MessageType::Verified => Self::Verified,
            MessageType::RequiresInput => Self::RequiresInput,
            MessageType::Processing => Self::Processing,
            MessageType::Canceled => Self::Canceled,
            MessageType::Redacted => Self::Redacted,
            MessageType::UserStatusChanged => Self::UserStatusChanged,
        }
    }
}

impl From<EventType> for MessageType {
    fn from(kind: EventType) -> Self {
        match kind {
            EventType::Verified => Self::Verified,
            EventType::RequiresInput => Self::RequiresInput,
            EventType::Processing => Self::Processing,
            EventType::Canceled => Self::Canceled,
            EventType::Redacted => Self::Redacted,
            EventType::UserStatusChanged => Self::UserStatusChanged,
        }
    }
}

impl From<Message> for Event {
    fn from(message: Message) -> Self {
        Self {
            id: message.name(),
            r#type: message.kind.into(),
            timestamp: message.created_at,
            sequence: message.sequence,
            livemode: message.livemode,
            data: message.data,
        }
    }
}

/// What happened, oldest first
///
/// Read on with `next_cursor`: no event is ever missed, and none comes twice. Those about one person come by their
/// `sequence`. Events are told a moment after they happened, once nothing can come before them any more.
#[utoipa::path(
    get, path = "/v1/events", tag = "events",
    params(EventFilter),
    responses((status = 200, description = "The next of them.", body = EventPage)),
    security(("api_key" = ["verifications:read"])),
)]
pub(crate) async fn list_events(
    _key: ApiKey<Read>,
    State(backend): State<Backend>,
    Parameters(filter): Parameters<EventFilter>,
) -> Result<Json<EventPage>, Error> {
    let limit = filter.limit.unwrap_or(USUAL_PAGE);
    if limit == 0 || limit > LARGEST_PAGE {
        let detail = format!("limit must be between 1 and {LARGEST_PAGE}");
        return Err(Error::invalid("invalid_parameter", Some("limit"), detail));
    }
    let user_id = filter.user_id.as_deref();
    if user_id.is_some_and(|id| !is_user_id(id)) {
        let detail = format!(
            "user_id must have between 1 and {LONGEST_USER_ID} characters, and none that controls something"
        );
        return Err(Error::invalid("invalid_parameter", Some("user_id"), detail));
    }
    let after = match &filter.cursor {
        None => None,
        Some(text) => Some(text.parse::<Cursor>().map_err(|()| {
            let detail = "cursor must be the next_cursor of an earlier answer".to_owned();
            Error::invalid("invalid_parameter", Some("cursor"), detail)
        })?),
    };
    let listing = MessageListing {
        after: after.map(|cursor| cursor.0),
        external_id: user_id,
        kind: filter.r#type.map(Into::into),
        // One more than asked for tells whether there are more.
        limit: i64::from(limit) + 1,
    };
    let messages = store::list_messages(&backend.db, backend.owner(), listing);
    let (mut messages, settled) = read(messages).await?;
    let has_more = messages.len() > usize::from(limit);
    messages.truncate(limit.into());
    // What was not asked for need not be gone past again.
    let last = messages.last().filter(|_| has_more);
    let next = last.map_or(settled, |message| message.position);
    Ok(Json(EventPage {
        next_cursor: Cursor(next).to_string(),
        has_more,
        data: messages.into_iter().map(Into::into).collect(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_and_nothing_else_is_one() {
        let cursor = Cursor(Position {
            transaction: 7,
            id: Uuid::from_u128(1),
        });
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for text in [
            "",
            "-",
            "7",
            "7-",
            "-1-00000000000000000000000000000001",
            "07-1",
            "7-\0",
        ] {
            assert!(text.parse::<Cursor>().is_err(), "{text:?}");
        }
    }
}
