//! What stands before several servers: it asks each whether it is ready, and leads nobody to one that is not.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::sender::Line;

/// Between two questions.
const EVERY: Duration = Duration::from_millis(20);
/// Who has not answered by then is not ready.
const PATIENCE: Duration = Duration::from_secs(1);

/// Asks for as long as it is there.
#[derive(Debug)]
pub(crate) struct Balancer {
    ready: Arc<[AtomicBool]>,
    _probes: JoinSet<()>,
}

impl Balancer {
    /// Nobody is ready until asked.
    pub(crate) fn start(servers: &[SocketAddr]) -> Self {
        let ready: Arc<[AtomicBool]> = servers.iter().map(|_| AtomicBool::new(false)).collect();
        let mut probes = JoinSet::new();
        for (n, &server) in servers.iter().enumerate() {
            let ready = Arc::clone(&ready);
            probes.spawn(async move {
                let servers = [server];
                let mut line = Line::new(&servers, 0);
                let ask = format!("GET /readyz HTTP/1.1\r\nHost: {server}\r\n\r\n");
                loop {
                    let answer = timeout(PATIENCE, line.ask(ask.as_bytes())).await;
                    let is_ready = matches!(answer, Ok(Ok(200)));
                    ready[n].store(is_ready, Ordering::SeqCst);
                    if answer.is_err() {
                        line.hang_up();
                    }
                    sleep(EVERY).await;
                }
            });
        }
        Self {
            ready,
            _probes: probes,
        }
    }

    /// Is it, as far as is known?
    pub(crate) fn is_ready(&self, server: usize) -> bool {
        self.ready[server].load(Ordering::SeqCst)
    }

    /// Leads the line to a server that is ready; waits until there is one.
    pub(crate) async fn lead(&self, line: &mut Line<'_>) {
        for n in 0.. {
            if self.is_ready(line.turn()) {
                return;
            }
            line.hang_up();
            if n % self.ready.len() == self.ready.len() - 1 {
                sleep(EVERY).await;
            }
        }
    }
}
