//! Deliveries by the hundred thousand, each signed afresh, and a ledger that judges what became of them.
//!
//! `cargo bench --bench load -- converge 1000000`; without a word it says what else there is. `cargo test` runs the
//! same programs, smaller, and looks at counts alone: how long a thing takes is for machines that do nothing else.
#![expect(
    clippy::print_stdout,
    reason = "it is for a person to run, and to read"
)]
#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on ends")]

mod balancer;
mod converge;
mod crash;
mod create;
mod heal;
mod idle;
mod machine;
mod others;
mod outage;
mod page;
mod plan;
mod receiver;
mod rolling;
mod sender;
mod speed;
mod storm;
mod tables;

use std::{process::ExitCode, time::Duration};

use libtest_mimic::{Arguments, Trial};
use verigate::postgres::Durability;

use self::{
    converge::{Converged, converge},
    crash::{Faults, Survived, crash},
    machine::{Machine, Server},
    outage::{Outage, Outlived, outage},
    plan::Plan,
    rolling::{Rolled, rolling},
};

const USAGE: &str = "cargo bench --bench load -- WHAT [NUMBER]
  converge   a shuffled storm with copies, against the same events in order, one by one
  crash      the same while the server dies 20 times and Postgres 5 times
  speed      signed deliveries a second, against a peer and against pgbench; here the number is of connections
  storm      duplicates, deliveries that nobody signed, and one after the other
  heal       so many sessions finish while the server is down, a tenth of them without an event
  outage     Postgres is away for 30 seconds, gone and then frozen
  rolling    two servers are restarted in turns, five times each, and one is killed with a message in hand
  create     500 creates in flight, against a handler that only passes them on to the sandbox
  idle       memory and time to start of a server that does nothing, and memory after so many deliveries
  page       the verify page, against a handler that makes the same query and sends as many bytes
VERIGATE_BINARY names the server to measure. The one that Cargo builds with this has in it what the helpers of the tests
ask of shared crates, such as HTTP/2; `cargo build --release` makes the one that is shipped.";
/// At once, as many as a busy endpoint sees.
const CONNECTIONS: usize = 64;
/// How often Stripe sends each event in the storm.
const COPIES: u32 = 4;
/// The same where time is short: what takes it is the order, one by one.
const MANY_COPIES: u32 = 10;
/// A server that keeps what it cannot deliver would grow by far more.
const MOST_GROWTH_MB: f64 = 16.0;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    // Cargo says so; `cargo test` does not.
    if !words.iter().any(|word| word == "--bench") {
        return test();
    }
    let mut words = words[1..]
        .iter()
        .map(String::as_str)
        .filter(|it| *it != "--bench");
    let what = words.next();
    let rest: Vec<&str> = words.collect();
    let number = rest.first().and_then(|it| it.parse().ok());
    match what {
        Some("page") => run(page::page()),
        Some("bare-page") => run(page::serve_bare_page(rest[0], rest[1], rest[2], rest[3])),
        Some("converge") => run(show_converge(
            number.unwrap_or(1_000_000),
            COPIES,
            Durability::Durable,
        )),
        Some("crash") => {
            let faults = Faults {
                of_the_server: 20,
                of_postgres: 5,
            };
            let soon = Duration::from_secs(10);
            run(show_crash(number.unwrap_or(100_000), faults, Some(soon)));
        }
        Some("heal") => {
            let (people, within) = (number.unwrap_or(1000), Some(heal::WITHIN));
            run(show_heal(people, Durability::Durable, within));
        }
        Some("speed") => run(speed::speed(
            number.map_or(CONNECTIONS, |it| it as usize),
            3,
        )),
        Some("storm") => run(storm::storm()),
        Some("outage") => {
            let (away, soon) = (Duration::from_secs(30), Duration::from_secs(2));
            run(show_outage(number.unwrap_or(60_000), away, Some(soon)));
        }
        Some("rolling") => {
            let soon = Duration::from_secs(5);
            run(show_rolling(number.unwrap_or(5), 500.0, Some(soon)));
        }
        Some("create") => run(create::create()),
        Some("bare-create") => run(create::serve_bare_create(rest[0])),
        Some("idle") => run(idle::idle(number.unwrap_or(1_000_000))),
        _ => println!("{USAGE}"),
    }
    ExitCode::SUCCESS
}

