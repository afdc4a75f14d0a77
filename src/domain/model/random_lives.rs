//! Random people, each with a session or two: whatever happened, the receiver ends up with the truth.

use std::collections::BTreeMap;

use chrono::DateTime;
use uuid::Uuid;

use super::{chance::Chance, life::Life, line::Look, receiver::Settled};
use crate::domain::{
    AttemptFacts, AttemptId, Doubt, Redaction, Status, Told, UserStatus, derive_person,
};

/// How many people the ordinary run of the tests draws.
const PEOPLE: u64 = 30_000;

#[test]
fn whatever_happened_we_end_up_with_the_truth() {
    let mut tally = Tally::default();
    for seed in 0..PEOPLE {
        live(seed, &mut tally);
    }
    tally.assert_nothing_was_missed();
}

#[test]
#[ignore = "takes minutes; for whoever changes a rule"]
fn whatever_happened_to_a_million_people_we_end_up_with_the_truth() {
    let mut tally = Tally::default();
    for seed in 0..1_000_000 {
        live(seed, &mut tally);
    }
}

#[test]
fn an_ordinary_life_never_makes_us_ask() {
    for seed in 0..PEOPLE / 3 {
        let mut chance = Chance::of(seed);
        let life = chance.ordinary_life(1_000_000);
        let (inbox, _) = chance.deliver(&life, false);
        let settled = Settled::receive(&life, &inbox, |_| panic!("seed {seed} asked: {life:#?}"));
        assert_truth(seed, &life, &settled);
        assert_eq!(settled.doubts, [], "seed {seed}");
    }
}

/// How often the lives drawn led where it is interesting, so that a dull draw cannot pass for a proof.
#[derive(Default)]
struct Tally {
    doubts: BTreeMap<&'static str, u64>,
    people_with_two_sessions: u64,
    overturned_then_upheld: u64,
    slow_looks: u64,
    asked: u64,
    sessions: u64,
    excused: u64,
}

impl Tally {
    fn note(&mut self, life: &Life, looks: &[Look], settled: &Settled) {
        for doubt in &settled.doubts {
            *self.doubts.entry(doubt.as_str()).or_default() += 1;
        }
        let told: Vec<_> = life.events.iter().map(|event| event.told).collect();
        let back_and_forth = [Told::Verified, Told::RequiresInput, Told::Verified].map(Some);
        self.overturned_then_upheld += u64::from(told.windows(3).any(|w| w == back_and_forth));
        let slow = |look: &&Look| look.answered - look.sent > 5000;
        self.slow_looks += looks.iter().filter(slow).count() as u64;
        self.sessions += 1;
        self.asked += settled.looks.len() as u64;
    }

    fn assert_nothing_was_missed(&self) {
        for doubt in Doubt::ALL {
            let times = self.doubts.get(doubt.as_str()).copied().unwrap_or_default();
            assert!(times > 100, "{} was had {times} times", doubt.as_str());
        }
        assert!(self.people_with_two_sessions > 1000);
        assert!(self.overturned_then_upheld > 100);
        assert!(self.slow_looks > 100);
        assert!(self.asked > 1000);
        assert!(self.excused * 20 < self.sessions, "too few were examined");
    }
}

/// One person: their sessions live, we hear of it as the line permits, and are examined three times over.
fn live(seed: u64, tally: &mut Tally) {
    let mut chance = Chance::of(seed);
    let lossy = chance.one_in(2);
    let stamped_late = !lossy && chance.one_in(4);
    let sessions = if chance.one_in(3) { 2 } else { 1 };
    tally.people_with_two_sessions += u64::from(sessions == 2);

    let mut heard = Vec::new();
    for session in 0..sessions {
        let mut life = chance.wild_life(1_000_000 + session * 20_000);
        if stamped_late {
            chance.stamp_late(&mut life);
        }
        let settled = hear_of(seed, &mut chance, &life, lossy, tally);
        let healed = sweep(seed, &mut chance, &life, settled);
        heard.push((life, healed));
    }
    assert_person(seed, &heard);
}

/// Everything arrives that will, and doubt settles: what is known now must be true, as far as it was told.
fn hear_of(seed: u64, chance: &mut Chance, life: &Life, lossy: bool, tally: &mut Tally) -> Settled {
    let (mut inbox, arrived) = chance.deliver(life, lossy);
    let looks = chance.looks(life);
    inbox.extend(looks.iter().map(|look| look.delivery(life)));
    let settled = Settled::receive(life, &inbox, |sent| chance.look(sent));
    tally.note(life, &looks, &settled);

    if arrived.iter().all(|arrived| *arrived) {
        assert_truth(seed, life, &settled);
    } else if last_word_arrived(life, &arrived) || saw_the_end(life, &looks, &settled) {
        let truth = Some(life.end().status);
        assert_eq!(
            status(&settled),
            truth,
            "seed {seed}: {life:#?} {settled:#?}"
        );
    } else {
        tally.excused += 1;
    }
    assert_never_too_much(seed, life, &settled);
    settled
}

