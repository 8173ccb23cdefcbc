//! Studies: methods × budgets × seeds × tests, and what the scores say.

mod chart;
pub mod config;
mod draw;
mod findings;
mod live;
mod oracle;
mod plan;
mod report;
mod scores;
mod worker;

pub use config::Config;
pub use live::Live;
pub use plan::Plan;
pub use report::write as write_report;
pub use worker::DONE;
