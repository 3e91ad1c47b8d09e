//! What can be typed after `corecast load merge`.

use std::path::PathBuf;

use super::assertion::Assertion;

#[derive(Debug, clap::Args)]
#[command(next_line_help = true)]
pub(crate) struct MergeArgs {
    /// Reports, as --json writes them
    ///
    /// Counts and rates are added up, and percentiles are those of all deliveries together. What the
    /// server cost is in the reports alone: several of them may have watched the same one.
    #[arg(value_name = "A.json", num_args = 2.., required = true)]
    pub(crate) reports: Vec<PathBuf>,

    /// Write the report of all; `-` writes it to standard output instead of the table
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Exit with 0 although messages were lost, repeated, out of order or damaged, or publishers or
    /// members were let go, if all runs went to their end
    #[arg(long)]
    pub(crate) lenient: bool,

    /// Exit with 1 unless this holds of all together, such as 'p99<10ms' or 'lost==0'; may be given
    /// several times
    #[arg(long, value_name = "FIGURE<VALUE")]
    pub(crate) assert: Vec<Assertion>,
}
