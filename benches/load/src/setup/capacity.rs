//! What can be typed after `corecast load capacity`.

use super::args::BroadcastArgs;
use crate::units::parse::number;

const RATE: &str =
    "Messages per second and room of the first run, whatever the server does (open loop)";
const DURATION: &str = "How long to measure each rate";
const DURATION_AT_LENGTH: &str = "How long to measure each rate

A percentile is marked if fewer than ten messages lie beyond it: 99 % takes 1,000 messages of all \
rooms in each run, 99.9 % takes 10,000";
const ASSERT: &str = "What a rate has to hold beside that nothing is lost, such as 'p99<10ms' or \
'last.p99<20ms'; may be given several times";
const ASSERT_AT_LENGTH: &str = "What a rate has to hold beside that nothing is lost, such as \
'p99<10ms' or 'last.p99<20ms'; may be given several times

Nothing is lost, skipped for members that read, repeated, damaged or out of order, and nobody who \
reads or publishes is let go. Where only a time or what was published does not hold, and the \
generator was late, too, the run says nothing about the server. The figures are those of a run: \
see --help of broadcast";

/// Defaults of its own: several runs of five seconds, and the assertion that most people have.
#[derive(Clone, Debug, clap::Args)]
#[command(next_line_help = true)]
#[command(mut_arg("rate", |arg| arg.help(RATE).long_help(RATE)))]
#[command(mut_arg("duration", |arg| {
    arg.default_value("5s").help(DURATION).long_help(DURATION_AT_LENGTH)
}))]
#[command(mut_arg("assert", |arg| {
    arg.default_value("p99<10ms").help(ASSERT).long_help(ASSERT_AT_LENGTH)
}))]
// What it is for holds no rate.
#[command(mut_arg("lenient", |arg| arg.hide(true)))]
#[command(mut_arg("churn", |arg| arg.hide(true)))]
#[command(mut_arg("stage", |arg| arg.hide(true)))]
pub(crate) struct CapacityArgs {
    #[command(flatten)]
    pub(crate) broadcast: BroadcastArgs,

    /// No greater rate than this is tried, in messages per second and room
    #[arg(long, value_name = "N", default_value_t = 100_000.0, value_parser = number)]
    pub(crate) to: f64,

    /// How far the greatest rate that holds may be below one that does not, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0, value_parser = number)]
    pub(crate) precision: f64,

    /// Exit with 1 unless so many messages per second and room hold; that rate is tried itself
    #[arg(long, value_name = "N", value_parser = number)]
    pub(crate) at_least: Option<f64>,
}