/// Small enough for a debug build on two cores.
fn test() -> ExitCode {
    let trials = vec![
        Trial::test(
            "a_hundred_thousand_shuffled_deliveries_end_as_the_same_events_in_order",
            || {
                run(show_converge(100_000, MANY_COPIES, Durability::Throwaway));
                Ok(())
            },
        ),
        Trial::test(
            "whatever_was_acknowledged_outlives_the_death_of_server_and_postgres",
            || {
                let faults = Faults {
                    of_the_server: 4,
                    of_postgres: 2,
                };
                run(show_crash(20_000, faults, None));
                Ok(())
            },
        ),
        Trial::test(
            "what_finished_while_the_server_was_down_is_right_after_it_has_started",
            || {
                run(show_heal(100, Durability::Throwaway, None));
                Ok(())
            },
        ),
        Trial::test(
            "nobody_is_told_that_a_delivery_is_kept_while_postgres_is_away",
            || {
                run(show_outage(6_000, Duration::from_secs(6), None));
                Ok(())
            },
        ),
        Trial::test(
            "servers_restarted_in_turns_fail_nobody_and_lose_no_message",
            || {
                run(show_rolling(2, 400.0, None));
                Ok(())
            },
        ),
        Trial::test(
            "a_message_that_did_not_come_or_overtook_another_is_noticed",
            || {
                receiver::notices_what_is_lost_or_overtaken();
                Ok(())
            },
        ),
    ];
    let mut arguments = Arguments::from_args();
    // Each wants the whole machine.
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn run(what: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(what);
}

async fn show_converge(deliveries: u32, copies: u32, durability: Durability) {
    let machine = Machine::start(durability);
    println!("Postgres: {}", machine.durability().await);
    let storm = Server::start(&machine.database("storm").await, &[]).await;
    let calm = Server::start(&machine.database("calm").await, &[]).await;
    let plan = Plan::of_events(deliveries / copies);
    let (stormed, calmed) = (storm.target(), calm.target());
    let came: Converged = converge(plan, copies, CONNECTIONS, &stormed, &calmed).await;
    println!(
        "{} deliveries of {} events over {CONNECTIONS} connections: {:.1} s; in order, one by one: {:.1} s",
        came.deliveries,
        came.events,
        came.storm_took.as_secs_f64(),
        came.calm_took.as_secs_f64()
    );
    compare(&came.storm, &came.calm, &came.differences);
    println!("acknowledged and lost: {}", came.lost);
    println!("memory of the server: {:.1} MB", storm.memory());
    assert_eq!(came.lost, 0);
}

/// `soon` is how long what is left may take after the last death.
async fn show_crash(deliveries: u32, faults: Faults, soon: Option<Duration>) {
    let mut machine = Machine::start(Durability::Durable);
    println!("Postgres: {}", machine.durability().await);
    let came: Survived = crash(&mut machine, deliveries, faults).await;
    println!(
        "{} deliveries while the server died {} times and Postgres {} times, unacknowledged at each: {:?}",
        came.deliveries, faults.of_the_server, faults.of_postgres, came.in_flight
    );
    println!(
        "answered 503: {}, broken off: {}, all taken {:.1} s after the last death",
        came.answered_not_now,
        came.broken_off,
        came.drained_in.as_secs_f64()
    );
    compare(&came.stormed, &came.calm, &came.differences);
    println!(
        "acknowledged and lost: {}; people told wrongly: {}, attempts noted wrongly: {}; {:?}",
        came.lost, came.wrongly_told, came.wrongly_noted, came.told
    );
    assert_eq!(
        (came.lost, came.wrongly_told, came.wrongly_noted),
        (0, 0, 0)
    );
    assert_eq!((came.told.lost, came.told.out_of_order), (0, 0));
    assert!(came.told.messages > 0, "nothing was to be told");
    assert!(
        soon.is_none_or(|soon| came.drained_in < soon),
        "what was left took long"
    );
}

/// `within` is how long it may take; then it also matters how fast Stripe is asked.
async fn show_heal(people: u32, durability: Durability, within: Option<Duration>) {
    let came = heal::heal(people as usize, durability).await;
    println!(
        "{} sessions finished while the server was down, {} without any event; {} were wrong when it started",
        came.sessions, came.without_event, came.wrong
    );
    println!(
        "all right {:.1} s after its start; Stripe was asked {} times, at most {} times in any second",
        came.took.as_secs_f64(),
        came.calls,
        came.most_calls_in_a_second
    );
    println!("the server's report: {}", came.report);
    assert_eq!(came.sessions, people as usize);
    assert!(came.wrong > 0);
    if let Some(within) = within {
        assert!(came.took < within);
        assert!(came.most_calls_in_a_second <= heal::CALLS_PER_SECOND);
    }
    assert_eq!(came.report["healed"].as_u64(), Some(came.wrong as u64));
    let listed = came.report["by_list"].as_u64();
    assert!(listed > Some(0) && came.report["by_event"].as_u64() > listed);
}

fn compare(storm: &[tables::Hash], calm: &[tables::Hash], differences: &[String]) {
    for ((name, rows, hash), (_, _, other)) in storm.iter().zip(calm) {
        let verdict = if hash == other { "equal" } else { "DIFFERENT" };
        println!("{name:15} {rows:8} rows  {hash}  {verdict}");
    }
    for row in differences {
        println!("{row}");
    }
    assert_eq!(storm, calm, "what came of it depends on how it came");
}

/// `soon` is how long an answer may take, and the first 2xx after it; then it also matters how much memory it takes.
async fn show_outage(deliveries: u32, away: Duration, soon: Option<Duration>) {
    let mut machine = Machine::start(Durability::Durable);
    println!("Postgres: {}", machine.durability().await);
    for how in [Outage::Gone, Outage::Frozen] {
        let came: Outlived = outage(&mut machine, deliveries, how, away).await;
        println!(
            "\n{how:?} for {} s, among {} deliveries over {CONNECTIONS} connections",
            away.as_secs(),
            came.deliveries
        );
        println!("answered meanwhile: {:?}", came.meanwhile);
        println!("the slowest after {:.2?}", came.slowest);
        println!("the first 2xx {:.2?} after its return", came.back_after);
        let [before, during, after] = came.memory;
        println!("memory: {before:.1} MB before, {during:.1} MB at its end, {after:.1} MB after");
        println!(
            "acknowledged and lost: {}; kept {} of {}",
            came.lost, came.kept, came.events
        );
        assert!(
            matches!(*came.meanwhile, [(Some(503), 1..)]),
            "something else than a 503"
        );
        assert_eq!((came.lost, came.kept), (0, came.events as usize));
        if let Some(soon) = soon {
            assert!(came.slowest < soon, "somebody waited long");
            assert!(came.back_after < soon, "it took long to notice the return");
            let growth = during.max(after) - before;
            assert!(growth < MOST_GROWTH_MB, "it grew by {growth:.1} MB");
        }
    }
}

/// `soon` is how long what a dead server had in hand may wait.
async fn show_rolling(rounds: u32, pace: f64, soon: Option<Duration>) {
    let machine = Machine::start(Durability::Durable);
    println!("Postgres: {}", machine.durability().await);
    let came: Rolled = rolling(&machine, rounds, pace).await;
    println!(
        "{} deliveries, {pace} a second, during {} restarts of two servers in turns",
        came.deliveries, came.restarts
    );
    let (refused, broken) = came.failures;
    println!("answered 503: {refused}, broken off: {broken}");
    println!("acknowledged and lost: {}", came.lost);
    println!("{:?}", came.told);
    println!(
        "killed with a message in hand, which the other sent {:.2?} later",
        came.taken_over_after
    );
    assert_eq!((came.failures, came.lost), ((0, 0), 0));
    assert_eq!((came.told.lost, came.told.out_of_order), (0, 0));
    assert!(came.told.messages > 0, "nothing was to be told");
    assert!(
        soon.is_none_or(|soon| came.taken_over_after < soon),
        "it was taken over late"
    );
}
