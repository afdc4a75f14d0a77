//! Two servers on one database, restarted one after the other under load: nobody who goes where readiness leads meets a
//! failure, and the application hears of everything, each person's news in order. And what a server was doing when it
//! was killed, the other one does.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use sqlx::{PgConnection, query_scalar};
use tokio::{task::JoinHandle, time::sleep};

use crate::{
    balancer::Balancer,
    converge::lost,
    machine::{Machine, Server},
    plan::Plan,
    receiver::{Receiver, Told},
    sender::Run,
    tables,
};

const CONNECTIONS: usize = 32;
/// More than are delivered at any pace; each comes twice.
const EVENTS: u32 = 100_000;
const COPIES: u32 = 2;
/// Delivered before anything is restarted, so that there is something to tell.
const FIRST: usize = 50;
/// Longer than whoever leads people needs to notice.
const SHUTDOWN_DELAY: &str = "3";
/// Longer than any takeover or catching up takes.
const PATIENCE: Duration = Duration::from_mins(2);

/// What came of it.
#[derive(Debug)]
pub(crate) struct Rolled {
    pub(crate) deliveries: usize,
    pub(crate) restarts: u32,
    /// Answers that said "not now", and connections that broke.
    pub(crate) failures: (usize, usize),
    /// Acknowledged, and not in the table.
    pub(crate) lost: usize,
    pub(crate) told: Told,
    /// From the death of the worker that had a message in hand until another one sent it.
    pub(crate) taken_over_after: Duration,
}

/// Restarts both so many times, while deliveries come at this pace.
pub(crate) async fn rolling(machine: &Machine, rounds: u32, pace: f64) -> Rolled {
    let database = machine.database("rolling").await;
    let plan = Plan::of_events(EVENTS);
    plan.seed(&mut machine.connect("rolling").await).await;
    let receiver = Receiver::start().await;
    let settings = receiver.settings();
    let mut settings: Vec<(&str, &str)> = settings.iter().map(|(k, v)| (*k, v.as_str())).collect();
    settings.push(("SHUTDOWN_DELAY", SHUTDOWN_DELAY));
    let mut servers = [
        Server::start(&database, &settings).await,
        Server::start(&database, &settings).await,
    ];
    let taken_over_after = kill_in_the_middle(&mut servers, plan, &receiver).await;

    let addresses: Vec<_> = servers.iter().map(Server::address).collect();
    let balancer = Arc::new(Balancer::start(&addresses));
    let (secret, order) = (servers[0].target().secret, plan.shuffled(COPIES, 11));
    let mut run = Run::new(addresses, secret, plan.events(), order);
    run.pace = Some(pace);
    run.balancer = Some(Arc::clone(&balancer));
    let run = Arc::new(run);
    let sending: JoinHandle<Duration> = tokio::spawn({
        let run = Arc::clone(&run);
        async move { run.deliver(CONNECTIONS).await }
    });
    for _ in 0..rounds {
        for n in [0, 1] {
            restart(&mut servers, n, &balancer, &run).await;
        }
    }
    let deliveries = run.begun();
    assert!(
        deliveries < run.order.len(),
        "the load was over before the last restart"
    );
    run.stop();
    sending.await.unwrap();
    let mut db = machine.connect("rolling").await;
    all_told(&mut db).await;
    Rolled {
        deliveries,
        restarts: rounds * 2,
        failures: run.failures(),
        lost: lost(&run, &tables::events(&mut db).await),
        told: receiver.compare(&mut db).await,
        taken_over_after,
    }
}

/// In order: it says that it is not ready, it ends by itself, it comes back, and people are led to it again.
async fn restart(servers: &mut [Server; 2], n: usize, balancer: &Balancer, run: &Run) {
    let before = run.begun();
    servers[n].signal("-TERM");
    servers[n].ended().await;
    servers[n].start_again();
    servers[n].ready().await;
    let began = Instant::now();
    while !balancer.is_ready(n) || run.begun() == before {
        assert!(began.elapsed() < PATIENCE, "nobody is led there again");
        sleep(Duration::from_millis(5)).await;
    }
}

/// One of them stands still, so that the other has a message in hand when it is killed.
async fn kill_in_the_middle(
    servers: &mut [Server; 2],
    plan: Plan,
    receiver: &Receiver,
) -> Duration {
    let [killed, other] = servers;
    other.signal("-STOP");
    receiver.hang_on_the_next();
    let target = killed.target();
    let order = plan.shuffled(1, 11)[..FIRST].to_vec();
    let few = Run::new(vec![target.server], target.secret, plan.events(), order);
    Arc::new(few).deliver(1).await;
    let hung_on = receiver.hung_on().await;
    other.signal("-CONT");
    other.ready().await;
    let times = |message: &str| {
        let mut receipts = receiver.receipts();
        receipts.retain(|it| it.message == message);
        receipts
    };
    assert_eq!(times(&hung_on.message).len(), 1, "nobody else has it yet");
    killed.kill();
    let died = Instant::now();
    let again = loop {
        if let [_, again, ..] = times(&hung_on.message).as_slice() {
            break again.at;
        }
        assert!(died.elapsed() < PATIENCE, "nobody takes it over");
        sleep(Duration::from_millis(1)).await;
    };
    killed.start_again();
    killed.ready().await;
    again.saturating_duration_since(died)
}

/// Waits until nothing waits for the application any more.
pub(crate) async fn all_told(db: &mut PgConnection) {
    let began = Instant::now();
    let waiting = "SELECT count(*) FROM outbox_deliveries";
    while query_scalar::<_, i64>(waiting)
        .fetch_one(&mut *db)
        .await
        .unwrap()
        > 0
    {
        assert!(began.elapsed() < PATIENCE, "messages are not delivered");
        sleep(Duration::from_millis(20)).await;
    }
}
