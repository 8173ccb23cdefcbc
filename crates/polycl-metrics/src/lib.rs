//! Scores of predicted masks, per case and per label, in 3D and in millimetres.
//!
//! Overlap follows MetricsReloaded, surfaces follow DeepMind's `surface-distance`, and the summary
//! follows nnU-Net v2. What an empty mask scores is a named choice, [`EmptyPolicy`].

mod bootstrap;
pub mod compare;
mod evaluate;
mod labels;
mod options;
mod overlap;
mod pairs;
mod policy;
mod report;
mod score;
mod seen;
mod summary;
mod surface;
mod surfel;
mod table;

pub use evaluate::{Scored, evaluate};
pub use options::Options;
pub use overlap::{dice, dice_of};
pub use pairs::{Pair, Pairs};
pub use policy::{EmptyPolicy, Outcome};
pub use report::{CaseOfFile, Report, SummaryFile};
pub use score::{Scores, score};
pub use seen::{Seen, SeenCases};
pub use summary::{Case, Estimate, LabelSummary, Summary, Tally};
pub use surfel::areas;

use bootstrap::{FEWEST, LEVEL, RESAMPLES};
use summary::{complete, summarise};
