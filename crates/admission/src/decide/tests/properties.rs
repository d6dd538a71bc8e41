use proptest::prelude::*;

use super::*;

/// What somebody does, by small numbers.
#[derive(Clone, Debug)]
enum Act {
    Click { person: u8, want: u8, key: Option<u8> },
    Step { person: u8, step: u8 },
    Assign { person: u8, want: u8 },
    Hand { what: u8, units: u32 },
    Wait { ms: i64 },
}

const WANTS: [&str; 6] = ["10k:1", "5k:1", "10k:1,5k:1", "10k:1,s1-1:1", "5k:1,s1-1:1", "5k:2,s1-2:2"];
const KEYS: [&str; 3] = ["a", "b", "c"];

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (0u8..12, 0u8..6, prop::option::of(0u8..3)).prop_map(|(person, want, key)| Act::Click { person, want, key }),
        5 => (0u8..12, 0u8..9).prop_map(|(person, step)| Act::Step { person, step }),
        1 => (0u8..12, 0u8..6).prop_map(|(person, want)| Act::Assign { person, want }),
        1 => (0u8..9, 0u32..5).prop_map(|(what, units)| Act::Hand { what, units }),
        1 => (-1_000i64..700_000).prop_map(|ms| Act::Wait { ms }),
    ]
}

fn offer_rules() -> impl Strategy<Value = Rules> {
    (any::<[bool; 4]>(), 1u32..3, 1u32..3).prop_map(
        |([waitlist, to_pool, at_once, after_close], per_person, units_max)| {
            with(|rules| {
                rules.waitlist = waitlist;
                rules.return_to = if to_pool { ReturnTo::Pool } else { ReturnTo::Line };
                rules.confirm = if at_once { ConfirmMode::AtOnce } else { ConfirmMode::Later };
                rules.line_after_close = after_close;
                rules.per_person = per_person;
                rules.units_max = units_max;
                rules.refusals_logged_max = 5;
                capacity(rules, "10k", 3);
                capacity(rules, "5k", 2);
                held_back(rules, "10k", 1);
            })
        },
    )
}

