//! Tells people by e-mail: that they are verified, or that another try is needed and what helps.
//!
//! A mail is a delivery of a message like any other, to an endpoint of a name that no endpoint may have. What it says is
//! what the verify page would say when it is sent; where that is no longer what the message told, nothing is sent.

mod letter;
mod post;

use std::collections::BTreeSet;

use tokio_util::sync::CancellationToken;

use self::{
    letter::{House, News},
    post::{Failure, Post, address},
};
use super::courier::{self, Courier, HOLD, count};
use crate::{
    clock::Clock,
    config::{Config, MAIL},
    domain::{self, MessageType, Retry, Status, UserId, UserStatus},
    store::{self, Addressee, Claimed, ClaimedDelivery, Db, Failed, Message, StoreError},
    verification::{Tries, Verifier},
};

/// Claimed, and under way, at once: as many connections as a mail server bears with.
const HANDS: usize = 8;

/// Tells people.
#[derive(Debug)]
pub struct Mailer {
    post: Post,
    house: House,
    verifier: Verifier,
    clock: Clock,
}

/// People cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// What `MAIL_FROM` says.
    #[error("MAIL_FROM names no address that mail can be sent from")]
    Sender,
    /// What `SMTP_CA` says, or the machine's own certificates.
    #[error("the certificates that a mail server's may come from cannot be used")]
    Certificates(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What a message amounts to by now.
enum Standing {
    /// This is told to this address.
    Told(String, News),
    /// Nothing, or not to them.
    Untold,
    /// It may be wrong, and is being asked.
    Doubtful,
}

impl Mailer {
    /// Made once; none unless mail is on.
    ///
    /// # Errors
    /// See [`MailError`].
    pub fn new(
        config: &Config,
        verifier: Verifier,
        clock: Clock,
    ) -> Result<Option<Self>, MailError> {
        let Some(mail) = &config.mail else {
            return Ok(None);
        };
        let house = House::new(config, mail)?;
        Ok(Some(Self {
            post: Post::new(mail, house.sender().clone(), house.host())?,
            house,
            verifier,
            clock,
        }))
    }

    /// A repeated one has the same id, so that whoever reads mail can tell.
    async fn send(&self, message: &Message, to: &str, news: &News) -> Result<(), Failure> {
        let to = address(to)?;
        let mail = self.house.write(message, &to, news, self.clock.unix());
        let mail = mail.map_err(|()| Failure::Unwritable)?;
        self.post.send(&to, &mail).await
    }

    async fn standing(&self, db: &Db, message: &Message) -> Result<Standing, StoreError> {
        let told = match message.kind {
            MessageType::Verified => Status::Verified,
            MessageType::RequiresInput => Status::RequiresInput,
            MessageType::Processing
            | MessageType::Canceled
            | MessageType::Redacted
            | MessageType::UserStatusChanged => return Ok(Standing::Untold),
        };
        let Some(addressee) = store::find_addressee(db, message.position.id).await? else {
            return Ok(Standing::Untold);
        };
        let Some(email) = addressee.person.email.clone() else {
            return Ok(Standing::Untold);
        };
        let is_over = addressee.status != Some(told) || addressee.is_told_again;
        if is_over || addressee.is_redacted {
            return Ok(Standing::Untold);
        }
        let news = match told {
            Status::Verified => Some(News::Verified),
            _ => self.another_try(db, message, &addressee).await?,
        };
        Ok(match news {
            None => Standing::Untold,
            Some(_) if addressee.is_doubtful => Standing::Doubtful,
            Some(news) => Standing::Told(email, news),
        })
    }

    /// What the page would say, as long as it is this verification that the page would speak of.
    async fn another_try(
        &self,
        db: &Db,
        message: &Message,
        addressee: &Addressee,
    ) -> Result<Option<News>, StoreError> {
        let Some(code) = addressee.error_code.as_deref() else {
            return Ok(None);
        };
        if !domain::is_result(code) {
            return Ok(None);
        }
        let policy = &addressee.policy;
        let satisfied_by = match self.verifier.policies().find(Some(policy)) {
            Ok(policy) => policy.satisfied_by.clone(),
            Err(_) => BTreeSet::from([policy.clone()]),
        };
        let person = &addressee.person;
        let view = store::find_person_view(db, person, message.livemode, &satisfied_by).await?;
        let shown = view.filter(|view| {
            view.status == UserStatus::RequiresInput
                && view.verification_id == Some(addressee.attempt)
        });
        let Some(view) = shown else {
            return Ok(None);
        };
        Ok(Some(News::NotVerified(self.advice(view.user, code).await?)))
    }

    async fn advice(&self, user: UserId, code: &str) -> Result<domain::Advice, StoreError> {
        let verdict = domain::advice(Some(code));
        if verdict.retry == Retry::No {
            return Ok(verdict);
        }
        Ok(match self.verifier.outlook(Some(user)).await?.tries {
            Tries::UsedUp => domain::tries_used(false, Some(code)),
            Tries::UsedToday { .. } => domain::tries_used(true, Some(code)),
            Tries::Unlimited | Tries::Left(_) => verdict,
        })
    }
}

/// What is sent with one database.
struct Round<'a> {
    mailer: &'a Mailer,
    db: &'a Db,
}

impl Courier for Round<'_> {
    fn hands(&self) -> usize {
        HANDS
    }

    async fn claim(&self, worker: i32, room: usize) -> Result<Claimed, StoreError> {
        store::claim_deliveries(self.db, worker, MAIL, room, HOLD).await
    }

    async fn deliver(&self, worker: i32, delivery: ClaimedDelivery) -> Result<(), StoreError> {
        let message = &delivery.message;
        let sent = match self.mailer.standing(self.db, message).await? {
            Standing::Untold => {
                count(MAIL, "untold");
                Ok(())
            }
            Standing::Doubtful => Err(Failure::Doubtful),
            Standing::Told(to, news) => {
                let sent = self.mailer.send(message, &to, &news).await;
                if sent.is_ok() {
                    count(MAIL, "delivered");
                }
                sent
            }
        };
        match sent {
            Ok(()) => store::settle_delivery(self.db, worker, &delivery, None).await,
            Err(failure) => fail(self.db, worker, &delivery, failure).await,
        }
    }
}

/// The address is nobody's business, and what a server answers may repeat it: only a word is told.
async fn fail(
    db: &Db,
    worker: i32,
    delivery: &ClaimedDelivery,
    failure: Failure,
) -> Result<(), StoreError> {
    let message = delivery.message.name();
    let tries = u32::try_from(delivery.tries).unwrap_or(0).saturating_add(1);
    let after = if failure.is_final() {
        None
    } else {
        courier::delay(tries, rand::random())
    };
    let word = failure.word();
    match after {
        Some(_) if failure == Failure::Doubtful => count(MAIL, "waiting"),
        Some(after) => {
            count(MAIL, "failed");
            tracing::warn!(
                message = %message, failure = %word, tries, again_in_s = after.as_secs(),
                "a mail could not be sent"
            );
        }
        None => {
            count(MAIL, "dead");
            tracing::error!(
                message = %message, failure = %word, tries,
                "a mail is given up: see to its cause, then `verigate messages replay --endpoint mail`"
            );
        }
    }
    let failed = Failed { word: &word, after };
    store::settle_delivery(db, worker, delivery, Some(failed)).await
}

/// Runs until `shutdown`; what is in hand is sent first.
pub async fn run_mailer(mailer: Mailer, db: Db, shutdown: CancellationToken) {
    let (mailer, db) = (&mailer, &db);
    courier::run(db, &shutdown, &[Round { mailer, db }]).await;
}
