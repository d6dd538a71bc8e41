use super::*;

#[test]
fn a_return_goes_to_the_first_whose_whole_want_is_free() {
    let mut offer = Offer::new(rules());
    placed(&offer.claim(1, "10k:1"));
    placed(&offer.claim(2, "5k:1"));
    for (n, text) in [(3, "10k:1,5k:1"), (4, "5k:1"), (5, "10k:1"), (6, "10k:1")] {
        assert_eq!(placed(&offer.claim(n, text)).state, ClaimState::Waitlisted);
    }
    let size = offer.head.size;
    moved(&offer.leave(1));
    assert_eq!(offer.state(5), ClaimState::Held);
    assert_eq!(offer.of(5).hold_until_ms, Some(offer.now_ms + 86_400_000), "the longer hold of the line");
    moved(&offer.leave(2));
    moved(&offer.leave(4));
    assert_eq!(offer.state(3), ClaimState::Waitlisted, "both courses were never free together");
    moved(&offer.leave(5));
    assert_eq!(offer.state(3), ClaimState::Held, "who was passed over kept his place");
    let expected = [
        "return 1 released",
        "grant 5",
        "return 2 released",
        "grant 4",
        "return 4 released",
        "return 5 released",
        "grant 3",
    ];
    assert_eq!(offer.events_from(size), expected);
}

#[test]
fn grants_stand_before_the_next_claim_of_the_same_batch() {
    let mut offer = Offer::new(rules());
    placed(&offer.claim(1, "10k:1"));
    placed(&offer.claim(2, "10k:1"));
    let size = offer.head.size;
    let batch = [offer.leaving(1), offer.click(3, "10k:1")];
    offer.batch(&batch);
    assert_eq!(offer.events_from(size), ["return 1 released", "grant 2", "claim 3 10k:1 waitlisted"]);
    let decided = &offer.last.as_ref().expect("a decision").changed;
    assert_eq!(decided.len(), 3);
    let granted: Vec<_> = decided.iter().map(|decided| (decided.claim.seq, decided.was, decided.granted)).collect();
    assert!(granted.contains(&(2, Some(ClaimState::Waitlisted), true)));
    assert!(granted.contains(&(3, None, false)));
}

#[test]
fn joining_and_being_granted_in_one_batch_is_one_row() {
    let mut offer = Offer::new(rules());
    placed(&offer.claim(1, "10k:1"));
    let batch = [offer.click(2, "10k:1"), offer.leaving(1)];
    let answers = offer.batch(&batch);
    assert_eq!(placed(&answers[0]).state, ClaimState::Held, "the answer tells the end of the batch");
    let decided = &offer.last.as_ref().expect("a decision").changed;
    let second = decided.iter().find(|decided| decided.claim.seq == 2).expect("decided");
    assert_eq!((second.was, second.granted), (None, true));
}

#[test]
fn leaving_the_line_frees_nothing() {
    let mut offer = Offer::new(rules());
    for n in 1..=3 {
        placed(&offer.claim(n, "10k:1"));
    }
    let epoch = offer.head.free_epoch;
    moved(&offer.leave(2));
    assert_eq!((offer.head.waiting, offer.head.free_epoch), (1, epoch));
    moved(&offer.leave(1));
    assert_eq!(offer.state(3), ClaimState::Held);
}

#[test]
fn the_line_ends_with_the_offer_unless_the_rules_say_otherwise() {
    for (after_close, state) in [(false, ClaimState::Waitlisted), (true, ClaimState::Held)] {
        let mut offer = Offer::new(with(|rules| rules.line_after_close = after_close));
        placed(&offer.claim(1, "10k:1"));
        placed(&offer.claim(2, "10k:1"));
        let expire = Move::Return(ReturnReason::Expired);
        assert_eq!(offer.system(2, expire.clone()), Answer::Illegal { state: ClaimState::Waitlisted });
        offer.hand(Hand::Close);
        moved(&offer.leave(1));
        assert_eq!(offer.state(2), state);
        let answer = offer.system(2, expire);
        assert_eq!(matches!(answer, Answer::Moved { leaf: Some(_), .. }), !after_close, "{answer:?}");
    }
}

#[test]
fn grants_go_on_while_paused() {
    let mut offer = Offer::new(rules());
    placed(&offer.claim(1, "10k:1"));
    placed(&offer.claim(2, "10k:1"));
    offer.hand(Hand::Pause);
    moved(&offer.leave(1));
    assert_eq!(offer.state(2), ClaimState::Held);
}

