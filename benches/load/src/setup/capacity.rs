//! What can be typed after `corecast load capacity`.

use super::args::BroadcastArgs;
use crate::units::parse::number;

/// Defaults of its own: several runs of five seconds, and the assertion that most people have.
#[derive(Clone, Debug, clap::Args)]
#[command(next_line_help = true)]
#[command(mut_arg("rate", |arg| arg.help(
    "Messages per second and room of the first run, whatever the server does (open loop)"
)))]
#[command(mut_arg("duration", |arg| arg.default_value("5s").help("How long to measure each rate")))]
#[command(mut_arg("assert", |arg| arg.default_value("p99<10ms").help(
    "What a rate has to hold beside that nothing is lost, such as 'p99<10ms' or 'last.p99<20ms'; may \
     be given several times"
)))]
pub(crate) struct CapacityArgs {
    #[command(flatten)]
    pub(crate) broadcast: BroadcastArgs,

    /// No greater rate than this is tried, in messages per second and room
    #[arg(long, value_name = "N", default_value_t = 100_000.0, value_parser = number)]
    pub(crate) to: f64,

    /// How far the greatest rate that holds may be below one that does not, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0, value_parser = number)]
    pub(crate) precision: f64,

    /// Exit with 1 if fewer messages per second and room hold
    #[arg(long, value_name = "N", value_parser = number)]
    pub(crate) at_least: Option<f64>,
}
