//! Gathers what is kept, and what the settings make of it.

use anyhow::bail;
use uuid::Uuid;

use super::{Attempt, Explanation, next::next, settings::Settings, standing::find_standings};
use crate::{
    domain::{AttemptId, SessionId, UserId},
    store::{
        self, AttemptRecord, Db, PersonRecord, StoreError, Usage, find_owner, find_person,
        find_session_owner, list_attempts, list_deliveries, list_history, list_people,
    },
};

/// What an answer can be drawn from.
pub(super) struct Known {
    pub(super) db: Db,
    pub(super) settings: Option<Settings>,
}

impl Known {
    /// Gathers what there is about an external id, a session's id, or one of ours.
    pub(super) async fn explain(&self, subject: &str) -> anyhow::Result<Vec<Explanation>> {
        let db = &self.db;
        let mut people = list_people(db, subject).await?;
        if people.is_empty()
            && let Some((attempt, owner)) = find_one(db, subject).await?
        {
            let Some(owner) = owner else {
                let records = list_attempts(db, None, Some(attempt)).await?;
                return Ok(vec![self.gather(None, records).await?]);
            };
            people.push(find_person(db, owner).await?);
        }
        if people.is_empty() {
            bail!(
                "nobody is called {subject:?} here, and no verification is: give the application's own id of a person, or a \
                 vs_… id, or the id of a verification as the API tells it"
            );
        }
        let mut explanations = Vec::with_capacity(people.len());
        for person in people {
            let records = list_attempts(db, Some(person.id), None).await?;
            explanations.push(self.gather(Some(person), records).await?);
        }
        Ok(explanations)
    }

    async fn gather(
        &self,
        person: Option<PersonRecord>,
        records: Vec<AttemptRecord>,
    ) -> Result<Explanation, StoreError> {
        let settings = self.settings.as_ref();
        let (usage, standings) = match &person {
            Some(person) => (
                self.find_usage(person, &records).await?,
                find_standings(&self.db, settings, person.id, &records).await?,
            ),
            None => (None, Vec::new()),
        };
        let refusal = match (settings, &person) {
            (Some(settings), Some(person)) if person.forgotten_at.is_none() => {
                settings.find_refusal(person.id).await?
            }
            _ => None,
        };
        let mut attempts = Vec::with_capacity(records.len());
        for record in records {
            let history = list_history(&self.db, record.id).await?;
            let deliveries = match &record.session_id {
                Some(session) => list_deliveries(&self.db, session).await?,
                None => Vec::new(),
            };
            let counts = settings.is_none_or(|it| it.livemode == record.livemode);
            let next = next(&record, refusal.as_deref().filter(|_| counts));
            attempts.push(Attempt {
                record,
                history,
                deliveries,
                counts,
                next,
            });
        }
        Ok(Explanation {
            person,
            standings,
            usage,
            livemode: settings.map(|it| it.livemode),
            refusal,
            attempts,
        })
    }

    async fn find_usage(
        &self,
        person: &PersonRecord,
        records: &[AttemptRecord],
    ) -> Result<Option<Usage>, StoreError> {
        let ours = self.settings.as_ref().map(|it| it.livemode);
        let newest = records
            .iter()
            .find(|it| ours.is_none_or(|livemode| it.livemode == livemode));
        let Some(newest) = newest else {
            return Ok(None);
        };
        let mut tx = self.db.begin().await?;
        let usage = store::find_usage(&mut tx, person.id, Some(newest.id), newest.livemode).await?;
        Ok(Some(usage))
    }
}

/// The attempt that has this id or whose session has it, and its person; of a person's id, the person alone counts.
async fn find_one(
    db: &Db,
    subject: &str,
) -> Result<Option<(AttemptId, Option<UserId>)>, StoreError> {
    if let Ok(id) = Uuid::try_parse(subject) {
        let owner = find_owner(db, id).await?;
        return Ok(owner.map(|owner| (AttemptId(id), owner)));
    }
    match SessionId::parse(subject) {
        Some(session) => find_session_owner(db, &session).await,
        None => Ok(None),
    }
}
