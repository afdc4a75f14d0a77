//! Lives of seven events, heard in every order there is.

use super::{
    chance::Chance,
    life::{Life, Millis, Step},
    line::Delivery,
    receiver::Settled,
};
use crate::domain::Knowledge;

const ORDERS: usize = 5040; // 7!

/// When the events begin to arrive: the life is over by then.
const AFTERWARDS: Millis = 1_000_000;

#[test]
fn a_reviewer_upholds_in_the_second_of_the_failure_and_the_data_is_erased() {
    hear_in_every_order(&[
        (40_000, Step::Submit),
        (55_200, Step::Fail("document_expired")),
        (55_700, Step::Uphold),
        (300_000, Step::Redact),
        (900_000, Step::Erase),
    ]);
}

#[test]
fn a_reviewer_overturns_in_the_second_of_the_success_and_a_redaction_closes_it() {
    hear_in_every_order(&[
        (40_000, Step::Submit),
        (55_200, Step::Pass),
        (55_700, Step::Overturn),
        (300_000, Step::Redact),
    ]);
}

#[test]
fn a_reviewer_changes_their_mind_twice_within_a_second() {
    hear_in_every_order(&[
        (40_000, Step::Submit),
        (55_200, Step::Pass),
        (55_500, Step::Overturn),
        (55_900, Step::Uphold),
    ]);
}

#[test]
fn everything_from_the_second_attempt_to_the_redaction_happens_within_a_second() {
    hear_in_every_order(&[
        (40_100, Step::Submit),
        (40_300, Step::Pass),
        (40_500, Step::Overturn),
        (40_700, Step::Redact),
    ]);
}

/// A first attempt that fails and then `steps`, seven events in all. Whatever their order, we know the same
/// when all have arrived, and the truth when doubt has settled; whether they came at once, or so slowly that
/// Stripe was asked in between.
fn hear_in_every_order(steps: &[(Millis, Step)]) {
    let mut life = Life::new(1_000, 7);
    life.step(10_000, Step::Submit);
    life.step(12_000, Step::Fail("selfie_face_mismatch"));
    for (at, step) in steps {
        life.step(*at, *step);
    }
    assert_eq!(life.events.len(), 7);

    let mut all = Knowledge::default();
    for event in &life.events {
        all.merge(&event.heard());
    }
    for order in (0..ORDERS).map(order) {
        let mut known = Knowledge::default();
        for i in order {
            known.merge(&life.events[i].heard());
        }
        assert_eq!(known, all, "{order:?}");
        for apart in [10, 10_000] {
            let settled = hear_in_order(&life, order, apart);
            let verdict = settled.known.verdict().unwrap();
            let end = life.end();
            assert_eq!(verdict.status, end.status, "{order:?}, {apart} ms apart");
            assert_eq!(
                verdict.error, end.detail.error,
                "{order:?}, {apart} ms apart"
            );
            assert_eq!(
                verdict.report, end.detail.report,
                "{order:?}, {apart} ms apart"
            );
            assert_eq!(
                settled.known.redaction, end.redaction,
                "{order:?}, {apart} ms apart"
            );
            assert_eq!(
                settled.known.reports,
                life.reports(),
                "{order:?}, {apart} ms apart"
            );
        }
    }
}

fn hear_in_order(life: &Life, order: [usize; 7], apart: Millis) -> Settled {
    let inbox: Vec<Delivery> = (0..)
        .zip(order)
        .map(|(n, i)| Delivery {
            at: AFTERWARDS + n * apart,
            what: life.events[i].heard(),
        })
        .collect();
    let mut chance = Chance::of(0);
    Settled::receive(life, &inbox, |sent| chance.prompt_look(sent))
}

/// The `n`th order of seven things, read off the digits of `n` in the factorial number system.
fn order(mut n: usize) -> [usize; 7] {
    let mut left: Vec<usize> = (0..7).collect();
    std::array::from_fn(|_| {
        let choices = left.len();
        let picked = left.remove(n % choices);
        n /= choices;
        picked
    })
}

#[test]
fn the_orders_are_all_there_are() {
    let mut orders: Vec<_> = (0..ORDERS).map(order).collect();
    orders.sort_unstable();
    orders.dedup();
    assert_eq!(orders.len(), ORDERS);
}
