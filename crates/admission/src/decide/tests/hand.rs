use super::*;
use crate::{Basis, RulesClash};

#[test]
fn pause_resume_and_close_once() {
    let mut offer = Offer::new(rules());
    let none = Answer::Hand { leaf: None };
    assert_eq!(offer.hand(Hand::Resume), none);
    assert_eq!(offer.hand(Hand::Pause), Answer::Hand { leaf: Some(1) });
    assert_eq!(offer.hand(Hand::Pause), none);
    assert_eq!(offer.hand(Hand::Resume), Answer::Hand { leaf: Some(2) });
    assert_eq!(offer.hand(Hand::Close), Answer::Hand { leaf: Some(3) });
    assert_eq!(offer.hand(Hand::Close), none);
    assert_eq!(offer.hand(Hand::Pause), Answer::Closed);
    assert_eq!(offer.hand(Hand::Resume), Answer::Closed);
    assert_eq!(offer.events_from(1), ["pause", "resume", "close"]);
}

#[test]
fn a_closed_offer_still_takes_moves() {
    let mut offer = Offer::new(rules());
    placed(&offer.claim(1, "10k:1"));
    offer.hand(Hand::Close);
    assert!(moved(&offer.system(1, Move::Confirm)).is_some());
    assert!(moved(&offer.leave(1)).is_some());
}

#[test]
fn more_capacity_goes_to_the_line_first() {
    let mut offer = Offer::new(rules());
    for n in 1..=4 {
        placed(&offer.claim(n, "10k:1"));
    }
    let size = offer.head.size;
    offer.set_rules(|rules| capacity(rules, "10k", 3));
    assert_eq!(offer.events_from(size), ["rules", "grant 2", "grant 3"]);
    assert_eq!((offer.head.version, offer.head.free_epoch, offer.head.waiting), (2, 1, 1));
}

#[test]
fn holding_back_less_goes_to_the_line_too() {
    let mut offer = Offer::new(with(|rules| held_back(rules, "10k", 1)));
    placed(&offer.claim(1, "10k:1"));
    let size = offer.head.size;
    offer.set_rules(|rules| held_back(rules, "10k", 0));
    assert_eq!(offer.events_from(size), ["rules", "grant 1"]);
}

#[test]
fn never_below_what_is_taken() {
    let mut offer = Offer::new(with(|rules| capacity(rules, "10k", 3)));
    placed(&offer.claim(1, "10k:1"));
    placed(&offer.claim(2, "10k:1"));
    let below = Answer::BelowTaken { pool: "10k".parse().expect("a code") };
    assert_eq!(offer.set_rules(|rules| capacity(rules, "10k", 1)), below);
    assert_eq!(offer.set_rules(|rules| held_back(rules, "10k", 2)), below);
    assert_eq!(offer.set_rules(|rules| rules.pools.retain(|pool| pool.code.as_str() != "10k")), below);
    assert!(matches!(offer.set_rules(|rules| capacity(rules, "10k", 2)), Answer::Hand { leaf: Some(_) }));
    assert!(matches!(offer.set_rules(|rules| rules.pools.retain(|p| p.code.as_str() != "5k")), Answer::Hand { .. }));
    assert_eq!((offer.head.version, offer.head.pools.len()), (3, 3));
}

#[test]
fn a_pool_that_gave_bibs_stays() {
    let mut offer = Offer::new(rules());
    placed(&offer.claim(1, "10k:1"));
    offer.system(1, Move::Confirm);
    offer.leave(1);
    let answer = offer.set_rules(|rules| rules.pools.retain(|pool| pool.code.as_str() != "10k"));
    assert_eq!(answer, Answer::BelowTaken { pool: "10k".parse().expect("a code") });
}

#[test]
fn an_edit_made_from_what_no_longer_is_changes_nothing() {
    let mut offer = Offer::new(with(|rules| {
        capacity(rules, "10k", 3);
        held_back(rules, "10k", 2);
    }));
    let basis = |head: &Head| Basis {
        version: head.version,
        held_back: head.pools.iter().map(|pool| (pool.code, pool.held_back)).collect(),
    };
    let edit = |rules: &Rules, basis: &Basis| Hand::Edit { rules: Box::new(rules.clone()), basis: basis.clone() };
    let before = basis(&offer.head);
    let mut wider = Rules::clone(&offer.head.rules);
    capacity(&mut wider, "10k", 5);
    offer.assign(1, "10k:1");
    let size = offer.head.size;
    assert_eq!(offer.hand(edit(&wider, &before)), Answer::MovedOn, "a held-back unit was given meanwhile");
    assert_eq!(offer.events_from(size), [""; 0]);
    held_back(&mut wider, "10k", 1);
    let now = basis(&offer.head);
    assert!(matches!(offer.hand(edit(&wider, &now)), Answer::Hand { leaf: Some(_) }));
    assert_eq!(offer.hand(edit(&wider, &now)), Answer::MovedOn, "the rules are others now");
}

