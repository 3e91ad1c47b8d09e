//! The replay of the corpus of frames, which fuzzing found.

use std::fs;

#[allow(unreachable_pub, reason = "the fuzz crate calls it, too")]
#[path = "../fuzz/src/frames.rs"]
mod frames;

/// Runs what the fuzz target runs over each file of its corpus.
fn replay(target: &str, check: fn(&[u8])) {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/");
    let files = fs::read_dir(format!("{corpus}{target}"));
    let checked = files.expect("the corpus is part of the repository").map(|file| {
        let path = file.expect("a folder can be read").path();
        check(&fs::read(path).expect("a file can be read"));
    });
    assert!(checked.count() > 20, "the corpus is there");
}

#[test]
fn the_corpus_of_frames_means_the_same_to_tungstenite() {
    replay("frames", frames::check);
}