/// A while later the session comes along in a list, which puts right whatever was lost.
fn sweep(seed: u64, chance: &mut Chance, life: &Life, before: Settled) -> Settled {
    let list = chance.prompt_look(before.at.max(life.end().at) + 300_000);
    let mut after = before;
    after.known.merge(&list.answer(life));
    assert_verdict(seed, life, &after);
    assert_eq!(after.known.redaction, life.end().redaction, "seed {seed}");
    after
}

/// Everything that Stripe told arrived, so everything it told is known.
fn assert_truth(seed: u64, life: &Life, settled: &Settled) {
    assert_verdict(seed, life, settled);
    assert_eq!(settled.known.reports, life.reports(), "seed {seed}");
    if life.end().redaction == Redaction::Redacted {
        assert_eq!(settled.known.redaction, Redaction::Redacted, "seed {seed}");
    }
}

fn assert_verdict(seed: u64, life: &Life, settled: &Settled) {
    let (verdict, end) = (settled.known.verdict().unwrap(), life.end());
    let shown = (verdict.status, &verdict.error, &verdict.report);
    let truth = (end.status, &end.detail.error, &end.detail.report);
    assert_eq!(shown, truth, "seed {seed}: {life:#?} {settled:#?}");
    assert_eq!(
        settled.known.doubt(),
        None,
        "seed {seed}: {life:#?} {settled:#?}"
    );
}

/// Lost or not, nothing is known that never was, and nobody stops being verified because events said so.
fn assert_never_too_much(seed: u64, life: &Life, settled: &Settled) {
    let known = &settled.known;
    assert!(known.reports.is_subset(&life.reports()), "seed {seed}");
    assert!(known.redaction <= life.end().redaction, "seed {seed}");
    if known.verified_second.is_some() && status(settled) != Some(Status::Verified) {
        let told = known.events.as_ref().unwrap().second;
        let read = known.reads.as_ref().map(|reads| reads.as_of);
        assert!(
            read.is_some_and(|read| read > told),
            "seed {seed}: {life:#?} {settled:#?}"
        );
    }
}

/// The last event arrived, so its second is the newest we know, and only what shares it can mislead.
/// `processing` is left out: beside a `verified` it is taken for the check that led there, and the
/// reviewer's event that would say otherwise may be the lost one.
fn last_word_arrived(life: &Life, arrived: &[bool]) -> bool {
    let mut events = life.events.iter().zip(arrived);
    events
        .rfind(|(event, _)| event.told.is_some())
        .is_some_and(|(event, arrived)| *arrived && event.told != Some(Told::Processing))
}

/// Of the looks that count, those as of the greatest second, one was taken after all was over.
fn saw_the_end(life: &Life, looks: &[Look], settled: &Settled) -> bool {
    let looks = || looks.iter().chain(&settled.looks);
    let newest = looks().map(|look| look.as_of()).max();
    looks().any(|look| Some(look.as_of()) == newest && look.looked >= life.last_change())
}

fn assert_person(seed: u64, heard: &[(Life, Settled)]) {
    let attempts: Vec<AttemptFacts> = (0_u32..)
        .zip(heard)
        .map(|(n, (_, settled))| {
            let verdict = settled.known.verdict();
            AttemptFacts {
                status: verdict.as_ref().map(|verdict| verdict.status),
                second: verdict.map(|verdict| verdict.second),
                gone: false,
                created_order: (
                    DateTime::from_timestamp(i64::from(n), 0).unwrap(),
                    AttemptId(Uuid::from_u128(u128::from(n))),
                ),
                has_session: true,
                livemode_matches: true,
            }
        })
        .collect();
    let person = derive_person(&attempts);
    let ends: Vec<Status> = heard.iter().map(|(life, _)| life.end().status).collect();
    let truth = if ends.contains(&Status::Verified) {
        UserStatus::Verified
    } else {
        UserStatus::from(*ends.last().unwrap())
    };
    assert_eq!(person.status, truth, "seed {seed}");
    assert_eq!(
        person.verified_at_second.is_some(),
        truth == UserStatus::Verified,
        "seed {seed}"
    );
}

fn status(settled: &Settled) -> Option<Status> {
    settled.known.verdict().map(|verdict| verdict.status)
}
