//! Typed settings from the environment; every problem is reported at once.

mod app;
mod endpoints;
mod environment;
mod heal;
mod jwt;
mod limits;
mod mail;
mod native;
mod oidc;
mod origins;
mod parse;
mod policies;
mod reader;
mod retention;
mod sign_in;
mod stripe;

use std::{
    fmt::{self, Display, Formatter},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use secrecy::SecretString;
use url::Url;

use self::reader::{Found, Noted, Reader};
pub use self::{
    app::AppConfig,
    endpoints::{EVENTS, EndpointConfig, EndpointsConfig, MAIL, endpoints},
    environment::Environment,
    jwt::{JwtConfig, JwtKey},
    limits::LimitsConfig,
    mail::{MailConfig, Protection, ServerConfig},
    native::NativeConfig,
    oidc::OidcConfig,
    policies::{Check, CheckType, DocumentOptions, DocumentType, Policies, Policy},
    retention::RetentionConfig,
    sign_in::SignInConfig,
    stripe::StripeConfig,
};

/// What the settings are for, which decides what may be left out and what is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Production: nothing is guessed, and a doubtful value is refused.
    Serve,
    /// This machine only: everything has a default, and live keys are refused.
    #[cfg(feature = "dev")]
    Dev,
}

impl Mode {
    /// Is this development? Never so in a build without the feature.
    pub const fn is_dev(self) -> bool {
        match self {
            Self::Serve => false,
            #[cfg(feature = "dev")]
            Self::Dev => true,
        }
    }
}

/// All settings of a server.
#[derive(Clone, Debug)]
pub struct Config {
    /// What it was read for.
    pub mode: Mode,
    /// `DATABASE_URL`; `None` only in development, where it means the private cluster.
    pub database_url: Option<SecretString>,
    /// `BIND_ADDR`: where the server listens.
    pub bind_addr: SocketAddr,
    /// `METRICS_ADDR`: where `/metrics` is served, if at all.
    pub metrics_addr: Option<SocketAddr>,
    /// `PUBLIC_URL`: the origin that users see.
    pub public_url: Url,
    /// How to speak with Stripe.
    pub stripe: StripeConfig,
    /// Who asks people to verify.
    pub app: AppConfig,
    /// How people may sign in.
    pub sign_in: SignInConfig,
    /// `REALM`: who vouches for the ids that applications use.
    pub realm: String,
    /// `POLICIES`: what people are asked for.
    pub policies: Policies,
    /// Phones' apps.
    pub native: NativeConfig,
    /// `ALLOWED_ORIGINS`: whose pages may call us with a token of their own.
    pub allowed_origins: Vec<String>,
    /// What it may cost.
    pub limits: LimitsConfig,
    /// Who is told of changes.
    pub endpoints: EndpointsConfig,
    /// `HEAL_EVERY`: how often what deliveries missed is looked for, if at all.
    pub heal_every: Option<Duration>,
    /// How long things are kept.
    pub retention: RetentionConfig,
    /// How people are told by e-mail, if they are.
    pub mail: Option<MailConfig>,
    /// `IDLE_TIMEOUT`: how long a connection may take to say what it wants.
    pub idle_timeout: Duration,
    /// `SHUTDOWN_DELAY`: how long requests are still accepted after readiness is withdrawn.
    pub shutdown_delay: Duration,
    /// `SANDBOX_ADDR`: where the local Stripe listens.
    #[cfg(feature = "dev")]
    pub sandbox_addr: SocketAddr,
    /// What is logged, and how.
    pub log: LogConfig,
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// `RUST_LOG`: directives such as `info,verigate=debug`.
    pub filter: String,
    /// `LOG_FORMAT`: for people or for machines.
    pub format: LogFormat,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Every setting that is missing or wrong.
#[derive(Debug)]
pub struct ConfigError {
    problems: Vec<Problem>,
}

/// One setting that is missing or wrong. It never holds the value, which may be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The variable.
    pub variable: &'static str,
    /// What is wrong with it, and what to do.
    pub advice: String,
}

