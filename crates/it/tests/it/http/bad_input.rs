//! Whatever a client sends, it hears the right problem, and nothing has changed.

mod bodies;
mod requests;
mod tokens;
