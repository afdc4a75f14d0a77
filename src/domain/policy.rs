//! How a person stands under one policy, out of all of their attempts.

use std::collections::BTreeSet;

use super::{
    ids::AttemptId,
    person::{AttemptFacts, PersonState, derive_person},
    status::{Status, UserStatus},
};

/// An attempt, with the policies its session may be under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptUnder {
    /// What counts of it.
    pub facts: AttemptFacts,
    /// The policy it is under; several while Stripe has been asked to change it and has not answered.
    pub policies: Vec<String>,
}

/// How a person stands under a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Standing {
    /// Their status, as if there were only this policy.
    pub state: PersonState,
    /// The attempt that decides it.
    pub decided_by: Option<AttemptId>,
    /// Stripe no longer has the newest session that counts.
    pub gone: bool,
}

/// A person stands under a policy as [`derive_person`] says, out of the attempts that satisfy it: those under one of
/// `satisfied_by`, whichever of its policies an attempt may be under.
///
/// But nobody can give a second document while one is being checked: a check that runs now is theirs under every policy.
pub fn derive_standing(attempts: &[AttemptUnder], satisfied_by: &BTreeSet<String>) -> Standing {
    let counts = |attempt: &&AttemptUnder| {
        let mut policies = attempt.policies.iter();
        policies.all(|policy| satisfied_by.contains(policy))
    };
    let counting: Vec<_> = facts(attempts.iter().filter(counts));
    let state = derive_person(&counting);
    let all = facts(attempts.iter());
    let (state, among) = match newest(&all, |it| !it.gone && it.status.is_some()) {
        Some(newest)
            if newest.status == Some(Status::Processing)
                && state.status != UserStatus::Verified =>
        {
            let processing = PersonState {
                status: UserStatus::Processing,
                verified_at_second: None,
            };
            (processing, &all)
        }
        _ => (state, &counting),
    };
    let verified = newest(among, |it| it.status == Some(Status::Verified));
    let decided_by = if state.status == UserStatus::Verified {
        verified
    } else {
        newest(among, |it| !it.gone)
    };
    Standing {
        state,
        decided_by: decided_by.map(|it| it.created_order.1),
        gone: newest(among, |_| true).is_some_and(|it| it.gone),
    }
}

fn facts<'a>(attempts: impl Iterator<Item = &'a AttemptUnder>) -> Vec<AttemptFacts> {
    attempts.map(|attempt| attempt.facts.clone()).collect()
}

