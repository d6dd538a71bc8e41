use super::*;
use crate::db::{Clock, DbOptions, open};

const THINGS: Index = Index("things");

/// What the index must answer: every word of the query occurs in one of the text's words.
fn contains(text: &str, query: &str) -> bool {
    let fold = |text: &str| text.nfc().flat_map(char::to_lowercase).collect::<String>();
    let (text, query) = (fold(text), fold(query));
    query.split_whitespace().all(|word| text.split_whitespace().any(|other| other.contains(word)))
}

async fn found(db: &Db, query: &str) -> Vec<Uuid> {
    let sql = "SELECT id FROM thing WHERE TRUE";
    let (condition, args) = match THINGS.condition(db, query, "thing.id", 1) {
        Some((condition, value)) => (format!("{sql} AND {condition} ORDER BY id"), vec![value]),
        None => (format!("{sql} ORDER BY id"), vec![]),
    };
    db.all::<(Uuid,)>(&condition, args).await.expect("the query runs").into_iter().map(|row| row.0).collect()
}

async fn thing(db: &Db, no: u128, text: &'static str) -> Uuid {
    let id = Uuid::from_u128(no);
    db.write(move |tx| {
        Box::pin(async move {
            tx.run("INSERT INTO thing (id) VALUES ($1) ON CONFLICT DO NOTHING", args![id]).await?;
            THINGS.put(tx, id, text).await
        })
    })
    .await
    .expect("the text is stored");
    id
}

/// An empty index on every database there is: SQLite always, PostgreSQL where a test server is named.
async fn databases(name: &'static str) -> (Vec<Db>, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut all = vec![DbOptions::Sqlite { dir: dir.path().to_owned() }];
    all.extend(std::env::var("MADANG_TEST_POSTGRES_URL").ok().map(|url| DbOptions::Postgres { url }));
    let mut open_ones = Vec::new();
    for options in all {
        let db = open(name, &options, &Clock::default()).await.expect("the database opens");
        let drop = db.pick("DROP TABLE IF EXISTS thing", "DROP TABLE IF EXISTS thing, things");
        let create = db.pick("CREATE TABLE thing (id BLOB PRIMARY KEY)", "CREATE TABLE thing (id uuid PRIMARY KEY)");
        db.write(move |tx| {
            Box::pin(async move {
                tx.run(drop, args![]).await?;
                tx.run(create, args![]).await
            })
        })
        .await
        .expect("a table to search");
        THINGS.create(&db).await.expect("an index");
        THINGS.create(&db).await.expect("a second start changes nothing");
        open_ones.push(db);
    }
    (open_ones, dir)
}

#[tokio::test]
async fn finds_what_a_scan_would_find() {
    let texts = [
        "한강 마라톤 2027",
        "서울국제마라톤 (잠실)",
        "북한산 코스 10km",
        "Seoul City RUN 10K",
        "강",
        "가 나",
        "가나",
        "café de Fête",
        "it's 100% \"quoted\" AND (OR) NEAR *",
        "🏃‍♀️ 러닝크루",
    ];
    let queries = [
        "한강",
        "강",
        "마라톤",
        "라톤",
        "마라",
        "톤",
        "북한산 코스",
        "코스 북한산",
        "10k",
        "10K",
        "run city",
        "seoul run 10",
        "가나",
        "가 나",
        "나",
        "cafe",
        "CAFÉ",
        "fête",
        "it's",
        "100%",
        "\"quoted\"",
        "and",
        "*",
        "🏃",
        "러닝",
        "닝크루",
        "없는말",
        "1",
        "  ",
        "2027)",
        "(잠실)",
        "잠실)",
        "'; DROP TABLE thing; --",
        "near *",
        "<->",
        "a:*",
    ];
    let (dbs, _dir) = databases("search_scan").await;
    for db in dbs {
        let mut ids = Vec::new();
        for (no, text) in (1..).zip(texts) {
            ids.push(thing(&db, no, text).await);
        }
        for query in queries {
            let expected: Vec<Uuid> =
                ids.iter().zip(texts).filter(|(_, text)| contains(text, query)).map(|(id, _)| *id).collect();
            assert_eq!(found(&db, query).await, expected, "{query:?} on {:?}", db.kind());
        }
    }
}

#[tokio::test]
async fn a_decomposed_spelling_is_the_same_word() {
    let (dbs, _dir) = databases("search_spelling").await;
    for db in dbs {
        let id = thing(&db, 1, "한강 마라톤").await;
        let decomposed: String = "한강".nfd().collect();
        assert_eq!(found(&db, &decomposed).await, [id]);
    }
}

#[tokio::test]
async fn a_changed_or_removed_text_is_no_longer_found() {
    let (dbs, _dir) = databases("search_change").await;
    for db in dbs {
        let id = thing(&db, 1, "부산 바다").await;
        thing(&db, 1, "제주 바람").await;
        assert_eq!(found(&db, "부산").await, Vec::<Uuid>::new());
        assert_eq!(found(&db, "제주").await, [id]);
        db.write(move |tx| Box::pin(async move { THINGS.remove(tx, id).await })).await.expect("it is removed");
        assert_eq!(found(&db, "제주").await, Vec::<Uuid>::new());
        thing(&db, 1, "제주 바람").await;
        assert_eq!(found(&db, "제주").await, [id]);
    }
}

#[test]
fn a_long_text_is_searched_as_far_as_the_limit() {
    let long: String = "가".repeat(CHARS_MAX * 2);
    assert_eq!(pairs_of_text(&long).len(), CHARS_MAX);
}
