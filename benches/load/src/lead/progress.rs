//! What is shown while a run goes on: a bar on a terminal, a line now and then elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

#[derive(Debug)]
pub(crate) struct Progress {
    way: Way,
    title: String,
}

#[derive(Debug)]
enum Way {
    Silent,
    Bar(ProgressBar),
    Lines { last: Option<Instant> },
}

/// Between two lines.
const LINES_EVERY: Duration = Duration::from_secs(5);

impl Progress {
    pub(crate) fn new(is_quiet: bool) -> Self {
        let way = match (is_quiet, std::io::stderr().is_terminal()) {
            (true, _) => Way::Silent,
            (false, true) => {
                Way::Bar(ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()))
            }
            (false, false) => Way::Lines { last: None },
        };
        Self { way, title: String::new() }
    }

    /// Begins another part of the run, with so many steps.
    pub(crate) fn begin(&mut self, title: &str, steps: u64) {
        title.clone_into(&mut self.title);
        match &mut self.way {
            Way::Silent => {}
            Way::Bar(bar) => {
                let template = "{prefix:>10} [{bar:32}] {msg}";
                let style = ProgressStyle::with_template(template).map(|s| s.progress_chars("=> "));
                bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
                bar.set_prefix(self.title.clone());
                bar.set_message(String::new());
                bar.set_length(steps);
                bar.set_position(0);
            }
            Way::Lines { last } => *last = None,
        }
    }

    pub(crate) fn show(&mut self, step: u64, message: &str) {
        match &mut self.way {
            Way::Silent => {}
            Way::Bar(bar) => {
                bar.set_position(step);
                bar.set_message(message.to_owned());
            }
            Way::Lines { last } => {
                if last.is_none_or(|last| last.elapsed() >= LINES_EVERY) {
                    eprintln!("{}: {message}", self.title);
                    *last = Some(Instant::now());
                }
            }
        }
    }

    pub(crate) fn end(&self) {
        if let Way::Bar(bar) = &self.way {
            bar.finish_and_clear();
        }
    }
}
