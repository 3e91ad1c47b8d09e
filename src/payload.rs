//! An event with its data, on its way to clients.

use std::borrow::Cow;
use std::fmt;

use corecast_shards::Publication;
use serde::Serialize;

/// An event's name and its data, as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Payload {
    event: Box<str>,
    data: Box<str>,
}

impl Payload {
    /// Turns any serialisable value into a payload.
    pub(crate) fn new(
        event: &str,
        data: &(impl Serialize + ?Sized),
    ) -> Result<Payload, PayloadError> {
        if event.is_empty() || event.len() > EVENT_BYTES_MAX || event.starts_with("cast:") {
            return Err(PayloadError::Event);
        }
        let data = serde_json::to_string(data).map_err(PayloadError::Data)?;
        Ok(Payload { event: event.into(), data: data.into() })
    }

    /// The event's name and the data.
    pub(crate) fn into_parts(self) -> (Box<str>, Box<str>) {
        (self.event, self.data)
    }

    pub(crate) fn publication(&self) -> Publication<'_> {
        Publication { event: Cow::Borrowed(&self.event), data: &self.data, echo: true }
    }
}

/// As in the protocol.
const EVENT_BYTES_MAX: usize = 128;

/// The event or its data cannot be sent.
#[derive(Debug)]
#[non_exhaustive]
pub enum PayloadError {
    /// The event's name must have 1 to 128 bytes and must not begin with `cast:`.
    Event,
    /// The data has no JSON form.
    Data(serde_json::Error),
}

impl fmt::Display for PayloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PayloadError::Event => f.write_str(
                "an event's name must have 1 to 128 bytes and must not begin with cast:",
            ),
            PayloadError::Data(error) => write!(f, "the data has no JSON form: {error}"),
        }
    }
}

impl std::error::Error for PayloadError {}
