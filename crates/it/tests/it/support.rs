//! Databases to test on, a small shop that sells on them, and the books that must balance afterwards.

pub mod app;
pub mod books;
pub mod contract;
pub mod proxy;
pub mod shop;
pub mod site;
pub mod sse;
pub mod wait;
