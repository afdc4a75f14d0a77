//! What reaches us, and when: deliveries of events, and looks through the API.

use super::life::{Life, Millis};
use crate::domain::Knowledge;

/// An observation that arrives.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    pub(super) at: Millis,
    pub(super) what: Knowledge,
}

/// A GET, or a page of a list: sent, looked up in Stripe's database, dated, and answered, in this order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) sent: Millis,
    pub(super) looked: Millis,
    pub(super) dated: Millis,
    pub(super) answered: Millis,
    /// How far the clock behind the `Date` header is ahead of the one that stamps events.
    pub(super) skew: Millis,
}

impl Look {
    /// What we conclude from the answer. All we see of it is the `Date` header, in whole seconds, and how
    /// long we waited by our own monotonic clock.
    pub(super) fn answer(self, life: &Life) -> Knowledge {
        let seen = life.at(self.looked);
        Knowledge::from_read(
            self.as_of(),
            self.date() + 1,
            seen.status,
            seen.detail.clone(),
        )
        .with_redaction(seen.redaction)
    }

    /// Stripe looked no earlier than this.
    pub(super) fn as_of(self) -> i64 {
        let round_trip = self.answered - self.sent;
        (self.date() * 1000 - round_trip).div_euclid(1000)
    }

    /// The same as something that arrives.
    pub(super) fn delivery(self, life: &Life) -> Delivery {
        Delivery {
            at: self.answered,
            what: self.answer(life),
        }
    }

    fn date(self) -> i64 {
        (self.dated + self.skew).div_euclid(1000)
    }
}
