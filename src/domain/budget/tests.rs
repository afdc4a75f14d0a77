//! Lives with a budget: whatever happens, what was reserved never costs more.

use super::*;
use proptest::{collection::vec, option, prelude::*};

#[derive(Clone, Copy, Debug)]
enum Step {
    Reserve,
    /// The oldest open reservation gets its report.
    Report,
    Release,
    /// A check that nobody reserved.
    Stray,
    NextDay,
}

const DAYS_OF_A_MONTH: u32 = 5;

/// The service as it lives with a budget: what is open, and what was spent.
#[derive(Default)]
struct Life {
    day: u32,
    open: u64,
    today: u64,
    this_month: u64,
    strays_today: u64,
    strays_this_month: u64,
}

impl Life {
    fn usage(&self, price: u64) -> Usage {
        let tally = |checks| Tally {
            checks,
            money: checks * price,
        };
        Usage {
            today: tally(self.today),
            this_month: tally(self.this_month),
            reserved: tally(self.open),
            day_ends_in: Duration::from_secs(1),
            month_ends_in: Duration::from_secs(2),
        }
    }

    fn spend(&mut self) {
        self.today += 1;
        self.this_month += 1;
    }

    fn go(&mut self, step: Step, budget: &Budget) {
        match step {
            Step::Reserve => {
                if budget.closed_for(&self.usage(budget.price)).is_none() {
                    self.open += 1;
                }
            }
            Step::Report if self.open > 0 => {
                self.open -= 1;
                self.spend();
            }
            Step::Release => self.open = self.open.saturating_sub(1),
            Step::Stray => {
                self.spend();
                self.strays_today += 1;
                self.strays_this_month += 1;
            }
            Step::Report => {}
            Step::NextDay => {
                self.day += 1;
                (self.today, self.strays_today) = (0, 0);
                if self.day.is_multiple_of(DAYS_OF_A_MONTH) {
                    (self.this_month, self.strays_this_month) = (0, 0);
                }
            }
        }
    }
}

fn allowance() -> impl Strategy<Value = Allowance> {
    (option::of(0..20_u64), option::of(0..3000_u64))
        .prop_map(|(checks, money)| Allowance { checks, money })
}

fn budget() -> impl Strategy<Value = Budget> {
    (allowance(), allowance(), 0..300_u64).prop_map(|(day, month, price)| Budget {
        day,
        month,
        price,
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Reserve),
        4 => Just(Step::Report),
        2 => Just(Step::Release),
        1 => Just(Step::Stray),
        1 => Just(Step::NextDay),
    ]
}

proptest! {
    #[test]
    fn what_was_reserved_never_costs_more_than_the_budget(
        budget in budget(), steps in vec(step(), 0..200),
    ) {
        let mut life = Life::default();
        for step in steps {
            life.go(step, &budget);
            let planned = [
                (budget.day, life.today - life.strays_today),
                (budget.month, life.this_month - life.strays_this_month),
            ];
            for (allowance, checks) in planned {
                prop_assert!(allowance.checks.is_none_or(|most| checks <= most));
                prop_assert!(allowance.money.is_none_or(|most| checks * budget.price <= most));
            }
        }
    }

    #[test]
    fn there_is_room_exactly_while_something_remains(
        budget in budget(), today in 0..30_u64, before in 0..30_u64, open in 0..30_u64,
    ) {
        let life = Life { open, today, this_month: today + before, ..Life::default() };
        let usage = life.usage(budget.price);
        let remains = Period::ALL.into_iter().all(|period| {
            let left = budget.allowance(period).remaining(usage.used(period), budget.price);
            left.is_none_or(|left| left > 0)
        });
        // With a price of nothing, money stops nobody but where more is spent than there is.
        let free = budget.price == 0;
        prop_assert!(free || budget.closed_for(&usage).is_none() == remains);
        let warned = Period::ALL
            .into_iter()
            .any(|period| budget.warnings(period, &usage).contains(&100));
        prop_assert!(free || warned != remains);
    }
}

#[test]
fn a_full_month_outlasts_a_full_day() {
    let one = Allowance {
        checks: Some(1),
        money: None,
    };
    let budget = |day, month| Budget {
        day,
        month,
        price: 150,
    };
    let usage = Life {
        open: 1,
        ..Life::default()
    }
    .usage(150);
    let none = Allowance::default();
    let closed = |day, month| budget(day, month).closed_for(&usage).map(|d| d.as_secs());
    assert_eq!(closed(none, none), None);
    assert_eq!(closed(one, none), Some(1));
    assert_eq!(closed(none, one), Some(2));
    assert_eq!(closed(one, one), Some(2));
}

#[test]
fn a_rest_that_buys_no_check_is_no_room_and_a_full_budget() {
    let budget = Budget {
        day: Allowance {
            checks: None,
            money: Some(400),
        },
        month: Allowance::default(),
        price: 150,
    };
    let with = |open| {
        Life {
            open,
            ..Life::default()
        }
        .usage(150)
    };
    let warnings = |open| budget.warnings(Period::Day, &with(open));
    assert!(budget.closed_for(&with(1)).is_none());
    assert_eq!(warnings(1), [0_u8; 0]);
    assert!(budget.closed_for(&with(2)).is_some());
    assert_eq!(warnings(2), WARNINGS);
    assert_eq!(budget.warnings(Period::Month, &with(2)), [0_u8; 0]);
}

#[test]
fn absurd_numbers_overflow_nothing() {
    let most = Tally {
        checks: u64::MAX,
        money: u64::MAX,
    };
    let allowance = Allowance {
        checks: Some(1),
        money: Some(1),
    };
    assert_eq!(allowance.percent(most), u64::MAX);
    assert!(!allowance.has_room(most, most));
    let none = Allowance {
        checks: Some(0),
        money: None,
    };
    assert!(!none.has_room(
        Tally::default(),
        Tally {
            checks: 1,
            money: 0
        }
    ));
}

#[test]
fn one_number_is_enough_to_limit_a_budget_and_none_limits_nothing() {
    let mut budget = Budget {
        price: 150,
        ..Budget::default()
    };
    assert!(!budget.is_limited());
    let numbers: [fn(&mut Budget) -> &mut Option<u64>; 4] = [
        |budget| &mut budget.day.checks,
        |budget| &mut budget.day.money,
        |budget| &mut budget.month.checks,
        |budget| &mut budget.month.money,
    ];
    for number in numbers {
        *number(&mut budget) = Some(0);
        assert!(budget.is_limited(), "{budget:?}");
        *number(&mut budget) = None;
    }
}

#[test]
fn periods_have_the_names_by_which_warnings_are_stored() {
    assert_eq!(Period::ALL.map(Period::as_str), ["day", "month"]);
}
