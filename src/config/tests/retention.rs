//! How long things are kept.

use super::*;

#[test]
fn everything_is_kept_for_a_sober_while_unless_it_is_said() {
    for config in [serve(&[]), dev(&[])] {
        let keep = config.retention;
        assert_eq!((keep.events_days, keep.history_days), (90, 365));
        assert_eq!((keep.messages_days, keep.dead_messages_days), (30, 90));
    }
    let keep = serve(&[
        ("RETAIN_EVENTS_DAYS", "30"),
        ("RETAIN_HISTORY_DAYS", "1"),
        ("RETAIN_MESSAGES_DAYS", "3"),
        ("RETAIN_DEAD_MESSAGES_DAYS", "3650"),
    ]);
    let keep = keep.retention;
    assert_eq!((keep.events_days, keep.history_days), (30, 1));
    assert_eq!((keep.messages_days, keep.dead_messages_days), (3, 3650));
}

#[test]
fn nothing_goes_while_stripe_or_an_endpoint_may_still_come_back_to_it() {
    for (name, least) in [
        ("RETAIN_EVENTS_DAYS", 30),
        ("RETAIN_HISTORY_DAYS", 1),
        ("RETAIN_MESSAGES_DAYS", 3),
        ("RETAIN_DEAD_MESSAGES_DAYS", 3),
    ] {
        for wrong in [&(least - 1).to_string(), "0", "-1", "3651", "none", "30d"] {
            let advice = serve_refuses(name, wrong);
            assert!(
                advice.contains(&format!("from {least} to 3650")),
                "{advice}"
            );
        }
    }
}
