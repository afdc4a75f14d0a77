//! How the client talks to Stripe: where, as whom, how fast and how patiently.

use std::time::Duration;

use secrecy::SecretString;
use url::Url;

/// The API version every call is pinned to.
pub const PINNED_VERSION: &str = "2026-07-29.dahlia";

/// The client's settings; [`Settings::new`] gives those for production.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `https://api.stripe.com`, or the sandbox's.
    pub base: Url,
    /// `sk_…` or `rk_…`
    pub secret_key: SecretString,
    /// Sent as `Stripe-Version`.
    pub version: &'static str,
    /// Calls a second for the whole process; as many may go at once after a pause.
    pub rate_per_second: u32,
    /// Calls a second for the jobs of all processes together, one after the other.
    pub jobs_per_second: u32,
    /// The longest a connection may take to be made.
    pub connect_timeout: Duration,
    /// The longest a single attempt may take, answer read to its end.
    pub timeout: Duration,
    /// How often a failed attempt is repeated.
    pub max_retries: u32,
    /// The pause before the first repetition; each further one doubles it, nothing shortens it.
    pub first_delay: Duration,
    /// What the pause grows to at most.
    pub longest_delay: Duration,
    /// The longest a person is kept waiting by one call: bucket, attempts and pauses together.
    /// Two such calls fit into the lease of a start. One that makes a third, or is held up, may outlast it, and finds out.
    pub person_patience: Duration,
    /// The same for a job.
    pub job_patience: Duration,
    /// The largest answer that is read, in bytes.
    pub largest_answer: usize,
}

impl Settings {
    /// The settings for production.
    pub fn new(base: Url, secret_key: SecretString) -> Self {
        Self {
            base,
            secret_key,
            version: PINNED_VERSION,
            // Below the 25 a second Stripe allows in test mode and on any one endpoint.
            rate_per_second: 20,
            // Half of it, so that people always have room.
            jobs_per_second: 10,
            connect_timeout: Duration::from_secs(3),
            timeout: Duration::from_secs(6),
            max_retries: 2,
            first_delay: Duration::from_millis(500),
            longest_delay: Duration::from_secs(5),
            person_patience: Duration::from_secs(9),
            job_patience: Duration::from_secs(30),
            // A hundred sessions with all the metadata Stripe allows come to some 3 MiB.
            largest_answer: 8 * 1024 * 1024,
        }
    }
}

/// Who waits for a call's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// A person, now.
    Person,
    /// Nobody in particular.
    Job,
}
