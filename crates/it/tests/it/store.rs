//! The admission store, driven directly, without HTTP.

mod crowd;
