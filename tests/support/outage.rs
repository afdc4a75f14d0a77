//! A Postgres of a test's own, to shut down, freeze and bring back under a running server.

use std::{
    fs,
    path::{Path, PathBuf},
};

use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::task::spawn_blocking;
use verigate::{
    postgres::{Cluster, Durability},
    store::MIGRATOR,
};

/// A migrated database in a cluster that only this test uses; its address stays the same across outages.
#[derive(Debug)]
pub(crate) struct OwnPostgres {
    folder: PathBuf,
    url: String,
    cluster: Option<Cluster>,
    frozen: Vec<u32>,
}

impl OwnPostgres {
    /// Starts it and applies the migrations.
    pub(crate) async fn start() -> Self {
        let wanted = super::new_folder("outage");
        let cluster = launch(wanted).await;
        let url = cluster.url("postgres");
        let mut connection = PgConnection::connect(&url).await.unwrap();
        MIGRATOR.run(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        Self {
            folder: cluster.folder().to_owned(),
            url,
            cluster: Some(cluster),
            frozen: Vec::new(),
        }
    }

    /// Its address.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Where its files are.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Stops the server in order and waits until it is down: connections are refused.
    pub(crate) async fn shut_down(&mut self) {
        let cluster = self.cluster.take().unwrap();
        spawn_blocking(|| cluster.stop()).await.unwrap().unwrap();
    }

    /// Starts it again, with what it held.
    pub(crate) async fn bring_back(&mut self) {
        self.cluster = Some(launch(self.folder.clone()).await);
    }

    /// Stops every process of the server where it stands: connections hang.
    pub(crate) async fn freeze(&mut self) {
        let mut connection = PgConnection::connect(&self.url).await.unwrap();
        let children = "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()";
        let children: Vec<i32> = sqlx::query_scalar(children)
            .fetch_all(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
        let first = self.cluster.as_ref().unwrap().process().unwrap();
        // The first one before its children, so that no new one comes meanwhile.
        self.frozen = std::iter::once(first)
            .chain(children.into_iter().map(i32::unsigned_abs))
            .collect();
        super::signal("-STOP", &self.frozen);
    }

    /// Lets a frozen server go on.
    pub(crate) fn thaw(&mut self) {
        super::signal("-CONT", &std::mem::take(&mut self.frozen));
    }
}

impl Drop for OwnPostgres {
    fn drop(&mut self) {
        self.thaw();
        drop(self.cluster.take());
        // The folder lies where everybody may write, and a test that failed before leaves no more than this.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

async fn launch(folder: PathBuf) -> Cluster {
    spawn_blocking(move || Cluster::start(&folder, Durability::Durable))
        .await
        .unwrap()
        .unwrap()
}

#[tokio::test]
async fn a_server_of_ones_own_can_be_shut_down_frozen_and_brought_back() {
    let mut postgres = OwnPostgres::start().await;
    postgres.shut_down().await;
    assert!(PgConnection::connect(postgres.url()).await.is_err());
    postgres.bring_back().await;
    let mut connection = PgConnection::connect(postgres.url()).await.unwrap();
    connection.execute("SELECT 1").await.unwrap();

    postgres.freeze().await;
    let hangs = tokio::time::timeout(
        std::time::Duration::from_millis(300),
        connection.execute("SELECT 1"),
    );
    assert!(hangs.await.is_err(), "a frozen server answers nothing");
    postgres.thaw();
    super::eventually("it goes on", async || {
        PgConnection::connect(postgres.url()).await.ok()
    })
    .await;
    let folder = postgres.folder().to_owned();
    drop(postgres);
    assert!(!folder.exists(), "its files go with it");
}
