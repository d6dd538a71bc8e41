//! The admission store, driven directly, without HTTP.

mod crowd;
mod hand;
mod line;
