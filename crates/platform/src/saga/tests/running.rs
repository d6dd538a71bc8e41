use super::*;

const THROUGH: [&str; 5] = ["place done", "payment begun", "payment done", "notice begun", "notice done"];

#[tokio::test]
async fn a_saga_runs_to_its_end() {
    for bed in Bed::all().await {
        let sagas = bed.usual();
        let process = Process::of(&sagas);
        let id = bed.start(&sagas).await;
        assert!(!start_as(&bed.db, &sagas, id).await, "started twice, it is there once");
        let saga = ends(&sagas, id, State::Completed).await;
        assert_eq!((saga.attempt, saga.at_work, saga.step.as_str(), saga.due_at), (1, false, "", None));
        assert!(saga.ended_at.is_some() && saga.last_error.is_none(), "{saga:?}");
        assert_eq!(bed.logged(&sagas, id).await, THROUGH);
        assert_eq!(bed.world.calls(id), ["place", "payment", "notice"]);
        assert_eq!(sagas.by_subject("somebody").await.expect("sagas").len(), 1);
        process.end().await;
    }
}

#[tokio::test]
async fn a_refusal_undoes_what_was_done_in_reverse() {
    for bed in Bed::all().await {
        let sagas = bed.usual();
        let id = Uuid::now_v7();
        bed.world.fates(id, "notice", &[Fate::Refused]);
        bed.world.fates(id, "undo payment", &[Fate::Unknown, Fate::Panics]);
        let _process = Process::of(&sagas);
        assert!(start_as(&bed.db, &sagas, id).await);
        ends(&sagas, id, State::Compensated).await;
        let calls = ["place", "payment", "notice", "undo payment", "undo payment", "undo payment", "undo place"];
        assert_eq!(bed.world.calls(id), calls);
        assert!(bed.world.kept(id).is_empty());
    }
}

#[tokio::test]
async fn what_is_unknown_is_asked_again() {
    for bed in Bed::all().await {
        let sagas = bed.usual();
        let id = Uuid::now_v7();
        bed.world.fates(id, "payment", &[Fate::Unknown, Fate::Unknown, Fate::Unknown]);
        let _process = Process::of(&sagas);
        assert!(start_as(&bed.db, &sagas, id).await);
        let saga = ends(&sagas, id, State::Completed).await;
        assert_eq!((saga.attempt, saga.tries), (4, 0), "each wait gave its lease up");
        let mut log = THROUGH.to_vec();
        log.insert(2, "payment unknown");
        assert_eq!(bed.logged(&sagas, id).await, log, "repeats are not logged");
    }
}

#[tokio::test]
async fn a_poisonous_saga_stops_no_other() {
    for bed in Bed::all().await {
        let pace = Pace { step_ms_max: 200, lease_ms: 1_000, ..Pace::default() };
        let sagas = bed.sagas(pace, &[order(1)]);
        let [panics, hangs, foreign, unreadable] = [(); 4].map(|()| Uuid::now_v7());
        bed.world.fates(panics, "place", &[Fate::Panics]);
        bed.world.fates(hangs, "place", &[Fate::Hangs, Fate::Hangs]);
        for id in [panics, hangs, foreign, unreadable] {
            assert!(start_as(&bed.db, &sagas, id).await);
        }
        let alien = "INSERT INTO saga_log (saga_id, seq, at_ms, attempt, step, event, detail) VALUES ($1, 0, 1, 1, 'else', 'begun', '')";
        bed.run(alien, foreign).await;
        let word = "INSERT INTO saga_log (saga_id, seq, at_ms, attempt, step, event, detail) VALUES ($1, 0, 1, 1, 'place', 'else', '')";
        bed.run(word, unreadable).await;
        for id in [foreign, unreadable] {
            bed.run("UPDATE saga SET attempt = 1 WHERE id = $1", id).await;
        }
        let mut others = Vec::new();
        for _ in 0..20 {
            others.push(bed.start(&sagas).await);
        }
        let _process = Process::of(&sagas);
        for id in others {
            ends(&sagas, id, State::Completed).await;
        }
        let saga = ends(&sagas, panics, State::Stuck).await;
        assert_eq!(saga.last_error.as_deref(), Some("it panicked"));
        until("the log that does not fit is told", async || found(&sagas, foreign).await.last_error.is_some()).await;
        assert_eq!(found(&sagas, foreign).await.state(), Some(State::Running), "left as it is");
        assert!(bed.world.calls(unreadable).is_empty());
        ends(&sagas, hangs, State::Completed).await;
        assert!(bed.world.calls(hangs).len() >= 5, "what took too long was asked again");
    }
}

