//! The whole yard over HTTP, in process.
