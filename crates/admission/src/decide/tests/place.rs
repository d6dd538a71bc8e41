use super::*;

#[test]
fn the_first_gets_the_place_the_next_waits() {
    let mut offer = Offer::new(rules());
    let answer = offer.claim(1, "10k:1,s1-1:1");
    let first = placed(&answer);
    assert_eq!((first.seq, first.state, first.ordinal, first.log_index), (1, ClaimState::Held, 1, 1));
    assert_eq!(first.hold_until_ms, Some(2_000 + 600_000));
    let answer = offer.claim(2, "10k:1,s1-1:1");
    let second = placed(&answer);
    assert_eq!((second.seq, second.state, second.hold_until_ms), (2, ClaimState::Waitlisted, None));
    assert_eq!(offer.head.pool(&"s1-1".parse().expect("a code")).expect("a pool").taken, 1);
    assert_eq!(offer.events_from(1), ["claim 1 10k:1,s1-1:1 held", "claim 2 10k:1,s1-1:1 waitlisted"]);
}

#[test]
fn all_or_nothing_over_pools() {
    let mut offer = Offer::new(no_line());
    placed(&offer.claim(1, "10k:1"));
    assert_eq!(number(&offer.claim(2, "10k:1,5k:1")), (2, false));
    placed(&offer.claim(2, "5k:1"));
}

#[test]
fn what_is_held_back_is_not_free() {
    let mut offer = Offer::new(with(|rules| held_back(rules, "10k", 1)));
    assert_eq!(placed(&offer.claim(1, "10k:1")).state, ClaimState::Waitlisted);
}

#[test]
fn a_second_click_has_what_it_has() {
    let mut offer = Offer::new(rules());
    placed(&offer.claim(1, "10k:1"));
    let size = offer.head.size;
    for text in ["10k:1", "5k:1", "nowhere:1"] {
        let answer = offer.claim(1, text);
        assert!(matches!(&answer, Answer::Has { claim } if claim.seq == 1), "{answer:?}");
    }
    let twice = [offer.click(2, "10k:1"), offer.click(2, "10k:1")];
    let answers = offer.batch(&twice);
    assert_eq!(placed(&answers[0]).seq, 2);
    assert!(matches!(&answers[1], Answer::Has { claim } if claim.seq == 2));
    assert_eq!(offer.head.size, size + 1);
}

#[test]
fn a_key_answers_with_its_claim_also_after_a_return() {
    let mut offer = Offer::new(rules());
    let id = placed(&offer.claim_keyed(1, "10k:1", "k")).id;
    assert!(matches!(offer.claim_keyed(1, "10k:1", "k"), Answer::Idempotent { claim } if claim.id == id));
    assert_eq!(offer.claim_keyed(1, "10k:1,s1-1:1", "k"), Answer::IdemMismatch);
    offer.leave(1);
    let answer = offer.claim_keyed(1, "10k:1", "k");
    assert!(matches!(&answer, Answer::Idempotent { claim } if claim.state == ClaimState::Cancelled), "{answer:?}");
    let again = offer.claim_keyed(1, "10k:1", "other");
    assert_eq!((placed(&again).replaces, placed(&again).seq), (Some(id), 2));
    assert!(placed(&offer.claim_keyed(2, "5k:1", "k")).id != id, "a key is its user's own");
}

#[test]
fn a_key_twice_in_one_batch_makes_one_claim() {
    let mut offer = Offer::new(with(|rules| rules.per_person = 2));
    let twice = [Some("k"), Some("k")].map(|key| Input::Claim(offer.input(1, "10k:1", key)));
    let answers = offer.batch(&twice);
    let id = placed(&answers[0]).id;
    assert!(matches!(&answers[1], Answer::Idempotent { claim } if claim.id == id));
}