#[tokio::test]
async fn an_unknown_version_is_left_alone() {
    for bed in Bed::all().await {
        let (old, new) = (bed.usual(), bed.sagas(Pace::default(), &[order(1), order(2)]));
        let later = bed.start(&new).await;
        let process = Process::of(&old);
        let now = bed.start(&old).await;
        ends(&old, now, State::Completed).await;
        let saga = found(&old, later).await;
        assert_eq!((saga.version, saga.attempt, saga.state.as_str()), (2, 0, "running"));
        assert!(old.run_now(later).await.expect("an answer").is_some_and(|saga| saga.attempt == 0));
        process.end().await;
        let _process = Process::of(&new);
        ends(&new, later, State::Completed).await;
    }
}

#[tokio::test]
async fn run_now_answers_after_the_next_pause() {
    for bed in Bed::all().await {
        let sagas = bed.usual();
        let id = bed.start(&sagas).await;
        let saga = sagas.run_now(id).await.expect("an answer").expect("a saga");
        assert_eq!(saga.state(), Some(State::Completed));
        let waits = Uuid::now_v7();
        bed.world.fates(waits, "payment", &[Fate::Unknown]);
        assert!(start_as(&bed.db, &sagas, waits).await);
        let saga = sagas.run_now(waits).await.expect("an answer").expect("a saga");
        assert_eq!((saga.state.as_str(), saga.step.as_str(), saga.tries), ("running", "payment", 1));
        assert_eq!(saga.last_error.as_deref(), Some("fate"));
        let _process = Process::of(&sagas);
        for _ in 0..20 {
            let id = bed.start(&sagas).await;
            let saga = sagas.run_now(id).await.expect("an answer").expect("a saga");
            assert_eq!(saga.state(), Some(State::Completed), "also when the reconciler was faster");
        }
        assert!(sagas.run_now(Uuid::now_v7()).await.expect("an answer").is_none());
    }
}

#[tokio::test]
async fn a_signal_that_comes_while_it_is_at_work_is_not_lost() {
    for bed in Bed::all().await {
        let sagas = bed.usual();
        let id = Uuid::now_v7();
        bed.world.fates(id, "place", &[Fate::HangsUnknown]);
        assert!(start_as(&bed.db, &sagas, id).await);
        // So many tries that it would wait for half a minute.
        bed.run("UPDATE saga SET tries = 20 WHERE id = $1", id).await;
        let _process = Process::of(&sagas);
        until("it is at work", async || !bed.world.calls(id).is_empty()).await;
        let signalling = sagas.clone();
        let heard = bed.db.write(move |tx| Box::pin(async move { signalling.signal(tx, id).await })).await;
        assert!(heard.expect("a signal"));
        bed.world.open_gate();
        ends(&sagas, id, State::Completed).await;
    }
}

#[tokio::test]
async fn rates_count_ends_and_measure_steps() {
    for bed in Bed::all().await {
        let sagas = bed.usual();
        let [well, refused, stuck] = [(); 3].map(|()| Uuid::now_v7());
        bed.world.fates(refused, "payment", &[Fate::Refused]);
        bed.world.fates(stuck, "place", &[Fate::Stuck]);
        for id in [well, refused, stuck] {
            assert!(start_as(&bed.db, &sagas, id).await);
            sagas.run_now(id).await.expect("an answer");
        }
        let rates = sagas.rates("order", 0).await.expect("rates");
        assert_eq!((rates.started, rates.completed, rates.compensated, rates.stuck), (3, 1, 1, 1));
        let steps: Vec<_> = rates.steps.iter().map(|step| (step.step.as_str(), step.done)).collect();
        assert_eq!(steps, [("notice", 1), ("payment", 1), ("place", 2)]);
        bed.run("UPDATE saga_log SET took_ms = 40 WHERE event = 'done' AND step = 'place' AND saga_id = $1", well)
            .await;
        bed.run("UPDATE saga_log SET took_ms = 10 WHERE event = 'done' AND step = 'place' AND saga_id = $1", refused)
            .await;
        let place = sagas.rates("order", 0).await.expect("rates").steps.remove(2);
        assert_eq!((place.p50_ms, place.p95_ms, place.p99_ms), (10, 40, 40));
        assert_eq!(sagas.rates("order", i64::MAX).await.expect("rates").started, 0);
    }
}
