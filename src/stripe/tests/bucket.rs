//! The limit on calls, on tokio's paused clock: time passes only when everybody waits.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    task::{JoinSet, yield_now},
    time::Instant,
};

use crate::stripe::{Priority, StripeError, bucket::Bucket};

const MS: fn(u64) -> Duration = Duration::from_millis;

fn in_a_minute() -> Instant {
    Instant::now() + Duration::from_mins(1)
}

async fn drained(rate: u32) -> Arc<Bucket> {
    let bucket = Bucket::new(rate);
    for _ in 0..rate {
        bucket.take(Priority::Person, Instant::now()).await.unwrap();
    }
    Arc::new(bucket)
}

#[tokio::test(start_paused = true)]
async fn a_burst_goes_at_once_and_then_the_rate_holds() {
    let bucket = Bucket::new(20);
    let start = Instant::now();
    for _ in 0..20 {
        bucket.take(Priority::Job, in_a_minute()).await.unwrap();
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    for nth in 1..=40 {
        bucket.take(Priority::Job, in_a_minute()).await.unwrap();
        assert_eq!(start.elapsed(), MS(50 * nth));
    }
}

#[tokio::test(start_paused = true)]
async fn no_second_sees_more_than_a_burst_and_the_rate() {
    let bucket = Bucket::new(20);
    let mut taken = Vec::new();
    for nth in 0..200_u64 {
        bucket.take(Priority::Person, in_a_minute()).await.unwrap();
        taken.push(Instant::now());
        // Somebody who comes and goes, which lets the bucket fill now and then.
        tokio::time::sleep(MS(nth % 7 * 15)).await;
    }
    for (first, at) in taken.iter().enumerate() {
        let within = taken[first..]
            .iter()
            .filter(|t| **t < *at + MS(1_000))
            .count();
        assert!(within <= 40, "{within} in one second");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_fills_the_bucket_but_never_beyond_the_burst() {
    let bucket = drained(20).await;
    tokio::time::sleep(Duration::from_hours(1)).await;
    let start = Instant::now();
    for _ in 0..21 {
        bucket.take(Priority::Person, in_a_minute()).await.unwrap();
    }
    assert_eq!(start.elapsed(), MS(50));
}

#[tokio::test(start_paused = true)]
async fn people_go_before_jobs_that_came_first_and_each_in_order() {
    let bucket = drained(10).await;
    let served = Arc::new(Mutex::new(Vec::new()));
    let mut callers = JoinSet::new();
    let names = [
        "job 1", "job 2", "job 3", "person 1", "person 2", "person 3",
    ];
    for name in names {
        let (bucket, served) = (bucket.clone(), served.clone());
        callers.spawn(async move {
            let priority = match name.split_once(' ') {
                Some(("person", _)) => Priority::Person,
                _ => Priority::Job,
            };
            bucket.take(priority, in_a_minute()).await.unwrap();
            served.lock().unwrap().push(name);
        });
        yield_now().await;
    }
    callers.join_all().await;
    let expected = [
        "person 1", "person 2", "person 3", "job 1", "job 2", "job 3",
    ];
    assert_eq!(*served.lock().unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn who_would_wait_beyond_the_deadline_is_refused_at_once() {
    let bucket = drained(10).await;
    let start = Instant::now();
    let refused = bucket
        .take(Priority::Person, start + MS(99))
        .await
        .unwrap_err();
    assert!(
        matches!(refused, StripeError::RateLimited { retry_after } if retry_after == MS(100)),
        "{refused:?}"
    );
    assert_eq!(start.elapsed(), Duration::ZERO);
    bucket
        .take(Priority::Person, start + MS(100))
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_line_holds_only_whom_it_will_serve_in_time() {
    let bucket = drained(10).await;
    let mut callers = JoinSet::new();
    for _ in 0..500 {
        let bucket = bucket.clone();
        let deadline = Instant::now() + MS(1_000);
        callers.spawn(async move { bucket.take(Priority::Person, deadline).await.is_ok() });
    }
    let served = callers
        .join_all()
        .await
        .into_iter()
        .filter(|ok| *ok)
        .count();
    assert_eq!(served, 10);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_people_keep_waiting_is_told_so_at_its_deadline() {
    let bucket = drained(10).await;
    let job = {
        let (bucket, deadline) = (bucket.clone(), Instant::now() + MS(350));
        tokio::spawn(async move { bucket.take(Priority::Job, deadline).await })
    };
    yield_now().await;
    let mut people = JoinSet::new();
    for _ in 0..20 {
        let bucket = bucket.clone();
        people.spawn(async move { bucket.take(Priority::Person, in_a_minute()).await.unwrap() });
    }
    let start = Instant::now();
    let refused = job.await.unwrap().unwrap_err();
    assert!(
        matches!(refused, StripeError::RateLimited { .. }),
        "{refused:?}"
    );
    assert_eq!(start.elapsed(), MS(350));
    people.join_all().await;
}

#[tokio::test(start_paused = true)]
async fn who_walks_away_leaves_no_gap_in_the_line() {
    let bucket = drained(10).await;
    let waiting: Vec<_> = (0..5)
        .map(|_| {
            let bucket = bucket.clone();
            tokio::spawn(async move { bucket.take(Priority::Person, in_a_minute()).await })
        })
        .collect();
    yield_now().await;
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
    for gone in waiting {
        assert!(gone.await.unwrap_err().is_cancelled());
    }
    let start = Instant::now();
    bucket.take(Priority::Job, start + MS(100)).await.unwrap();
    assert_eq!(start.elapsed(), MS(100));
}
