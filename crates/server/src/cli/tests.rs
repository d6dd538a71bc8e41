use super::*;

fn parse(words: &[&str]) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(["madang"].iter().chain(words))
}

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn without_a_command_it_serves() {
    let cli = parse(&["--port", "0"]).unwrap_or_else(|error| panic!("{error}"));
    assert!(cli.command.is_none());
    let cli =
        parse(&["serve", "--port", "0", "--bind", "::1", "--role", "all"]).unwrap_or_else(|error| panic!("{error}"));
    assert!(matches!(cli.command, Some(Command::Serve(_))));
}

#[test]
fn wrong_usage_ends_with_two() {
    for words in [
        &["serve", "--port", "70000"][..],
        &["rehearse", "--people", "0", "--capacity", "1"],
        &["rehearse", "--people", "10"],
        &["rehearse", "--people", "10", "--capacity", "1", "--url", "http://yard"],
        &["rehearse", "--people", "10", "--capacity", "1", "--token-file", "f"],
        &["verify"],
        &["verify", "--save", "d", "--receipt", "f"],
        &["admin", "create"],
        &["offer", "pause"],
        &["saga", "retry"],
        &["config"],
        &["backup"],
        &["restore"],
        &["nonsense"],
    ] {
        let code = main(["madang"].iter().chain(words).map(Into::into), None);
        assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::from(2)), "{words:?}");
    }
}

#[test]
fn mistakes_found_later_are_usage_too() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().to_str().expect("a name");
    std::fs::write(directory.path().join("madang.toml"), "nonsense = 1\n").expect("written");
    for words in [
        &["serve", "--role", "races", "--data-dir", data][..],
        &["serve", "--data-dir", data],
        &["config", "check", "--data-dir", data],
        &["verify", "ftp://yard"],
        &["verify", "--receipt", "/nonexistent/receipt", data],
        &["rehearse", "--people", "1", "--capacity", "1", "--url", "http://yard", "--token-file", "/nonexistent/token"],
    ] {
        let code = main(["madang"].iter().chain(words).map(Into::into), None);
        assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::from(2)), "{words:?}");
    }
}

#[test]
fn every_command_shows_examples() {
    let mut cli = Cli::command();
    cli.build();
    for command in cli.get_subcommands().filter(|command| command.get_name() != "help") {
        let has_own = command.get_after_help().is_some();
        let named = command.get_subcommands().filter(|inner| inner.get_name() != "help");
        assert!(has_own || named.into_iter().all(|inner| inner.get_after_help().is_some()), "{}", command.get_name());
    }
}
