//! What operators see: the log, the metrics and the HTTP endpoint. Decides nothing.

mod access;
mod arrivals;
mod dispatches;
mod excess;
mod http;
mod intake;
mod log;
mod metrics;
mod page;
mod pool;
mod port;
mod stores;
mod turns;

pub(crate) use self::access::bearer;
pub use self::arrivals::ArrivalFigures;
pub use self::dispatches::{DispatchFigures, DispatchOutcome};
pub use self::excess::ExcessCollector;
pub use self::http::{Config as HttpConfig, HttpServer, Views, only_from_here};
pub use self::intake::IntakeCollector;
pub use self::log::{Config as LogConfig, Format as LogFormat, init as init_log};
pub use self::metrics::Metrics;
pub use self::pool::PoolCollector;
pub use self::stores::{CacheCollector, MemoryCollector, RuntimeCollector};
pub use self::turns::{RecentTurn, TurnFigures};
