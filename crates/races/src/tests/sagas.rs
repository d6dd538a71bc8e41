//! Registration, late payment and cancellation against the real places, in every way they can go wrong.

use std::cell::RefCell;

use kernel::contracts::payments::{PaymentCaptured, PaymentState};
use kernel::contracts::races::{PinRegistration, Pinned};
use kernel::{ClaimId, PaymentId, Won};
use platform::db::{Query, args};
use platform::saga::{Definition, State};
use saga::kit::{Start, ordeal};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Person, Yard, race, registration};
use crate::registering::{Entry, late_payment};
use crate::{Config, Races, cancellation, registering};

const FEE: Won = Won(30_000);

/// One runner's affair, in a race of its own.
struct Case {
    race: String,
    runner: Person,
    id: String,
    payment: PaymentId,
}

impl Yard {
    pub async fn step(&self, who: &Person, id: &str, step: &str, body: Value) -> super::Answer {
        self.put(who, &format!("{}/steps/{step}", registration(id)), body).await
    }

    /// Everything up to an opened payment.
    async fn payable(&self, who: &Person, id: &str) -> PaymentId {
        self.step(who, id, "terms", json!({ "agreed": true, "terms_version": 1 })).await.must(200);
        self.step(who, id, "address", address()).await.must(200);
        let opened = self.step(who, id, "payment", json!({ "provider": "sandbox" })).await.must(200);
        PaymentId(opened.body["payment"]["id"].as_str().expect("a payment").parse().expect("an id"))
    }

    async fn pinned(&self, capacity: i64) -> Case {
        let race = self.race(&Person::organiser(), json!({ "capacity": capacity })).await;
        let runner = Person::member();
        let id = self.claim(&runner, &race).await.must(201).str("id");
        let payment = self.payable(&runner, &id).await;
        self.money.set(payment, PaymentState::Confirming);
        let asked = PinRegistration { registration_id: claim_id(&id), payment_id: payment };
        assert_eq!(crate::pin::pin(self.races.clone(), asked).await.expect("an answer"), Pinned::Yes);
        Case { race, runner, id, payment }
    }

    /// Ended by its hold; the money came all the same.
    async fn too_late(&self, capacity: i64) -> Case {
        let race = self.race(&Person::organiser(), json!({ "capacity": capacity })).await;
        let runner = Person::member();
        let id = self.claim(&runner, &race).await.must(201).str("id");
        let payment = self.payable(&runner, &id).await;
        // The store doubts a clock that runs ahead; a hold that ends now is made to end long ago.
        let sql = "UPDATE claim SET hold_until_ms = 1 WHERE state = 'held'";
        let ended = self.db.write(|tx| Box::pin(async move { tx.run(sql, args![]).await })).await;
        Result::<u64, platform::db::DbError>::expect(ended, "it is changed");
        self.run_jobs().await;
        self.money.set(payment, PaymentState::Captured);
        Case { race, runner, id, payment }
    }

    async fn confirmed(&self) -> Case {
        let case = self.pinned(2).await;
        self.races.sagas.run_now(case.payment.0).await.expect("it runs");
        assert_eq!(self.newest(&case).await["state"], "confirmed");
        case
    }

    /// The runner's newest registration.
    async fn newest(&self, case: &Case) -> Value {
        self.get(&case.runner, "/api/v1/registrations").await.must(200).body["items"][0].clone()
    }

    /// Whoever was confirmed and ended is paid back by a saga of its own.
    async fn end_cancellations(&self) {
        let sql = "SELECT id FROM saga WHERE name = 'cancellation' AND ended_ms IS NULL";
        for (id,) in self.db.all::<(Uuid,)>(sql, args![]).await.expect("the table is there") {
            self.races.sagas.run_now(id).await.expect("it runs");
        }
    }

    /// The kit refuses the first step whatever there was before it: money or a pin that this leaves behind is found by
    /// the event that payments sends of every outcome.
    async fn late_word(&self, case: &Case) {
        let left_behind = self.newest(case).await["state"] == "paying";
        if left_behind {
            self.money.set(case.payment, PaymentState::Captured);
        }
        let paid = self.money.get(case.payment);
        if paid.state != PaymentState::Captured || paid.refunded_won != Won(0) {
            return;
        }
        let (races, told) = (self.races.clone(), paid.clone());
        let heard =
            self.db.write(move |tx| Box::pin(async move { crate::events::follow_payment(&races, tx, &told).await }));
        Result::<(), platform::db::DbError>::expect(heard.await, "it is heard");
        let entry = Entry { registration: claim_id(&case.id), payment: case.payment };
        for id in [case.payment.0, registering::late_start(entry).id] {
            self.races.sagas.run_now(id).await.expect("it runs");
        }
    }

