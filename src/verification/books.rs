//! Keeps watch over the budget: shows how much is left, and warns before it is used up.

use super::Verifier;
use crate::{
    domain::{Period, Tally},
    store::{self, Books, StoreError},
};

impl Verifier {
    /// Measures the budget, gives the warnings that are due, and forgets creations that no limit counts any more.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn keep_books(&self) -> Result<(), StoreError> {
        let mut tx = self.db.begin().await?;
        let books = store::read_books(&mut tx, self.settings.livemode).await?;
        tx.commit().await?;
        for period in Period::ALL {
            self.measure(period, &books);
            self.warn(period, &books).await?;
        }
        store::forget_creations(&self.db).await?;
        Ok(())
    }

    fn measure(&self, period: Period, books: &Books) {
        let budget = &self.settings.limits.budget;
        let (usage, allowance) = (&books.usage, budget.allowance(period));
        let used = usage.used(period);
        show(period, "spent", usage.spent(period));
        show(period, "reserved", usage.reserved);
        if let Some(most) = allowance.checks {
            show_checks(period, "remaining", most.saturating_sub(used.checks));
        }
        if let Some(most) = allowance.money {
            show_money(period, "remaining", most.saturating_sub(used.money));
        }
    }

    /// Each mark once in its period, whichever process comes first.
    async fn warn(&self, period: Period, books: &Books) -> Result<(), StoreError> {
        let (budget, livemode) = (&self.settings.limits.budget, self.settings.livemode);
        let begins_at = books.begins_at(period);
        for percent in budget.warnings(period, &books.usage) {
            if !store::note_warning(&self.db, livemode, period, begins_at, percent).await? {
                continue;
            }
            let period = period.as_str();
            metrics::counter!(
                "verigate_budget_warnings_total", "period" => period, "percent" => percent.to_string()
            )
            .increment(1);
            if percent < 100 {
                tracing::warn!(period, percent, "much of the budget is reserved or spent");
            } else {
                tracing::error!(
                    period,
                    "the budget is used up: nobody new can verify until the period ends, something is released, or \
                     BUDGET_… is raised"
                );
            }
        }
        Ok(())
    }
}

fn show(period: Period, what: &'static str, tally: Tally) {
    show_checks(period, what, tally.checks);
    show_money(period, what, tally.money);
}

fn show_checks(period: Period, what: &'static str, checks: u64) {
    metrics::gauge!("verigate_budget_checks", "period" => period.as_str(), "what" => what)
        .set(measured(checks));
}

/// In whole units of money, as configured; only the picture is a float.
fn show_money(period: Period, what: &'static str, hundredths: u64) {
    metrics::gauge!("verigate_budget_money", "period" => period.as_str(), "what" => what)
        .set(measured(hundredths) / 100.0);
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a measurement may be off by one in 2^53"
)]
fn measured(number: u64) -> f64 {
    number as f64
}
