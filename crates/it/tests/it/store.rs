//! The admission store, driven directly, without HTTP.

mod clock;
mod crowd;
mod faults;
mod hand;
mod line;
