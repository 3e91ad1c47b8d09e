//! Values that everything above speaks of, and that know of nothing else here.

mod anonymous;
mod bearer;
mod claims;
mod counts;
mod error;
mod event;
mod executor_choice;
mod message;
mod publication;
mod query;
mod receipt;
mod refusals;
mod rights;
mod sizing;
mod target;
mod word_list;

pub use anonymous::Anonymous;
pub(crate) use bearer::bearer;
pub use claims::Claims;
pub(crate) use counts::Counts;
pub(crate) use error::NotAccepted;
pub use error::{ClientError, ControlError, JoinError, PublishError};
pub use event::Event;
pub use executor_choice::{Executor, ExecutorChoice, Obstacle};
pub use message::{Message, MessageError};
pub use publication::Publication;
pub(crate) use query::{parameter, parameters, strict_parameters};
pub use receipt::Receipt;
pub(crate) use refusals::{RefusalReason, Refusals};
pub(crate) use rights::Right;
pub use rights::Rights;
pub use sizing::Sizing;
pub use target::Target;
pub(crate) use target::{Outgoing, Source};
