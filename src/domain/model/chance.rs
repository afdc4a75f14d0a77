//! Draws lives and bad lines at random, from a seed that brings them back.

use rand::{RngExt, SeedableRng, rngs::SmallRng, seq::IndexedRandom};

use super::{
    life::{Life, Millis, Step},
    line::{Delivery, Look},
};
use crate::domain::Told;

const CODES: [&str; 4] = [
    "abandoned",
    "document_expired",
    "selfie_face_mismatch",
    "id_number_mismatch",
];

/// A source of chance.
pub(super) struct Chance(SmallRng);

impl Chance {
    pub(super) fn of(seed: u64) -> Self {
        Self(SmallRng::seed_from_u64(seed))
    }

    /// True once in `n` times.
    pub(super) fn one_in(&mut self, n: u32) -> bool {
        self.0.random_ratio(1, n)
    }

    pub(super) fn below(&mut self, end: i64) -> i64 {
        self.0.random_range(0..end)
    }

    /// Any life Stripe allows, with several steps in a second more often than not.
    pub(super) fn wild_life(&mut self, start: Millis) -> Life {
        let mut at = start + self.below(1000);
        let mut life = Life::new(at, self.0.random_range(0..0xffff));
        let steps = self.below(12);
        for _ in 0..steps {
            at += match self.below(10) {
                0..=5 => self.below(400),
                6..=8 => self.below(2500),
                _ => self.below(100_000),
            };
            // Closing and erasing end the story, so they are put off for others mostly.
            let mut possible = life.possible();
            if possible.len() > 2 && !self.one_in(4) {
                possible.retain(|step| !matches!(step, Step::Cancel | Step::Redact));
            }
            let Some(step) = possible.choose(&mut self.0).copied() else {
                break;
            };
            let failed = matches!(step, Step::Fail(_));
            life.step(
                at,
                if failed {
                    Step::Fail(self.code())
                } else {
                    step
                },
            );
        }
        life
    }

    /// The life of nearly everybody: submit and fail as often as need be, then verified or closed or left.
    /// Only what naturally shares a second does.
    pub(super) fn ordinary_life(&mut self, start: Millis) -> Life {
        let mut at = start + self.below(1000);
        let mut life = Life::new(at, self.0.random_range(0..0xffff));
        for attempt in 0..self.below(4) {
            at = if attempt == 0 {
                self.soon(at)
            } else {
                self.later(at)
            };
            life.step(at, Step::Submit);
            if self.one_in(2) {
                at = self.soon(at);
                life.step(at, Step::Pass);
                if self.one_in(4) {
                    life.step(at + 60_000, Step::Redact);
                    life.step(at + 90_000_000, Step::Erase);
                }
                return life;
            }
            if self.one_in(6) {
                return life;
            }
            at = self.later(at);
            life.step(at, Step::Fail(self.code()));
        }
        if self.one_in(4) {
            life.step(self.soon(at), Step::Cancel);
        }
        life
    }

    /// Stripe stamps some events late: a little, without changing their order, or so that the `processing`
    /// of a check which passed at once comes to stand after its `verified`.
    pub(super) fn stamp_late(&mut self, life: &mut Life) {
        let mut newest = 0;
        for event in &mut life.events {
            newest = newest.max(event.made + self.below(1500));
            event.made = newest;
        }
        for i in 1..life.events.len() {
            let pair = (life.events[i - 1].told, life.events[i].told);
            if pair == (Some(Told::Processing), Some(Told::Verified)) && self.one_in(3) {
                life.events[i - 1].made = life.events[i].made + self.below(1000);
            }
        }
    }

    /// How the events of a life arrive: now, late or very late, in any order, many twice, and on a line
    /// that loses some, not at all. The second list says which of them arrived.
    pub(super) fn deliver(&mut self, life: &Life, lossy: bool) -> (Vec<Delivery>, Vec<bool>) {
        let mut inbox = Vec::new();
        let mut arrived = Vec::new();
        for event in &life.events {
            let lost = lossy && self.one_in(5);
            arrived.push(!lost);
            if lost {
                continue;
            }
            for _ in 0..=self.below(5) / 3 {
                let delay = match self.below(10) {
                    0..=6 => self.below(800),
                    7..=8 => self.below(20_000),
                    _ => self.below(3_600_000),
                };
                inbox.push(Delivery {
                    at: event.made + delay,
                    what: event.heard(),
                });
            }
        }
        (inbox, arrived)
    }

    /// Looks that nobody's doubt asked for: a person waiting, a list. They crowd about the changes.
    pub(super) fn looks(&mut self, life: &Life) -> Vec<Look> {
        (0..self.below(5))
            .map(|_| {
                let near = life.moments.choose(&mut self.0).unwrap().at;
                let first = life.moments[0].at;
                let sent = (near - 600 + self.below(1800)).max(first);
                self.look(sent)
            })
            .collect()
    }

    /// How a look fares that is sent now: mostly well, sometimes very slowly.
    pub(super) fn look(&mut self, sent: Millis) -> Look {
        let slow = match self.below(8) {
            0 => 60_000,
            1 => 3_000,
            _ => 300,
        };
        let looked = sent + self.below(slow);
        let dated = looked + self.below(slow);
        let answered = dated + self.below(slow);
        Look {
            sent,
            looked,
            dated,
            answered,
            skew: self.skew(),
        }
    }

    /// A look without any delay worth the name.
    pub(super) fn prompt_look(&mut self, sent: Millis) -> Look {
        Look {
            sent,
            looked: sent + 40,
            dated: sent + 60,
            answered: sent + 100,
            skew: self.skew(),
        }
    }

    fn skew(&mut self) -> Millis {
        match self.below(6) {
            0..=2 => 0,
            3 => -1000,
            4 => 1000,
            _ => self.below(2001) - 1000,
        }
    }

    fn code(&mut self) -> &'static str {
        CODES.choose(&mut self.0).unwrap()
    }

    /// Perhaps within the same second.
    fn soon(&mut self, at: Millis) -> Millis {
        at + self.below(1500)
    }

    /// In another second.
    fn later(&mut self, at: Millis) -> Millis {
        at + 1000 + self.below(90_000)
    }
}
