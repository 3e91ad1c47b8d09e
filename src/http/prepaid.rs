//! A handshake that was counted before it came.

use std::cell::Cell;
use std::rc::Rc;

/// Whether a connection's TLS handshake was counted for its client's address, as a handshake is:
/// then the first handshake or event stream on that connection is not counted again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prepaid(Option<Rc<Cell<bool>>>);

impl Prepaid {
    /// The TLS handshake was counted.
    pub(crate) fn by_tls() -> Prepaid {
        Prepaid(Some(Rc::new(Cell::new(true))))
    }

    /// Whether what begins now was counted. That is so once.
    pub(crate) fn spend(&self) -> bool {
        self.0.as_ref().is_some_and(|counted| counted.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tls_handshake_counts_for_one_thing_on_its_connection() {
        let prepaid = Prepaid::by_tls();
        let in_a_task = prepaid.clone();
        assert!(in_a_task.spend());
        assert!(!in_a_task.spend() && !prepaid.spend());
        assert!(!Prepaid::default().spend());
    }
}
