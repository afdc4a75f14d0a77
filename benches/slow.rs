//! How much 300 slow connections cost everybody else: start `verigate dev`, then `cargo bench --bench slow`.
#![expect(
    clippy::print_stdout,
    reason = "it is for a person to run, and to read"
)]
#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on ends")]

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const OF_EACH_KIND: usize = 100;
const MEASURED: Duration = Duration::from_secs(20);
const KINDS: [(&str, bool); 3] = [
    ("GET /verify HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", true),
    (
        "POST /create-verification-session HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000\r\n\r\n",
        true,
    ),
    ("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", false),
];

#[tokio::main]
async fn main() {
    let address: SocketAddr = std::env::args()
        .find_map(|it| it.parse().ok())
        .unwrap_or(([127, 0, 0, 1], 4242).into());
    if TcpStream::connect(address).await.is_err() {
        println!("nobody listens on {address}: start `verigate dev`, or name another address");
        return;
    }
    let quiet = measure(address).await;
    println!("quiet:          p99 {quiet:?}");
    let alive = Arc::new(AtomicUsize::new(OF_EACH_KIND * KINDS.len()));
    for (words, goes_on) in KINDS {
        for _ in 0..OF_EACH_KIND {
            let alive = Arc::clone(&alive);
            tokio::spawn(async move {
                stay(address, words, goes_on).await;
                alive.fetch_sub(1, Ordering::SeqCst);
            });
        }
    }
    let slow = measure(address).await;
    let ratio = slow.as_secs_f64() / quiet.as_secs_f64();
    println!("with slow ones: p99 {slow:?}, {ratio:.2} times as long");
    println!(
        "alive after {} s: {}",
        MEASURED.as_secs(),
        alive.load(Ordering::SeqCst)
    );
}

/// The time within which 99 of 100 good requests are answered.
async fn measure(address: SocketAddr) -> Duration {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let begun = Instant::now();
    let mut times = Vec::new();
    while begun.elapsed() < MEASURED {
        let asked = Instant::now();
        let answer = http.get(format!("http://{address}/verify")).send().await;
        assert!(answer.unwrap().bytes().await.is_ok());
        times.push(asked.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    times.sort_unstable();
    times[times.len() * 99 / 100]
}

/// Stays for as long as it is let.
async fn stay(address: SocketAddr, words: &str, goes_on: bool) {
    let (mut from, mut to) = TcpStream::connect(address).await.unwrap().into_split();
    to.write_all(words.as_bytes()).await.unwrap();
    let reading = async move {
        let mut answer = Vec::new();
        let _ = from.read_to_end(&mut answer).await;
    };
    let writing = async move {
        while goes_on && to.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        std::future::pending::<()>().await;
        drop(to);
    };
    tokio::select! {
        () = reading => {}
        () = writing => {}
    }
}
