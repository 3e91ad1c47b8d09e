//! Corecast.
