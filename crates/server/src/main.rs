//! `madang`: the yard and its tools. Everything is in the library, so that tests and benches run the same.

fn main() -> std::process::ExitCode {
    server::cli::main(std::env::args_os(), None)
}
