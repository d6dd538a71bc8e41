//! The admission store, driven directly, without HTTP.

mod clock;
mod commit;
mod crowd;
mod disk_full;
mod events;
mod faults;
mod hand;
mod jobs;
mod line;
mod mixed;
mod power;
mod processes;
mod restored;