#[test]
fn further_claims_need_a_fresh_key_and_end_at_the_limit() {
    let mut offer = Offer::new(with(|rules| {
        rules.per_person = 2;
        capacity(rules, "10k", 9);
    }));
    assert_eq!(placed(&offer.claim(1, "10k:1")).ordinal, 1);
    assert!(matches!(offer.claim(1, "10k:1"), Answer::Has { .. }));
    assert_eq!(placed(&offer.claim_keyed(1, "10k:1", "a")).ordinal, 2);
    assert_eq!(offer.claim_keyed(1, "10k:1", "b"), Answer::Limit);
    assert!(matches!(offer.claim(1, "10k:1"), Answer::Has { claim } if claim.seq == 2));
    assert!(matches!(offer.claim_keyed(1, "10k:1", "a"), Answer::Idempotent { claim } if claim.seq == 2));
    let first = offer.claims.values().find(|claim| claim.seq == 1).expect("a claim").id;
    let by = MoveBy::Owner(user(1));
    moved(&offer.one(Input::Move { claim: first, by, mv: Move::Return(ReturnReason::Released) }));
    assert_eq!(placed(&offer.claim_keyed(1, "10k:1", "c")).ordinal, 1, "the smallest free ordinal");
}

#[test]
fn who_was_freed_in_this_batch_is_decided_in_the_next() {
    let mut offer = Offer::new(rules());
    placed(&offer.claim(1, "10k:1"));
    let batch = [offer.leaving(1), offer.click(1, "10k:1")];
    let answers = offer.batch(&batch);
    assert!(moved(&answers[0]).is_some());
    assert_eq!(answers[1], Answer::NextBatch);
    placed(&offer.one(batch[1].clone()));
}

#[test]
fn before_opening_while_paused_and_after_closing() {
    let mut offer = Offer::new(rules());
    offer.now_ms = OPENS_MS - 1;
    assert_eq!(offer.claim(1, "10k:1"), Answer::NotOpen { opens_ms: OPENS_MS });
    offer.now_ms = OPENS_MS;
    placed(&offer.claim(1, "10k:1"));
    offer.hand(Hand::Pause);
    assert_eq!(offer.claim(2, "5k:1"), Answer::Paused);
    assert!(matches!(offer.claim(1, "10k:1"), Answer::Has { .. }), "what one has is said while paused too");
    offer.hand(Hand::Resume);
    let size = offer.head.size;
    offer.now_ms = CLOSES_MS;
    assert_eq!(offer.claim(2, "5k:1"), Answer::Closed);
    assert_eq!(offer.events_from(size), ["close"]);
    offer.now_ms = OPENS_MS;
    assert_eq!(offer.claim(2, "5k:1"), Answer::Closed, "a clock that steps back opens nothing");
    assert_eq!(offer.events_from(size), ["close"]);
}

#[test]
fn an_empty_batch_closes_when_it_is_time() {
    let mut offer = Offer::new(rules());
    offer.batch(&[]);
    assert!(!offer.head.closed);
    assert_eq!(offer.head.size, 1);
    offer.now_ms = CLOSES_MS;
    offer.batch(&[]);
    assert!(offer.head.closed);
    assert_eq!(offer.events_from(1), ["close"]);
}

#[test]
fn wants_the_rules_forbid() {
    let mut offer = Offer::new(rules());
    for text in ["s1-1:1", "10k:2", "nowhere:1", "10k:1,s1-1:1,s1-2:1"] {
        let answer = offer.claim(1, text);
        assert!(matches!(answer, Answer::BadWant(_)), "{text}: {answer:?}");
    }
    assert_eq!(offer.head.size, 1);
}

