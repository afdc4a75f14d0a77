//! One start per person and policy at a time in this process: whoever arrives while it runs shares its answer, secret included.
//!
//! An answer stays to be shared for a moment after it has landed. Five hundred clicks do not arrive within the few
//! milliseconds of one call, and asking Stripe again for each handful of them would spend a request and change nothing.
//! Any news of the person ends that moment.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;

use super::start::{Opened, StartError};
use crate::domain::Person;

/// How long a landed answer is shared. Far below the life of a client secret, and too short for a person to open
/// Stripe's page, leave it and press the button again.
const LINGER: Duration = Duration::from_secs(1);

type Landed = Result<Opened, StartError>;

/// The starts under way, by person; each for a policy.
#[derive(Clone, Debug, Default)]
pub(super) struct Flights {
    by_person: Arc<Mutex<HashMap<Key, Vec<Flight>>>>,
    serial: Arc<AtomicU64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    realm: String,
    external_id: String,
}

#[derive(Debug)]
struct Flight {
    policy: String,
    serial: u64,
    landing: watch::Receiver<Option<Landed>>,
}

impl Flights {
    /// Joins the person's flight, or takes off with `run`, which goes on even if every caller leaves.
    pub(super) async fn join<F>(&self, person: &Person, policy: &str, run: F) -> Landed
    where
        F: Future<Output = Landed> + Send + 'static,
    {
        let mut landing = self.landing(person, policy, run);
        let landed = landing
            .wait_for(Option::is_some)
            .await
            .map(|landed| (*landed).clone());
        match landed {
            Ok(Some(landed)) => landed,
            // The flight broke off without an answer.
            Ok(None) | Err(_) => Err(StartError::Broken),
        }
    }

    fn landing<F>(&self, person: &Person, policy: &str, run: F) -> watch::Receiver<Option<Landed>>
    where
        F: Future<Output = Landed> + Send + 'static,
    {
        let key = Key::of(person);
        let mut flights = self
            .by_person
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let of_person = flights.entry(key.clone()).or_default();
        if let Some(flight) = of_person.iter().find(|flight| flight.policy == policy) {
            return flight.landing.clone();
        }
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let (sender, landing) = watch::channel(None);
        of_person.push(Flight {
            policy: policy.to_owned(),
            serial,
            landing: landing.clone(),
        });
        let this = self.clone();
        tokio::spawn(async move {
            let slot = Slot {
                flights: this,
                key,
                serial,
            };
            let landed = run.await;
            let shared = landed.is_ok();
            sender.send_replace(Some(landed));
            if shared {
                tokio::time::sleep(LINGER).await;
            }
            drop(slot);
        });
        landing
    }

    /// Ends the sharing of landed answers, since something is known that they did not know.
    pub(super) fn forget(&self, person: &Person) {
        self.remove(&Key::of(person), |flight| flight.landing.borrow().is_some());
    }

    fn remove(&self, key: &Key, which: impl Fn(&Flight) -> bool) {
        let mut flights = self
            .by_person
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(of_person) = flights.get_mut(key) {
            of_person.retain(|flight| !which(flight));
            if of_person.is_empty() {
                flights.remove(key);
            }
        }
    }
}

impl Key {
    fn of(person: &Person) -> Self {
        Self {
            realm: person.realm.clone(),
            external_id: person.external_id.clone(),
        }
    }
}

/// The flight's place, vacated however it ends.
struct Slot {
    flights: Flights,
    key: Key,
    serial: u64,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.flights
            .remove(&self.key, |flight| flight.serial == self.serial);
    }
}