fn newest(attempts: &[AttemptFacts], of: impl Fn(&AttemptFacts) -> bool) -> Option<&AttemptFacts> {
    attempts
        .iter()
        .filter(|it| it.has_session && it.livemode_matches && of(it))
        .max_by_key(|it| it.created_order)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use proptest::{collection::vec, option, prelude::*, sample::select};
    use uuid::Uuid;

    use super::*;

    const POLICIES: [&str; 3] = ["age", "rent", "bank"];

    fn attempt(n: u8, status: Status, policies: &[&str]) -> AttemptUnder {
        AttemptUnder {
            facts: AttemptFacts {
                status: Some(status),
                second: Some(i64::from(n) * 100),
                gone: false,
                created_order: (
                    DateTime::from_timestamp(i64::from(n), 0).unwrap(),
                    AttemptId(Uuid::from_u128(u128::from(n))),
                ),
                has_session: true,
                livemode_matches: true,
            },
            policies: policies.iter().map(|it| (*it).to_owned()).collect(),
        }
    }

    fn under(attempts: &[AttemptUnder], satisfied_by: &[&str]) -> Standing {
        let names = satisfied_by.iter().map(|it| (*it).to_owned());
        derive_standing(attempts, &names.collect())
    }

    fn status(attempts: &[AttemptUnder], satisfied_by: &[&str]) -> UserStatus {
        under(attempts, satisfied_by).state.status
    }

    #[test]
    fn verified_under_one_policy_is_verified_under_those_it_satisfies_and_no_other() {
        let attempts = [attempt(1, Status::Verified, &["rent"])];
        assert_eq!(status(&attempts, &["age", "rent"]), UserStatus::Verified);
        assert_eq!(status(&attempts, &["bank"]), UserStatus::None);
    }

    #[test]
    fn an_attempt_that_may_be_under_either_of_two_counts_only_for_what_both_satisfy() {
        let attempts = [attempt(1, Status::Verified, &["rent", "age"])];
        assert_eq!(status(&attempts, &["age", "rent"]), UserStatus::Verified);
        assert_eq!(status(&attempts, &["rent"]), UserStatus::None);
        assert_eq!(status(&attempts, &["age"]), UserStatus::None);
    }

    #[test]
    fn a_check_that_runs_is_waited_for_under_every_policy() {
        let running = attempt(2, Status::Processing, &["age"]);
        let alone = under(std::slice::from_ref(&running), &["bank"]);
        assert_eq!(alone.state.status, UserStatus::Processing);
        assert_eq!(alone.decided_by, Some(running.facts.created_order.1));
        let verified = attempt(1, Status::Verified, &["bank"]);
        let both = [verified, running.clone()];
        assert_eq!(status(&both, &["bank"]), UserStatus::Verified);
        let over = [running, attempt(3, Status::Canceled, &["age"])];
        assert_eq!(status(&over, &["bank"]), UserStatus::None);
    }

    #[test]
    fn a_failure_under_another_policy_is_not_held_against_anybody() {
        let failed = [attempt(1, Status::RequiresInput, &["age"])];
        assert_eq!(under(&failed, &["bank"]), Standing::default());
        let standing = under(&failed, &["age"]);
        assert_eq!(standing.state.status, UserStatus::RequiresInput);
        assert_eq!(standing.decided_by, Some(failed[0].facts.created_order.1));
    }

    #[test]
    fn a_lost_session_is_told_and_an_older_one_decides() {
        let mut lost = attempt(2, Status::RequiresInput, &["age"]);
        lost.facts.gone = true;
        let older = attempt(1, Status::Canceled, &["age"]);
        let standing = under(&[lost, older.clone()], &["age"]);
        assert_eq!(standing.state.status, UserStatus::Canceled);
        assert_eq!(standing.decided_by, Some(older.facts.created_order.1));
        assert!(standing.gone);
    }

    proptest! {
        #[test]
        fn the_order_in_which_attempts_are_read_does_not_matter(
            (attempts, shuffled) in attempts()
                .prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
            names in names(),
        ) {
            prop_assert_eq!(derive_standing(&attempts, &names), derive_standing(&shuffled, &names));
        }

        #[test]
        fn a_policy_that_every_other_satisfies_says_what_the_person_s_own_status_says(
            attempts in attempts()
        ) {
            let all = POLICIES.map(str::to_owned).into();
            let facts: Vec<_> = attempts.iter().map(|it| it.facts.clone()).collect();
            prop_assert_eq!(derive_standing(&attempts, &all).state, derive_person(&facts));
        }

        #[test]
        fn whoever_is_verified_stays_so_when_more_satisfies_the_policy(
            attempts in attempts(), some in names(), more in names(),
        ) {
            let both = some.union(&more).cloned().collect();
            let verified = |names| derive_standing(&attempts, names).state.status == UserStatus::Verified;
            prop_assert!(!verified(&some) || verified(&both));
        }

        #[test]
        fn nobody_is_verified_but_by_an_attempt_all_of_whose_policies_satisfy_the_wanted_one(
            attempts in attempts(), names in names(),
        ) {
            let standing = derive_standing(&attempts, &names);
            let proof = attempts.iter().any(|it| {
                it.facts.status == Some(Status::Verified)
                    && it.facts.has_session
                    && it.facts.livemode_matches
                    && it.policies.iter().all(|policy| names.contains(policy))
            });
            prop_assert_eq!(standing.state.status == UserStatus::Verified, proof);
        }

        #[test]
        fn doubt_about_the_policy_never_makes_anybody_verified(
            attempts in attempts(), names in names(), asked in select(&POLICIES[..]),
        ) {
            let verified = |of: &[_]| derive_standing(of, &names).state.status == UserStatus::Verified;
            let mut doubtful = attempts.clone();
            for it in &mut doubtful {
                it.policies.push(asked.to_owned());
            }
            prop_assert!(!verified(&doubtful) || verified(&attempts));
        }
    }

    fn names() -> impl Strategy<Value = BTreeSet<String>> {
        vec(select(&POLICIES[..]), 1..3)
            .prop_map(|names| names.into_iter().map(str::to_owned).collect())
    }

    /// Several attempts of one person; no two were made at once.
    fn attempts() -> impl Strategy<Value = Vec<AttemptUnder>> {
        let status = option::of(select(&Status::ALL[..]));
        let policies = vec(select(&POLICIES[..]), 1..3);
        let parts = (status, any::<(bool, bool, bool)>(), policies);
        vec(parts, 0..6).prop_map(|all| {
            let numbered = (1..).zip(all);
            let made = numbered.map(|(n, (status, flags, policies))| {
                let mut attempt = attempt(n, Status::Verified, &policies);
                attempt.facts.status = status;
                attempt.facts.gone = flags.0;
                attempt.facts.has_session = flags.1;
                attempt.facts.livemode_matches = flags.2;
                attempt
            });
            made.collect()
        })
    }
}
