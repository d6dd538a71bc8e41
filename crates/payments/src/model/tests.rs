use super::*;
use uuid::Uuid;

fn intent(state: PaymentState) -> Intent {
    Intent {
        id: PaymentId(Uuid::from_u128(1)),
        subject: Subject::Registration(Uuid::from_u128(2)),
        payer: UserId(Uuid::from_u128(3)),
        payee: UserId(Uuid::from_u128(4)),
        title: "a race".to_owned(),
        amount: Won(30_000),
        refunded: Won(0),
        provider: "sandbox".to_owned(),
        provider_key: "sbx".to_owned(),
        checkout_url: String::new(),
        payer_key: None,
        state,
        reason: None,
        expires_ms: 0,
        looks: 3,
        next_look_ms: 0,
        void_due: false,
    }
}

fn said(standing: Standing, captured: i64) -> Reported {
    Reported { key: "sbx".to_owned(), standing, captured: Won(captured), cancelled: Won(0), reason: None }
}

#[test]
fn captured_is_the_end_and_nothing_becomes_ready_again() {
    for from in STATES {
        assert!(!may(from, PaymentState::Ready) && !may(from, from), "{from:?}");
        assert_eq!(may(from, PaymentState::Captured), from != PaymentState::Captured, "{from:?}");
    }
    let ended = [PaymentState::Declined, PaymentState::Voided, PaymentState::Expired];
    for (from, to) in ended.into_iter().flat_map(|from| ended.map(|to| (from, to))) {
        assert!(!may(from, to), "{from:?} {to:?}");
    }
}

#[test]
fn only_our_own_amount_is_a_capture() {
    let intent = intent(PaymentState::Confirming);
    assert_eq!(intent.judge(&said(Standing::Captured, 30_000)), Verdict::Captured);
    assert_eq!(intent.judge(&said(Standing::Captured, 30_001)), Verdict::WrongAmount(Won(30_001)));
    assert_eq!(intent.judge(&said(Standing::Closed, 30_001)), Verdict::Declined(WRONG_AMOUNT.to_owned()));
    assert_eq!(intent.judge(&said(Standing::Open, 0)), Verdict::Open);
}

#[test]
fn what_ends_here_without_money_is_to_be_closed_there() {
    let ready = intent(PaymentState::Ready);
    assert!(ready.step(PaymentState::Voided).is_some_and(|next| next.void_due && next.looks == 0));
    let voided = ready.step(PaymentState::Voided).expect("a move");
    assert!(voided.step(PaymentState::Captured).is_some_and(|next| !next.void_due));
}

#[test]
fn waiting_grows_to_a_minute() {
    assert_eq!([0, 1, 5, 6, 60, -1].map(back_off_ms), [1_000, 2_000, 32_000, 60_000, 60_000, 1_000]);
}
