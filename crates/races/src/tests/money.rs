//! A stand-in for payments: the same answers, its books in memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use kernel::contracts::payments::{OpenPayment, Payment, PaymentState, Refund, RefundPayment, SettlePayment, Subject};
use kernel::contracts::races::{PinRegistration, Pinned};
use kernel::{ClaimId, PaymentId, Won};
use platform::http::{Problem, codes};
use platform::peers::{Peers, answers};
use uuid::Uuid;

#[derive(Clone)]
pub struct Money {
    peers: Peers,
    books: Arc<Mutex<Books>>,
}

#[derive(Default)]
struct Books {
    payments: HashMap<PaymentId, Payment>,
    refunds: HashMap<Uuid, (PaymentId, Won)>,
}

impl Money {
    pub fn new(peers: Peers) -> Self {
        Self { peers, books: Arc::default() }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().expect("a lock")
    }

    /// Moves a payment by another's hand: its payer confirms it, or it turns out captured after all.
    pub fn set(&self, id: PaymentId, state: PaymentState) {
        self.books().payments.get_mut(&id).expect("a payment").state = state;
    }

    pub fn get(&self, id: PaymentId) -> Payment {
        self.books().payments[&id].clone()
    }

    /// How often money of this payment went back.
    pub fn refunds(&self, id: PaymentId) -> usize {
        self.books().refunds.values().filter(|(payment, _)| *payment == id).count()
    }

    fn open(&self, asked: OpenPayment) -> Payment {
        let mut books = self.books();
        let standing = books.payments.values_mut().find(|one| {
            one.subject == asked.subject && matches!(one.state, PaymentState::Ready | PaymentState::Confirming)
        });
        if let Some(standing) = standing {
            let same = (standing.amount_won, standing.expires_ms) == (asked.amount_won, asked.expires_ms);
            if standing.state != PaymentState::Ready || same {
                return standing.clone();
            }
            standing.state = PaymentState::Voided;
        }
        let payment = Payment {
            payment_id: PaymentId::fresh(),
            subject: asked.subject,
            payer: asked.payer,
            state: PaymentState::Ready,
            amount_won: asked.amount_won,
            refunded_won: Won(0),
            provider: asked.provider,
            checkout_url: "https://pay.test/1".to_owned(),
            expires_ms: asked.expires_ms,
            reason: None,
            title: asked.title,
        };
        books.payments.insert(payment.payment_id, payment.clone());
        payment
    }

    /// The pin first, then the provider.
    pub async fn settle(&self, id: PaymentId) -> Result<Option<Payment>, Problem> {
        let Some(payment) = self.books().payments.get(&id).cloned() else { return Ok(None) };
        if payment.state != PaymentState::Confirming {
            return Ok(Some(payment));
        }
        let Subject::Registration(registration) = payment.subject;
        let asked = PinRegistration { registration_id: ClaimId(registration), payment_id: id };
        let pinned = self.peers.call(&asked).await?;
        let mut books = self.books();
        let payment = books.payments.get_mut(&id).expect("a payment");
        payment.state = if pinned == Pinned::Yes { PaymentState::Captured } else { PaymentState::Expired };
        Ok(Some(payment.clone()))
    }

    fn refund(&self, asked: &RefundPayment) -> Result<Refund, Problem> {
        let mut books = self.books();
        if let Some(known) = books.refunds.get(&asked.key) {
            let same = *known == (asked.payment_id, asked.amount_won);
            let done = Refund::Done { refunded_won: asked.amount_won };
            return if same { Ok(done) } else { Err(Problem::new(&codes::IDEMPOTENCY_MISMATCH)) };
        }
        let Some(payment) = books.payments.get_mut(&asked.payment_id) else {
            return Ok(Refund::Refused { reason: "there is no such payment".to_owned() });
        };
        let left = payment.amount_won.0 - payment.refunded_won.0;
        if payment.state != PaymentState::Captured || asked.amount_won.0 > left {
            return Ok(Refund::Refused { reason: "so much is not there to give back".to_owned() });
        }
        payment.refunded_won = Won(payment.refunded_won.0 + asked.amount_won.0);
        books.refunds.insert(asked.key, (asked.payment_id, asked.amount_won));
        Ok(Refund::Done { refunded_won: asked.amount_won })
    }

    pub fn answers(&self) -> Router {
        let router = answers::<OpenPayment, _, _, _>(Router::new(), |money: Money, asked: OpenPayment| async move {
            Ok(money.open(asked))
        });
        let router = answers::<SettlePayment, _, _, _>(router, |money: Money, asked: SettlePayment| async move {
            money.settle(asked.payment_id).await
        });
        let router = answers::<RefundPayment, _, _, _>(router, |money: Money, asked: RefundPayment| async move {
            money.refund(&asked)
        });
        router.with_state(self.clone())
    }
}
