//! Who is told of changes, as the settings say it, and by whom.

use tokio_util::sync::CancellationToken;

use super::{App, crew::Crew};
use crate::{
    config::{Config, MAIL},
    domain::MessageType,
    jobs,
    verification::{Endpoint, Endpoints},
};

/// What people themselves are told of.
const MAILED: [MessageType; 2] = [MessageType::Verified, MessageType::RequiresInput];

/// The names of events were checked when the settings were read.
pub(super) fn endpoints(config: &Config) -> Endpoints {
    let all = config.endpoints.all.iter();
    let named = all.map(|endpoint| Endpoint {
        name: endpoint.name.clone(),
        types: endpoint
            .events
            .iter()
            .filter_map(|event| MessageType::parse(event))
            .collect(),
    });
    let mail = config.mail.iter().map(|_| Endpoint {
        name: MAIL.to_owned(),
        types: MAILED.into(),
    });
    named.chain(mail).collect()
}

/// Starts those who tell, as far as there is anybody to tell.
pub(super) fn start(app: &App, crew: &mut Crew, end: &CancellationToken) -> anyhow::Result<()> {
    let clock = || app.clock.clone();
    if !app.config.endpoints.all.is_empty() {
        let outbox = jobs::Outbox::new(&app.config.endpoints, clock())?;
        let outbox = jobs::run_outbox(outbox, app.db.clone(), end.clone());
        crew.start("outbox", outbox);
    }
    if let Some(mailer) = jobs::Mailer::new(&app.config, app.verifier.clone(), clock())? {
        let mailer = jobs::run_mailer(mailer, app.db.clone(), end.clone());
        crew.start("mailer", mailer);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_can_be_configured_can_be_told() {
        let told = MessageType::ALL.map(MessageType::as_str);
        assert_eq!(crate::config::EVENTS, told);
    }
}
