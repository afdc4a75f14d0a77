//! A database of its own for every test, copied from a migrated template in one throwaway cluster a process.

use std::sync::{
    LazyLock, Mutex,
    atomic::{AtomicU32, Ordering},
};

use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, PgPool};
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};
use verigate::{
    postgres::{Cluster, Durability},
    store::MIGRATOR,
};

/// How many tests have a database at one time, so that all their pools together stay below the
/// cluster's limit of connections.
const AT_ONCE: usize = 24;
/// The pool of the test itself; the server under test has its own.
const CONNECTIONS: u32 = 4;

static CLUSTER: LazyLock<Result<Cluster, String>> = LazyLock::new(|| {
    let folder = super::new_folder("test");
    Cluster::start(&folder, Durability::Throwaway).map_err(|error| error.to_string())
});
static TEMPLATE: OnceCell<()> = OnceCell::const_new();
static SEATS: Semaphore = Semaphore::const_new(AT_ONCE);
static NEXT: AtomicU32 = AtomicU32::new(0);
static FINISHED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// An empty, migrated database that no other test sees.
#[derive(Debug)]
pub(crate) struct TestDb {
    name: String,
    url: String,
    pool: PgPool,
    _seat: SemaphorePermit<'static>,
}

impl TestDb {
    /// Copies the template; the first one in a process starts Postgres.
    pub(crate) async fn new() -> Self {
        let seat = SEATS.acquire().await.unwrap();
        TEMPLATE.get_or_init(make_template).await;

        let mut admin = connect("postgres").await;
        let finished: Vec<String> = std::mem::take(&mut FINISHED.lock().unwrap());
        for name in finished {
            run(&mut admin, format!("DROP DATABASE {name} WITH (FORCE)")).await;
        }
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        // Before 15 there was only this way, and no word for it.
        let strategy = match admin.server_version_num() {
            Some(..150_000) => "",
            _ => "STRATEGY file_copy",
        };
        run(
            &mut admin,
            format!("CREATE DATABASE {name} TEMPLATE template_verigate {strategy}"),
        )
        .await;
        admin.close().await.unwrap();

        let url = cluster().url(&name);
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(super::PATIENCE)
            .connect_lazy(&url)
            .unwrap();
        Self {
            name,
            url,
            pool,
            _seat: seat,
        }
    }

    /// Its address, for a server under test.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// A small pool for the test to look and to tamper with.
    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        // Dropped by the next test: here there is nobody to wait for Postgres.
        if let Ok(mut finished) = FINISHED.lock() {
            finished.push(self.name.clone());
        }
    }
}

fn cluster() -> &'static Cluster {
    match &*CLUSTER {
        Ok(cluster) => cluster,
        Err(error) => panic!("{error}"),
    }
}

async fn connect(database: &str) -> PgConnection {
    PgConnection::connect(&cluster().url(database))
        .await
        .unwrap()
}

async fn run(connection: &mut PgConnection, statement: String) {
    connection.execute(AssertSqlSafe(statement)).await.unwrap();
}

async fn make_template() {
    let mut admin = connect("postgres").await;
    run(&mut admin, "CREATE DATABASE template_verigate".to_owned()).await;
    admin.close().await.unwrap();
    let mut template = connect("template_verigate").await;
    MIGRATOR.run(&mut template).await.unwrap();
    template.close().await.unwrap();
}

#[tokio::test]
async fn two_tests_do_not_see_each_other() {
    let (one, other) = tokio::join!(TestDb::new(), TestDb::new());
    let table = "CREATE TABLE only_here (id int)";
    one.pool().execute(table).await.unwrap();
    other.pool().execute(table).await.unwrap();
    assert_ne!(one.url(), other.url());
}

#[tokio::test]
async fn a_finished_tests_database_is_cleared_away_with_its_connections() {
    let left_open = {
        let finished = TestDb::new().await;
        let connection = PgConnection::connect(finished.url()).await.unwrap();
        (finished.name.clone(), connection)
    };
    // Another test may be the one that drops it, so ask until it is gone.
    super::eventually("the database goes", async || {
        let next = TestDb::new().await;
        let there: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
                .bind(&left_open.0)
                .fetch_one(next.pool())
                .await
                .unwrap();
        (!there).then_some(())
    })
    .await;
}
