//! What each person was told, and whether it fits together.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use uuid::Uuid;

use crate::load::Answer;

/// Receipts that are kept to be checked against the log.
const RECEIPTS_MAX: usize = 500;

/// The answers of a rehearsal, person by person. Written from many threads.
pub struct Told {
    people: Box<[Mutex<Person>]>,
    arrivals: Vec<Duration>,
    /// Answers nobody should get, by what they said.
    odd: Mutex<BTreeMap<String, u64>>,
    /// Every so many people one receipt is kept.
    receipt_every: usize,
}

#[derive(Default)]
struct Person {
    /// His claim and its number.
    place: Option<(Uuid, Option<u64>)>,
    /// His number among those who were refused; the inner `None` when he was told none.
    refused: Option<Option<u64>>,
    receipt: Option<String>,
    first_answer: Option<Duration>,
    contradicted: bool,
}

/// When somebody came, and when he first knew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    pub clicked: Duration,
    pub answered: Duration,
    pub placed: bool,
}

/// The whole crowd in numbers.
#[derive(Debug, Default)]
pub struct Sums {
    pub granted: u64,
    pub refused: u64,
    pub numbered: u64,
    pub unanswered: u64,
    pub errors: u64,
    pub faults: Vec<String>,
    pub receipts: Vec<String>,
}

/// What we read of an answer's body.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    id: Option<Uuid>,
    code: Option<String>,
    sequence: Option<u64>,
    receipt: Option<String>,
}

impl Told {
    /// `arrivals` says when each person clicks, from the start.
    pub fn new(arrivals: Vec<Duration>) -> Told {
        let people = arrivals.iter().map(|_| Mutex::default()).collect();
        let receipt_every = arrivals.len().div_ceil(RECEIPTS_MAX).max(1);
        Told { people, arrivals, odd: Mutex::default(), receipt_every }
    }

    /// Who has a place, and which.
    pub fn places(&self) -> Vec<(usize, Uuid)> {
        let place = |(person, told): (usize, &Mutex<Person>)| Some((person, lock(told).place?.0));
        self.people.iter().enumerate().filter_map(place).collect()
    }

    /// Takes down one answer to one of this person's clicks.
    pub fn note(&self, person: usize, answer: &Answer<'_>) {
        let body: Body = serde_json::from_slice(answer.body).unwrap_or_default();
        let mut told = lock(&self.people[person]);
        let at = self.arrivals[person] + answer.latency;
        told.first_answer = Some(told.first_answer.map_or(at, |first| first.min(at)));
        if person.is_multiple_of(self.receipt_every) && told.receipt.is_none() {
            told.receipt = body.receipt;
        }
        match (answer.status, body.id, body.code.as_deref()) {
            (200 | 201, Some(claim), _) => {
                let place = (claim, body.sequence);
                told.contradicted |= *told.place.get_or_insert(place) != place;
            }
            (409, _, Some("admission/sold-out")) => {
                told.contradicted |= *told.refused.get_or_insert(body.sequence) != body.sequence
            }
            (status, _, code) => {
                let said = format!("{status} {}", code.unwrap_or("without a code"));
                *lock(&self.odd).entry(said).or_default() += 1;
            }
        }
    }

    /// Adds everything up and looks for answers that contradict each other.
    pub fn sums(&self) -> Sums {
        let mut sums = Sums::default();
        let mut numbers: HashMap<u64, usize> = HashMap::new();
        let (mut both, mut contradicted, mut unnumbered) = (0, 0, 0);
        for person in &self.people {
            let person = lock(person);
            contradicted += u64::from(person.contradicted);
            both += u64::from(person.place.is_some() && person.refused.is_some());
            unnumbered += u64::from(person.place.is_some_and(|(_, number)| number.is_none()));
            sums.granted += u64::from(person.place.is_some());
            sums.refused += u64::from(person.refused.is_some());
            sums.numbered += u64::from(person.refused.flatten().is_some());
            sums.unanswered += u64::from(person.place.is_none() && person.refused.is_none());
            for number in [person.place.and_then(|(_, number)| number), person.refused.flatten()].into_iter().flatten()
            {
                *numbers.entry(number).or_default() += 1;
            }
            sums.receipts.extend(person.receipt.clone());
        }
        for (said, times) in lock(&self.odd).iter() {
            sums.errors += times;
            sums.faults.push(format!("answered {times} times: {said}"));
        }
        let shared = numbers.values().filter(|times| **times > 1).count();
        let counted = [
            (contradicted, "people were told two things"),
            (both, "people were both placed and refused"),
            (unnumbered, "people have a place without a number"),
            (shared as u64, "numbers were given to more than one person"),
        ];
        sums.faults
            .extend(counted.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")));
        sums
    }

    /// Everybody who was answered, in the order of arrival.
    pub fn moments(&self) -> Vec<Moment> {
        let moment = |(person, clicked): (&Mutex<Person>, &Duration)| {
            let person = lock(person);
            Some(Moment { clicked: *clicked, answered: person.first_answer?, placed: person.place.is_some() })
        };
        self.people.iter().zip(&self.arrivals).filter_map(moment).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
