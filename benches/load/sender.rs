//! Delivers as Stripe does: signs afresh each time, sends again what was not taken, and keeps a ledger of what was.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use secrecy::SecretString;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::{sleep, sleep_until, timeout},
};
use verigate::{clock::Clock, stripe::signature};

use crate::{balancer::Balancer, plan};

/// Before a delivery that was not taken is sent again.
const PAUSE: Duration = Duration::from_millis(20);
/// Longer than the server may take to say no.
const PATIENCE: Duration = Duration::from_secs(10);
/// No fault lasts for so long: a delivery that is not taken until then never will be.
const LONGEST: Duration = Duration::from_mins(5);
/// A page is longer than the answer to a delivery, and nothing is longer than this.
const LONGEST_ANSWER: usize = 256 * 1024;

/// What is to be delivered, where to, and what came of it.
#[derive(Debug)]
pub(crate) struct Run {
    /// One or more servers; each connection keeps to one of them until it fails.
    pub(crate) servers: Vec<SocketAddr>,
    pub(crate) secret: SecretString,
    pub(crate) order: Vec<u32>,
    /// How many are sent in a second; as many as are taken, if nothing is said.
    pub(crate) pace: Option<f64>,
    /// What each is answered in the end.
    pub(crate) answer: u16,
    /// Who says which servers are ready; all of them always are, if nobody does.
    pub(crate) balancer: Option<Arc<Balancer>>,
    /// Whether every single try is written down, too.
    pub(crate) keeps_tries: bool,
    next: AtomicUsize,
    in_flight: AtomicUsize,
    ledger: Vec<AtomicU32>,
    refused: AtomicUsize,
    broken: AtomicUsize,
    waits: Mutex<Vec<Duration>>,
    tries: Mutex<Vec<Try>>,
}

/// One delivery, sent once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Try {
    pub(crate) sent: Instant,
    pub(crate) ended: Instant,
    /// None if the connection broke, or nothing came.
    pub(crate) status: Option<u16>,
}

impl Run {
    /// Nothing is sent yet. `events` is how many different ones there are.
    pub(crate) fn new(
        servers: Vec<SocketAddr>,
        secret: SecretString,
        events: u32,
        order: Vec<u32>,
    ) -> Self {
        Self {
            servers,
            secret,
            order,
            pace: None,
            answer: 200,
            balancer: None,
            keeps_tries: false,
            next: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
            ledger: (0..events).map(|_| AtomicU32::new(0)).collect(),
            refused: AtomicUsize::new(0),
            broken: AtomicUsize::new(0),
            waits: Mutex::default(),
            tries: Mutex::default(),
        }
    }

    /// Delivers everything over so many connections at once; returns when all is taken.
    pub(crate) async fn deliver(self: &Arc<Self>, connections: usize) -> Duration {
        let began = Instant::now();
        let mut senders = JoinSet::new();
        for n in 0..connections {
            let run = Arc::clone(self);
            senders.spawn(async move { run.send_what_is_left(n, began).await });
        }
        while let Some(sent) = senders.join_next().await {
            sent.unwrap();
        }
        began.elapsed()
    }

    /// Takes no more from the order; what is in flight is still brought to its end.
    pub(crate) fn stop(&self) {
        self.next.store(self.order.len(), Ordering::SeqCst);
    }

    /// Deliveries sent and not answered yet.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// How far it is.
    pub(crate) fn begun(&self) -> usize {
        self.next.load(Ordering::SeqCst).min(self.order.len())
    }

    /// How often each event was taken.
    pub(crate) fn taken(&self) -> Vec<u32> {
        let count = |taken: &AtomicU32| taken.load(Ordering::SeqCst);
        self.ledger.iter().map(count).collect()
    }

    /// Answers that said "not now", and connections that broke.
    pub(crate) fn failures(&self) -> (usize, usize) {
        let count = |of: &AtomicUsize| of.load(Ordering::SeqCst);
        (count(&self.refused), count(&self.broken))
    }

    /// How long each delivery that was taken waited for its answer since it was due, the shortest first.
    pub(crate) fn waits(&self) -> Vec<Duration> {
        let mut waits = self.waits.lock().unwrap().clone();
        waits.sort_unstable();
        waits
    }

    /// Every try, in the order in which they ended.
    pub(crate) fn tries(&self) -> Vec<Try> {
        self.tries.lock().unwrap().clone()
    }

    async fn send_what_is_left(&self, first: usize, began: Instant) {
        let mut line = Line::new(&self.servers, first);
        let mut waits = Vec::new();
        loop {
            let next = self.next.fetch_add(1, Ordering::SeqCst);
            let Some(&event) = self.order.get(next) else {
                break;
            };
            // Whoever comes too late to send has waited all the same.
            let due = self.due(began, next);
            // Tokio's timer counts whole milliseconds: even one that is over already would take a while.
            if due > Instant::now() {
                sleep_until(due.into()).await;
            }
            self.send_until_taken(&mut line, event).await;
            waits.push(due.elapsed());
        }
        self.waits.lock().unwrap().extend(waits);
    }

