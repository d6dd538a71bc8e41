//! The disk is full: nothing is taken and everybody hears it; once there is room, the same process is right again.
//!
//! A limit on the size of files stands for the full disk: every write beyond it fails, in whatever file.

use std::io;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;
use tokio::process::Command;

use super::crowd::{self, Crowd};
use super::outage::is_away;
use super::process::{Home, SERVE};
use crate::support::site::{Site, sqlite};
use crate::support::wait::until_so;

/// Less than any of the yard's files already has.
const FULL_BYTES: u64 = 4_096;
const SOON: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_a_503_until_there_is_room() {
    sqlite(full).await;
}

async fn full(site: &Site) {
    let home = Home::on(site);
    let mut command = home.command(SERVE);
    spare_signal(&mut command);
    let mut yard = home.serve_by(command).await;
    let admin = home.admin(&yard, "boss").await;
    let mut crowd = Crowd::gather(&yard, &admin, 400, 250).await;

    for (at, those) in [0..200, 200..400].into_iter().enumerate() {
        let mut burst = crowd.burst(&yard, those.clone());
        burst.answered(50).await;
        limit(yard.id(), Some(FULL_BYTES));
        let answers = burst.end().await;
        assert_eq!(answers.len(), those.len(), "somebody heard nothing");
        assert!(crowd::away(&answers) > 0, "the disk was full after everybody was served");
        crowd.remember(answers);

        let race = format!("/api/v1/races/{}", crowd.race());
        let newcomer = yard.post(&format!("{race}/registrations"), &json!({})).bearer_auth(crowd.token(those.end - 1));
        is_away(newcomer).await;
        let username = format!("member{at}");
        is_away(yard.sign_up(&username)).await;
        assert_eq!(yard.read(&race).await["id"], json!(crowd.race()), "what only reads goes on");
        crowd.verify(&yard).await;

        limit(yard.id(), None);
        let signed_up = async || yard.sign_up(&username).send().await.unwrap().status() == StatusCode::CREATED;
        until_so("somebody can sign up again", SOON, signed_up).await;
        crowd.ask(&yard, those).await;
        crowd.check(&yard).await;
        assert!(yard.is_running(), "in the same process");
        assert_eq!(yard.read("/health/ready").await["status"], "ready");
    }
    crowd.settle(&yard).await;
    assert!(yard.terminate().await.success());
    let yard = home.serve().await;
    crowd.settle(&yard).await;
}

/// Lets a write beyond the limit fail, as on a full disk, instead of ending the process.
pub fn spare_signal(command: &mut Command) {
    // SAFETY: between fork and exec only `signal` is called, which is async-signal-safe.
    unsafe {
        command.pre_exec(|| match libc::signal(libc::SIGXFSZ, libc::SIG_IGN) {
            libc::SIG_ERR => Err(io::Error::last_os_error()),
            _ => Ok(()),
        });
    }
}

/// Limits the files of a running process to so many bytes.
fn limit(process: libc::pid_t, bytes: Option<u64>) {
    let limit = libc::rlimit { rlim_cur: bytes.unwrap_or(libc::RLIM_INFINITY), rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the new limit lives across the call, the old one is not asked for.
    let set = unsafe { libc::prlimit(process, libc::RLIMIT_FSIZE, &limit, std::ptr::null_mut()) };
    assert_eq!(set, 0, "{}", io::Error::last_os_error());
}

#[tokio::test]
async fn a_full_disk_at_the_start_is_told() {
    let home = Home::new();
    let mut command = home.command(SERVE);
    spare_signal(&mut command);
    let limit = libc::rlimit { rlim_cur: FULL_BYTES, rlim_max: FULL_BYTES };
    // SAFETY: between fork and exec only `setrlimit` is called, which is a plain system call.
    unsafe {
        command.pre_exec(move || match libc::setrlimit(libc::RLIMIT_FSIZE, &limit) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        });
    }
    super::process::ended(command).await.refused(1, &["database"]);
    // With room it starts where it broke off.
    home.serve().await;
}
