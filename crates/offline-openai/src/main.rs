//! The command line of the stand-in: flags, one ready line, and a stop on a signal.

mod cli;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use offline_openai::{STAND_IN, Server};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> ExitCode {
    match run(cli::Flags::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("offline-openai: {message}");
            ExitCode::FAILURE
        }
    }
}

async fn run(flags: cli::Flags) -> Result<(), String> {
    let mode = if flags.fixed { ", fixed answers" } else { "" };
    let failed = |why: std::io::Error| why.to_string();
    // Before the server says that it is ready, so that no signal is missed.
    let mut terminated = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupted = signal(SignalKind::interrupt()).map_err(failed)?;
    let (_, server) = Server::bind(flags.into_config())
        .await
        .map_err(|why| why.to_string())?;
    let ready = format!("ready: {} ({STAND_IN}{mode})", server.base_url());
    writeln!(std::io::stdout(), "{ready}").map_err(failed)?;
    tokio::select! {
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
    }
    server.stop().await;
    Ok(())
}
