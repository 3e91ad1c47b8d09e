//! The values of one header field.

/// The values of one header field; more than a request needs of one are refused by count.
#[derive(Clone, Copy, Default)]
pub(crate) struct Few<'a> {
    values: [&'a [u8]; FEW],
    count: usize,
}

const FEW: usize = 4;

impl<'a> Few<'a> {
    pub(super) fn push(&mut self, value: &'a [u8]) {
        if let Some(place) = self.values.get_mut(self.count) {
            *place = value;
        }
        self.count += 1;
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &'a [u8]> + '_ {
        self.values.iter().take(self.count).copied()
    }

    /// The only value.
    pub(crate) fn only(&self) -> Option<&'a [u8]> {
        (self.count == 1).then_some(self.values[0])
    }

    /// Whether there are more than are kept.
    pub(super) fn is_cut(&self) -> bool {
        self.count > FEW
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn has_token(&self, token: &str) -> bool {
        let is = |part: &[u8]| part.trim_ascii().eq_ignore_ascii_case(token.as_bytes());
        self.iter().any(|value| value.split(|byte| *byte == b',').any(is))
    }
}

impl<'a> FromIterator<&'a [u8]> for Few<'a> {
    fn from_iter<I: IntoIterator<Item = &'a [u8]>>(values: I) -> Few<'a> {
        let mut few = Few::default();
        values.into_iter().for_each(|value| few.push(value));
        few
    }
}
