//! The use cases of PolyCL, each a request that goes in and an outcome that comes out. Front ends (the command line, a
//! workbench) fill in requests, watch, and put outcomes into words: nothing here knows a command line or a terminal.

pub mod bench;
pub mod demo;
pub mod evaluate;
pub mod export;
pub mod fetch;
pub mod figures;
pub mod finetune;
pub mod import;
pub mod inspect;
mod masks;
pub mod phantom;
pub mod predict;
pub mod pretrain;
pub mod propagate;
mod recipe;
pub mod refine;
mod refinement;
pub mod round;
pub mod settings;
mod shards;
pub mod study;
pub mod suggest;
mod training;

pub use masks::{MaskFormat, ScanPath};
pub use refinement::{Judge, RefineSettings, RefineSummary, SamWeights};
pub use training::RunSettings;