impl ConfigError {
    /// One for each setting, in the order in which they are read.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl Display for ConfigError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("these settings are missing or wrong:")?;
        for Problem { variable, advice } in &self.problems {
            write!(f, "\n  {variable} {advice}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

const BIND_ADDR: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4242);
#[cfg(feature = "dev")]
const SANDBOX_ADDR: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 12111);
const LONGEST_SHUTDOWN_DELAY: u64 = 600;
const IDLE_TIMEOUT: u64 = 15;

impl Config {
    /// Reads everything through `lookup`, and checks it for `mode`.
    pub fn from_lookup(
        mode: Mode,
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(mode, &lookup);
        let config = Self::read(&mut reader);
        reader.finish(config)
    }

    /// Everything is read before the first `?`, so that every problem is noted.
    fn read(reader: &mut Reader<'_>) -> Result<Self, Noted> {
        let mode = reader.mode();
        let database_url = read_database_url(reader);
        let bind_addr = read_address(reader, "BIND_ADDR", BIND_ADDR);
        let metrics_addr = find_address(reader, "METRICS_ADDR");
        #[cfg(feature = "dev")]
        let sandbox_addr = read_sandbox_addr(reader);
        #[cfg(feature = "dev")]
        let sandbox = sandbox_addr.ok().filter(|_| mode.is_dev());
        #[cfg(not(feature = "dev"))]
        let sandbox = None;
        refuse_shared_addresses(
            reader,
            &[
                ("BIND_ADDR", bind_addr.ok()),
                ("METRICS_ADDR", metrics_addr.ok().flatten()),
                ("SANDBOX_ADDR", sandbox),
            ],
        );
        let (keys, is_live) = stripe::read_keys(reader);
        let stripe = stripe::read(reader, keys, is_live, sandbox);
        let public_url = read_public_url(reader, bind_addr.unwrap_or(BIND_ADDR), is_live);
        let app = AppConfig::read(reader);
        let sign_in = SignInConfig::read(reader);
        let realm = sign_in::read_realm(reader);
        let policies = Policies::read(reader);
        let native = NativeConfig::read(reader);
        let allowed_origins = origins::read(reader);
        let limits = LimitsConfig::read(reader);
        let endpoints = EndpointsConfig::read(reader);
        let heal_every = heal::read_heal_every(reader);
        let retention = RetentionConfig::read(reader);
        let mail = mail::read(reader);
        let idle_timeout = reader.parsed("IDLE_TIMEOUT", |text| parse::seconds(text, 1..=600));
        let shutdown_delay = read_shutdown_delay(reader);
        let log = LogConfig::read(reader);
        Ok(Self {
            mode,
            database_url: database_url?,
            bind_addr: bind_addr?,
            metrics_addr: metrics_addr?,
            public_url: public_url?,
            stripe: stripe?,
            app: app?,
            sign_in: sign_in?,
            realm: realm?,
            policies: policies?,
            native: native?,
            allowed_origins: allowed_origins?.unwrap_or_default(),
            limits: limits?,
            endpoints: endpoints?,
            heal_every: heal_every?,
            retention: retention?,
            mail: mail?,
            idle_timeout: Duration::from_secs(idle_timeout?.unwrap_or(IDLE_TIMEOUT)),
            shutdown_delay: shutdown_delay?,
            #[cfg(feature = "dev")]
            sandbox_addr: sandbox_addr?,
            log: log?,
        })
    }

