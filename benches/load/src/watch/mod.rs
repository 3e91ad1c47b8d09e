//! What the threads of a run share, and what is measured of them and of the server.

pub(crate) mod begins;
pub(crate) mod clock;
pub(crate) mod damage;
pub(crate) mod glances;
pub(crate) mod histogram;
pub(crate) mod machine;
pub(crate) mod parts;
pub(crate) mod process;
pub(crate) mod sampler;
pub(crate) mod shared;
pub(crate) mod tally;
pub(crate) mod ticks;
pub(crate) mod turns;
