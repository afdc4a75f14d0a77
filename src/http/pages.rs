//! The pages a person sees: where things stand, and what to do next.

use std::time::Duration;

use axum::{
    extract::State,
    response::{Html, IntoResponse, Response},
};

use super::{
    auth::CurrentUser,
    error::Error,
    security::Surface,
    state::{People, Site, Starter},
    status::Report,
    views::{Needs, SignedOutPage, Template, VerifyPage, VerifyState},
};
use crate::{
    domain::UserStatus,
    store::PersonView,
    verification::{Outlook, Tries},
};

/// Stripe is asked on arrival, and a person is not kept waiting for it.
const PATIENCE: Duration = Duration::from_secs(2);

/// `GET /` and `GET /verify`.
pub(crate) async fn show_verify(
    user: CurrentUser,
    State(people): State<People>,
    State(starter): State<Starter>,
    State(site): State<Site>,
) -> Result<Response, Error> {
    let mut view = people.find(user.person(), user.policy()).await?;
    // A check is over within minutes: whoever finds one running may have one that Stripe has finished, or forgotten.
    if view
        .as_ref()
        .is_some_and(|view| view.status == UserStatus::Processing)
    {
        view = find_after_a_look(&people, &starter, &user).await?;
    }
    let state = state_before(view.as_ref(), site.mails());
    let state = if can_begin(&state) {
        let outlook = outlook(&starter, view.as_ref()).await;
        within(outlook, state, true)
    } else {
        state
    };
    page(&site, &starter, &user, view.as_ref(), &state)
}

/// `GET /submitted`: coming back from Stripe proves nothing, so Stripe is asked.
pub(crate) async fn show_submitted(
    user: Option<CurrentUser>,
    State(people): State<People>,
    State(starter): State<Starter>,
    State(site): State<Site>,
) -> Result<Response, Error> {
    let Some(user) = user else {
        return document(
            Surface::Page,
            &SignedOutPage {
                chrome: site.chrome(),
            },
        );
    };
    let view = find_after_a_look(&people, &starter, &user).await?;
    let state = state_after(view.as_ref(), site.mails());
    let state = if can_begin(&state) {
        let outlook = outlook(&starter, view.as_ref()).await;
        // Whoever comes from a check is told how it went, before anything else.
        let came_for_news = matches!(state, VerifyState::AnotherTry { .. });
        within(outlook, state, !came_for_news)
    } else {
        state
    };
    page(&site, &starter, &user, view.as_ref(), &state)
}

/// What a click would come to, if that can be known soon; the click itself decides.
async fn outlook(starter: &Starter, view: Option<&PersonView>) -> Option<Outlook> {
    let user = view.map(|view| view.user);
    let outlook = tokio::time::timeout(PATIENCE, starter.verifier.outlook(user)).await;
    outlook.ok()?.ok()
}

/// Does the page offer to begin?
fn can_begin(state: &VerifyState) -> bool {
    match state {
        VerifyState::NotStarted { .. }
        | VerifyState::AnotherTry { .. }
        | VerifyState::Declined
        | VerifyState::NoCamera
        | VerifyState::Closed => true,
        VerifyState::Waiting
        | VerifyState::Processing { .. }
        | VerifyState::Verified { .. }
        | VerifyState::CannotRetry { .. }
        | VerifyState::Unavailable { .. } => false,
    }
}

/// Says before the click what the limits would say after it.
fn within(outlook: Option<Outlook>, state: VerifyState, tell_budget: bool) -> VerifyState {
    let Some(outlook) = outlook else {
        return state;
    };
    match (outlook.tries, outlook.closed_for, state) {
        (Tries::UsedUp, _, state) => state.tries_used(None),
        (Tries::UsedToday { day_ends_in }, _, state) => {
            state.tries_used(Some(day_ends_in.as_secs().max(1)))
        }
        (_, Some(wait), _) if tell_budget => VerifyState::Unavailable {
            retry_after: Some(wait.as_secs().max(1)),
        },
        (Tries::Left(left), _, VerifyState::AnotherTry { advice, .. }) => VerifyState::AnotherTry {
            advice,
            tries_left: Some(left),
        },
        (_, _, state) => state,
    }
}

/// Asks Stripe first. Whatever keeps it from answering, the page says what we know.
async fn find_after_a_look(
    people: &People,
    starter: &Starter,
    user: &CurrentUser,
) -> Result<Option<PersonView>, Error> {
    let _ = tokio::time::timeout(PATIENCE, starter.verifier.look(user.person())).await;
    people.find(user.person(), user.policy()).await
}

fn page(
    site: &Site,
    starter: &Starter,
    user: &CurrentUser,
    view: Option<&PersonView>,
    state: &VerifyState,
) -> Result<Response, Error> {
    let known = Report::of(view).into_known();
    let policy = starter.verifier.policies().find(user.policy());
    let needs = policy.map_or_else(|_| Needs::unknown(), |policy| Needs::of(&policy.check));
    let page = VerifyPage {
        chrome: &site.chrome_for(user),
        state,
        known: &known,
        needs: &needs,
        publishable_key: site.publishable_key(),
        stripe_js_url: site.stripe_js_url(),
    };
    document(Surface::Verify, &page)
}

/// A page as an answer.
pub(super) fn document(surface: Surface, page: &impl Template) -> Result<Response, Error> {
    let text = page.render().map_err(Error::internal)?;
    let mut response = Html(text).into_response();
    response.extensions_mut().insert(surface);
    Ok(response)
}

/// For somebody who comes to begin.
fn state_before(view: Option<&PersonView>, mails: bool) -> VerifyState {
    state(view, mails).unwrap_or(VerifyState::NotStarted { note: None })
}

/// For somebody who comes from Stripe, and has perhaps given a document that nobody told us of yet.
fn state_after(view: Option<&PersonView>, mails: bool) -> VerifyState {
    match view {
        Some(view) if view.status == UserStatus::RequiresInput => {
            state(Some(view), mails).unwrap_or(VerifyState::Waiting)
        }
        _ => state_before(view, mails),
    }
}

/// `None` while nothing was given, as far as we know.
fn state(view: Option<&PersonView>, mails: bool) -> Option<VerifyState> {
    let view = view?;
    match view.status {
        UserStatus::None if view.gone => Some(VerifyState::Closed),
        UserStatus::None => None,
        UserStatus::Processing => Some(VerifyState::Processing {
            mailed: mails && view.has_email,
        }),
        UserStatus::Verified => Some(VerifyState::Verified {
            at: view.verified_at,
        }),
        UserStatus::Canceled => Some(VerifyState::Closed),
        UserStatus::RequiresInput => view.error_code.as_deref().map(VerifyState::failed),
    }
}
