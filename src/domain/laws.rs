//! The laws of merging, held against arbitrary observations, truthful or not.

use proptest::{collection::vec, option, prelude::*, sample::select, sample::subsequence};

use super::{Detail, EventMaximum, Knowledge, ReadMaximum, Redaction, Status, Told};

/// Few seconds and few details, so that they collide.
fn observation() -> impl Strategy<Value = Knowledge> {
    let event = (select(&Told::ALL[..]), 0_i64..6, detail())
        .prop_map(|(told, second, detail)| Knowledge::from_event(told, second, detail));
    let read = (0_i64..6, 0_i64..4, select(&Status::ALL[..]), detail()).prop_map(
        |(as_of, width, status, detail)| Knowledge::from_read(as_of, as_of + width, status, detail),
    );
    let silence = Just(Knowledge::default());
    let heard = prop_oneof![6 => event, 4 => read, 1 => silence];
    (heard, select(&Redaction::ALL[..])).prop_map(|(heard, level)| heard.with_redaction(level))
}

fn detail() -> impl Strategy<Value = Detail> {
    let report = option::of(select(vec!["vr_1", "vr_2"]).prop_map(str::to_owned));
    let error = option::of(select(vec!["abandoned", "document_expired"]).prop_map(str::to_owned));
    (report, error).prop_map(|(report, error)| Detail { report, error })
}

fn knowledge() -> impl Strategy<Value = Knowledge> {
    vec(observation(), 0..6).prop_map(|observations| sum(&observations))
}

/// The same observations, but some of them twice, in another order, and cut into bundles.
fn retold() -> impl Strategy<Value = (Vec<Knowledge>, Vec<Vec<Knowledge>>)> {
    vec(observation(), 1..9).prop_flat_map(|observations| {
        let all = observations.clone();
        let some_twice = subsequence(observations.clone(), 0..=observations.len())
            .prop_map(move |again| [all.clone(), again].concat())
            .prop_shuffle();
        let bundles = (some_twice, 1_usize..5)
            .prop_map(|(retold, size)| retold.chunks(size).map(<[Knowledge]>::to_vec).collect());
        (Just(observations), bundles)
    })
}

fn sum<'a>(parts: impl IntoIterator<Item = &'a Knowledge>) -> Knowledge {
    let mut known = Knowledge::default();
    for part in parts {
        known.merge(part);
    }
    known
}

proptest! {
    #[test]
    fn merging_is_commutative(a in knowledge(), b in knowledge()) {
        prop_assert_eq!(sum([&a, &b]), sum([&b, &a]));
    }

    #[test]
    fn merging_is_associative(a in knowledge(), b in knowledge(), c in knowledge()) {
        prop_assert_eq!(sum([&sum([&a, &b]), &c]), sum([&a, &sum([&b, &c])]));
    }

    #[test]
    fn merging_is_idempotent(a in knowledge()) {
        prop_assert_eq!(sum([&a, &a]), a);
    }

    #[test]
    fn knowing_nothing_adds_nothing(a in knowledge()) {
        prop_assert_eq!(sum([&a, &Knowledge::default()]), a);
    }

    #[test]
    fn order_duplicates_and_bundles_do_not_matter((once, bundles) in retold()) {
        let told = sum(&once);
        let retold = sum(&bundles.iter().map(sum).collect::<Vec<_>>());
        prop_assert_eq!(told.verdict(), retold.verdict());
        prop_assert_eq!(told.doubt(), retold.doubt());
        prop_assert_eq!(told, retold);
    }

    #[test]
    fn a_look_two_seconds_after_everything_settles_every_doubt(
        before in knowledge(),
        status in select(&Status::ALL[..]),
        detail in detail(),
    ) {
        let told = before.events.as_ref().map_or(0, |events| events.second);
        let read = before.reads.as_ref().map_or(0, |reads| reads.as_of);
        let as_of = told.max(read) + 2;
        let look = Knowledge::from_read(as_of, as_of + 1, status, detail.clone());
        let after = sum([&before, &look]);
        let verdict = after.verdict().unwrap();
        prop_assert_eq!(after.doubt(), None);
        prop_assert_eq!((verdict.status, verdict.error, verdict.report), (status, detail.error, detail.report));
    }

    #[test]
    fn there_is_a_verdict_as_soon_as_a_status_was_told(a in knowledge()) {
        prop_assert_eq!(a.verdict().is_some(), a.events.is_some() || a.reads.is_some());
    }

    #[test]
    fn the_maxima_survive_storage(a in knowledge()) {
        let events = serde_json::to_value(&a.events).unwrap();
        let reads = serde_json::to_value(&a.reads).unwrap();
        prop_assert_eq!(serde_json::from_value::<Option<EventMaximum>>(events).unwrap(), a.events);
        prop_assert_eq!(serde_json::from_value::<Option<ReadMaximum>>(reads).unwrap(), a.reads);
    }
}

/// Rows outlive releases, so what is stored may grow but not change.
#[test]
fn the_maxima_are_stored_as_they_always_were() {
    let events = r#"{"second":1700000000,"told":{"processing":{},"requires_input":{"report":"vr_1","error":"document_expired"}}}"#;
    let reads = r#"{"as_of":1700000004,"until":1700000006,"read":{"verified":{"report":"vr_2"}}}"#;
    let known: EventMaximum = serde_json::from_str(events).unwrap();
    assert_eq!(known.second, 1_700_000_000);
    assert_eq!(
        known.told[&Told::RequiresInput].error.as_deref(),
        Some("document_expired")
    );
    assert_eq!(serde_json::to_string(&known).unwrap(), events);
    let known: ReadMaximum = serde_json::from_str(reads).unwrap();
    assert_eq!(
        known.read[&Status::Verified].report.as_deref(),
        Some("vr_2")
    );
    assert_eq!(serde_json::to_string(&known).unwrap(), reads);
}

#[test]
fn absurd_seconds_break_nothing() {
    for second in [i64::MIN, -1, 0, i64::MAX] {
        let mut known = Knowledge::from_event(Told::Verified, second, Detail::default());
        known.merge(&Knowledge::from_read(
            i64::MAX,
            i64::MAX,
            Status::Processing,
            Detail::default(),
        ));
        known.merge(&Knowledge::from_read(
            i64::MIN,
            i64::MIN,
            Status::Canceled,
            Detail::default(),
        ));
        assert!(known.verdict().is_some());
        let _ = known.doubt();
    }
}
