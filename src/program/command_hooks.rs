//! What the program decides about the commands of clients.

use corecast_shards::{AskedCommand, AskedKind, Draft, Permission, Permissions, Verdict};

use super::handler::{Failure, Handler, HandlerResult, Template, Work, finish};
use crate::values::Publication;

/// The hooks that a program registered, on their way to the shards. `C` is what they are handed of
/// the client.
pub(crate) struct CommandHooks<C> {
    pub(crate) join: Option<Box<dyn Template<(C, String), HandlerResult>>>,
    pub(crate) publish: Option<PublicationTemplate<C>>,
    pub(crate) broadcast: Option<PublicationTemplate<C>>,
}

type PublicationTemplate<C> = Box<dyn Template<(C, Publication), HandlerResult<Publication>>>;
type PublicationHook<C> = Handler<(C, Publication), HandlerResult<Publication>>;

impl<C> Clone for CommandHooks<C> {
    fn clone(&self) -> Self {
        let (join, publish) = (self.join.clone(), self.publish.clone());
        CommandHooks { join, publish, broadcast: self.broadcast.clone() }
    }
}

impl<C> Default for CommandHooks<C> {
    fn default() -> Self {
        CommandHooks { join: None, publish: None, broadcast: None }
    }
}

impl<C> CommandHooks<C> {
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
    pub(crate) fn instantiate(self) -> CommandJudge<C> {
        CommandJudge {
            join: self.join.map(|hook| hook.instantiate()),
            publish: self.publish.map(|hook| hook.instantiate()),
            broadcast: self.broadcast.map(|hook| hook.instantiate()),
        }
    }
}

/// One shard's hooks.
pub(crate) struct CommandJudge<C> {
    join: Option<Handler<(C, String), HandlerResult>>,
    publish: Option<PublicationHook<C>>,
    broadcast: Option<PublicationHook<C>>,
}

/// A hook at work. What a client wants to say goes into it, and comes out perhaps changed.
pub(crate) type Judging = Work<Result<Option<Draft>, Failure>>;

impl<C: 'static> CommandJudge<C> {
    /// Begins to ask the program about a command.
    pub(crate) fn begin(&self, client: C, asked: &mut AskedCommand) -> Judging {
        let room = asked.room.clone();
        match &mut asked.kind {
            AskedKind::Join(_) => {
                let room = room.map(|room| room.as_str().to_owned()).unwrap_or_default();
                judge(self.join.clone(), (client, room), |()| None)
            }
            AskedKind::Publish(draft) => {
                let publication = Publication::new(room, std::mem::take(draft));
                judge(self.publish.clone(), (client, publication), draft_of)
            }
            AskedKind::Broadcast(draft) => {
                let publication = Publication::new(None, std::mem::take(draft));
                judge(self.broadcast.clone(), (client, publication), draft_of)
            }
        }
    }
}

fn draft_of(publication: Publication) -> Option<Draft> {
    Some(publication.into_draft())
}

fn judge<A: 'static, T: 'static>(
    hook: Option<Handler<A, HandlerResult<T>>>,
    argument: A,
    draft: impl FnOnce(T) -> Option<Draft> + 'static,
) -> Judging {
    Box::pin(async move {
        let Some(hook) = hook else {
            return Err(Failure::unseen("nobody decides about this command".to_owned()));
        };
        finish(hook, argument).await.map(draft)
    })
}

/// What a hook's end means for the command. Words for the client are the reason of a refusal; any
/// other failure is no permission either.
pub(crate) fn verdict(asked: &mut AskedCommand, judged: Result<Option<Draft>, Failure>) -> Verdict {
    match (judged, &mut asked.kind) {
        (Ok(Some(changed)), AskedKind::Publish(draft) | AskedKind::Broadcast(draft)) => {
            *draft = changed
        }
        (Ok(_), _) => {}
        (Err(failure), _) => {
            return failure.client.map_or(Verdict::Failed, Verdict::Forbidden);
        }
    }
    Verdict::Granted
}