#[test]
fn a_refusal_keeps_its_number_until_a_place_is_free() {
    let mut offer = Offer::new(no_line());
    placed(&offer.claim(1, "10k:1"));
    let batch = [offer.click(2, "10k:1"), offer.click(2, "10k:1"), offer.click(3, "10k:1")];
    let answers = offer.batch(&batch);
    assert_eq!(answers.iter().map(number).collect::<Vec<_>>(), [(2, false), (2, true), (3, false)]);
    assert_eq!(offer.last.as_ref().expect("a decision").refused.len(), 2);
    let size = offer.head.size;
    let repeat = offer.claim(2, "10k:1");
    assert_eq!(repeat, Answer::Refused { seq: Some(2), index: Some(2), repeat: true });
    assert_eq!(number(&offer.claim(2, "10k:1,s1-1:1")), (4, false), "another want is another refusal");
    assert_eq!(offer.head.size, size + 1);
    offer.leave(1);
    assert_eq!(placed(&offer.claim(2, "10k:1")).seq, 5);
    offer.leave(2);
    placed(&offer.claim(3, "10k:1"));
    assert_eq!(number(&offer.claim(2, "10k:1")), (2, true), "the old number again");
}

#[test]
fn refusals_beyond_the_limit_have_no_number() {
    let mut offer = Offer::new(with(|rules| {
        rules.waitlist = false;
        rules.refusals_logged_max = 1;
    }));
    placed(&offer.claim(1, "10k:1"));
    assert_eq!(number(&offer.claim(2, "10k:1")), (2, false));
    let size = offer.head.size;
    assert_eq!(offer.claim(3, "10k:1"), Answer::Refused { seq: None, index: None, repeat: false });
    assert_eq!(number(&offer.claim(2, "10k:1")), (2, true));
    assert_eq!(offer.head.size, size);
    assert_eq!(placed(&offer.claim(4, "5k:1")).seq, 3, "a grant never loses its number");
}

#[test]
fn at_once_confirms_and_numbers() {
    let mut offer = Offer::new(with(|rules| {
        rules.confirm = ConfirmMode::AtOnce;
        capacity(rules, "10k", 2);
    }));
    for n in 1..=2 {
        let answer = offer.claim(n, "10k:1,s1-1:1");
        let claim = placed(&answer);
        assert_eq!((claim.state, claim.confirm_no), (ClaimState::Confirmed, Some(u32::from(n))));
        assert_eq!(claim.hold_until_ms, None);
    }
    placed(&offer.claim(3, "10k:1"));
    offer.leave(1);
    assert_eq!((offer.state(3), offer.of(3).confirm_no), (ClaimState::Confirmed, Some(3)), "never a number twice");
    assert!(offer.events_from(1).contains(&"claim 1 10k:1,s1-1:1 confirmed".to_owned()));
}

#[test]
fn the_organiser_takes_what_is_held_back_first() {
    let mut offer = Offer::new(with(|rules| {
        capacity(rules, "10k", 3);
        held_back(rules, "10k", 1);
    }));
    offer.now_ms = 10;
    let answer = offer.assign(1, "10k:1");
    let claim = placed(&answer);
    assert_eq!((claim.state, claim.hold_until_ms), (ClaimState::Held, Some(10 + 86_400_000)));
    let pool = |offer: &Offer| offer.head.pools[0].clone();
    assert_eq!((pool(&offer).held_back, pool(&offer).taken, pool(&offer).free()), (0, 1, 2));
    placed(&offer.assign(2, "10k:1"));
    assert_eq!((pool(&offer).held_back, pool(&offer).taken, pool(&offer).free()), (0, 2, 1));
    assert!(matches!(offer.assign(1, "5k:1"), Answer::Has { claim } if claim.seq == 1));
    placed(&offer.assign(3, "10k:1"));
    assert_eq!(offer.assign(4, "10k:1"), Answer::NoUnits);
    assert!(matches!(offer.assign(4, "s1-1:1"), Answer::BadWant(_)));
    assert_eq!(offer.events_from(1)[0], "claim 1 10k:1 assigned");
}

