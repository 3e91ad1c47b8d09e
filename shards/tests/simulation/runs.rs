//! A compressor for tests: a run of equal bytes becomes two bytes, behind one that says which window it
//! is for. Messages with padding become smaller by that and others do not. The unit tests of the
//! engine have it, too.

use super::{Codecs, Deflater, Inflater, NotInflated, Window};

/// What every shard compresses with.
pub(crate) const CODECS: Codecs =
    Codecs { deflater: || Box::new(Runs), inflater: || Box::new(Runs) };

#[derive(Debug)]
struct Runs;

impl Deflater for Runs {
    fn deflate(&mut self, window: Window, message: &[u8], out: &mut [u8]) -> Option<usize> {
        let payload = deflated(window, message);
        out.get_mut(..payload.len())?.copy_from_slice(&payload);
        Some(payload.len())
    }

    fn heap_bytes(&self) -> usize {
        5_000
    }
}

impl Inflater for Runs {
    fn inflate(
        &mut self,
        payload: &[u8],
        _: usize,
        most: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), NotInflated> {
        out.clear();
        let (_, message) = inflated(payload).ok_or(NotInflated::Corrupt)?;
        let fits = message.len() <= most;
        out.extend_from_slice(&message[..message.len().min(most)]);
        if fits { Ok(()) } else { Err(NotInflated::TooLarge) }
    }

    fn heap_bytes(&self) -> usize {
        700
    }
}

/// A message in runs, behind the window that it is meant for.
pub(crate) fn deflated(window: Window, message: &[u8]) -> Vec<u8> {
    let runs = message.chunk_by(|one, next| one == next).flat_map(|run| run.chunks(255));
    let mut payload = vec![window.bits()];
    payload.extend(runs.flat_map(|run| [run.len() as u8, run[0]]));
    payload
}

/// The window and the message of a payload, if it is one.
pub(crate) fn inflated(payload: &[u8]) -> Option<(u8, Vec<u8>)> {
    let (&bits, runs) = payload.split_first()?;
    let (runs, []) = runs.as_chunks::<2>() else { return None };
    let is_known = [Window::Full.bits(), Window::Small.bits()].contains(&bits);
    let message = runs.iter().flat_map(|[count, byte]| vec![*byte; usize::from(*count)]);
    is_known.then(|| (bits, message.collect()))
}
