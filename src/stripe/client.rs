//! The client: one way out to Stripe, with its limit, time-outs and repetitions.

use std::{fmt, sync::Arc, time::Duration};

use metrics::counter;
use reqwest::{
    Method, Request,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue},
    redirect,
};
use secrecy::ExposeSecret;
use tokio::time::{Instant, sleep};
use url::{Host, Url};

use super::{
    JobLine, Priority, Reply, Settings, StripeError, answer::Answer, bucket::Bucket, form::Form,
    types::Wire,
};

/// A connection idle for longer is not used again, lest Stripe is just closing it.
const IDLE: Duration = Duration::from_secs(30);
/// When it is worth trying again after the line of jobs was too long.
const LINE_PAUSE: Duration = Duration::from_secs(1);

/// Talks to Stripe. Clones share connections and the limit on calls.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    /// Where jobs wait for those of other processes.
    line: Option<Arc<dyn JobLine>>,
}

struct Shared {
    http: reqwest::Client,
    settings: Settings,
    bucket: Bucket,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("settings", &self.shared.settings)
            .finish_non_exhaustive()
    }
}

/// One call to make.
pub(super) struct Call<'a> {
    /// Its name in metrics and logs.
    pub(super) name: &'static str,
    pub(super) method: Method,
    pub(super) path: Vec<&'a str>,
    pub(super) form: Form,
    pub(super) idempotency_key: Option<&'a str>,
    pub(super) priority: Priority,
}

impl Call<'_> {
    /// Whether it may be made again though Stripe may have acted on it.
    fn is_repeatable(&self) -> bool {
        self.method == Method::GET || self.idempotency_key.is_some()
    }
}

/// An attempt that failed, with Stripe's own word on whether another may help.
pub(super) struct Failure {
    pub(super) error: StripeError,
    pub(super) should_retry: Option<bool>,
}

impl From<StripeError> for Failure {
    fn from(error: StripeError) -> Self {
        Self {
            error,
            should_retry: None,
        }
    }
}

impl Failure {
    fn allows_another(&self, call: &Call<'_>) -> bool {
        if let Some(word) = self.should_retry {
            return word;
        }
        match &self.error {
            StripeError::Network { before_sending, .. } => *before_sending || call.is_repeatable(),
            StripeError::Timeout => call.is_repeatable(),
            // Refused before anything was done.
            StripeError::Api(error) if error.status == 429 => true,
            // A stored failure stays the same for as long as its key lives.
            StripeError::Api(error) => {
                let passing = error.status == 409 || (error.status >= 500 && !error.replayed);
                passing && call.is_repeatable()
            }
            _ => false,
        }
    }
}

