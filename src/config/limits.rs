//! What it may cost: how often people may try, what all of them together may spend, and whose word counts for where they
//! are.

use ipnet::IpNet;

use super::{
    parse,
    reader::{Advice, Found, Noted, Reader},
};

/// The limits that guard money. `None` is no limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitsConfig {
    /// `ATTEMPTS_PER_DAY`: billed checks of one person in a day.
    pub attempts_per_day: Option<u32>,
    /// `ATTEMPTS_IN_TOTAL`: billed checks of one person.
    pub attempts_in_total: Option<u32>,
    /// `CREATIONS_PER_USER_PER_HOUR`: sessions made for one person.
    pub creations_per_user_per_hour: Option<u32>,
    /// `CREATIONS_PER_ADDRESS_PER_HOUR`: sessions made for one client address.
    pub creations_per_address_per_hour: Option<u32>,
    /// `BUDGET_CHECKS_PER_DAY`: checks of everybody in a day.
    pub checks_per_day: Option<u64>,
    /// `BUDGET_CHECKS_PER_MONTH`: checks of everybody in a month.
    pub checks_per_month: Option<u64>,
    /// `BUDGET_MONEY_PER_DAY`: what they may cost in a day, in hundredths.
    pub money_per_day: Option<u64>,
    /// `BUDGET_MONEY_PER_MONTH`: what they may cost in a month, in hundredths.
    pub money_per_month: Option<u64>,
    /// `CHECK_PRICE`: what one check costs, in hundredths.
    pub check_price: u64,
    /// `TRUSTED_PROXIES`: whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
}

/// Stripe's price of a document check when this was written, in dollars and in euros.
const CHECK_PRICE: u64 = 150;
/// Far more than anybody does, and far from where sums could overflow.
const MOST: u64 = 1_000_000_000;

impl LimitsConfig {
    /// In development people are one person who tries everything, against a Stripe that costs nothing: no limit holds
    /// there but those that are asked for.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Noted> {
        let is_dev = reader.mode().is_dev();
        let usual = |most: u32| (!is_dev).then_some(most);
        let attempts_per_day = read_limit(reader, "ATTEMPTS_PER_DAY", usual(5));
        let attempts_in_total = read_limit(reader, "ATTEMPTS_IN_TOTAL", usual(10));
        let per_user = read_limit(reader, "CREATIONS_PER_USER_PER_HOUR", usual(10));
        let per_address = read_limit(reader, "CREATIONS_PER_ADDRESS_PER_HOUR", usual(60));
        let checks_per_day = read_limit(reader, "BUDGET_CHECKS_PER_DAY", None);
        let checks_per_month = read_limit(reader, "BUDGET_CHECKS_PER_MONTH", None);
        let money_per_day = read_money_limit(reader, "BUDGET_MONEY_PER_DAY");
        let money_per_month = read_money_limit(reader, "BUDGET_MONEY_PER_MONTH");
        let check_price = reader.parsed("CHECK_PRICE", money);
        let trusted_proxies = reader.parsed("TRUSTED_PROXIES", proxies);
        Ok(Self {
            attempts_per_day: attempts_per_day?,
            attempts_in_total: attempts_in_total?,
            creations_per_user_per_hour: per_user?,
            creations_per_address_per_hour: per_address?,
            checks_per_day: checks_per_day?.map(u64::from),
            checks_per_month: checks_per_month?.map(u64::from),
            money_per_day: money_per_day?,
            money_per_month: money_per_month?,
            check_price: check_price?.unwrap_or(CHECK_PRICE),
            trusted_proxies: trusted_proxies?.unwrap_or_default(),
        })
    }
}

fn read_limit(reader: &mut Reader<'_>, name: &'static str, usual: Option<u32>) -> Found<u32> {
    let found = reader.parsed(name, |text| or_none(text, count));
    Ok(found?.unwrap_or(usual))
}

fn read_money_limit(reader: &mut Reader<'_>, name: &'static str) -> Found<u64> {
    let found = reader.parsed(name, |text| or_none(text, money));
    Ok(found?.flatten())
}

/// No limit has to be asked for by its name: a nought would be read as "nobody" by some and "everybody" by others.
fn or_none<T>(
    text: &str,
    parse: impl FnOnce(&str) -> Result<T, Advice>,
) -> Result<Option<T>, Advice> {
    if text == "none" {
        Ok(None)
    } else {
        parse(text).map(Some)
    }
}

fn count(text: &str) -> Result<u32, Advice> {
    digits(text)
        .filter(|number| (1..=MOST).contains(number))
        .and_then(|number| u32::try_from(number).ok())
        .ok_or_else(|| format!("is neither a number from 1 to {MOST} nor none").into())
}

/// A decimal with at most two places, as hundredths. Never a float: a budget is a sum of these.
fn money(text: &str) -> Result<u64, Advice> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "00"));
    let part = match part.len() {
        1 => format!("{part}0"),
        _ => part.to_owned(),
    };
    let hundredths = (part.len() == 2).then(|| digits(&part)).flatten();
    digits(whole)
        .filter(|whole| *whole <= MOST)
        .zip(hundredths)
        .map(|(whole, hundredths)| whole * 100 + hundredths)
        .filter(|sum| *sum > 0)
        .ok_or_else(|| {
            "is not an amount of money such as 1.50, with a point and at most two places, above 0"
                .into()
        })
}

fn digits(text: &str) -> Option<u64> {
    let plain = text.chars().all(|c| c.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

fn proxies(text: &str) -> Result<Vec<IpNet>, Advice> {
    let networks = parse::networks(text)?;
    if networks.iter().any(|net| net.prefix_len() == 0) {
        return Err("trusts everybody, so that anybody could pretend to be anywhere: name your proxies' networks".into());
    }
    Ok(networks)
}
