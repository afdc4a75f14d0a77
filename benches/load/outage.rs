//! Postgres goes away under load, and comes back: nobody is told that something is kept which is not, nobody waits long
//! for the answer, and everything goes on by itself.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use sqlx::{Connection as _, PgConnection};
use tokio::{
    task::{JoinHandle, block_in_place},
    time::{sleep, timeout},
};

use crate::{
    converge::lost,
    machine::{Machine, Server},
    plan::Plan,
    sender::{Run, Try},
    tables,
};

const CONNECTIONS: usize = 64;

/// How it goes away.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outage {
    /// Stopped at once: its socket is gone.
    Gone,
    /// Every process of it stands still: whoever asks hears nothing.
    Frozen,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outlived {
    pub(crate) deliveries: usize,
    /// Deliveries sent and answered while it was away, by what they were answered; none is a broken connection.
    pub(crate) meanwhile: Vec<(Option<u16>, usize)>,
    /// The longest that anybody waited for an answer to what was sent meanwhile.
    pub(crate) slowest: Duration,
    /// From when Postgres could be reached until the first 2xx.
    pub(crate) back_after: Duration,
    /// MB held before, at the end of the outage, and when all was delivered.
    pub(crate) memory: [f64; 3],
    /// Acknowledged, and not in the table.
    pub(crate) lost: usize,
    pub(crate) events: u32,
    /// In the table.
    pub(crate) kept: usize,
}

/// Delivers so many, and takes Postgres away for a while when a third of them are taken.
pub(crate) async fn outage(
    machine: &mut Machine,
    deliveries: u32,
    how: Outage,
    away: Duration,
) -> Outlived {
    let name = match how {
        Outage::Gone => "gone",
        Outage::Frozen => "frozen",
    };
    let plan = Plan::of_events(deliveries);
    let server = Server::start(&machine.database(name).await, &[]).await;
    plan.seed(&mut machine.connect(name).await).await;
    let (target, order) = (server.target(), plan.shuffled(1, 5));
    let mut run = Run::new(vec![target.server], target.secret, plan.events(), order);
    run.keeps_tries = true;
    let run = Arc::new(run);
    let sending: JoinHandle<Duration> = tokio::spawn({
        let run = Arc::clone(&run);
        async move { run.deliver(CONNECTIONS).await }
    });
    while run.begun() < run.order.len() / 3 {
        sleep(Duration::from_millis(1)).await;
    }
    let before = server.memory();
    let (away, during) = take_away(machine, &server, how, away).await;
    let left = run.order.len() - run.begun();
    assert!(left > 0, "the load was over before the outage was");
    sending.await.unwrap();

    let tries = run.tries();
    let sent_meanwhile = |it: &&Try| it.sent > away.from && it.sent < away.until;
    let answered = tries.iter().filter(sent_meanwhile);
    let answered = answered.filter(|it| it.ended < away.until);
    let slowest = tries.iter().filter(sent_meanwhile);
    let taken = tries.iter().filter(|it| it.status == Some(200));
    let first = taken.map(|it| it.ended).filter(|&it| it > away.until).min();
    let kept = tables::events(&mut machine.connect(name).await).await;
    Outlived {
        deliveries: run.order.len(),
        meanwhile: counted(answered.map(|it| it.status)),
        slowest: slowest.map(|it| it.ended - it.sent).max().unwrap(),
        back_after: first.unwrap().saturating_duration_since(away.back),
        memory: [before, during, server.memory()],
        lost: lost(&run, &kept),
        events: plan.events(),
        kept: kept.len(),
    }
}

#[derive(Clone, Copy, Debug)]
struct Away {
    from: Instant,
    /// It surely was away until then, and surely there later.
    until: Instant,
    back: Instant,
}

/// When that was, and what the server held just before the end.
async fn take_away(
    machine: &mut Machine,
    server: &Server,
    how: Outage,
    away: Duration,
) -> (Away, f64) {
    let url = machine.url("postgres");
    match how {
        Outage::Gone => {
            block_in_place(|| machine.stop_postgres_immediately());
            let from = Instant::now();
            sleep(away).await;
            let memory = server.memory();
            let back = tokio::spawn(reached(url));
            block_in_place(|| machine.start_postgres_again());
            let (until, back) = back.await.unwrap();
            (Away { from, until, back }, memory)
        }
        Outage::Frozen => {
            let frozen = machine.freeze_postgres().await;
            let from = Instant::now();
            sleep(away).await;
            let (memory, until) = (server.memory(), Instant::now());
            Machine::thaw_postgres(frozen);
            let (_, back) = reached(url).await;
            (Away { from, until, back }, memory)
        }
    }
}

/// When Postgres was asked in vain for the last time, and when it answered.
async fn reached(url: String) -> (Instant, Instant) {
    let mut in_vain = Instant::now();
    loop {
        let (asked, patience) = (Instant::now(), Duration::from_millis(100));
        let connected = timeout(patience, PgConnection::connect(&url)).await;
        if let Ok(Ok(db)) = connected {
            let now = Instant::now();
            db.close().await.unwrap();
            return (in_vain, now);
        }
        in_vain = asked;
        sleep(Duration::from_millis(2)).await;
    }
}

fn counted(statuses: impl Iterator<Item = Option<u16>>) -> Vec<(Option<u16>, usize)> {
    let mut counts: Vec<(Option<u16>, usize)> = Vec::new();
    for status in statuses {
        match counts.iter_mut().find(|(it, _)| *it == status) {
            Some((_, count)) => *count += 1,
            None => counts.push((status, 1)),
        }
    }
    counts
}
