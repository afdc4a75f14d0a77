//! A receiver that has nothing but our rules: merge whatever arrives, ask while in doubt.

use super::{
    life::{Life, Millis},
    line::{Delivery, Look},
};
use crate::domain::{
    Doubt, Knowledge,
    refresh::{self, Due},
};

/// What the receiver has come to when nothing is left to arrive and nothing to ask.
#[derive(Debug, Default)]
pub(super) struct Settled {
    pub(super) known: Knowledge,
    /// Looks that a doubt made it take.
    pub(super) looks: Vec<Look>,
    /// Every doubt it ever had.
    pub(super) doubts: Vec<Doubt>,
    /// When it had settled.
    pub(super) at: Millis,
}

impl Settled {
    /// Lets everything in `inbox` arrive, in the order of arrival, and asks Stripe as the rule of refresh
    /// says. `look` is the line to Stripe: how a look fares that is sent at this moment.
    pub(super) fn receive(
        life: &Life,
        inbox: &[Delivery],
        mut look: impl FnMut(Millis) -> Look,
    ) -> Self {
        let mut inbox: Vec<&Delivery> = inbox.iter().collect();
        inbox.sort_by_key(|delivery| delivery.at);
        let mut inbox = inbox.into_iter().peekable();
        let mut receiver = Self::default();
        let mut due: Option<(Millis, u32)> = None;
        loop {
            let arrives = inbox.peek().map(|delivery| delivery.at);
            match due {
                Some((at, tries)) if arrives.is_none_or(|arrives| at < arrives) => {
                    assert!(tries < 40, "the doubt never settles: {receiver:?}");
                    let look = look(at);
                    // What arrives while the answer is on its way is merged before it.
                    while let Some(earlier) = inbox.next_if(|next| next.at < look.answered) {
                        receiver.hear(&earlier.what);
                    }
                    receiver.hear(&look.answer(life));
                    receiver.looks.push(look);
                    receiver.at = look.answered;
                    let again = refresh::after_try(receiver.known.doubt(), tries, 0.0);
                    due = again.map(|again| after(look.answered, again));
                }
                _ => {
                    let Some(delivery) = inbox.next() else {
                        return receiver;
                    };
                    receiver.at = delivery.at;
                    if receiver.hear(&delivery.what) {
                        let again = refresh::after_observation(receiver.known.doubt());
                        due = again.map(|again| after(delivery.at, again));
                    }
                }
            }
        }
    }

    /// Merges an observation; true if it was news.
    fn hear(&mut self, what: &Knowledge) -> bool {
        let before = self.known.clone();
        self.known.merge(what);
        self.doubts.extend(self.known.doubt());
        self.known != before
    }
}

fn after(now: Millis, due: Due) -> (Millis, u32) {
    let wait = Millis::try_from(due.after.as_millis()).unwrap();
    (now + wait, due.tries)
}
