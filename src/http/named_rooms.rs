//! Which rooms a handshake names.

use corecast_shards::RoomName;

use super::HttpError;
use crate::values::strict_parameters;

/// The rooms of the query's parameters `room`, in their order, of which there may be so many.
pub(super) fn read(query: Option<&str>, most: usize) -> Result<Vec<RoomName>, HttpError> {
    let mut rooms = Vec::new();
    for name in strict_parameters(query, "room") {
        if rooms.len() == most {
            return Err(HttpError::too_many_named_rooms(most));
        }
        let name = name.ok_or_else(|| {
            HttpError::bad_request(
                "a room in the query is no percent-encoded UTF-8: write %25 for % and encode a name \
                 once, as encodeURIComponent does",
            )
        })?;
        let room = RoomName::new(&name);
        rooms.push(room.map_err(|bad| HttpError::bad_request(bad.to_string()))?);
    }
    Ok(rooms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(query: &str, most: usize) -> Option<Vec<String>> {
        let rooms = read(Some(query), most).ok()?;
        Some(rooms.iter().map(|room| room.as_str().to_owned()).collect())
    }

    #[test]
    fn rooms_keep_their_order_and_other_parameters_are_left_alone() {
        assert_eq!(read(None, 0), Ok(Vec::new()));
        assert_eq!(names("token=%zz&rooms=%&Room=a", 0), Some(Vec::new()));
        let expected = ["b", "a/b", "b", "x y", "\u{e9}"].map(str::to_owned).to_vec();
        assert_eq!(names("room=b&t=1&room=a%2Fb&r%6fom=b&room=x+y&room=%C3%A9", 5), Some(expected));
    }

    #[test]
    fn what_is_no_room_and_one_too_many_are_refused() {
        for query in ["room", "room=", "room=%", "room=%f", "room=%FF", "room=a&room=%0a"] {
            assert_eq!(names(query, 9), None, "{query}");
        }
        assert_eq!(names(&format!("room={}", "r".repeat(201)), 9), None);
        assert!(names(&format!("room={}", "r".repeat(200)), 1).is_some());
        assert_eq!(names("room=a&room=a", 1), None, "each counts");
        assert!(names("room=a&room=a", 2).is_some());
        assert_eq!(names("room=a", 0), None);
    }
}
