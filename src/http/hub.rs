//! From Postgres' notifications to the event streams of the people they are about.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::broadcast::{self, error::RecvError};

use super::lifecycle::Lifecycle;
use crate::{
    domain::{Person, UserId},
    store::{self, Db, STATUS_CHANNEL, StoreError},
};

/// How many changes a slow stream may be behind before it reads its state anew instead.
const BACKLOG: usize = 1024;
/// Streams at once: in all, and by one person (tabs).
const MOST: usize = 10_000;
const MOST_OF_ONE: usize = 16;
/// Before trying again to listen.
const PAUSE: Duration = Duration::from_secs(1);

/// Fans changes out to whoever follows them; clones are the same hub.
#[derive(Clone, Debug)]
pub struct Hub {
    changes: broadcast::Sender<Change>,
    places: Arc<Mutex<HashMap<Person, usize>>>,
    life: Lifecycle,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Of(UserId),
    /// Something was missed: anybody's state may have changed.
    Any,
}

impl Hub {
    /// A hub that nobody feeds yet.
    pub fn new(life: Lifecycle) -> Self {
        let (changes, _) = broadcast::channel(BACKLOG);
        Self {
            changes,
            places: Arc::default(),
            life,
        }
    }

    /// Listens until the process closes, through any number of lost connections.
    pub async fn run(self, db: Db) {
        let life = self.life.clone();
        tokio::select! {
            () = life.closed() => {}
            () = self.listen(&db) => {}
        }
    }

    async fn listen(&self, db: &Db) {
        loop {
            let Err(error) = self.hear(db).await;
            tracing::warn!(
                cause = std::error::Error::source(&error).map(tracing::field::display),
                "live status is interrupted; listening again: {error}"
            );
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn hear(&self, db: &Db) -> Result<std::convert::Infallible, StoreError> {
        let mut listener = store::listen(db, STATUS_CHANNEL).await?;
        // Whatever was told while nobody listened.
        self.tell(Change::Any);
        loop {
            let told = listener.next().await?;
            for change in changes(told.as_deref()) {
                self.tell(change);
            }
        }
    }

    fn tell(&self, change: Change) {
        // An error only says that nobody follows.
        let _ = self.changes.send(change);
    }

    /// A place among the followers, unless too many are there already.
    pub(crate) fn follow(&self, person: &Person) -> Option<Follower> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let own = places.get(person).copied().unwrap_or_default();
        if own >= MOST_OF_ONE || places.values().sum::<usize>() >= MOST {
            return None;
        }
        places.insert(person.clone(), own + 1);
        drop(places);
        Some(Follower {
            changes: self.changes.subscribe(),
            user: None,
            person: person.clone(),
            hub: self.clone(),
        })
    }

    fn leave(&self, person: &Person) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = places.get_mut(person) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                places.remove(person);
            }
        }
    }
}

/// What a notification says. One that was missed, or does not name people, may be of anybody.
fn changes(payload: Option<&str>) -> Vec<Change> {
    let ids = payload.into_iter().flat_map(|payload| payload.split(','));
    let users: Result<Vec<Change>, _> = ids
        .map(|id| id.parse().map(|id| Change::Of(UserId(id))))
        .collect::<Result<_, uuid::Error>>();
    match users {
        Ok(users) if !users.is_empty() => users,
        _ => vec![Change::Any],
    }
}

/// One stream's ear; gives its place back when dropped.
#[derive(Debug)]
pub(crate) struct Follower {
    changes: broadcast::Receiver<Change>,
    user: Option<UserId>,
    person: Person,
    hub: Hub,
}

impl Follower {
    /// Hears of this user alone from now on; of everybody before, since a person we have not met has no id yet.
    pub(crate) fn attend(&mut self, user: UserId) {
        self.user = Some(user);
    }

    /// The life of the process that feeds this.
    pub(crate) fn life(&self) -> Lifecycle {
        self.hub.life.clone()
    }

    /// Waits until this person's state may have changed; `false` when the process closes.
    pub(crate) async fn changed(&mut self) -> bool {
        let life = self.life();
        tokio::select! {
            () = life.closed() => false,
            open = self.hear() => open,
        }
    }

    async fn hear(&mut self) -> bool {
        loop {
            match self.changes.recv().await {
                Ok(Change::Of(user)) if self.user.is_some_and(|own| own != user) => {}
                Ok(_) | Err(RecvError::Lagged(_)) => return true,
                Err(RecvError::Closed) => return false,
            }
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.hub.leave(&self.person);
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn user(n: u128) -> UserId {
        UserId(Uuid::from_u128(n))
    }

    fn person(name: &str) -> Person {
        Person {
            realm: "test".to_owned(),
            external_id: name.to_owned(),
            email: None,
        }
    }

    #[tokio::test]
    async fn a_follower_hears_of_its_own_person_and_of_nobody_else() {
        let hub = Hub::new(Lifecycle::default());
        let mut follower = hub.follow(&person("a")).unwrap();
        follower.attend(user(1));
        hub.tell(Change::Of(user(2)));
        let early = tokio::time::timeout(Duration::from_millis(20), follower.changed()).await;
        assert!(early.is_err(), "another's change is no news");
        hub.tell(Change::Of(user(1)));
        assert!(follower.changed().await);
    }

    #[test]
    fn a_notification_names_one_or_many_or_anybody() {
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let (of_one, of_other) = (Change::Of(UserId(one)), Change::Of(UserId(other)));
        assert_eq!(changes(Some(&one.to_string())), [of_one]);
        let both = format!("{},{}", one.simple(), other.simple());
        assert_eq!(changes(Some(&both)), [of_one, of_other]);
        let half = format!("{one},nobody");
        for anybody in [None, Some(""), Some("*"), Some(half.as_str())] {
            assert_eq!(changes(anybody), [Change::Any], "{anybody:?}");
        }
    }

    #[tokio::test]
    async fn a_follower_of_somebody_not_yet_met_looks_at_every_change() {
        let hub = Hub::new(Lifecycle::default());
        let mut follower = hub.follow(&person("new")).unwrap();
        hub.tell(Change::Of(user(7)));
        assert!(follower.changed().await);
    }

    #[tokio::test]
    async fn a_follower_that_missed_something_looks_again() {
        let hub = Hub::new(Lifecycle::default());
        let mut slow = hub.follow(&person("a")).unwrap();
        slow.attend(user(1));
        for n in 0..=BACKLOG as u128 {
            hub.tell(Change::Of(user(n + 2)));
        }
        assert!(
            slow.changed().await,
            "it lags, and cannot know what it missed"
        );
        let mut other = hub.follow(&person("b")).unwrap();
        other.attend(user(3));
        hub.tell(Change::Any);
        assert!(other.changed().await, "the connection to Postgres was away");
    }

    #[tokio::test]
    async fn every_follower_is_let_go_when_the_process_closes() {
        let life = Lifecycle::default();
        let mut follower = Hub::new(life.clone()).follow(&person("a")).unwrap();
        life.close();
        assert!(!follower.changed().await);
    }

    #[test]
    fn one_person_cannot_take_every_place_and_a_place_comes_back() {
        let hub = Hub::new(Lifecycle::default());
        let take = || hub.follow(&person("a"));
        let mut own: Vec<_> = (0..MOST_OF_ONE).map(|_| take().unwrap()).collect();
        assert!(take().is_none());
        assert!(hub.follow(&person("b")).is_some());
        own.pop();
        own.push(take().unwrap());
        drop(own);
        assert!(
            hub.places.lock().unwrap().is_empty(),
            "nobody is left, and nothing is kept"
        );
    }
}
