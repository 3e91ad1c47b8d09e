//! The page needs nothing but itself, and its charts say what they show.

use super::support::{Server, load};

#[test]
fn the_page_has_axes_with_units_and_fetches_nothing() {
    let server = Server::start(&[]);
    let file = std::env::temp_dir().join(format!("corecast-load-{}.html", std::process::id()));
    let path = file.to_str().unwrap();
    let run = load(&[
        server.url(),
        "--members=5",
        "--rate=100",
        "--duration=500ms",
        "--warm-up=0s",
        "--pid",
        &server.pid(),
        "--report",
        path,
    ]);
    assert_eq!(run.code, 0, "{}", run.errors);
    let page = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert_eq!(page.matches("<figure>").count(), 4);
    for label in [
        "percentile (%)",
        "latency (logarithmic)",
        "time since measuring began (s)",
        "deliveries (messages/s)",
        "CPU in use (cores)",
    ] {
        assert!(page.contains(label), "{label}");
    }
    for fetching in ["http:", "https:", "src=", "href=", "url(", "@import", "<script", "<link"] {
        assert!(!page.contains(fetching), "{fetching}");
    }
    assert!(!page.contains("NaN") && !page.contains("inf,"), "numbers are numbers");
}

/// What was measured is told, whatever becomes of the files.
#[test]
fn the_table_comes_before_the_files() {
    let server = Server::start(&[]);
    let url = server.url();
    let run = load(&[url, "-n3", "-d200ms", "--warm-up=0s", "--json=/dev/full"]);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.out.contains("out of order"), "{}", run.out);
    assert!(run.errors.contains("/dev/full cannot be written"), "{}", run.errors);
}

#[test]
fn the_table_names_its_units() {
    let server = Server::start(&[]);
    let run = load(&[server.url(), "--members=3", "--duration=200ms", "--warm-up=0s"]);
    assert_eq!(run.code, 0, "{}", run.errors);
    let compared = "content compared          100 % of all bytes";
    let offered = "offered 100/s, published ";
    for part in ["p99.9", offered, "lost                      0", "busy", compared] {
        assert!(run.out.contains(part), "{part} in {}", run.out);
    }
    // Standard error is no terminal here: plain lines.
    assert!(run.errors.contains("measuring: 3 connections"), "{}", run.errors);
    assert!(!run.errors.contains('\u{1b}'), "{}", run.errors);
}
