//! The embedding program's handlers.

use std::any::Any;
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::rc::Rc;

use corecast_shards::{Call, Called, ConnId, Disconnect, Handled};
use futures_lite::FutureExt;

use crate::client::Client;
use crate::message::Message;
use crate::runtime::Hub;

/// What a handler returns. An error, whatever it is, answers the message with `handler_failed`; it
/// is shown to the client and logged, and the connection goes on.
pub type HandlerResult = Result<(), Box<dyn Error>>;

/// A handler at work.
type Work = Pin<Box<dyn Future<Output = HandlerResult>>>;

/// A handler as a shard keeps it.
type Handler<T> = Rc<dyn Fn(Client, T) -> Work>;

/// A handler on its way to the shards, each of which gets a clone of its own.
trait Template<T>: Send + Sync {
    fn instantiate(&self) -> Handler<T>;
}

/// Turns a program's closure into a handler. The closure lives as long as the shard; what it
/// returns borrows from a clone of the pointer to it.
struct Closure<F>(F);

impl<T, F> Template<T> for Closure<F>
where
    T: 'static,
    F: AsyncFn(Client, T) -> HandlerResult + Clone + Send + Sync + 'static,
{
    fn instantiate(&self) -> Handler<T> {
        let closure = Rc::new(self.0.clone());
        Rc::new(move |client, argument| {
            let closure = Rc::clone(&closure);
            Box::pin(async move { closure(client, argument).await })
        })
    }
}

type Shared<T> = std::sync::Arc<dyn Template<T>>;

/// All handlers that a program registered.
#[derive(Clone, Default)]
pub(crate) struct Program {
    connect: Option<Shared<()>>,
    events: BTreeMap<Box<str>, Shared<Message>>,
    text: Option<Shared<String>>,
    binary: Option<Shared<Vec<u8>>>,
    disconnect: Option<Shared<Disconnect>>,
}

impl Program {
    pub(crate) fn on_connect<F>(&mut self, handler: F)
    where
        F: AsyncFn(Client, ()) -> HandlerResult + Clone + Send + Sync + 'static,
    {
        self.connect = Some(std::sync::Arc::new(Closure(handler)));
    }

    pub(crate) fn on<F>(&mut self, event: &str, handler: F)
    where
        F: AsyncFn(Client, Message) -> HandlerResult + Clone + Send + Sync + 'static,
    {
        self.events.insert(event.into(), std::sync::Arc::new(Closure(handler)));
    }

    pub(crate) fn on_text<F>(&mut self, handler: F)
    where
        F: AsyncFn(Client, String) -> HandlerResult + Clone + Send + Sync + 'static,
    {
        self.text = Some(std::sync::Arc::new(Closure(handler)));
    }

    pub(crate) fn on_binary<F>(&mut self, handler: F)
    where
        F: AsyncFn(Client, Vec<u8>) -> HandlerResult + Clone + Send + Sync + 'static,
    {
        self.binary = Some(std::sync::Arc::new(Closure(handler)));
    }

    pub(crate) fn on_disconnect<F>(&mut self, handler: F)
    where
        F: AsyncFn(Client, Disconnect) -> HandlerResult + Clone + Send + Sync + 'static,
    {
        self.disconnect = Some(std::sync::Arc::new(Closure(handler)));
    }

    /// What the shards need not handle themselves.
    pub(crate) fn handled(&self) -> Handled {
        Handled {
            events: self.events.keys().cloned().collect(),
            text: self.text.is_some(),
            binary: self.binary.is_some(),
            connect: self.connect.is_some(),
        }
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program").field("handled", &self.handled()).finish_non_exhaustive()
    }
}

/// One shard's handlers.
pub(crate) struct Handlers {
    connect: Option<Handler<()>>,
    events: BTreeMap<Box<str>, Handler<Message>>,
    text: Option<Handler<String>>,
    binary: Option<Handler<Vec<u8>>>,
    disconnect: Option<Handler<Disconnect>>,
}

impl Handlers {
    pub(crate) fn new(program: &Program) -> Handlers {
        let events = program.events.iter();
        Handlers {
            connect: program.connect.as_ref().map(|handler| handler.instantiate()),
            events: events.map(|(event, handler)| (event.clone(), handler.instantiate())).collect(),
            text: program.text.as_ref().map(|handler| handler.instantiate()),
            binary: program.binary.as_ref().map(|handler| handler.instantiate()),
            disconnect: program.disconnect.as_ref().map(|handler| handler.instantiate()),
        }
    }

    /// Handles one message; the connection's next one waits for the end of it.
    pub(crate) fn call(&self, hub: Hub, call: Call) -> impl Future<Output = ()> + use<> {
        let id = call.conn;
        let client = Client::new(hub.clone(), id);
        let request = match &call.what {
            Called::Event(message) => message.id.clone(),
            _ => None,
        };
        let work = self.begin(client, call.what);
        async move {
            let failure = match work {
                Some(work) => finish(work).await.err(),
                None => None,
            };
            if let Some(failure) = &failure {
                tracing::warn!(connection = %id, "a handler failed: {failure}");
            }
            hub.end_call(id, failure.as_deref().map(|failure| (failure, request.as_deref())));
        }
    }

    /// The shard calls only for what has a handler.
    fn begin(&self, client: Client, what: Called) -> Option<Work> {
        Some(match what {
            Called::Connect => self.connect.as_ref()?(client, ()),
            Called::Event(message) => {
                self.events.get(&message.event)?(client, Message::new(message))
            }
            Called::Text(text) => self.text.as_ref()?(client, text),
            Called::Binary(bytes) => self.binary.as_ref()?(client, bytes),
            _ => return None,
        })
    }

    /// Tells the program that a connection has ended.
    pub(crate) fn part(
        &self,
        hub: Hub,
        id: ConnId,
        reason: Disconnect,
    ) -> Option<impl Future<Output = ()> + use<>> {
        let work = self.disconnect.as_ref()?(Client::new(hub, id), reason);
        Some(async move {
            if let Err(failure) = finish(work).await {
                tracing::warn!(connection = %id, "on_disconnect failed: {failure}");
            }
        })
    }
}

/// Waits for a handler; a panic is a failure like any other.
async fn finish(work: Work) -> Result<(), String> {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(panic) => Err(format!("panicked: {}", panic_message(&*panic))),
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without words")
}
