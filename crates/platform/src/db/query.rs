//! Reading and writing rows by SQL text, the same on both databases.

use sea_orm::{ConnectionTrait, QueryResult, Statement, Value};

use super::DbError;

/// Makes a statement's argument list: `args![race_id.0, title]`.
#[macro_export]
macro_rules! args {
    ($($value:expr),* $(,)?) => { vec![$($crate::db::Value::from($value)),*] };
}
pub use args;

/// What a row can be read into: a struct with `#[derive(FromQueryResult)]`, or a tuple by position.
pub trait Row: Sized {
    fn read(row: &QueryResult) -> Result<Self, sea_orm::DbErr>;
}

macro_rules! tuple_rows {
    ($(($($name:ident $index:tt),+))+) => {$(
        impl<$($name: sea_orm::TryGetable),+> Row for ($($name,)+) {
            fn read(row: &QueryResult) -> Result<Self, sea_orm::DbErr> {
                Ok(($(row.try_get_by_index::<$name>($index)?,)+))
            }
        }
    )+};
}
tuple_rows! { (A 0) (A 0, B 1) (A 0, B 1, C 2) (A 0, B 1, C 2, D 3) (A 0, B 1, C 2, D 3, E 4) }

/// Implements [`Row`] for structs that derive `FromQueryResult`.
#[macro_export]
macro_rules! rows {
    ($($name:ty),+ $(,)?) => {$(
        impl $crate::db::Row for $name {
            fn read(row: &sea_orm::QueryResult) -> Result<Self, sea_orm::DbErr> {
                <Self as sea_orm::FromQueryResult>::from_query_result(row, "")
            }
        }
    )+};
}

/// Statements on a database or inside a transaction.
pub trait Query: Sync {
    #[doc(hidden)]
    fn connection(&self) -> &impl ConnectionTrait;

    fn all<T: Row + Send>(&self, sql: &str, args: Vec<Value>) -> impl Future<Output = Result<Vec<T>, DbError>> + Send {
        let statement = self.statement(sql, args);
        async move {
            let rows = self.connection().query_all_raw(statement).await?;
            Ok(rows.iter().map(T::read).collect::<Result<_, _>>()?)
        }
    }

    fn one<T: Row + Send>(
        &self,
        sql: &str,
        args: Vec<Value>,
    ) -> impl Future<Output = Result<Option<T>, DbError>> + Send {
        let statement = self.statement(sql, args);
        async move {
            let row = self.connection().query_one_raw(statement).await?;
            Ok(row.as_ref().map(T::read).transpose()?)
        }
    }

    /// Runs a statement; answers how many rows it changed.
    fn run(&self, sql: &str, args: Vec<Value>) -> impl Future<Output = Result<u64, DbError>> + Send {
        let statement = self.statement(sql, args);
        async move { Ok(self.connection().execute_raw(statement).await?.rows_affected()) }
    }

    #[doc(hidden)]
    fn statement(&self, sql: &str, args: Vec<Value>) -> Statement {
        Statement::from_sql_and_values(self.connection().get_database_backend(), sql, args)
    }
}
