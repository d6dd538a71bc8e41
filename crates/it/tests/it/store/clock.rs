//! A clock that jumps.

use std::time::Duration;

use kernel::{OfferId, UserId};
use orderlog::Rules;
use platform::db::Kind;

use crate::support::books::balanced;
use crate::support::shop::{Shop, rules};
use crate::support::site::{Site, postgres, sqlite};
use crate::support::wait::until_so;

const HOUR_MS: i64 = 3_600_000;
/// A clock that goes on evenly after its jump is believed after a quarter of a minute.
const SETTLED: Duration = Duration::from_secs(40);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_hour_ahead_is_not_believed_before_it_has_settled() {
    sqlite(jumps).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_hour_ahead_is_not_believed_before_it_has_settled_on_postgresql() {
    postgres(jumps).await;
}

async fn jumps(site: &Site) {
    let shop = Shop::open(site).await;
    let in_a_day = shop.db.clock().now_ms() + 24 * HOUR_MS;
    let offer = shop.sell(Rules { closes_ms: in_a_day, ..rules(&shop, &[("10k", 500)]) }).await;
    claim(&shop, offer).await.unwrap();
    forward(&shop);
    for _ in 0..20 {
        let problem = claim(&shop, offer).await.unwrap_err();
        assert_eq!((problem.status(), problem.code.code), (503, "admission/busy"));
        assert!(problem.retry_after_ms.is_some());
    }
    assert_eq!(balanced(&shop, offer).await.claims.len(), 1, "nothing was taken");
    until_so("the new time was believed", SETTLED, async || claim(&shop, offer).await.is_ok()).await;
    let ahead_ms = balanced(&shop, offer).await.leaves[2].decided_ms;

    // Back again: claims go on at once, and the log's time stands still until the clock has caught up.
    if shop.db.kind() == Kind::Sqlite {
        shop.db.clock().shift_ms(-2 * HOUR_MS);
        for _ in 0..5 {
            claim(&shop, offer).await.unwrap();
        }
        let books = balanced(&shop, offer).await;
        assert!(books.leaves[3..].iter().all(|leaf| leaf.decided_ms == ahead_ms));
    }
}

async fn claim(shop: &Shop, offer: OfferId) -> Result<platform::admission::Claimed, platform::http::Problem> {
    shop.claim(offer, UserId::fresh(), "10k:1").await
}

/// The readings go an hour ahead of what this process has seen.
fn forward(shop: &Shop) {
    match shop.db.kind() {
        Kind::Sqlite => shop.db.clock().shift_ms(HOUR_MS),
        // Why: the database's clock cannot be moved, but an hour too early can be what was believed last.
        Kind::Postgres => {
            let early = shop.db.clock().now_ms() - HOUR_MS;
            shop.db.clock().check(early).unwrap();
        }
    }
}
