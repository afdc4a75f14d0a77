//! The only SQL, as plain functions: callers compose them in a transaction of their own.
//!
//! Rows are locked in one order everywhere, each table by ascending key, so that no two transactions wait for each
//! other: `stripe_events`, `users`, `verifications`, `verification_history`, `outbox`, `redactions`, `erasures`. A person's row
//! comes before their attempts, and before their links.
//! Then come the advisory locks, a network's first, and the budget's last of all.
//!
//! A row that is looked up by its key and is to have nothing in a column is asked for by `COALESCE`. `IS NULL` would lead
//! to the index of all such rows, which Postgres reads to its end for as long as it has not counted them.

mod api_keys;
mod api_views;
mod attempts;
mod batch;
mod browser_sessions;
mod budget;
mod connection;
mod erasures;
mod error;
mod hand_offs;
mod healing;
mod idempotency;
mod journal;
mod limits;
mod line;
mod mails;
mod oidc_logins;
mod outbox;
mod outbox_deliveries;
mod pool;
mod records;
mod redactions;
mod retention;
mod uncounted;
mod users;
mod verifications;
mod views;
mod workers;

pub use api_keys::{
    ApiKeyRecord, NewApiKey, find_api_key, insert_api_key, list_api_keys, record_api_key_use,
    revoke_api_key,
};
pub use api_views::{Listing, Owner, VerificationView, find_verification, list_verifications};
pub use attempts::{
    Claim, NewAttempt, RefreshClaim, claim_lease, claim_look, claim_refreshes, close_attempt,
    defer_refresh, end_lease, find_current, holds_lease, insert_attempt, is_open_session,
    note_asked_policies, save_policy,
};
pub use batch::{News, Noted, Outgrown, encode, save_news};
pub use browser_sessions::{
    BrowserSession, SessionSource, SessionToKeep, clear_browser_sessions, delete_browser_session,
    find_browser_session, insert_browser_session, is_signed_in, touch_browser_session,
};
pub use budget::{
    Books, NewReservation, is_unused, lock_budget, note_warning, put_reservation, read_books,
    release_all_reservations, release_reservations, spend_reservations,
};
pub use connection::{Db, Listener, MIGRATOR, Readiness, connect, has_foreign_tables, listen};
pub use erasures::{
    FinishedErasure, Left, anonymise_user, bare_attempts, delete_belongings, demand_redactions_of,
    finish_erasures, insert_erasure,
};
pub use error::StoreError;
pub use hand_offs::{
    HandOffRecord, HandOffToKeep, find_hand_off, insert_hand_off, renew_hand_off, spend_hand_off,
};
pub use healing::{
    Ending, HealTimes, Healer, HealingRecord, Holder, ShownSession, Standing, ask_for_healing,
    claim_healing, end_healing, find_healing, find_unknown_events, list_shown, list_unsearched,
    note_all_swept, note_events_heard, note_recent_swept, note_searched,
};
pub use idempotency::{Call, Repeat, claim_call, note_call, release_call};
pub use journal::{About, EventRecord, Outcome, record_and_lock, record_history};
pub use limits::{
    NetworkHash, NetworkKey, Usage, allow_attempt, count_creation, find_usage, forget_creations,
    take_extra_attempt, view_usage, wait_of_network, wait_of_person,
};
pub use line::take_place;
pub use mails::{Addressee, find_addressee};
pub use oidc_logins::{insert_oidc_login, take_oidc_login};
pub use outbox::{Message, MessageListing, NewMessage, Position, list_messages};
pub use outbox_deliveries::{
    Claimed, ClaimedDelivery, Failed, Replay, WaitingDelivery, claim_deliveries, drop_deliveries,
    list_deliveries_under_way, measure_deliveries, replay_deliveries, settle_delivery,
};
pub use pool::Tx;
pub use records::{
    AttemptRecord, DeliveryRecord, HistoryRecord, PersonRecord, find_owner, find_person,
    find_session_owner, list_attempts, list_deliveries, list_history, list_people,
};
pub use redactions::{
    ClaimedRedaction, RedactionClaim, RedactionOutcome, claim_redactions, count_overdue_redactions,
    defer_redaction, demand_redactions, end_redaction, end_redactions, follow_redactions,
    hasten_redactions, is_redaction_kept, keep_redaction, note_overdue_redactions,
    reopen_redactions,
};
pub use retention::{
    OldMessages, clear_calls, clear_events, clear_hand_offs, clear_history, clear_oidc_logins,
    clear_sessions, delete_messages, lock_old_messages, take_turn_to_clear,
};
pub use uncounted::{Uncounted, count_unknown_policies, count_unknown_realms};
pub use users::{LockedUser, find_user, lock_known, lock_owner, lock_person, lock_user};
pub use verifications::{
    Verification, absorb_unclaimed, find_by_session, insert_unclaimed, is_attempt, link_session,
    lock_verifications, measure_doubts, read_attempts,
};
pub use views::{PersonView, find_person_view, find_standing};
pub use workers::Worker;

/// Where Postgres announces that people's state may have changed: their ids, or [`ANYBODY`].
pub const STATUS_CHANNEL: &str = "verigate_status";
/// In place of the ids, when there are too many of them.
pub const ANYBODY: &str = "*";
