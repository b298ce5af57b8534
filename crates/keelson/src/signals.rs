//! Ending in good order.

use control::CancellationToken;
use tokio::signal::unix::{SignalKind, signal};

/// Cancelled by the first SIGTERM or SIGINT; a second one ends the process at once.
pub fn shutdown() -> anyhow::Result<CancellationToken> {
    let token = CancellationToken::new();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let cancelled = token.clone();
    tokio::spawn(async move {
        for attempt in 0_u32.. {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if attempt > 0 {
                std::process::exit(1);
            }
            cancelled.cancel();
        }
    });
    Ok(token)
}

/// Log lines on standard error; `KEELSON_LOG` chooses which, as `info` or `node=debug,warn`.
pub fn start_logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("KEELSON_LOG");
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}
