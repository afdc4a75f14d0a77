//! The budget of the whole service: what may be spent in a day and in a month, in checks and in money.
//!
//! Whatever is handed out may be spent at any moment until it is released, so an open reservation weighs on the day and
//! the month that are under way, whenever it was taken; a report counts in the day and the month in which it is seen. So
//! the checks that had a reservation never cost more than the budget of their period. Checks without one come on top:
//! tries after the first on one visit to Stripe's page, static links, and reports that come after their reservation ended.

use std::time::Duration;

/// Checks, and what they cost in hundredths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub checks: u64,
    /// What they cost.
    pub money: u64,
}

impl Tally {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            checks: self.checks.saturating_add(other.checks),
            money: self.money.saturating_add(other.money),
        }
    }
}

/// What may be spent in one period; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    /// How many checks.
    pub checks: Option<u64>,
    /// How much money, in hundredths.
    pub money: Option<u64>,
}

impl Allowance {
    /// Is there room for `more` beside what is used?
    fn has_room(self, used: Tally, more: Tally) -> bool {
        let sum = used.plus(more);
        self.checks.is_none_or(|most| sum.checks <= most)
            && self.money.is_none_or(|most| sum.money <= most)
    }

    /// How many more checks of this price fit; `None` is any number.
    pub fn remaining(self, used: Tally, price: u64) -> Option<u64> {
        let by_checks = self.checks.map(|most| most.saturating_sub(used.checks));
        let by_money = self
            .money
            .and_then(|most| most.saturating_sub(used.money).checked_div(price));
        by_checks.into_iter().chain(by_money).min()
    }

    /// How much of it is used, in per cent, by whichever of the two is used more; nothing without a limit.
    fn percent(self, used: Tally) -> u64 {
        let share = |used: u64, most: Option<u64>| {
            most.map_or(0, |most| {
                let percent = u128::from(used) * 100 / u128::from(most.max(1));
                u64::try_from(percent).unwrap_or(u64::MAX)
            })
        };
        share(used.checks, self.checks).max(share(used.money, self.money))
    }

    fn is_limited(self) -> bool {
        self.checks.is_some() || self.money.is_some()
    }
}

/// What a budget is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Period {
    /// From midnight to midnight, UTC.
    Day,
    /// From the first of a month, UTC.
    Month,
}

impl Period {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Day, Self::Month];

    /// As stored and measured.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Month => "month",
        }
    }
}

/// The budget, and the price it is reckoned with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// What a day may cost.
    pub day: Allowance,
    /// What a month may cost.
    pub month: Allowance,
    /// What one check costs, in hundredths.
    pub price: u64,
}

/// What is used of a budget at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Reports seen today.
    pub today: Tally,
    /// Reports seen this month, today included.
    pub this_month: Tally,
    /// What was handed out and may yet be spent.
    pub reserved: Tally,
    /// Until midnight, UTC.
    pub day_ends_in: Duration,
    /// Until the first of the next month, UTC.
    pub month_ends_in: Duration,
}

impl Usage {
    /// What was spent in a period.
    pub fn spent(&self, period: Period) -> Tally {
        match period {
            Period::Day => self.today,
            Period::Month => self.this_month,
        }
    }

    /// What of a period's budget is not to be had any more.
    pub fn used(&self, period: Period) -> Tally {
        self.spent(period).plus(self.reserved)
    }

    fn ends_in(&self, period: Period) -> Duration {
        match period {
            Period::Day => self.day_ends_in,
            Period::Month => self.month_ends_in,
        }
    }
}

/// How much of a budget is used when somebody is warned, in per cent.
pub const WARNINGS: [u8; 3] = [50, 80, 100];

impl Budget {
    /// Is anything limited at all?
    pub fn is_limited(&self) -> bool {
        Period::ALL
            .into_iter()
            .any(|period| self.allowance(period).is_limited())
    }

    /// What a period may cost.
    pub fn allowance(&self, period: Period) -> Allowance {
        match period {
            Period::Day => self.day,
            Period::Month => self.month,
        }
    }

    /// The check that a reservation is for.
    pub fn one_check(&self) -> Tally {
        Tally {
            checks: 1,
            money: self.price,
        }
    }

    /// `None` if one more check may be reserved, else how long the fullest period still lasts.
    pub fn closed_for(&self, usage: &Usage) -> Option<Duration> {
        Period::ALL
            .into_iter()
            .filter(|period| {
                let used = usage.used(*period);
                !self.allowance(*period).has_room(used, self.one_check())
            })
            .map(|period| usage.ends_in(period))
            .max()
    }

    /// The warnings that a period has earned so far, in per cent.
    pub fn warnings(&self, period: Period, usage: &Usage) -> Vec<u8> {
        let used = usage.used(period);
        let allowance = self.allowance(period);
        let percent = allowance.percent(used);
        // What is left may be less than one check: then nothing more is done, and that is all of it.
        let is_full = allowance.is_limited() && allowance.remaining(used, self.price) == Some(0);
        WARNINGS
            .into_iter()
            .filter(|mark| percent >= u64::from(*mark) || is_full)
            .collect()
    }
}

#[cfg(test)]
mod tests {
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
}
