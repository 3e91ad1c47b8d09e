//! What the program decides about the commands of clients.

use corecast_shards::{Permission, Permissions, Petition, Said, Verdict, Wish};

use crate::client::Client;
use crate::handler::{Failure, Handler, HandlerResult, Template, Work, finish};
use crate::publication::Publication;

/// The hooks that a program registered, on their way to the shards.
#[derive(Clone, Default)]
pub(crate) struct CommandHooks {
    pub(crate) join: Option<Box<dyn Template<(Client, String), HandlerResult>>>,
    pub(crate) publish: Option<PublicationTemplate>,
    pub(crate) broadcast: Option<PublicationTemplate>,
}

type PublicationTemplate = Box<dyn Template<(Client, Publication), HandlerResult<Publication>>>;
type PublicationHook = Handler<(Client, Publication), HandlerResult<Publication>>;

impl CommandHooks {
    /// What clients may do by their own commands: for what the program has a hook, it is asked; the
    /// rest stays as it is.
    pub(crate) fn permissions(&self, mut permissions: Permissions) -> Permissions {
        let hooks = [
            (self.join.is_some(), &mut permissions.join),
            (self.publish.is_some(), &mut permissions.publish),
            (self.broadcast.is_some(), &mut permissions.broadcast),
        ];
        for (_, permission) in hooks.into_iter().filter(|(is_there, _)| *is_there) {
            *permission = Permission::Asked;
        }
        permissions
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.join.is_none() && self.publish.is_none() && self.broadcast.is_none()
    }

    /// Brings the hooks to life, on the shard's own thread.
    pub(crate) fn instantiate(self) -> CommandJudge {
        CommandJudge {
            join: self.join.map(|hook| hook.instantiate()),
            publish: self.publish.map(|hook| hook.instantiate()),
            broadcast: self.broadcast.map(|hook| hook.instantiate()),
        }
    }
}

/// One shard's hooks.
pub(crate) struct CommandJudge {
    join: Option<Handler<(Client, String), HandlerResult>>,
    publish: Option<PublicationHook>,
    broadcast: Option<PublicationHook>,
}

/// A hook at work. What a client wants to say goes into it, and comes out perhaps changed.
type Judging = Work<Result<Option<Said>, Failure>>;

impl CommandJudge {
    /// Begins to ask the program about a command.
    pub(crate) fn begin(&self, client: Client, petition: &mut Petition) -> Judging {
        let room = petition.room.clone();
        match &mut petition.wish {
            Wish::Join(_) => {
                let room = room.map(|room| room.as_str().to_owned()).unwrap_or_default();
                judge(self.join.clone(), (client, room), |()| None)
            }
            Wish::Publish(said) => {
                let publication = Publication::new(room, std::mem::take(said));
                judge(self.publish.clone(), (client, publication), said_by)
            }
            Wish::Broadcast(said) => {
                let publication = Publication::new(None, std::mem::take(said));
                judge(self.broadcast.clone(), (client, publication), said_by)
            }
        }
    }
}

fn said_by(publication: Publication) -> Option<Said> {
    Some(publication.into_said())
}

fn judge<A: 'static, T: 'static>(
    hook: Option<Handler<A, HandlerResult<T>>>,
    argument: A,
    said: impl FnOnce(T) -> Option<Said> + 'static,
) -> Judging {
    Box::pin(async move {
        let Some(hook) = hook else {
            return Err(Failure::unseen("nobody decides about this command".to_owned()));
        };
        finish(hook, argument).await.map(said)
    })
}

/// What a hook's end means for the command. Words for the client are the reason of a refusal; any
/// other failure is no permission either.
pub(crate) fn verdict(petition: &mut Petition, judged: Result<Option<Said>, Failure>) -> Verdict {
    match (judged, &mut petition.wish) {
        (Ok(Some(changed)), Wish::Publish(said) | Wish::Broadcast(said)) => *said = changed,
        (Ok(_), _) => {}
        (Err(failure), _) => {
            return failure.client.map_or(Verdict::Failed, Verdict::Forbidden);
        }
    }
    Verdict::Granted
}
