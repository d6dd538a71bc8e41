use super::*;
use crate::saga::store::{self, Which};

#[tokio::test]
async fn two_executors_share_without_meeting() {
    for bed in Bed::all().await {
        let (one, two) = (bed.usual(), bed.usual());
        let (_first, _second) = (Process::of(&one), Process::of(&two));
        let mut ids = Vec::new();
        for at in 0..150 {
            ids.push(bed.start(if at % 2 == 0 { &one } else { &two }).await);
            bed.world.fates(ids[at], "payment", &[Fate::Unknown]);
        }
        for id in &ids {
            ends(&one, *id, State::Completed).await;
        }
        assert!(!bed.world.things().met, "a saga was at work twice at once");
    }
}

#[tokio::test]
async fn a_killed_executors_saga_is_finished_by_the_other() {
    for bed in Bed::all().await {
        let pace = Pace { lease_ms: 400, ..Pace::default() };
        let (one, two) = (bed.sagas(pace, &[order(1)]), bed.sagas(pace, &[order(1)]));
        let id = Uuid::now_v7();
        bed.world.fates(id, "payment", &[Fate::Hangs]);
        let first = Process::of(&one);
        assert!(start_as(&bed.db, &one, id).await);
        until("it hangs in its second step", async || bed.world.calls(id).len() == 2).await;
        let _second = Process::of(&two);
        let other = bed.start(&two).await;
        ends(&two, other, State::Completed).await;
        assert_eq!(bed.world.calls(id).len(), 2, "a lease that is prolonged is not taken");
        drop(first);
        let saga = ends(&two, id, State::Completed).await;
        assert_eq!((saga.attempt, bed.world.calls(id).len()), (2, 4));
    }
}

#[tokio::test]
async fn a_stale_executor_writes_nothing() {
    for bed in Bed::all().await {
        let sagas = bed.usual();
        let id = bed.start(&sagas).await;
        let registry = sagas.0.registry.load_full();
        // A lease that is over at once, like that of a process that was paused.
        let mut stale = store::take(&bed.db, &registry, Uuid::now_v7(), -1, Which::One(id)).await.expect("taken");
        bed.world.fates(id, "payment", &[Fate::Refused]);
        let saga = sagas.run_now(id).await.expect("an answer").expect("a saga");
        assert_eq!(saga.state(), Some(State::Compensated));
        let log = bed.logged(&sagas, id).await;
        sagas.work(stale.remove(0), &CancellationToken::new()).await;
        assert_eq!(bed.logged(&sagas, id).await, log);
        let after = found(&sagas, id).await;
        assert_eq!((after.state(), after.attempt), (Some(State::Compensated), 2));
    }
}

#[tokio::test]
async fn who_is_stopped_leaves_his_sagas_between_two_steps() {
    for bed in Bed::all().await {
        let (one, two) = (bed.usual(), bed.usual());
        let id = Uuid::now_v7();
        bed.world.fates(id, "place", &[Fate::Hangs]);
        let first = Process::of(&one);
        assert!(start_as(&bed.db, &one, id).await);
        until("it is at work", async || !bed.world.calls(id).is_empty()).await;
        first.stop.cancel();
        bed.world.open_gate();
        first.end().await;
        let saga = found(&two, id).await;
        assert_eq!((saga.at_work, saga.step.as_str()), (false, "payment"));
        let _second = Process::of(&two);
        ends(&two, id, State::Completed).await;
        assert_eq!(bed.world.calls(id), ["place", "payment", "notice"], "no step was called again");
    }
}