    /// What must hold of a payment and a place, whatever happened.
    async fn fair(&self, case: &Case, state: State) -> Result<(), String> {
        if state == State::Compensated {
            self.late_word(case).await;
        }
        self.end_cancellations().await;
        let (now, paid) = (self.newest(case).await, self.money.get(case.payment));
        let refunds = self.money.refunds(case.payment);
        let shown = self.look(&race(&case.race)).await.must(200).body;
        let taken = shown["capacity"].as_i64().unwrap_or(-1) - shown["remaining"].as_i64().unwrap_or(-1);
        let told = || format!("{now} with {paid:?}, refunded {refunds} times, {taken} taken");
        let kept = paid.state == PaymentState::Captured && paid.refunded_won == Won(0);
        let back = refunds == 1 && paid.refunded_won == FEE;
        let fine = match (state, now["state"].as_str()) {
            (State::Completed, Some("confirmed")) => kept && now["bib"].is_i64() && taken == 1,
            // The provider's later word found the place, and took it.
            (State::Compensated, Some("confirmed")) => kept && now["bib"].is_i64() && taken == 1,
            (State::Compensated, Some("held")) => (paid.state != PaymentState::Captured || back) && taken == 1,
            (State::Compensated, Some("failed" | "expired" | "cancelled")) => back && taken == 0,
            _ => false,
        };
        if fine { Ok(()) } else { Err(told()) }
    }
}

fn address() -> Value {
    json!({ "recipient": "김하늘", "phone": "010-1234-5678", "postcode": "07345", "line1": "서울 여의대로 1" })
}

fn claim_id(text: &str) -> ClaimId {
    ClaimId(text.parse().expect("an id"))
}

fn start(yard: &Yard, case: &Case) -> Start<Races> {
    let entry = Entry { registration: claim_id(&case.id), payment: case.payment };
    let late = registering::late_start(entry);
    Start { context: yard.races.clone(), saga: late.id, subject: case.id.clone(), data: json!(entry) }
}

async fn yard() -> Yard {
    Yard::open(None, Config::default()).await
}

/// Every script, each with a race of its own.
async fn stand<F: AsyncFn(&Yard) -> Case>(
    yard: &Yard,
    definition: &Definition<Races>,
    world: F,
) -> Result<usize, saga::kit::Faults> {
    let at_hand = RefCell::new(None);
    let fresh = async || {
        let case = world(yard).await;
        let start = start(yard, &case);
        at_hand.replace(Some(case));
        start
    };
    let check = async |_: &Races, state| {
        let case = at_hand.take().expect("a case");
        yard.fair(&case, state).await
    };
    ordeal(definition, fresh, check).await
}

#[tokio::test]
async fn a_registration_stands_every_script() {
    let yard = yard().await;
    let stood = stand(&yard, &registering::registration(), async |yard| yard.pinned(2).await).await;
    assert!(stood.unwrap_or_else(|faults| panic!("{faults}")) > 80);
}

#[tokio::test]
async fn a_place_regained_stands_every_script() {
    let yard = yard().await;
    let stood = stand(&yard, &late_payment(), async |yard| yard.too_late(2).await).await;
    assert!(stood.unwrap_or_else(|faults| panic!("{faults}")) > 80);
}

/// The organiser took the place back: the whole fee goes back, once.
#[tokio::test]
async fn a_cancellation_stands_every_script() {
    let yard = yard().await;
    let at_hand = RefCell::new(None);
    let fresh = async || {
        let case = yard.confirmed().await;
        yard.delete(&case.runner, &registration(&case.id)).await.must(200);
        let start = cancellation::start(claim_id(&case.id), orderlog::ReturnReason::Cancelled, 1);
        at_hand.replace(Some(case));
        Start { context: yard.races.clone(), saga: start.id, subject: start.subject, data: start.data }
    };
    let check = async |_: &Races, state| {
        let case = at_hand.take().expect("a case");
        let (refunds, paid) = (yard.money.refunds(case.payment), yard.money.get(case.payment));
        let fine = state == State::Compensated || (refunds == 1 && paid.refunded_won == FEE);
        if fine { Ok(()) } else { Err(format!("{refunds} refunds of {paid:?}")) }
    };
    let stood = ordeal(&cancellation::cancellation(), fresh, check).await;
    assert!(stood.unwrap_or_else(|faults| panic!("{faults}")) > 10);
}

