//! The `voxpool` program, as a table of contents: `.env`, command line, configuration, log, app.

use std::process::ExitCode;

use clap::Parser;
use voxpool::app::{self, EXIT_USAGE};
use voxpool::cli::Cli;
use voxpool::config::{Config, Sources, process_environment};
use voxpool::{runtime, telemetry};

fn main() -> ExitCode {
    // Before any thread starts: it writes to the process's environment. What is set already stays.
    if let Err(problem) = read_dotenv() {
        eprintln!("{problem}");
        return ExitCode::from(EXIT_USAGE);
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return explain(&error),
    };
    let command = cli.command();
    let sources = Sources::new(
        cli.settings.config.as_deref(),
        process_environment(),
        cli.flags(),
    );
    let config = match Config::load(sources, command.profile()) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    telemetry::init_log(&config.log);
    match runtime::block_on(app::run(command, config)) {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => fail(&error),
        Err(error) => fail(&error.into()),
    }
}

/// Reads `.env` of the working directory or one above it, if there is one.
fn read_dotenv() -> Result<(), String> {
    match dotenvy::dotenv() {
        Ok(_) => Ok(()),
        Err(error) if error.not_found() => Ok(()),
        // The error's own text quotes the line, which may be a secret.
        Err(dotenvy::Error::LineParse(_, at)) => Err(format!(
            "file .env: a line cannot be read (near its character {at}); write NAME=value"
        )),
        Err(dotenvy::Error::Io(error)) => Err(format!("file .env cannot be read: {error}")),
        Err(_) => Err("file .env cannot be read; write NAME=value, one per line".to_owned()),
    }
}

/// Help and version are no mistakes; everything else clap says is.
fn explain(error: &clap::Error) -> ExitCode {
    let is_shown = error.print().is_ok();
    match (error.use_stderr(), is_shown) {
        (false, true) => ExitCode::SUCCESS,
        _ => ExitCode::from(EXIT_USAGE),
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    if tracing::enabled!(tracing::Level::ERROR) {
        tracing::error!(error = format!("{error:#}"), "voxpool cannot go on");
    } else {
        eprintln!("voxpool: {error:#}");
    }
    ExitCode::FAILURE
}
