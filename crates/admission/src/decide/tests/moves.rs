use super::*;

const MOVES: [Move; 4] = [Move::Pay, Move::Unpay, Move::Confirm, Move::Return(ReturnReason::Failed)];

/// An offer whose person 1 has a claim in this state; person 9 holds the only other place.
fn in_state(state: ClaimState) -> Offer {
    let mut offer = Offer::new(rules());
    if state == ClaimState::Waitlisted {
        placed(&offer.claim(9, "10k:1"));
    }
    placed(&offer.claim(1, "10k:1"));
    match state {
        ClaimState::Waitlisted | ClaimState::Held => {}
        ClaimState::Paying => {
            offer.system(1, Move::Pay);
        }
        ClaimState::Confirmed => {
            offer.system(1, Move::Confirm);
        }
        ClaimState::Cancelled => {
            offer.leave(1);
        }
        ClaimState::Failed => {
            offer.system(1, Move::Return(ReturnReason::Failed));
        }
        ClaimState::Expired => {
            offer.now_ms += 600_000;
            offer.system(1, Move::Return(ReturnReason::Expired));
        }
    }
    assert_eq!(offer.state(1), state);
    offer
}

const STATES: [ClaimState; 7] = [
    ClaimState::Waitlisted,
    ClaimState::Held,
    ClaimState::Paying,
    ClaimState::Confirmed,
    ClaimState::Expired,
    ClaimState::Cancelled,
    ClaimState::Failed,
];

