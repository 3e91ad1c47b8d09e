//! Records of a journal beside a plain reader that goes through them one by one: what is valid is taken
//! up in the same way by both, and whatever is not refuses all of it.

use std::collections::BTreeMap;

use super::{KeptLife, read_journal, write_journal};

/// The first byte says how the others become records: as they are, so that hardly any is valid; or as
/// what records say, so that all are.
pub fn check(data: &[u8]) {
    let Some((how, data)) = data.split_first() else { return };
    match how % 2 {
        0 => drop(read_journal(data)),
        _ => check_records(&records(data)),
    }
}

/// What a record says: of which life of a room, which offset, and the room's name or a message's text.
#[derive(Debug)]
struct Said {
    epoch: u64,
    offset: u64,
    text: Result<String, String>,
}

/// Four bytes each: a room's life, an offset, a name or a letter of a message.
fn records(data: &[u8]) -> Vec<Said> {
    let said = |bytes: &[u8; 4]| {
        let [epoch, offset, name, letter] = bytes.map(u64::from);
        let text = match letter % 4 {
            0 => Ok(format!("room-{}", name % 5)),
            _ => Err(format!("{epoch}-{offset}")),
        };
        Said { epoch, offset: offset % 16, text }
    };
    data.as_chunks().0.iter().map(said).collect()
}

fn check_records(said: &[Said]) {
    let records = said.iter().map(|said| {
        let text = said.text.as_ref().map(String::as_str).map_err(String::as_str);
        (said.epoch, said.offset, text)
    });
    let found = read_journal(&write_journal(records));
    // A message without a number is no record.
    let is_legal = said.iter().all(|said| said.text.is_ok() || said.offset > 0);
    match found {
        Some(found) => {
            assert!(is_legal, "{said:?}");
            assert_eq!(found, plainly(said), "{said:?}");
        }
        None => assert!(!is_legal, "{said:?} is refused"),
    }
}

/// What is to go on: of each name the life that was named last, with its messages up to the last offset
/// as far back as there is none missing.
fn plainly(said: &[Said]) -> Vec<KeptLife> {
    let mut names: BTreeMap<&str, u64> = BTreeMap::new();
    let mut named: BTreeMap<u64, &str> = BTreeMap::new();
    for Said { epoch, text, .. } in said {
        if let Ok(name) = text {
            named.insert(*epoch, name);
        }
    }
    for Said { epoch, text, .. } in said {
        if let Ok(name) = text
            && named[epoch] == name
        {
            names.insert(name, *epoch);
        }
    }
    let kept = names.into_iter().map(|(name, epoch)| {
        let own = || said.iter().filter(|said| said.epoch == epoch);
        let offset = own().map(|said| said.offset).max().unwrap_or(0);
        let has = |at: u64| own().any(|said| said.text.is_err() && said.offset == at);
        let first = (1..=offset).rev().take_while(|at| has(*at)).last().unwrap_or(offset + 1);
        let messages = (first..=offset).map(|at| format!("{epoch}-{at}")).collect();
        KeptLife { name: name.to_owned(), epoch, offset, messages }
    });
    kept.collect()
}
