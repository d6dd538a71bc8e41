//! The admission store, driven directly, without HTTP.

mod clock;
mod commit;
mod crowd;
mod events;
mod faults;
mod hand;
mod jobs;
mod line;
mod processes;
