//! What a server costs that has nothing to do, how soon it is there, and whether it grows with what it was given to do.

use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::sleep;
use verigate::postgres::Durability;

use crate::{
    machine::{Machine, Server, binary},
    plan::Plan,
    sender::Run,
};

const STARTS: usize = 10;
/// After the start, until nothing moves any more.
const QUIET: Duration = Duration::from_secs(5);
const CONNECTIONS: usize = 64;
const COPIES: u32 = 4;
/// How often the memory is looked at while deliveries come.
const LOOKS: usize = 10;
const MOST_IDLE_MB: f64 = 20.0;
const SOON: Duration = Duration::from_millis(200);
/// Flat is what does not grow by more from the first look to the last.
const MOST_GROWTH_MB: f64 = 5.0;

/// All of it, and at the end whether it is as promised.
pub(crate) async fn idle(deliveries: u32) {
    let machine = Machine::start(Durability::Durable);
    let binary = fs::metadata(binary()).unwrap();
    #[expect(clippy::cast_precision_loss, reason = "a file has fewer bytes")]
    let size = binary.len() as f64 / 1e6;
    println!("binary: {size:.1} MB");

    let mut server = Server::start(&machine.database("idle").await, &[]).await;
    let start = starts(&mut server).await;
    println!("ready after, median of {STARTS} starts: {start:.0?}");
    sleep(QUIET).await;
    let idle = server.memory();
    println!("idle: {idle:.1} MB");

    let plan = Plan::of_events(deliveries / COPIES);
    plan.seed(&mut machine.connect("idle").await).await;
    let (target, order) = (server.target(), plan.shuffled(COPIES, 3));
    let run = Arc::new(Run::new(
        vec![target.server],
        target.secret,
        plan.events(),
        order,
    ));
    let sending = tokio::spawn({
        let run = Arc::clone(&run);
        async move { run.deliver(CONNECTIONS).await }
    });
    let mut looks = Vec::with_capacity(LOOKS);
    for n in 1..=LOOKS {
        while run.begun() < run.order.len() * n / LOOKS {
            sleep(Duration::from_millis(5)).await;
        }
        looks.push(server.memory());
        println!("after {:8} deliveries: {:.1} MB", run.begun(), looks[n - 1]);
    }
    sending.await.unwrap();
    assert!(start < SOON, "it takes long to start");
    assert!(idle < MOST_IDLE_MB, "it takes much for doing nothing");
    let growth = looks[LOOKS - 1] - looks[0];
    assert!(growth < MOST_GROWTH_MB, "it grew by {growth:.1} MB");
}

/// From the making of the process until it says that it is ready; the median.
async fn starts(server: &mut Server) -> Duration {
    let mut took = Vec::with_capacity(STARTS);
    for _ in 0..STARTS {
        server.kill();
        let began = Instant::now();
        server.start_again();
        server.ready().await;
        took.push(began.elapsed());
    }
    took.sort_unstable();
    took[STARTS / 2]
}