#[test]
fn back_to_the_pool_the_next_click_takes_it() {
    let mut offer = Offer::new(with(|rules| rules.return_to = ReturnTo::Pool));
    for n in 1..=3 {
        placed(&offer.claim(n, "10k:1"));
    }
    moved(&offer.leave(1));
    assert_eq!(offer.state(2), ClaimState::Waitlisted, "nobody is granted by himself");
    let size = offer.head.size;
    assert!(matches!(offer.claim(3, "5k:1"), Answer::Has { claim } if claim.state == ClaimState::Held));
    assert_eq!(offer.events_from(size), ["grant 3"], "the click of somebody who waits takes what he waits for");
    moved(&offer.leave(3));
    assert_eq!(placed(&offer.claim(4, "10k:1")).state, ClaimState::Held, "a newcomer may be faster");
    assert!(matches!(offer.claim(2, "10k:1"), Answer::Has { claim } if claim.state == ClaimState::Waitlisted));
    moved(&offer.leave(4));
    offer.hand(Hand::Close);
    assert!(matches!(offer.claim(2, "10k:1"), Answer::Has { claim } if claim.state == ClaimState::Waitlisted));
}

#[test]
fn a_long_line_is_loaded_only_as_far_as_needed() {
    let mut offer = Offer::new(rules());
    for n in 1..=40 {
        placed(&offer.claim(n, "10k:1"));
    }
    let input = [offer.leaving(1)];
    let mut facts = offer.facts(&input);
    let need = decide(&offer.head, &facts, &offer.refusals, &input, offer.now_ms).expect_err("nothing is loaded");
    assert_eq!(need, NeedLine { after_seq: 0 });
    facts.line.push(offer.of(2).clone());
    let decision = decide(&offer.head, &facts, &offer.refusals, &input, offer.now_ms).expect("one is enough");
    assert_eq!(decision.head.waiting, 38);
}

#[test]
fn a_freed_pool_nobody_lacked_is_no_reason_to_walk_the_line() {
    let mut offer = Offer::new(rules());
    placed(&offer.claim(1, "10k:1,s1-1:1"));
    placed(&offer.claim(2, "10k:1"));
    placed(&offer.claim(3, "5k:1,s1-1:1"));
    // One size is sold out, the courses are too: giving back a souvenir alone serves nobody.
    let input = [offer.moving(1, MoveBy::Owner(user(1)), Move::Amend(want("10k:1")))];
    let facts = offer.facts(&input);
    assert!(decide(&offer.head, &facts, &offer.refusals, &input, offer.now_ms).is_ok());
    // A place comes free and is granted: the souvenir in stock does not send the walk to the end of the line.
    placed(&offer.claim(4, "10k:1"));
    let input = [offer.leaving(1)];
    let facts = Facts { line: vec![offer.of(2).clone()], ..offer.facts(&input) };
    let decision = decide(&offer.head, &facts, &offer.refusals, &input, offer.now_ms).expect("one is enough");
    assert_eq!(decision.head.waiting, 1);
}

#[test]
fn the_epoch_rises_when_something_stays_free() {
    let mut offer = Offer::new(no_line());
    placed(&offer.claim(1, "10k:1"));
    number(&offer.claim(2, "10k:1"));
    assert_eq!(offer.head.free_epoch, 0);
    moved(&offer.leave(1));
    assert_eq!(offer.head.free_epoch, 1);
    let mut offer = Offer::new(rules());
    placed(&offer.claim(1, "10k:1"));
    placed(&offer.claim(2, "10k:1"));
    moved(&offer.leave(1));
    assert_eq!(offer.head.free_epoch, 0, "the line took it");
}

#[test]
fn a_pool_that_was_not_empty_may_have_been_lacked_too() {
    let mut offer = Offer::new(with(|rules| {
        rules.units_max = 2;
        capacity(rules, "10k", 3);
    }));
    placed(&offer.claim(1, "10k:1"));
    placed(&offer.claim(2, "10k:1"));
    assert_eq!(placed(&offer.claim(3, "10k:2")).state, ClaimState::Waitlisted);
    moved(&offer.leave(1));
    assert_eq!(offer.state(3), ClaimState::Held);
}
