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
mod tests;
