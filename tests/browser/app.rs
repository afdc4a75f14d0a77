//! The example application, as it is, beside the server.

use tokio::{net::TcpListener, task::JoinHandle};
use verigate::{
    domain::{KeyText, Scope},
    store::{self, NewApiKey},
};

use crate::stage::Stage;

#[path = "../../examples/app.rs"]
#[expect(dead_code, reason = "its main reads the environment")]
mod example;

/// A running application.
pub(crate) struct Application {
    pub(crate) origin: String,
    task: JoinHandle<()>,
}

impl Application {
    /// Starts it with a key of its own.
    pub(crate) async fn start(stage: &Stage) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://localhost:{}", listener.local_addr().unwrap().port());
        let key = stage.make_key(&origin).await;
        let app = example::App::new(&stage.origin, &key, origin.clone()).unwrap();
        let serving = axum::serve(listener, example::routes(app));
        let task = tokio::spawn(async move { serving.await.unwrap() });
        Self { origin, task }
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Stage {
    /// A key for an application that people may be sent back to.
    async fn make_key(&self, return_to: &str) -> String {
        let db = store::connect(&self.db.url().into(), 1).unwrap();
        let key = KeyText::mint(false, rand::random());
        let new = NewApiKey {
            name: "the example",
            key: &key,
            scopes: &Scope::ALL,
            return_to: &[return_to.to_owned()],
            lifetime: None,
        };
        store::insert_api_key(&db, &new).await.unwrap();
        db.close().await;
        key.expose().to_owned()
    }
}