/// Runs a late payment's saga to its end.
async fn come_late(yard: &Yard, case: &Case) -> Value {
    yard.tell(1, &PaymentCaptured { payment: yard.money.get(case.payment) }).await;
    let saga = start(yard, case).saga;
    yard.races.sagas.run_now(saga).await.expect("it runs");
    yard.newest(case).await
}

#[tokio::test]
async fn late_money_gets_a_place_or_goes_back() {
    for yard in Yard::all().await {
        let case = yard.too_late(1).await;
        let regained = come_late(&yard, &case).await;
        assert_eq!((&regained["state"], &regained["replaces"]), (&json!("confirmed"), &json!(case.id)));
        assert_eq!(regained["address"]["recipient"], "김하늘");
        yard.fair(&case, State::Completed).await.expect("it keeps the money");

        let case = yard.too_late(1).await;
        yard.claim(&Person::member(), &case.race).await.must(201);
        assert_eq!(come_late(&yard, &case).await["state"], "expired");
        assert_eq!((yard.money.get(case.payment).refunded_won, yard.money.refunds(case.payment)), (FEE, 1));

        let case = yard.too_late(1).await;
        let anew = yard.claim(&case.runner, &case.race).await.must(201).str("id");
        let now = come_late(&yard, &case).await;
        assert_eq!((&now["state"], &now["id"]), (&json!("confirmed"), &json!(anew)));
        assert_eq!((&now["payment"]["state"], &now["payment"]["amount_won"]), (&json!("captured"), &json!(FEE)));
        yard.fair(&case, State::Completed).await.expect("it keeps the money");

        let case = yard.too_late(1).await;
        let anew = yard.claim(&case.runner, &case.race).await.must(201).str("id");
        let other = yard.payable(&case.runner, &anew).await;
        yard.money.set(other, PaymentState::Confirming);
        yard.money.settle(other).await.expect("an answer");
        yard.races.sagas.run_now(other.0).await.expect("it runs");
        assert_eq!(come_late(&yard, &case).await["state"], "confirmed");
        assert_eq!((yard.money.get(case.payment).refunded_won, yard.money.refunds(case.payment)), (FEE, 1));
        assert_eq!(yard.money.refunds(other), 0);
    }
}

/// The saga may ask and have its answer before the event comes: then nobody waits for that event any more.
#[tokio::test]
async fn an_event_that_comes_after_its_saga_takes_nothing_back() {
    for yard in Yard::all().await {
        let case = yard.confirmed().await;
        assert_eq!(come_late(&yard, &case).await["state"], "confirmed");
        yard.fair(&case, State::Completed).await.expect("it keeps place and money");

        // Not even where he has left since: his place is not claimed anew.
        let case = yard.confirmed().await;
        yard.delete(&case.runner, &registration(&case.id)).await.must(200);
        let now = come_late(&yard, &case).await;
        assert_eq!((&now["state"], &now["id"]), (&json!("cancelled"), &json!(case.id)));
        assert_eq!(yard.money.refunds(case.payment), 0, "the race gives nothing back");
    }
}

#[tokio::test]
async fn a_missing_undo_is_found() {
    let yard = yard().await;
    let unsound = Definition::new("registration", 1)
        .step_without_undo("place", registering::take_place)
        .step("payment", registering::await_payment, registering::refund)
        .step_without_undo("eligibility", registering::check_eligibility)
        .step_without_undo("confirmation", registering::confirm);
    let faults = stand(&yard, &unsound, async |yard| yard.pinned(2).await).await.expect_err("a place is left over");
    assert!(faults.0.iter().all(|fault| fault.script.ends() == State::Compensated), "{faults}");
    assert!(faults.0.iter().any(|fault| fault.script.refused == Some(2)), "{faults}");
}

#[tokio::test]
async fn the_lists_of_steps_are_as_they_were() {
    let registration = "registration 1\n- place\n- payment\n- eligibility (no undo)\n- confirmation (no undo)";
    assert_eq!(registering::registration().fingerprint(), registration);
    let late = "late-payment 1\n- payment\n- place\n- eligibility (no undo)\n- confirmation (no undo)";
    assert_eq!(late_payment().fingerprint(), late);
    assert_eq!(cancellation::cancellation().fingerprint(), "cancellation 1\n- refund (no undo)");
}