impl Client {
    /// A client with these settings; it fails only if they cannot be used.
    pub fn new(settings: Settings) -> Result<Self, StripeError> {
        if !matches!(settings.base.scheme(), "http" | "https") {
            return Err(StripeError::Settings {
                what: "base address",
            });
        }
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("verigate/", env!("CARGO_PKG_VERSION")))
            .default_headers(default_headers(&settings)?)
            .connect_timeout(settings.connect_timeout)
            .timeout(settings.timeout)
            .pool_idle_timeout(IDLE)
            // A redirect would carry the key to wherever it points.
            .redirect(redirect::Policy::none());
        if is_loopback(&settings.base) {
            // A proxy cannot know what runs on this machine.
            builder = builder.no_proxy();
        }
        let http = builder
            .build()
            .map_err(|_| StripeError::Settings { what: "TLS set-up" })?;
        let bucket = Bucket::new(settings.rate_per_second);
        Ok(Self {
            shared: Arc::new(Shared {
                http,
                settings,
                bucket,
            }),
            line: None,
        })
    }

    /// The same client, whose jobs wait in this line, too.
    #[must_use]
    pub fn with_line(self, line: Arc<dyn JobLine>) -> Self {
        Self {
            line: Some(line),
            ..self
        }
    }

    /// Makes the call, again where that is safe and may help, within the caller's patience.
    pub(super) async fn call<T: Wire>(&self, call: Call<'_>) -> Result<Reply<T>, StripeError> {
        let settings = &self.shared.settings;
        let deadline = Instant::now()
            + match call.priority {
                Priority::Person => settings.person_patience,
                Priority::Job => settings.job_patience,
            };
        let mut retry = 0;
        self.wait_for_turn(&call, deadline).await?;
        loop {
            let failure = match self.attempt(&call, deadline).await {
                Ok(reply) => return Ok(reply),
                Err(failure) => failure,
            };
            retry += 1;
            if retry > settings.max_retries || !failure.allows_another(&call) {
                return Err(failure.error);
            }
            let pause = pause_before(retry, settings, rand::random_range(0.5..=1.0));
            if Instant::now() + pause >= deadline {
                return Err(failure.error);
            }
            sleep(pause).await;
            if self.wait_for_turn(&call, deadline).await.is_err() {
                return Err(failure.error);
            }
        }
    }

    async fn wait_for_turn(&self, call: &Call<'_>, deadline: Instant) -> Result<(), StripeError> {
        let turn = async {
            if call.priority == Priority::Job {
                self.wait_in_line(deadline).await?;
            }
            self.shared.bucket.take(call.priority, deadline).await
        };
        turn.await
            .inspect_err(|error| count(call.name, error.as_str()))
    }

    /// Jobs of all processes have one rate together, so that people always have room.
    async fn wait_in_line(&self, deadline: Instant) -> Result<(), StripeError> {
        let Some(line) = &self.line else {
            return Ok(());
        };
        let patience = deadline.saturating_duration_since(Instant::now());
        let place = line.take_place(self.shared.settings.jobs_per_second, patience);
        let wait = place.await.ok_or(StripeError::RateLimited {
            retry_after: LINE_PAUSE,
        })?;
        sleep(wait).await;
        Ok(())
    }

    async fn attempt<T: Wire>(
        &self,
        call: &Call<'_>,
        deadline: Instant,
    ) -> Result<Reply<T>, Failure> {
        let mut request = self.request(call)?;
        let asked = Instant::now();
        let left = deadline.saturating_duration_since(asked);
        *request.timeout_mut() = Some(left.min(self.shared.settings.timeout));
        let outcome = self.exchange(request, asked).await;
        let result = match &outcome {
            Ok(reply) if reply.replayed => "replayed",
            Ok(_) => "ok",
            Err(failure) => failure.error.as_str(),
        };
        let request_id = match &outcome {
            Ok(reply) => reply.request_id.as_deref(),
            Err(failure) => failure.error.request_id(),
        };
        count(call.name, result);
        tracing::debug!(
            stripe.call = call.name,
            stripe.result = result,
            stripe.request = request_id,
            elapsed_ms = asked.elapsed().as_millis(),
            "asked Stripe"
        );
        outcome
    }

    async fn exchange<T: Wire>(
        &self,
        request: Request,
        asked: Instant,
    ) -> Result<Reply<T>, Failure> {
        let settings = &self.shared.settings;
        let response = self.shared.http.execute(request).await.map_err(broken)?;
        let answer = Answer::read(response, asked.elapsed(), settings.largest_answer).await?;
        answer.decode(settings.secret_key.expose_secret())
    }

    fn request(&self, call: &Call<'_>) -> Result<Request, StripeError> {
        let mut url = self.shared.settings.base.clone();
        url.path_segments_mut()
            .map_err(|()| StripeError::Settings {
                what: "base address",
            })?
            .pop_if_empty()
            .extend(&call.path);
        let mut request = Request::new(call.method.clone(), url);
        let form = call.form.encode();
        if call.method == Method::GET {
            if !form.is_empty() {
                request.url_mut().set_query(Some(&form));
            }
        } else {
            let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
            request.headers_mut().insert(CONTENT_TYPE, kind);
            *request.body_mut() = Some(form.into());
        }
        if let Some(key) = call.idempotency_key {
            let key = header(key, "idempotency key")?;
            request.headers_mut().insert("idempotency-key", key);
        }
        Ok(request)
    }
}

/// Half a second doubled by each retry, spread out so that callers who failed together do not come
/// back together, and never less than the first pause.
pub(super) fn pause_before(retry: u32, settings: &Settings, spread: f64) -> Duration {
    let doubled = settings
        .first_delay
        .saturating_mul(1_u32.checked_shl(retry - 1).unwrap_or(u32::MAX));
    doubled
        .min(settings.longest_delay)
        .mul_f64(spread)
        .max(settings.first_delay)
}

pub(super) fn broken(error: reqwest::Error) -> StripeError {
    if error.is_timeout() && !error.is_connect() {
        return StripeError::Timeout;
    }
    StripeError::Network {
        before_sending: error.is_connect(),
        // The address of a list call names whom it is about.
        source: error.without_url(),
    }
}

fn default_headers(settings: &Settings) -> Result<HeaderMap, StripeError> {
    let bearer = format!("Bearer {}", settings.secret_key.expose_secret());
    let mut bearer = header(&bearer, "secret key")?;
    bearer.set_sensitive(true);
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, bearer);
    headers.insert("stripe-version", header(settings.version, "version")?);
    Ok(headers)
}

fn header(value: &str, what: &'static str) -> Result<HeaderValue, StripeError> {
    HeaderValue::from_str(value).map_err(|_| StripeError::Settings { what })
}

fn is_loopback(base: &Url) -> bool {
    match base.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn count(call: &'static str, result: &'static str) {
    counter!("verigate_stripe_calls_total", "call" => call, "result" => result).increment(1);
}
