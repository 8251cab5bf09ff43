//! `voxpool forget`: deletes everything that is remembered of one caller.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;

use crate::app::EXIT_USAGE;
use crate::cli::Whose;
use crate::config::Config;
use crate::memory::{self, ForgetError};
use crate::pool::ConnectionPool;

/// Deletes, and says on standard output how many memories went; the name of the caller stays out of
/// it.
///
/// # Errors
/// When the store cannot be used, or standard output cannot be written.
pub async fn run(config: &Config, whose: &Whose) -> anyhow::Result<ExitCode> {
    let Some(user) = whose.user() else {
        eprintln!("voxpool: no caller has this name: it is blank, too long, or has a NUL");
        return Ok(ExitCode::from(EXIT_USAGE));
    };
    let pool = ConnectionPool::new(config.pool.clone()).context("no HTTP client could be made")?;
    let forgotten = memory::forget(&config.memory, &config.supabase, &pool, user).await;
    pool.close().await;
    match forgotten {
        Ok(forgotten) => {
            let mut out = std::io::stdout().lock();
            let (rows, store) = (forgotten.rows, forgotten.store);
            writeln!(out, "deleted {rows} memories of this caller from {store}")?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error @ (ForgetError::NoStore(_) | ForgetError::NoFile(_))) => {
            eprintln!("voxpool: {error}");
            Ok(ExitCode::from(EXIT_USAGE))
        }
        Err(error) => Err(error.into()),
    }
}