fn input(offer: &mut Offer, act: &Act) -> Option<Input> {
    match act {
        Act::Click { person, want, key } => {
            let key = key.map(|key| KEYS[usize::from(key)]);
            Some(Input::Claim(offer.input(*person, WANTS[usize::from(*want)], key)))
        }
        Act::Assign { person, want } => {
            Some(Input::Assign { claim: offer.input(*person, WANTS[usize::from(*want)], None) })
        }
        Act::Step { person: n, step } => {
            let claims = offer.claims.values().filter(|claim| claim.person == person(*n));
            let claim = claims.max_by_key(|claim| claim.seq)?;
            let owner = MoveBy::Owner(claim.user_id);
            let (by, mv) = match step {
                0 => (MoveBy::System, Move::Pay),
                1 => (MoveBy::System, Move::Unpay),
                2 => (MoveBy::System, Move::Confirm),
                3 => (MoveBy::System, Move::Return(ReturnReason::Expired)),
                4 => (MoveBy::System, Move::Return(ReturnReason::Failed)),
                5 => (MoveBy::Organiser, Move::Return(ReturnReason::Cancelled)),
                6 => (owner, Move::Amend(want(WANTS[usize::from(*n) % WANTS.len()]))),
                _ => (owner, Move::Return(ReturnReason::Released)),
            };
            Some(Input::Move { claim: claim.id, by, mv })
        }
        Act::Hand { what, units } => {
            let mut rules = Rules::clone(&offer.head.rules);
            // The organiser writes down what remains held back.
            for (rule, pool) in rules.pools.iter_mut().zip(&offer.head.pools) {
                rule.held_back = pool.held_back;
            }
            match what {
                0 => return Some(Input::Hand(Hand::Pause)),
                1..=3 => return Some(Input::Hand(Hand::Resume)),
                4 => rules.closes_ms = offer.now_ms + i64::from(*units) * 400_000,
                5 => held_back(&mut rules, "10k", *units),
                6 => rules.waitlist = *units > 1,
                _ => capacity(&mut rules, if *units > 2 { "10k" } else { "5k" }, *units + 1),
            }
            Some(Input::Hand(Hand::Rules(Box::new(rules))))
        }
        Act::Wait { ms } => {
            offer.now_ms += ms;
            None
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// [`Offer::batch`] asserts the invariants after every batch.
    #[test]
    fn invariants_hold_in_batches_of_any_size(
        rules in offer_rules(),
        page in 1usize..4,
        batches in prop::collection::vec(prop::collection::vec(act(), 1..8), 1..40),
    ) {
        let mut offer = Offer::new(rules);
        offer.page = page;
        for acts in batches {
            let mut inputs: Vec<_> = acts.iter().filter_map(|act| input(&mut offer, act)).collect();
            inputs.sort_by_key(|input| matches!(input, Input::Claim(_)));
            let head = offer.head.clone();
            offer.batch(&inputs);
            let decision = offer.last.as_ref().expect("a decision");
            if decision.leaves.is_empty() {
                prop_assert_eq!(&offer.head, &head, "nothing changes without a leaf");
                prop_assert!(decision.changed.is_empty());
            }
        }
    }

    /// The log does not show where batches began: deciding one by one gives the same leaves and claims.
    #[test]
    fn batches_are_invisible(rules in offer_rules(), acts in prop::collection::vec(act(), 1..60)) {
        let mut together = Offer::new(rules);
        for acts in acts.chunks(6) {
            let mut alone = Offer { claims: together.claims.clone(), ..Offer::new(Rules::clone(&together.head.rules)) };
            alone.head = together.head.clone();
            alone.leaves = together.leaves.clone();
            alone.refusals = together.refusals.clone();
            let inputs: Vec<_> = acts.iter().filter_map(|act| input(&mut together, act)).collect();
            alone.now_ms = together.now_ms;
            alone.batch(&[]);
            let answers = together.batch(&inputs);
            let kept = inputs.iter().zip(&answers).filter(|(_, answer)| **answer != Answer::NextBatch);
            for (input, _) in kept {
                alone.one(input.clone());
            }
            prop_assert_eq!(&alone.leaves, &together.leaves);
            prop_assert_eq!(&alone.claims, &together.claims);
            prop_assert_eq!(&alone.head.pools, &together.head.pools);
        }
    }

    /// The number somebody was refused with is the number he is refused with for ever.
    #[test]
    fn a_refused_number_never_changes(rules in offer_rules(), acts in prop::collection::vec(act(), 1..200)) {
        let mut offer = Offer::new(Rules { waitlist: false, ..rules });
        let mut told = BTreeMap::new();
        for act in acts {
            let Some(input) = input(&mut offer, &act) else { continue };
            let asked = match &input {
                Input::Claim(input) => Some((input.person, input.want.clone())),
                _ => None,
            };
            if let (Answer::Refused { seq: Some(seq), index, .. }, Some(asked)) = (offer.one(input), asked) {
                prop_assert_eq!(*told.entry(asked).or_insert((seq, index)), (seq, index));
            }
        }
    }

    /// A process that saw somebody refused may rely on the epoch: while it stands, he would be refused again.
    #[test]
    fn the_epoch_rises_before_a_refused_want_can_be_had(
        rules in offer_rules(),
        batches in prop::collection::vec(prop::collection::vec(act(), 1..6), 1..60),
    ) {
        let mut offer = Offer::new(Rules { waitlist: false, ..rules });
        let mut refused = Vec::new();
        for acts in batches {
            let mut inputs: Vec<_> = acts.iter().filter_map(|act| input(&mut offer, act)).collect();
            inputs.sort_by_key(|input| matches!(input, Input::Claim(_)));
            let answers = offer.batch(&inputs);
            let epoch = offer.head.free_epoch;
            for want in refused.iter().filter_map(|(want, at)| (*at == epoch).then_some(want)) {
                prop_assert!(!offer.head.is_free(want) && !offer.head.rules.waitlist, "{} at {}", want, epoch);
            }
            for (input, answer) in inputs.into_iter().zip(answers) {
                if let (Input::Claim(input), Answer::Refused { .. }) = (input, answer) {
                    refused.push((input.want, epoch));
                }
            }
        }
    }
}
