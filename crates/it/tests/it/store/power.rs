//! The power fails in the middle of a burst; what is on the disk must hold all that was told.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kernel::{ClaimId, OfferId, UserId};
use orderlog::{Person, ReturnReason, Rules, Want};
use platform::admission::core::{ClaimState, Move};
use platform::db::{DbError, Query, args};
use powercut::{PowerCut, Survivors};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinHandle;

use crate::support::books::{Books, balanced};
use crate::support::shop::{Shop, Upkeep, rules, told, want};
use crate::support::site::Site;
use crate::support::wait::until_so;

const CLIENTS: u64 = 6;
const CUTS_PER_BURST: u64 = 25;
const CUTS: u64 = 150;
const CUTS_LONG: u64 = 1_000;
/// Told between two cuts, so that each cut finds something new.
const TOLD_PER_CUT: usize = 8;
const SOON: Duration = Duration::from_secs(30);
/// So many images with a loss show that losses are found, not met by chance.
const LOSSES: u64 = 5;

/// Something a client was told, and that must be true for good.
#[derive(Clone, Debug)]
enum Told {
    Claim { person: Person, seq: u64, index: u64, id: ClaimId },
    Refused { person: Person, seq: u64, index: u64 },
    Confirmed { seq: u64 },
    Ended { seq: u64 },
}

type ToldList = Arc<Mutex<Vec<Told>>>;

/// A shop in a burst, on a directory whose power may be cut.
struct Burst {
    power: PowerCut,
    site: Site,
    offer: OfferId,
    told: ToldList,
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
    upkeep: Upkeep,
}

impl Burst {
    async fn start(seed: u64, syncs: bool) -> Burst {
        let site = Site::sqlite();
        // Before anything is opened there: what was opened earlier is not watched.
        let power = powercut::install(site.dir.as_ref().unwrap().path()).unwrap();
        let shop = Shop::open(&site).await;
        let offer = shop.sell(Rules { hold_s: 1, ..rules(&shop, &[("10k", 40)]) }).await;
        if !syncs {
            forget_syncs(&shop).await;
        }
        let (told, stop) = (ToldList::default(), Arc::new(AtomicBool::new(false)));
        let clients = (0..CLIENTS).map(|n| {
            let client = Client {
                shop: shop.clone(),
                offer,
                told: told.clone(),
                random: StdRng::seed_from_u64(seed * CLIENTS + n),
            };
            tokio::spawn(client.live(stop.clone()))
        });
        let clients = clients.collect();
        Burst { power, offer, told, stop, clients, upkeep: shop.upkeep(), site }
    }

    /// Cuts the power and looks at what is left: how much was at stake, or what was lost.
    async fn cut(&self, seed: u64, survivors: Survivors) -> Result<usize, String> {
        let image = Site::sqlite();
        let target = image.dir.as_ref().unwrap().path();
        let before = self.told.lock().unwrap().len();
        until_so("clients were told something", SOON, async || {
            self.told.lock().unwrap().len() >= before + TOLD_PER_CUT
        })
        .await;
        // Why: right after an answer all is synced. The power fails at any moment.
        let (since, moment) =
            (Instant::now(), Duration::from_micros(StdRng::seed_from_u64(seed).random_range(0..8_000)));
        while since.elapsed() < moment {
            tokio::task::yield_now().await;
        }
        // Noted first: all of this was told before the power failed.
        let told = self.told.lock().unwrap().clone();
        let at_stake = tokio::task::block_in_place(|| self.power.cut(seed, target, survivors)).unwrap();
        let offer = self.offer;
        // A broken image may end in any panic; that is a finding too.
        let found = tokio::spawn(async move { examine(&image, offer, &told).await }).await;
        found.unwrap_or_else(|panic| Err(panic.to_string())).map(|()| at_stake)
    }

    async fn end(self) {
        self.stop.store(true, Ordering::SeqCst);
        futures::future::join_all(self.clients).await.into_iter().for_each(Result::unwrap);
        self.upkeep.stop().await;
        drop(self.site);
    }
}

/// Plants the fault: the writer goes on without asking for syncs.
async fn forget_syncs(shop: &Shop) {
    let planted: Result<(), DbError> = shop
        .db
        .write(|tx| {
            Box::pin(async move {
                // SQLite takes this setting outside of transactions only.
                for sql in ["COMMIT", "PRAGMA synchronous = OFF", "BEGIN IMMEDIATE"] {
                    tx.run(sql, args![]).await?;
                }
                Ok(())
            })
        })
        .await;
    planted.unwrap();
}

/// Somebody who claims, asks again, pays, confirms, leaves and comes back as somebody else.
struct Client {
    shop: Shop,
    offer: OfferId,
    told: ToldList,
    random: StdRng,
}

impl Client {
    async fn live(mut self, stop: Arc<AtomicBool>) {
        while !stop.load(Ordering::SeqCst) {
            let user = UserId::fresh();
            for _ in 0..self.random.random_range(1..4) {
                if let Some((claim, seq)) = self.claim(user).await {
                    self.proceed(claim, seq).await;
                }
            }
        }
    }