/// What a move leads to: a state, or none where it is illegal; `same` where nothing changes.
fn outcome(mut offer: Offer, by: MoveBy, mv: Move) -> &'static str {
    let before = offer.state(1);
    let size = offer.head.size;
    let input = offer.moving(1, by, mv);
    match offer.one(input) {
        Answer::Moved { leaf: Some(leaf), claim } => {
            assert_eq!((leaf, claim.state), (size, offer.state(1)));
            claim.state.as_str()
        }
        Answer::Moved { leaf: None, .. } => {
            assert_eq!((offer.state(1), offer.head.size), (before, size));
            "same"
        }
        Answer::Illegal { state } => {
            assert_eq!((state, offer.state(1), offer.head.size), (before, before, size));
            "-"
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_state_machine() {
    let table = [
        (ClaimState::Waitlisted, ["-", "-", "-", "-"]),
        (ClaimState::Held, ["paying", "same", "confirmed", "failed"]),
        (ClaimState::Paying, ["same", "held", "confirmed", "failed"]),
        (ClaimState::Confirmed, ["-", "-", "same", "-"]),
        (ClaimState::Expired, ["-", "-", "-", "same"]),
        (ClaimState::Cancelled, ["-", "-", "-", "same"]),
        (ClaimState::Failed, ["-", "-", "-", "same"]),
    ];
    for (state, expected) in table {
        let seen = MOVES.map(|mv| outcome(in_state(state), MoveBy::System, mv));
        assert_eq!(seen, expected, "{state}: pay, unpay, confirm, fail");
    }
}

#[test]
fn who_may_return_what() {
    let owner = MoveBy::Owner(user(1));
    let reasons = [ReturnReason::Released, ReturnReason::Cancelled, ReturnReason::Expired, ReturnReason::Failed];
    for (by, expected) in [
        (owner, ["cancelled", "-", "-", "-"]),
        (MoveBy::Organiser, ["-", "cancelled", "-", "-"]),
        (MoveBy::System, ["-", "-", "-", "failed"]),
    ] {
        let seen = reasons.map(|reason| outcome(in_state(ClaimState::Held), by, Move::Return(reason)));
        assert_eq!(seen, expected, "{by:?}");
    }
    for (by, reason) in [(owner, ReturnReason::Released), (MoveBy::Organiser, ReturnReason::Cancelled)] {
        let seen = STATES.map(|state| outcome(in_state(state), by, Move::Return(reason)));
        assert_eq!(seen, ["cancelled", "cancelled", "-", "cancelled", "same", "same", "same"], "{by:?}");
    }
}

#[test]
fn a_claim_of_somebody_else_or_of_nobody_is_gone() {
    let mut offer = in_state(ClaimState::Held);
    let stranger = offer.moving(1, MoveBy::Owner(user(2)), Move::Return(ReturnReason::Released));
    assert_eq!(offer.one(stranger), Answer::Gone);
    let nobody = Input::Move { claim: Uuid::from_u128(99), by: MoveBy::System, mv: Move::Pay };
    assert_eq!(offer.one(nobody), Answer::Gone);
    assert_eq!(offer.state(1), ClaimState::Held);
}

#[test]
fn a_hold_expires_at_its_end_and_not_before() {
    let mut offer = in_state(ClaimState::Held);
    let end_ms = offer.of(1).hold_until_ms.expect("an end");
    offer.now_ms = end_ms - 1;
    let expire = Move::Return(ReturnReason::Expired);
    assert_eq!(offer.system(1, expire.clone()), Answer::Illegal { state: ClaimState::Held });
    offer.now_ms = end_ms;
    assert!(moved(&offer.system(1, expire)).is_some());
    assert_eq!((offer.state(1), offer.of(1).hold_until_ms), (ClaimState::Expired, None));
}

#[test]
fn a_confirm_before_the_expiry_wins_whatever_the_clock_says() {
    let mut offer = in_state(ClaimState::Held);
    offer.now_ms += 10_000_000;
    let expire = Move::Return(ReturnReason::Expired);
    let batch = [offer.moving(1, MoveBy::System, Move::Confirm), offer.moving(1, MoveBy::System, expire)];
    let answers = offer.batch(&batch);
    assert!(moved(&answers[0]).is_some());
    assert_eq!(answers[1], Answer::Illegal { state: ClaimState::Confirmed });
}

#[test]
fn paying_does_not_expire_and_gives_back_the_old_end() {
    let mut offer = in_state(ClaimState::Held);
    let end_ms = offer.of(1).hold_until_ms;
    offer.system(1, Move::Pay);
    offer.now_ms += 10_000_000;
    let expire = Move::Return(ReturnReason::Expired);
    assert_eq!(offer.system(1, expire.clone()), Answer::Illegal { state: ClaimState::Paying });
    offer.system(1, Move::Unpay);
    assert_eq!((offer.state(1), offer.of(1).hold_until_ms), (ClaimState::Held, end_ms));
    assert!(moved(&offer.system(1, expire)).is_some(), "an end that passed while paying counts at once");
}

#[test]
fn bibs_are_numbered_per_course_without_gaps() {
    let mut offer = Offer::new(with(|rules| {
        capacity(rules, "10k", 3);
        capacity(rules, "5k", 3);
    }));
    for (n, text) in [(1, "10k:1"), (2, "5k:1"), (3, "10k:1,s1-1:1"), (4, "5k:1")] {
        placed(&offer.claim(n, text));
    }
    for (n, bib) in [(3, 1), (1, 2), (4, 1)] {
        offer.system(n, Move::Confirm);
        assert_eq!(offer.of(n).confirm_no, Some(bib));
    }
    offer.leave(1);
    offer.system(2, Move::Confirm);
    placed(&offer.claim(5, "10k:1"));
    offer.system(5, Move::Confirm);
    assert_eq!((offer.of(2).confirm_no, offer.of(5).confirm_no), (Some(2), Some(3)));
    let owner = MoveBy::Owner(user(5));
    let to_the_other_course = offer.moving(5, owner, Move::Amend(want("5k:1")));
    moved(&offer.one(to_the_other_course));
    assert_eq!(offer.of(5).confirm_no, Some(3), "the third bib of the other course");
    assert_eq!(offer.head.pools.iter().map(|pool| pool.confirm_no).collect::<Vec<_>>(), [3, 3, 0, 0]);
}

#[test]
fn amending_is_all_or_nothing_and_keeps_the_hold() {
    let mut offer = Offer::new(rules());
    placed(&offer.claim(1, "10k:1,s1-1:1"));
    placed(&offer.claim(2, "5k:1"));
    let end_ms = offer.of(1).hold_until_ms;
    let owner = MoveBy::Owner(user(1));
    let mut amend = |text: &str| {
        let input = offer.moving(1, owner, Move::Amend(want(text)));
        offer.one(input)
    };
    assert_eq!(amend("5k:1"), Answer::NoUnits);
    assert!(matches!(amend("s1-1:1"), Answer::BadWant(_)));
    assert_eq!(moved(&amend("10k:1,s1-1:1")), None);
    assert!(moved(&amend("10k:1,s1-2:1")).is_some());
    assert_eq!((offer.of(1).want.clone(), offer.of(1).hold_until_ms), (want("10k:1,s1-2:1"), end_ms));
    offer.system(1, Move::Pay);
    let input = offer.moving(1, owner, Move::Amend(want("10k:1")));
    assert_eq!(offer.one(input), Answer::Illegal { state: ClaimState::Paying });
}

#[test]
fn amending_gives_the_old_units_to_the_line() {
    let mut offer = Offer::new(with(|rules| capacity(rules, "5k", 2)));
    placed(&offer.claim(1, "10k:1"));
    placed(&offer.claim(2, "10k:1"));
    let size = offer.head.size;
    let input = offer.moving(1, MoveBy::Owner(user(1)), Move::Amend(want("5k:1")));
    moved(&offer.one(input));
    assert_eq!(offer.events_from(size), ["amend 1 5k:1", "grant 2"]);
}

#[test]
fn amending_while_waiting_keeps_the_place_and_is_granted_when_free() {
    let mut offer = in_state(ClaimState::Waitlisted);
    let size = offer.head.size;
    let owner = MoveBy::Owner(user(1));
    let input = offer.moving(1, owner, Move::Amend(want("10k:1,s1-1:1")));
    moved(&offer.one(input));
    assert_eq!(offer.state(1), ClaimState::Waitlisted);
    let input = offer.moving(1, owner, Move::Amend(want("5k:1")));
    moved(&offer.one(input));
    assert_eq!(offer.state(1), ClaimState::Held);
    assert_eq!(offer.events_from(size), ["amend 2 10k:1,s1-1:1", "amend 2 5k:1", "grant 2"]);
}