    /// Puts the real ports where a setting asked for port 0, that is for any free one.
    pub fn name_ports(&mut self, server: SocketAddr, sandbox: Option<SocketAddr>) {
        parse::fill_port(&mut self.public_url, server.port());
        if let Some(sandbox) = sandbox {
            self.stripe.name_port(sandbox.port());
        }
    }
}

/// `DATABASE_URL` alone, for commands that need nothing else.
pub fn database_url(
    mode: Mode,
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<Option<SecretString>, ConfigError> {
    let mut reader = Reader::new(mode, &lookup);
    let url = read_database_url(&mut reader);
    reader.finish(url)
}

/// Whether `STRIPE_SECRET_KEY` is a live one, for commands that need no more; `None` without one.
pub fn livemode(
    mode: Mode,
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<Option<bool>, ConfigError> {
    let mut reader = Reader::new(mode, &lookup);
    let livemode = stripe::read_livemode(&mut reader);
    reader.finish(livemode)
}

/// `BIND_ADDR` alone.
pub fn bind_addr(
    mode: Mode,
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<SocketAddr, ConfigError> {
    let mut reader = Reader::new(mode, &lookup);
    let address = read_address(&mut reader, "BIND_ADDR", BIND_ADDR);
    reader.finish(address)
}

/// `SANDBOX_ADDR` alone.
#[cfg(feature = "dev")]
pub fn sandbox_addr(lookup: impl Fn(&str) -> Option<String>) -> Result<SocketAddr, ConfigError> {
    let mut reader = Reader::new(Mode::Dev, &lookup);
    let address = read_sandbox_addr(&mut reader);
    reader.finish(address)
}

/// `RUST_LOG` and `LOG_FORMAT` alone: a program that finds its other settings wrong says so in a log, too.
pub fn log(mode: Mode, lookup: impl Fn(&str) -> Option<String>) -> Result<LogConfig, ConfigError> {
    let mut reader = Reader::new(mode, &lookup);
    let log = LogConfig::read(&mut reader);
    reader.finish(log)
}

fn read_database_url(reader: &mut Reader<'_>) -> Found<SecretString> {
    let found = reader.secret("DATABASE_URL", parse::database_url);
    if reader.mode().is_dev() {
        return found;
    }
    reader
        .required(
            "DATABASE_URL",
            found,
            None,
            "set it to postgres://user:password@host/database",
        )
        .map(Some)
}

/// In development nobody but this machine may come in.
fn find_address(reader: &mut Reader<'_>, name: &'static str) -> Found<SocketAddr> {
    let is_dev = reader.mode().is_dev();
    reader.parsed(name, |text| {
        let address = parse::address(text)?;
        if is_dev && !address.ip().to_canonical().is_loopback() {
            return Err("is for this machine only in development: use 127.0.0.1 or [::1]".into());
        }
        Ok(address)
    })
}

fn read_address(
    reader: &mut Reader<'_>,
    name: &'static str,
    usual: SocketAddr,
) -> Result<SocketAddr, Noted> {
    Ok(find_address(reader, name)?.unwrap_or(usual))
}

#[cfg(feature = "dev")]
fn read_sandbox_addr(reader: &mut Reader<'_>) -> Result<SocketAddr, Noted> {
    if reader.mode().is_dev() {
        read_address(reader, "SANDBOX_ADDR", SANDBOX_ADDR)
    } else {
        Ok(SANDBOX_ADDR)
    }
}

fn refuse_shared_addresses(reader: &mut Reader<'_>, all: &[(&'static str, Option<SocketAddr>)]) {
    for (i, (name, address)) in all.iter().enumerate() {
        let Some(address) = address.filter(|it| it.port() != 0) else {
            continue;
        };
        if let Some((other, _)) = all[..i].iter().find(|(_, it)| *it == Some(address)) {
            reader.problem(name, format!("is the same as {other}: choose another port"));
        }
    }
}

fn read_public_url(
    reader: &mut Reader<'_>,
    bind_addr: SocketAddr,
    is_live: bool,
) -> Result<Url, Noted> {
    let found = reader.parsed("PUBLIC_URL", |text| {
        let url = parse::origin(text)?;
        if is_live && url.scheme() != "https" {
            return Err("must begin with https:// when the keys are live".into());
        }
        Ok(url)
    });
    let local = reader.mode().is_dev().then(|| {
        let port = bind_addr.port();
        parse::origin(&format!("http://localhost:{port}")).ok()
    });
    let advice = "set it to the origin that users see, such as https://verify.example.com";
    reader.required("PUBLIC_URL", found, local.flatten(), advice)
}

fn read_shutdown_delay(reader: &mut Reader<'_>) -> Result<Duration, Noted> {
    // Nobody balances load over a developer's machine, and Ctrl-C should be quick there.
    let usual = if reader.mode().is_dev() { 0 } else { 5 };
    let found = reader.parsed("SHUTDOWN_DELAY", |text| {
        parse::seconds(text, 0..=LONGEST_SHUTDOWN_DELAY)
    });
    Ok(Duration::from_secs(found?.unwrap_or(usual)))
}

impl LogConfig {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Noted> {
        let filter = reader.parsed("RUST_LOG", parse::log_filter);
        let format = reader.parsed("LOG_FORMAT", |text| match text {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            _ => Err("is neither text nor json".into()),
        });
        Ok(Self {
            filter: filter?.unwrap_or_else(|| "info".to_owned()),
            format: format?.unwrap_or(LogFormat::Text),
        })
    }
}

#[cfg(test)]
mod tests;