    fn note(&self, told: Told) {
        self.told.lock().unwrap().push(told);
    }

    async fn claim(&self, user: UserId) -> Option<(ClaimId, u64)> {
        let person = self.shop.keys.people(self.offer).derive(user.0).0;
        match self.shop.claim(self.offer, user, "10k:1").await {
            Ok(claimed) => {
                let claim = claimed.claim;
                self.note(Told::Claim { person, seq: claim.seq, index: claim.log_index, id: claim.id });
                Some((claim.id, claim.seq))
            }
            Err(problem) => {
                let (seq, index) = told(&problem);
                self.note(Told::Refused { person, seq: seq.unwrap(), index: index.unwrap() });
                None
            }
        }
    }

    async fn proceed(&mut self, claim: ClaimId, seq: u64) {
        let steps: &[Move] = match self.random.random_range(0..5) {
            0 => &[],
            1 => &[Move::Pay, Move::Confirm, Move::Return(ReturnReason::Failed)],
            2 => &[Move::Confirm],
            3 => &[Move::Pay, Move::Unpay],
            _ => &[Move::Return(ReturnReason::Failed)],
        };
        for step in steps {
            // A hold may have ended meanwhile; then the step is refused and nothing was told.
            let Ok(view) = self.shop.system(self.offer, claim, step.clone()).await else { continue };
            match view.state {
                ClaimState::Confirmed => self.note(Told::Confirmed { seq }),
                state if !state.open() => self.note(Told::Ended { seq }),
                _ => {}
            }
        }
        // Confirmed places are freed by the organiser, so that there is always something to sell.
        let by = platform::admission::core::MoveBy::Organiser;
        if self.random.random_bool(0.5)
            && self.shop.admission.act(self.offer, claim, by, Move::Return(ReturnReason::Cancelled)).await.is_ok()
        {
            self.note(Told::Ended { seq });
        }
    }
}

/// Opens an image as a restarted server would, and looks for everything that was told.
async fn examine(image: &Site, offer: OfferId, told: &[Told]) -> Result<(), String> {
    let shop = Shop::open(image).await;
    let (verdict,) = shop.db.one::<(String,)>("PRAGMA integrity_check", args![]).await.unwrap().unwrap();
    if verdict != "ok" {
        return Err(verdict);
    }
    let ids = shop.db.all::<(i64, uuid::Uuid)>("SELECT seq, id FROM claim", args![]).await.unwrap();
    let ids: HashMap<u64, ClaimId> = ids.into_iter().map(|(seq, id)| (seq as u64, ClaimId(id))).collect();
    let books = balanced(&shop, offer).await;
    match told.iter().find(|told| !holds(told, &books, &ids, &want("10k:1"))) {
        Some(lost) => Err(format!("{lost:?} was told and is not so")),
        None => Ok(()),
    }
}

fn holds(told: &Told, books: &Books, ids: &HashMap<u64, ClaimId>, want: &Want) -> bool {
    match told {
        Told::Claim { person, seq, index, id } => {
            ids.get(seq) == Some(id)
                && books.claims.get(seq).is_some_and(|claim| (claim.person, claim.log_index) == (*person, *index))
        }
        Told::Refused { person, seq, index } => books.refusals.get(&(*person, want.clone())) == Some(&(*seq, *index)),
        Told::Confirmed { seq } => {
            books.claims.get(seq).is_some_and(|claim| claim.state == ClaimState::Confirmed || !claim.state.open())
        }
        Told::Ended { seq } => books.claims.get(seq).is_some_and(|claim| !claim.state.open()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_was_told_is_lost_when_the_power_fails() {
    let cuts = if std::env::var_os("MADANG_TEST_LONG").is_some() { CUTS_LONG } else { CUTS };
    let mut at_stake = 0;
    for burst_no in 0..cuts.div_ceil(CUTS_PER_BURST) {
        let burst = Burst::start(burst_no, true).await;
        for cut in 0..CUTS_PER_BURST {
            let seed = burst_no * CUTS_PER_BURST + cut;
            let survivors = Survivors::EACH[seed as usize % Survivors::EACH.len()];
            let unsynced =
                burst.cut(seed, survivors).await.unwrap_or_else(|lost| panic!("cut {seed}, {survivors:?}: {lost}"));
            at_stake += u64::from(unsynced > 0);
        }
        burst.end().await;
    }
    println!("{cuts} cuts, {at_stake} with something at stake");
    assert!(at_stake > cuts / 10, "only {at_stake} of {cuts} cuts had anything to lose");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_syncs_the_losses_are_found() {
    let burst = Burst::start(0, false).await;
    let mut lost = 0;
    for seed in 0..CUTS {
        let survivors = [Survivors::None, Survivors::Writes, Survivors::Sectors][seed as usize % 3];
        lost += u64::from(burst.cut(seed, survivors).await.is_err());
        if lost == LOSSES {
            break;
        }
    }
    burst.end().await;
    assert_eq!(lost, LOSSES, "the losses were not found");
}
