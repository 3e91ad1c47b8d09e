//! How we know: the measurements of Corecast live in this package.
