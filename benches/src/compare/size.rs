//! How much a comparison measures.

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Five tables and most targets, at smaller sizes: about eight minutes.
    Quick,
    /// Everything: about an hour.
    Full,
    /// The same programs as `Quick` for a moment each, so that a test can see that it works.
    Smoke,
}

impl Size {
    /// What must be known before any figure of this size is read.
    pub(super) fn caution(self) -> Option<&'static str> {
        (self == Size::Smoke).then_some(
            "These sizes show that the programs work. The figures mean nothing, and neither do the \
             targets that are met or missed.",
        )
    }
}