#[test]
fn the_organiser_skips_pause_line_and_closing() {
    let mut offer = Offer::new(with(|rules| {
        capacity(rules, "10k", 4);
        held_back(rules, "10k", 3);
    }));
    placed(&offer.claim(1, "10k:1"));
    for n in 2..=3 {
        placed(&offer.claim(n, "10k:1"));
    }
    offer.hand(Hand::Pause);
    let size = offer.head.size;
    assert!(moved(&offer.assign(3, "10k:1")).is_some());
    assert_eq!((offer.state(2), offer.state(3)), (ClaimState::Waitlisted, ClaimState::Held));
    assert!(offer.last.as_ref().expect("a decision").changed[0].granted);
    placed(&offer.assign(4, "10k:1"));
    offer.hand(Hand::Close);
    placed(&offer.assign(5, "10k:1"));
    assert_eq!(offer.events_from(size), ["assign 3", "claim 4 10k:1 assigned", "close", "claim 5 10k:1 assigned"]);
}

#[test]
fn the_organiser_names_another_want_to_who_waits() {
    let mut offer = Offer::new(with(|rules| held_back(rules, "5k", 1)));
    placed(&offer.claim(1, "10k:1"));
    placed(&offer.claim(2, "10k:1"));
    placed(&offer.claim(3, "10k:1"));
    let size = offer.head.size;
    moved(&offer.assign(3, "5k:1"));
    assert_eq!(offer.events_from(size), ["amend 3 5k:1", "assign 3"]);
    assert_eq!((offer.state(3), offer.of(3).want.clone()), (ClaimState::Held, want("5k:1")));
    offer.set_rules(|rules| {
        held_back(rules, "5k", 0);
        capacity(rules, "5k", 2);
    });
    let size = offer.head.size;
    moved(&offer.assign(2, "5k:1"));
    assert_eq!(offer.events_from(size), ["amend 2 5k:1", "grant 2"], "what is free is a grant of the line");
}

#[test]
fn an_assignment_waits_for_the_row_of_a_return() {
    let mut offer = Offer::new(rules());
    placed(&offer.claim(1, "10k:1"));
    let claim = offer.input(1, "10k:1", None);
    let batch = [offer.leaving(1), Input::Assign { claim }];
    assert_eq!(offer.batch(&batch)[1], Answer::NextBatch);
}

#[test]
fn a_refusal_is_repeated_from_memory_only_while_it_is_true() {
    let mut offer = Offer::new(no_line());
    placed(&offer.claim(1, "10k:1"));
    let (seq, _) = number(&offer.claim(2, "10k:1"));
    let repeat = |offer: &Offer, n: u8, text: &str| offer.refusals.repeat(&offer.head, &person(n), &want(text));
    assert_eq!(repeat(&offer, 2, "10k:1"), Some((seq, 2)));
    assert_eq!(repeat(&offer, 2, "10k:1,s1-1:1"), None, "never refused that");
    assert_eq!(repeat(&offer, 3, "10k:1"), None, "never refused");
    let behind = Refusals::new();
    assert_eq!(behind.repeat(&offer.head, &person(2), &want("10k:1")), None, "a fold that is behind");
    offer.hand(Hand::Pause);
    assert_eq!(repeat(&offer, 2, "10k:1"), None, "while paused");
    offer.hand(Hand::Resume);
    moved(&offer.leave(1));
    assert_eq!(repeat(&offer, 2, "10k:1"), None, "it is free");
    placed(&offer.claim(3, "10k:1"));
    assert_eq!(repeat(&offer, 2, "10k:1"), Some((seq, 2)));
    placed(&offer.claim(2, "5k:1"));
    assert_eq!(repeat(&offer, 2, "10k:1"), None, "he has a place of the other course now");
    assert!(matches!(offer.claim(2, "10k:1"), Answer::Has { .. }));
    number(&offer.claim(4, "10k:1"));
    assert!(repeat(&offer, 4, "10k:1").is_some());
    offer.set_rules(|rules| rules.waitlist = true);
    assert_eq!(repeat(&offer, 4, "10k:1"), None, "there is a line now");
}
