//! A call on its way: faults, the idempotency key, the effect, the answer.

use std::{sync::Arc, time::Duration};

use serde_json::Value;

use super::{Call, reply::Reply, routes::Route};
use crate::sandbox::{
    Sandbox,
    idempotency::{Answer, Claim},
    ledger::Progress,
    plan::{CallPlan, Failure, Loss},
    refusal::Refusal,
    time::second,
    world::World,
};

/// A receiver that answers too late must not keep the call that waits for it forever.
const WEBHOOK_FIRST_LIMIT: Duration = Duration::from_secs(10);

/// A call on its way through the pipeline.
pub(super) struct Passage {
    pub(super) sandbox: Arc<Sandbox>,
    pub(super) number: u64,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) route: Route,
    pub(super) call: Call,
}

impl Passage {
    pub(super) async fn run(mut self) -> Reply {
        let (plan, within_rate) = {
            let mut world = self.sandbox.world();
            let now = second(self.call.now_ms);
            let within_rate = world.within_rate(&self.method, self.route.endpoint, now);
            (world.faults.for_call(&self.method, &self.path), within_rate)
        };
        let skew_seconds = plan.skew_seconds;
        let mut reply = if within_rate {
            self.run_limited(plan).await
        } else {
            let mut refusal = Refusal::new(429, "invalid_request_error", "Too many requests.")
                .code("rate_limit")
                .unexecuted();
            refusal.limited = Some("endpoint-rate".to_owned());
            Reply::refused(refusal)
        };
        reply.skew_seconds = skew_seconds;
        self.sandbox.note_reply(self.number, &reply);
        reply
    }

    async fn run_limited(&mut self, plan: CallPlan) -> Reply {
        if plan.lost_before.is_some() {
            return Reply::refused(Refusal::internal()).lost(plan.lost_before);
        }
        if let Some(failure) = plan.fail_before.as_ref().filter(|f| !f.stored) {
            self.sandbox.pause(plan.wait_before).await;
            return Reply::refused(failure.refusal.clone());
        }
        match self.claim_key() {
            Err(refusal) => Reply::refused(refusal),
            Ok(Claim::Replay(answer)) => Reply::replayed(answer),
            Ok(Claim::Mine) => self.execute(plan).await,
        }
    }

    fn claim_key(&self) -> Result<Claim, Refusal> {
        let Some(key) = &self.call.cause.idempotency_key else {
            return Ok(Claim::Mine);
        };
        let form = self.call.form.canonical();
        let parameters = format!("{} {}\n{form}", self.method, self.path);
        let mut world = self.sandbox.world();
        world.keys.claim(key, parameters, self.call.now_ms)
    }

    /// Runs the call with its key claimed, and settles the key.
    async fn execute(&mut self, plan: CallPlan) -> Reply {
        self.sandbox.pause(plan.wait_before).await;
        let (result, events) = if let Some(failure) = &plan.fail_before {
            (Err(failure.refusal.clone()), Vec::new())
        } else {
            self.take_effect()
        };
        self.settle(&result, plan.fail_after.as_ref());
        if plan.webhook_first {
            self.sandbox.wait_for_deliveries(&events).await;
        }
        self.sandbox.pause(plan.wait_after).await;
        let unexecuted = result.as_ref().is_err_and(|refusal| refusal.unexecuted);
        match plan.fail_after {
            Some(failure) if !unexecuted => Reply::refused(failure.refusal),
            _ => Reply::done(result),
        }
        .lost(plan.lost_after)
    }

    fn take_effect(&mut self) -> (Result<Value, Refusal>, Vec<String>) {
        self.call.now_ms = self.sandbox.time.now_ms();
        let mut world = self.sandbox.world();
        let result = (self.route.handler)(&mut world, &self.call);
        let request_id = self.call.cause.request_id.as_deref();
        let caused = world
            .events
            .newest_first()
            .take_while(|(_, event)| event.cause.request_id.as_deref() == request_id)
            .map(|(_, event)| event.id.clone())
            .collect();
        if result.is_ok() {
            world.ledger.executed(self.number);
        }
        drop(world);
        self.sandbox.wake.notify_one();
        (result, caused)
    }

    fn settle(&self, result: &Result<Value, Refusal>, failure: Option<&Failure>) {
        let Some(key) = &self.call.cause.idempotency_key else {
            return;
        };
        let answer = match (result, failure.filter(|failure| failure.stored)) {
            (Err(refusal), _) if refusal.unexecuted => None,
            (_, Some(failure)) => Some(failure.refusal.answer()),
            (Err(refusal), None) => Some(refusal.answer()),
            (Ok(body), None) => Some(Answer {
                status: 200,
                body: body.clone(),
            }),
        };
        self.sandbox.world().keys.settle(key, answer);
    }
}

impl Refusal {
    fn answer(&self) -> Answer {
        Answer {
            status: self.status,
            body: self.body(),
        }
    }
}

impl Sandbox {
    pub(super) fn note_reply(&self, number: u64, reply: &Reply) {
        let progress = match reply.loss {
            None => Progress::Answered,
            Some(Loss::Cut) => Progress::Cut,
            Some(Loss::Held) => Progress::Held,
        };
        let mut world = self.world();
        world
            .ledger
            .close(number, progress, reply.status, reply.replayed);
    }

    /// Waits until these events were tried once everywhere.
    async fn wait_for_deliveries(&self, events: &[String]) {
        let all_tried = |world: &World| {
            let mut found = events.iter().filter_map(|id| world.events.find(id));
            found.all(|event| event.untried == 0)
        };
        let waiting = async {
            loop {
                let tried = self.tried.notified();
                if all_tried(&self.world()) {
                    return;
                }
                tried.await;
            }
        };
        let in_time = tokio::time::timeout(WEBHOOK_FIRST_LIMIT, waiting).await;
        if in_time.is_err() {
            tracing::warn!("a webhook that was to arrive first did not arrive in time");
        }
    }
}