    fn due(&self, began: Instant, n: usize) -> Instant {
        match self.pace {
            None => Instant::now(),
            #[expect(
                clippy::cast_precision_loss,
                reason = "numbers of deliveries are small"
            )]
            Some(rate) => began + Duration::from_secs_f64(n as f64 / rate),
        }
    }

    async fn send_until_taken(&self, line: &mut Line<'_>, event: u32) {
        let body = plan::body(event);
        let began = Instant::now();
        loop {
            assert!(began.elapsed() < LONGEST, "nobody takes event {event}");
            if let Some(balancer) = &self.balancer {
                balancer.lead(line).await;
            }
            let request = request(line.host(), &body, &self.secret);
            let sent = Instant::now();
            self.in_flight.fetch_add(1, Ordering::SeqCst);
            let answer = timeout(PATIENCE, line.ask(&request)).await;
            self.in_flight.fetch_sub(1, Ordering::SeqCst);
            if self.keeps_tries {
                self.tries.lock().unwrap().push(Try {
                    sent,
                    ended: Instant::now(),
                    status: answer
                        .as_ref()
                        .ok()
                        .and_then(|it| it.as_ref().ok().copied()),
                });
            }
            match answer {
                Ok(Ok(status)) if status == self.answer => {
                    self.ledger[event as usize].fetch_add(1, Ordering::SeqCst);
                    return;
                }
                Ok(Ok(503)) => _ = self.refused.fetch_add(1, Ordering::SeqCst),
                Ok(Ok(status)) => panic!("answered {status} instead of {}", self.answer),
                Ok(Err(_)) | Err(_) => {
                    self.broken.fetch_add(1, Ordering::SeqCst);
                    line.hang_up();
                }
            }
            sleep(PAUSE).await;
        }
    }
}

/// A delivery as it goes over the wire, signed now.
pub(crate) fn request(host: &str, body: &str, secret: &SecretString) -> Vec<u8> {
    let signature = signature::sign(body.as_bytes(), secret, Clock::system().unix());
    let length = body.len();
    format!(
        "POST /webhook HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json; charset=utf-8\r\n\
         Stripe-Signature: {signature}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// A connection that is kept, and made anew, to the next server, when it broke.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    servers: &'a [SocketAddr],
    turn: usize,
    host: String,
    stream: Option<TcpStream>,
    answer: Vec<u8>,
}

impl<'a> Line<'a> {
    /// Not connected yet.
    pub(crate) fn new(servers: &'a [SocketAddr], turn: usize) -> Self {
        let turn = turn % servers.len();
        Self {
            servers,
            turn,
            host: servers[turn].to_string(),
            stream: None,
            answer: Vec::new(),
        }
    }

    /// What to name in the request.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Which of the servers it leads to.
    pub(crate) fn turn(&self) -> usize {
        self.turn
    }

    /// How many bytes the last answer had.
    pub(crate) fn answered(&self) -> usize {
        self.answer.len()
    }

    /// The next request goes elsewhere, if there is another server.
    pub(crate) fn hang_up(&mut self) {
        self.stream = None;
        self.turn = (self.turn + 1) % self.servers.len();
        self.host = self.servers[self.turn].to_string();
    }

    /// Sends a whole request, and gives the status of the answer once that has been read to its end.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> io::Result<u16> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(self.servers[self.turn]).await?;
            stream.set_nodelay(true)?;
            self.stream = Some(stream);
        }
        let asked = self.exchange(request).await;
        if asked.is_err() {
            self.stream = None;
        }
        asked
    }

    async fn exchange(&mut self, request: &[u8]) -> io::Result<u16> {
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        stream.write_all(request).await?;
        self.answer.clear();
        loop {
            if stream.read_buf(&mut self.answer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(answer) = read_answer(&self.answer) {
                if answer.is_last {
                    self.stream = None;
                }
                return Ok(answer.status);
            }
            if self.answer.len() > LONGEST_ANSWER {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
    }
}

struct Answer {
    status: u16,
    is_last: bool,
}

/// An answer that is there as a whole.
fn read_answer(bytes: &[u8]) -> Option<Answer> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut answer = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = answer.parse(bytes).ok()? else {
        return None;
    };
    let value = |name: &str| {
        let header = answer.headers.iter();
        let mut found = header.filter(|it| it.name.eq_ignore_ascii_case(name));
        found.next().and_then(|it| str::from_utf8(it.value).ok())
    };
    let length: usize = value("content-length")?.parse().ok()?;
    (bytes.len() >= head + length).then_some(Answer {
        status: answer.code?,
        is_last: value("connection").is_some_and(|it| it.eq_ignore_ascii_case("close")),
    })
}