#[test]
fn the_same_rules_again_are_no_leaf() {
    let mut offer = Offer::new(with(|rules| held_back(rules, "10k", 1)));
    assert_eq!(offer.set_rules(|_| {}), Answer::Hand { leaf: None });
    placed(&offer.assign(1, "10k:1"));
    assert_eq!(
        offer.set_rules(|_| {}),
        Answer::BelowTaken { pool: "10k".parse().expect("a code") },
        "the rules hold back what was given away since"
    );
    assert_eq!(offer.head.version, 1);
}

#[test]
fn rules_that_contradict_what_stands() {
    let mut offer = Offer::new(rules());
    let clash = |answer: Answer| match answer {
        Answer::BadRules(clash) => clash,
        other => panic!("{other:?}"),
    };
    assert_eq!(clash(offer.set_rules(|rules| rules.offer = Uuid::from_u128(8))), RulesClash::OtherOffer);
    assert!(matches!(clash(offer.set_rules(|rules| rules.per_person = 0)), RulesClash::Invalid(_)));
    placed(&offer.claim(1, "10k:1"));
    let stricter: [fn(&mut Rules); 3] = [
        |rules| rules.want[1].min = 1,
        |rules| rules.pools[3].group = "course".to_owned(),
        |rules| rules.pools.truncate(3),
    ];
    for change in stricter {
        let mut without_line = Offer::new(rules());
        assert!(matches!(without_line.set_rules(change), Answer::Hand { leaf: Some(_) }));
    }
    placed(&offer.claim(2, "10k:1"));
    for change in stricter {
        assert!(matches!(clash(offer.set_rules(change)), RulesClash::LineWantsOtherwise(_)));
    }
}

#[test]
fn rules_whose_time_is_over_close_at_once() {
    let mut offer = Offer::new(rules());
    let now_ms = offer.now_ms;
    offer.set_rules(|rules| rules.closes_ms = now_ms);
    assert_eq!(offer.events_from(1), ["rules", "close"]);
    offer.set_rules(|rules| rules.closes_ms = CLOSES_MS);
    assert_eq!(offer.claim(1, "10k:1"), Answer::Closed, "closed is closed");
}

#[test]
fn all_rules_of_a_batch_are_to_be_published() {
    let mut offer = Offer::new(rules());
    let hands = [2, 3].map(|units| {
        let rules = with(|rules| capacity(rules, "10k", units));
        Input::Hand(Hand::Rules(Box::new(rules)))
    });
    offer.batch(&hands);
    let decision = offer.last.as_ref().expect("a decision");
    let shas: Vec<_> = decision.rules.iter().map(|(sha, rules)| (*sha, rules.sha())).collect();
    let named: Vec<_> = decision.leaves.iter().map(|leaf| leaf.event.clone()).collect();
    assert_eq!(named, shas.iter().map(|(sha, _)| Event::Rules { sha: *sha }).collect::<Vec<_>>());
    assert!(shas.iter().all(|(said, are)| said == are));
    assert_eq!((shas.len(), decision.head.version), (2, 3));
}

#[test]
fn a_line_turned_on_and_turned_to() {
    let mut offer = Offer::new(no_line());
    placed(&offer.claim(1, "10k:1"));
    number(&offer.claim(2, "10k:1"));
    offer.set_rules(|rules| rules.waitlist = true);
    assert_eq!(offer.head.free_epoch, 1, "who was refused could wait now");
    assert_eq!(placed(&offer.claim(2, "10k:1")).state, ClaimState::Waitlisted);
    offer.set_rules(|rules| rules.return_to = ReturnTo::Pool);
    moved(&offer.leave(1));
    assert_eq!(offer.state(2), ClaimState::Waitlisted);
    offer.set_rules(|rules| rules.return_to = ReturnTo::Line);
    assert_eq!(offer.state(2), ClaimState::Held);
}

#[test]
fn a_log_that_continues_keeps_the_numbers() {
    let mut offer = Offer::new(rules());
    placed(&offer.claim(1, "10k:1"));
    let (head, leaves) = offer.head.continues("yard/offers/7".to_owned(), [3; 32], 5);
    assert_eq!((head.size, head.log_no, head.next_seq, head.decided_ms), (2, 2, 2, 2_000));
    assert_eq!(leaves[0].event, Event::Rules { sha: head.rules_sha });
    assert_eq!(
        leaves[1].to_string(),
        format!("1 1 2000 continues yard/offers/7 2 {}", "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=")
    );
}
