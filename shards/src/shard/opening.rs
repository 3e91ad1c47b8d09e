//! What a handshake hands to the shard.

use std::sync::Arc;

use crate::deflate::Window;
use crate::format::Format;
use crate::identity::Identity;
use crate::permissions::Permissions;
use crate::room_name::RoomName;

/// What is known of a WebSocket connection when its handshake is done.
///
/// By default it is anonymous, may do everything and reads our envelopes.
#[derive(Clone, Debug)]
pub struct Opening {
    /// What its client may do, shared with other connections.
    pub permissions: Arc<Permissions>,
    /// What is known of its client; nothing if it is anonymous.
    pub identity: Option<Arc<Identity>>,
    /// What its client reads.
    pub format: Format,
    /// The window of its client, if that agreed to compression (RFC 7692). A shard without
    /// [`codecs`](crate::Config::codecs) takes none.
    pub deflate: Option<Window>,
    /// Rooms that its handshake names. It joins them behind its welcome, in this order, as if its
    /// client had said `cast:join` without an id for each before anything else. For clients that
    /// read our envelopes alone.
    pub rooms: Vec<RoomName>,
}

impl Default for Opening {
    fn default() -> Opening {
        Opening {
            permissions: Arc::default(),
            identity: None,
            format: Format::Native,
            deflate: None,
            rooms: Vec::new(),
        }
    }
}
