//! A disk that is full for a while, in one process that goes on.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use kernel::{OfferId, UserId};
use platform::admission::Claimed;
use platform::http::Problem;

use crate::support::books::balanced;
use crate::support::shop::{Shop, people, rules};
use crate::support::site::{Site, sqlite};
use crate::support::wait::until_so;

const CHILD: &str = "MADANG_TEST_DISK_FULL_CHILD";
const NAME: &str = "store::disk_full::a_full_disk_answers_503_and_is_right_again_without_a_restart";
const SURVIVED: &str = "the child lived through it";
const SOON: Duration = Duration::from_secs(30);
/// What may still be written when the disk "fills up".
const ROOM_BYTES: u64 = 64 * 1024;

/// The limit on file sizes is a process's own, so this test starts itself anew as a child that has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_answers_503_and_is_right_again_without_a_restart() {
    if std::env::var_os(CHILD).is_some() {
        return sqlite(full).await;
    }
    let child = tokio::task::block_in_place(|| {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", NAME, "--nocapture"])
            .env(CHILD, "1")
            .output()
            .unwrap()
    });
    let (out, err) = (String::from_utf8_lossy(&child.stdout), String::from_utf8_lossy(&child.stderr));
    assert!(child.status.success() && out.contains(SURVIVED), "{}\n{out}\n{err}", child.status);
}

async fn full(site: &Site) {
    let shop = Shop::open(site).await;
    let offer = shop.sell(rules(&shop, &[("10k", 1_000_000)])).await;
    let mut told = placed(&shop, offer).await;
    assert_eq!(told.len(), 50);

    limit_file_size(Some(largest_file(site.dir.as_ref().unwrap().path()) + ROOM_BYTES));
    let deadline = Instant::now() + SOON;
    loop {
        assert!(Instant::now() < deadline, "the disk never filled up");
        let before = told.len();
        told.extend(placed(&shop, offer).await);
        if told.len() == before {
            break;
        }
    }
    // Now not even the smallest change fits: nothing new can be had, nothing is forgotten, and reading goes on.
    limit_file_size(Some(1));
    for _ in 0..3 {
        assert_eq!(placed(&shop, offer).await.len(), 0);
    }
    for (user, claim) in &told {
        assert_eq!(shop.claim(offer, *user, "10k:1").await.unwrap().claim.id, *claim, "who has a place hears so");
    }
    assert_eq!(shop.try_sell(rules(&shop, &[("10k", 1)])).await.unwrap_err().status(), 503);
    assert_eq!(balanced(&shop, offer).await.claims.len(), told.len());

    limit_file_size(None);
    until_so("claims went through again", SOON, async || shop.claim(offer, UserId::fresh(), "10k:1").await.is_ok())
        .await;
    assert_eq!(placed(&shop, offer).await.len(), 50, "right again");
    for (user, claim) in &told {
        assert_eq!(shop.claim(offer, *user, "10k:1").await.unwrap().claim.id, *claim);
    }
    let books = balanced(&shop, offer).await;
    assert_eq!(books.claims.len(), told.len() + 51);
    shop.sell(rules(&shop, &[("10k", 1)])).await;
    println!("{SURVIVED}");
}

/// Fifty newcomers at once: those who got a place. The others must have heard 503.
async fn placed(shop: &Shop, offer: OfferId) -> Vec<(UserId, kernel::ClaimId)> {
    let people = people(50);
    let answers: Vec<Result<Claimed, Problem>> = shop.crowd(offer, &people, "10k:1").await;
    let place = |(user, answer): (UserId, Result<Claimed, Problem>)| match answer {
        Ok(claimed) => Some((user, claimed.claim.id)),
        Err(problem) => {
            assert_eq!((problem.status(), problem.code.code), (503, "admission/busy"));
            None
        }
    };
    people.into_iter().zip(answers).filter_map(place).collect()
}

fn largest_file(dir: &Path) -> u64 {
    std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).max().unwrap()
}

/// Writes beyond so many bytes fail from now on, as on a full disk; `None` lifts the limit.
fn limit_file_size(bytes: Option<u64>) {
    let soft = bytes.unwrap_or(libc::RLIM_INFINITY);
    let limit = libc::rlimit { rlim_cur: soft, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: ignoring a signal and setting a limit touch no memory of ours; `limit` lives through the call.
    let done = unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        libc::setrlimit(libc::RLIMIT_FSIZE, &limit)
    };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}
