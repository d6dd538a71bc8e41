//! What a claim needs to know of its race, kept in memory for a second: in the opening minute nothing else is read
//! before the queue.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use kernel::{OfferId, RaceId};
use orderlog::{Eligibility, PoolCode, Want};
use platform::http::{Problem, codes};
use tokio::sync::OnceCell;

use crate::Races;
use crate::model::{Souvenir, SouvenirChoice, asks_something, souvenir_code};
use crate::store;

/// A change made by another process shows here so much later; the core decides by the rules themselves.
const AGE_MAX: Duration = Duration::from_secs(1);
/// More races than that are hardly sold in one second; all are read again then.
const RACES_MAX: usize = 10_000;

pub struct Sale {
    pub race: RaceId,
    pub offer: OfferId,
    /// The race's id as claims carry it to their row.
    pub tag: Arc<str>,
    pub hidden: bool,
    pub race_at_ms: i64,
    /// Absent where the rules ask nothing of a person.
    pub eligibility: Option<Eligibility>,
    pub souvenirs: Vec<Souvenir>,
    courses: Vec<PoolCode>,
}

/// Filled once, however many ask at the same moment.
type Cell = Arc<OnceCell<Option<Arc<Sale>>>>;

/// One entry per race, and since when it is there.
#[derive(Default)]
pub struct Sales(RwLock<HashMap<RaceId, (Instant, Cell)>>);

impl Sales {
    /// Makes this process's next claim read the race anew.
    pub fn forget(&self, race: RaceId) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&race);
    }

    fn cell(&self, race: RaceId) -> Cell {
        let is_fresh = |since: &Instant| since.elapsed() < AGE_MAX;
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&race).cloned();
        if let Some((since, cell)) = known
            && is_fresh(&since)
        {
            return cell;
        }
        let mut sales = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if sales.len() >= RACES_MAX {
            sales.clear();
        }
        let (since, cell) = sales.entry(race).or_insert_with(|| (Instant::now(), Cell::default()));
        if !is_fresh(since) {
            (*since, *cell) = (Instant::now(), Cell::default());
        }
        cell.clone()
    }
}

impl Races {
    /// The sale of a race that was not deleted.
    pub async fn sale(&self, race: RaceId) -> Result<Arc<Sale>, Problem> {
        let cell = self.sales.cell(race);
        let sale = cell.get_or_try_init(|| self.read_sale(race)).await?;
        sale.clone().ok_or_else(|| Problem::new(&codes::NOT_FOUND))
    }

    async fn read_sale(&self, id: RaceId) -> Result<Option<Arc<Sale>>, Problem> {
        let Some(race) = store::find_race(&self.db, id).await?.filter(|race| race.deleted_ms.is_none()) else {
            return Ok(None);
        };
        let rules = self.admission.view(&self.db, race.offer).await?.rules;
        let sale = Sale {
            race: id,
            offer: race.offer,
            tag: id.0.simple().to_string().into(),
            hidden: race.hidden,
            race_at_ms: race.race_at_ms,
            eligibility: asks_something(&rules.eligibility).then(|| rules.eligibility.clone()),
            souvenirs: race.souvenirs,
            courses: race.courses.iter().map(|course| course.code).collect(),
        };
        Ok(Some(Arc::new(sale)))
    }
}

impl Sale {
    /// One place on a course, the only one where none is named, and the souvenir if one is.
    pub fn want(&self, course: Option<&str>, souvenir: Option<&SouvenirChoice>) -> Result<Want, Problem> {
        let course = match (course, &self.courses[..]) {
            (None, [only]) => *only,
            (None, _) => return Err(Problem::field("course", "required", "this race has several courses: say which")),
            (Some(code), courses) => *courses
                .iter()
                .find(|known| known.as_str() == code)
                .ok_or_else(|| Problem::field("course", "unknown", "this race has no such course"))?,
        };
        let Some(choice) = souvenir else { return Ok(Want::one(course)) };
        let souvenir = self.souvenir_pool(choice)?;
        Want::new([(course, 1), (souvenir, 1)]).map_err(|error| Problem::field("", "shape", error.to_string()))
    }

    fn souvenir_pool(&self, choice: &SouvenirChoice) -> Result<PoolCode, Problem> {
        let unknown = |field| Problem::field(field, "unknown", "this race has no such souvenir");
        let at = self.souvenirs.iter().position(|souvenir| souvenir.id == choice.id);
        let at = at.ok_or_else(|| unknown("souvenir.id"))?;
        let size = self.souvenirs[at].sizes.iter().position(|size| *size == choice.size);
        let size = size.ok_or_else(|| unknown("souvenir.size"))?;
        PoolCode::new(&souvenir_code(at, size)).map_err(|_| unknown("souvenir.size"))
    }
}
