//! The application's end: an endpoint that takes messages, writes down which came when, and may hang on one of them.

use std::{
    collections::{HashMap, HashSet},
    future::pending,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use serde_json::{Value, json};
use sqlx::{PgConnection, query_as};
use tokio::{net::TcpListener, task::JoinSet, time::sleep};

/// A message, each time it came.
#[derive(Clone, Debug)]
pub(crate) struct Receipt {
    pub(crate) message: String,
    pub(crate) at: Instant,
    person: String,
    sequence: i64,
}

/// What came, set against what was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) messages: usize,
    pub(crate) receipts: usize,
    /// Written, and never received.
    pub(crate) lost: usize,
    /// Received for the first time before one of a lower number about the same person.
    pub(crate) out_of_order: usize,
}

/// Runs for as long as it is there.
#[derive(Debug)]
pub(crate) struct Receiver {
    address: SocketAddr,
    state: Arc<Book>,
    _serving: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Book {
    receipts: Mutex<Vec<Receipt>>,
    hangs_on_the_next: AtomicBool,
    hung_on: Mutex<Option<Receipt>>,
}

impl Receiver {
    /// Listens on this machine.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Book::default());
        let router = Router::new()
            .route("/", post(receive))
            .with_state(Arc::clone(&state));
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            address,
            state,
            _serving: serving,
        }
    }

    /// The settings of a server that tells it everything.
    pub(crate) fn settings(&self) -> [(&'static str, String); 2] {
        let url = format!("http://{}/", self.address);
        // Nobody checks it here.
        let secret = format!("whsec_{}", "c2VjcmV0".repeat(4));
        let endpoints = json!({ "load": { "url": url, "secrets": [secret] } });
        [
            ("WEBHOOK_ENDPOINTS", endpoints.to_string()),
            ("WEBHOOK_ALLOWED_NETWORKS", "127.0.0.0/8".to_owned()),
        ]
    }

    /// Whoever sends the next message gets no answer.
    pub(crate) fn hang_on_the_next(&self) {
        self.state.hangs_on_the_next.store(true, Ordering::SeqCst);
    }

    /// Waits until that has happened; gives the message.
    pub(crate) async fn hung_on(&self) -> Receipt {
        loop {
            if let Some(receipt) = self.state.hung_on.lock().unwrap().clone() {
                return receipt;
            }
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// Everything that came, in that order.
    pub(crate) fn receipts(&self) -> Vec<Receipt> {
        self.state.receipts.lock().unwrap().clone()
    }

    /// Sets what came against what the database says was to be told.
    pub(crate) async fn compare(&self, db: &mut PgConnection) -> Told {
        let written: Vec<(String, i64)> = query_as(
            "SELECT u.external_id, o.sequence FROM outbox o JOIN users u ON u.id = o.user_id",
        )
        .fetch_all(db)
        .await
        .unwrap();
        Told::judge(&self.receipts(), &written)
    }
}

impl Told {
    /// What was written is each message's person and number.
    fn judge(receipts: &[Receipt], written: &[(String, i64)]) -> Self {
        let (mut seen, mut highest) = (HashSet::new(), HashMap::new());
        let mut out_of_order = 0;
        for receipt in receipts {
            let (person, sequence) = (receipt.person.as_str(), receipt.sequence);
            if !seen.insert((person, sequence)) {
                continue;
            }
            let highest = highest.entry(person).or_insert(0);
            if sequence < *highest {
                out_of_order += 1;
            }
            *highest = sequence.max(*highest);
        }
        let lost = written
            .iter()
            .filter(|(person, sequence)| !seen.contains(&(person.as_str(), *sequence)));
        Self {
            messages: written.len(),
            receipts: receipts.len(),
            lost: lost.count(),
            out_of_order,
        }
    }
}

/// A judge that nobody can fail before proves nothing.
pub(crate) fn notices_what_is_lost_or_overtaken() {
    let told = |came: &[(&str, i64)]| {
        let receipt = |&(person, sequence): &(&str, i64)| Receipt {
            message: format!("{person} {sequence}"),
            at: Instant::now(),
            person: person.to_owned(),
            sequence,
        };
        let receipts: Vec<_> = came.iter().map(receipt).collect();
        let written = [("ada", 1), ("ada", 2), ("ada", 3), ("bob", 1)];
        let told = Told::judge(
            &receipts,
            &written.map(|(person, sequence)| (person.to_owned(), sequence)),
        );
        (told.lost, told.out_of_order)
    };
    let well = [("ada", 1), ("bob", 1), ("ada", 2), ("ada", 2), ("ada", 1)];
    assert_eq!(told(&[&well[..], &[("ada", 3)]].concat()), (0, 0));
    assert_eq!(told(&well), (1, 0));
    assert_eq!(told(&[("ada", 1), ("ada", 3), ("ada", 2)]), (1, 1));
    assert_eq!(told(&[]), (4, 0));
}

async fn receive(State(book): State<Arc<Book>>, Json(message): Json<Value>) -> StatusCode {
    let word = |at: &str| message.pointer(at).and_then(Value::as_str).unwrap();
    let receipt = Receipt {
        message: word("/id").to_owned(),
        at: Instant::now(),
        person: word("/data/user/id").to_owned(),
        sequence: message["sequence"].as_i64().unwrap(),
    };
    book.receipts.lock().unwrap().push(receipt.clone());
    if book.hangs_on_the_next.swap(false, Ordering::SeqCst) {
        *book.hung_on.lock().unwrap() = Some(receipt);
        pending::<()>().await;
    }
    StatusCode::NO_CONTENT
}
