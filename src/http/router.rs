//! Which route answers a request, and who may use it: one table for the server's own routes and
//! those of the program.

use std::collections::BTreeMap;

use hyper::Method;

use super::admission::{Access, Admission};
use super::{HttpError, path};
use crate::program::{Route, RouteHandler, ShardRoute};
use crate::values::{RefusalReason, Refusals, Right};

/// Requests are matched by their canonical path, so that patterns are spelled the same way.
fn canonical_pattern(pattern: &str) -> String {
    let segments = pattern.split('/').map(|segment| match segment.contains('{') {
        true => segment.to_owned(),
        false => path::canonical(segment).into_owned(),
    });
    segments.collect::<Vec<_>>().join("/")
}

/// What answers a request.
#[derive(Clone)]
pub(crate) enum Endpoint {
    Own(Own),
    Program(RouteHandler),
}

/// What the server answers itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Own {
    /// Says where the endpoints are.
    Home,
    Health,
    Readiness,
    /// `/ws`, for a request that is no handshake.
    Handshake,
    Stats,
    Rooms,
    Room,
    Publish,
    /// What is kept of the room's messages.
    History,
    Presence,
    /// The room's messages, as they come.
    Events,
    /// Those of several rooms.
    EventsOfRooms,
    Broadcast,
    Emit,
    Kick,
    /// A user's connections.
    User,
    EmitToUser,
    KickUser,
    Revoke,
}

/// One path of the server's own, who may use it, and its methods with the right that each needs of
/// an API key.
struct OwnPath {
    pattern: &'static str,
    access: Access,
    methods: &'static [OwnMethod],
}

type OwnMethod = (&'static str, Own, Option<Right>);

const READ: Option<Right> = Some(Right::Read);
const PUBLISH: Option<Right> = Some(Right::Publish);
const ADMIN: Option<Right> = Some(Right::Admin);

/// The server's own paths. Those without methods are answered with 404 to all who may ask.
const OWN: [OwnPath; 21] = [
    own("/", Access::Everybody, &[("GET", Own::Home, None)]),
    own("/healthz", Access::Everybody, &[("GET", Own::Health, None)]),
    own("/readyz", Access::Everybody, &[("GET", Own::Readiness, None)]),
    own("/ws", Access::Everybody, &[("GET", Own::Handshake, None)]),
    own("/v1", Access::Api, &[]),
    own("/v1/", Access::Api, &[]),
    own("/v1/{*rest}", Access::Api, &[]),
    own("/v1/stats", Access::Api, &[("GET", Own::Stats, READ)]),
    own("/v1/rooms", Access::Api, &[("GET", Own::Rooms, READ)]),
    own("/v1/rooms/{room}", Access::Api, &[("GET", Own::Room, READ)]),
    own("/v1/rooms/{room}/publish", Access::Api, &[("POST", Own::Publish, PUBLISH)]),
    own("/v1/rooms/{room}/history", Access::Api, &[("GET", Own::History, READ)]),
    own("/v1/rooms/{room}/presence", Access::Api, &[("GET", Own::Presence, READ)]),
    own("/v1/rooms/{room}/events", Access::Events, &[("GET", Own::Events, READ)]),
    own("/v1/events", Access::Events, &[("GET", Own::EventsOfRooms, READ)]),
    own("/v1/broadcast", Access::Api, &[("POST", Own::Broadcast, PUBLISH)]),
    own("/v1/connections/{id}", Access::Api, &[("DELETE", Own::Kick, ADMIN)]),
    own("/v1/connections/{id}/emit", Access::Api, &[("POST", Own::Emit, PUBLISH)]),
    own(
        "/v1/users/{sub}",
        Access::Api,
        &[("GET", Own::User, READ), ("DELETE", Own::KickUser, ADMIN)],
    ),
    own("/v1/users/{sub}/emit", Access::Api, &[("POST", Own::EmitToUser, PUBLISH)]),
    own("/v1/revoke", Access::Api, &[("POST", Own::Revoke, ADMIN)]),
];

const fn own(pattern: &'static str, access: Access, methods: &'static [OwnMethod]) -> OwnPath {
    OwnPath { pattern, access, methods }
}

/// Paths that no route of the program may have, and none below them. The page at `/` is ours only
/// until the program has one.
const RESERVED: [&str; 4] = ["/ws", "/v1", "/healthz", "/readyz"];

/// All routes of a shard, by path.
pub(crate) struct Router {
    paths: matchit::Router<Place>,
}

/// One path: who may use it, and what answers each method.
struct Place {
    access: Access,
    methods: Vec<Answering>,
}

/// What answers a method, and the right that this needs of an API key.
struct Answering {
    method: Method,
    endpoint: Endpoint,
    right: Option<Right>,
}

/// A path that was found. What answers there comes out only for an [`Admission`], so that no
/// request reaches a route whose rule was not asked.
pub(crate) struct Found<'a> {
    place: &'a Place,
    path: String,
    parameters: Vec<(String, String)>,
}

/// Refuses routes that could never be reached, in words for the programmer.
pub(crate) fn check<R>(routes: &[Route<R>]) -> Result<(), String> {
    let mut paths = matchit::Router::new();
    let mut known: Vec<(String, &Method)> = Vec::new();
    for Route { method, path, .. } in routes {
        let path = canonical_pattern(path);
        let within = |own: &&str| path == *own || path.starts_with(&format!("{own}/"));
        if let Some(own) = RESERVED.iter().find(|own| within(own)) {
            return Err(format!("the route {path} is not possible: {own} is the server's own"));
        }
        if known.iter().any(|(other, of)| *other == path && *of == method) {
            return Err(format!("the route {method} {path} stands twice"));
        }
        if !known.iter().any(|(other, _)| *other == path) {
            let inserted = paths.insert(path.as_str(), ());
            inserted.map_err(|error| format!("the route {path} is not possible: {error}"))?;
        }
        known.push((path, method));
    }
    Ok(())
}

impl Router {
    /// A router of the server's own routes and of the program's, which were checked.
    pub(crate) fn new(routes: Vec<ShardRoute>) -> Router {
        let mut places: BTreeMap<String, Place> = BTreeMap::new();
        for ShardRoute { method, path, handler } in routes {
            let place = places.entry(canonical_pattern(&path));
            let place = place.or_insert(Place { access: Access::Program, methods: Vec::new() });
            let endpoint = Endpoint::Program(handler);
            place.methods.push(Answering { method, endpoint, right: None });
        }
        for OwnPath { pattern, access, methods } in OWN {
            let place = Place { access, methods: methods.iter().map(Answering::of_own).collect() };
            places.entry(pattern.to_owned()).or_insert(place);
        }
        let mut paths = matchit::Router::new();
        for (pattern, place) in places {
            let inserted = paths.insert(pattern, place);
            inserted.expect("the routes were checked before the first shard started");
        }
        Router { paths }
    }

    /// Finds the route of a path, which may be spelled in any way.
    pub(crate) fn find(&self, path: &str) -> Option<Found<'_>> {
        let path = path::canonical(path);
        let found = self.paths.at(&path).ok()?;
        let parameters =
            found.params.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let parameters = parameters.collect();
        Some(Found { place: found.value, path: path.into_owned(), parameters })
    }
}

impl Answering {
    fn of_own(&(name, own, right): &OwnMethod) -> Answering {
        let method = Method::from_bytes(name.as_bytes()).expect("it is a token");
        Answering { method, endpoint: Endpoint::Own(own), right }
    }
}

impl Found<'_> {
    pub(crate) fn access(&self) -> Access {
        self.place.access
    }

    /// The path that was asked for, in its canonical spelling.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The path's parameters by name, percent-encoded.
    pub(crate) fn parameters(&self) -> &[(String, String)] {
        &self.parameters
    }

    /// What answers this method, for a request that may enter and has the right that it needs. HEAD
    /// is answered as GET without the body.
    pub(crate) fn enter(
        &self,
        admission: &Admission,
        method: &Method,
        refusals: &Refusals,
    ) -> Result<&Endpoint, HttpError> {
        let methods = &self.place.methods;
        if methods.is_empty() {
            return Err(HttpError::nothing_there());
        }
        let is = |wanted: &Method| methods.iter().find(|answering| answering.method == wanted);
        let as_get = || is(&Method::GET).filter(|_| method == Method::HEAD);
        let answering = is(method).or_else(as_get).ok_or_else(|| self.otherwise())?;
        match answering.right.filter(|right| !admission.includes(*right)) {
            None => Ok(&answering.endpoint),
            Some(right) => {
                refusals.count(RefusalReason::Right);
                Err(HttpError::right_missing(right.name()))
            }
        }
    }

    fn otherwise(&self) -> HttpError {
        let mut allowed: Vec<_> =
            self.place.methods.iter().map(|answering| answering.method.as_str()).collect();
        // What answers GET answers HEAD, too.
        if allowed.contains(&"GET") && !allowed.contains(&"HEAD") {
            allowed.push("HEAD");
        }
        HttpError::method_not_allowed(allowed.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::admission::AdmittedAs;
    use crate::program::{HttpResponse, RouteRequest, unary};

    fn route(method: Method, path: &str) -> Route<RouteRequest> {
        let handler = unary(async |_: RouteRequest| Ok(HttpResponse::text("yes")));
        Route { method, path: path.to_owned(), handler }
    }

    fn unknown() -> Admission {
        Admission::for_tests(AdmittedAs::Unknown)
    }

    fn router(routes: Vec<Route<RouteRequest>>) -> Router {
        Router::new(routes.into_iter().map(|route| route.instantiate(|request| request)).collect())
    }

    #[test]
    fn paths_and_methods_lead_to_handlers() {
        let routes = vec![
            route(Method::GET, "/"),
            route(Method::GET, "/hello/{name}"),
            route(Method::POST, "/hello/{name}"),
            route(Method::GET, "/metrics"),
            route(Method::GET, "/{page}/stats"),
            route(Method::GET, "/é/{*rest}"),
        ];
        assert_eq!(check(&routes), Ok(()));
        let router = router(routes);
        let enter = |method: Method, path: &str| {
            let found = router.find(path).expect("the path is known");
            assert_eq!(found.access(), Access::Program, "{path}");
            let entered = found.enter(&unknown(), &method, &Refusals::default()).map(drop);
            (entered, found.parameters)
        };
        let name = vec![("name".to_owned(), "a%2Fb".to_owned())];
        assert_eq!(enter(Method::POST, "/hello/a%2fb"), (Ok(()), name.clone()));
        assert_eq!(enter(Method::HEAD, "/%68ello/a%2fb"), (Ok(()), name));
        assert_eq!(enter(Method::HEAD, "/").0, Ok(()));
        let events = router.find("/v1/rooms/r/events").expect("the path is known");
        let entered = |method| events.enter(&unknown(), &method, &Refusals::default()).map(drop);
        assert_eq!(entered(Method::HEAD), Ok(()));
        assert_eq!(entered(Method::POST), Err(HttpError::method_not_allowed("GET, HEAD")));
        assert_eq!(enter(Method::GET, "/metrics").0, Ok(()));
        assert_eq!(enter(Method::GET, "/%c3%A9/more/of/it").0, Ok(()));
        assert_eq!(enter(Method::GET, "/v2/stats").0, Ok(()));
        assert!(router.find("/bye").is_none());
        let refused = enter(Method::DELETE, "/hello/x").0;
        assert_eq!(refused, Err(HttpError::method_not_allowed("GET, POST, HEAD")));
    }

    #[test]
    fn every_path_whose_first_segment_is_v1_has_the_rule_of_the_api() {
        let router = router(vec![route(Method::GET, "/{*page}")]);
        for path in [
            "/v1",
            "/v1/",
            "/v1/stats",
            "/%76%31/stats",
            "/v%31/rooms/%2e%2e/publish",
            "/v1/nothing",
            "/v1/rooms/a/b/c",
            "/v1//stats",
        ] {
            let access = router.find(path).map(|found| found.access());
            assert_eq!(access, Some(Access::Api), "{path}");
        }
        let events = router.find("/%76%31/rooms/a%2fb/events").map(|found| found.access());
        assert_eq!(events, Some(Access::Events));
        for path in ["/V1/stats", "//v1/stats", "/%2576%2531/stats", "/v1%2Fstats"] {
            let access = router.find(path).map(|found| found.access());
            assert_eq!(access, Some(Access::Program), "{path}");
        }
    }

    #[test]
    fn every_method_below_v1_needs_a_right() {
        let (router, refusals) = (router(Vec::new()), Refusals::default());
        for OwnPath { pattern, methods, .. } in OWN {
            for (method, _, right) in methods {
                assert_eq!(right.is_some(), pattern.starts_with("/v1/"), "{method} {pattern}");
            }
        }
        for (method, path, needed) in [
            (Method::GET, "/v1/stats", "read"),
            (Method::GET, "/v1/rooms/r", "read"),
            (Method::GET, "/v1/rooms/r/history", "read"),
            (Method::GET, "/v1/rooms/r/presence", "read"),
            (Method::HEAD, "/v1/rooms/r/events", "read"),
            (Method::POST, "/v1/rooms/r/publish", "publish"),
            (Method::POST, "/v1/broadcast", "publish"),
            (Method::POST, "/v1/connections/c/emit", "publish"),
            (Method::DELETE, "/v1/connections/c", "admin"),
        ] {
            for rights in ["publish", "read", "admin"] {
                let admission = Admission::for_tests(AdmittedAs::Key(rights.parse().unwrap()));
                let found = router.find(path).expect("the path is known");
                let entered = found.enter(&admission, &method, &refusals).map(drop);
                let expected = match rights == needed || rights == "admin" {
                    true => Ok(()),
                    false => Err(HttpError::right_missing(needed)),
                };
                assert_eq!(entered, expected, "{method} {path} with {rights}");
            }
        }
        let refused = refusals.counts().find(|(name, _)| *name == "right");
        assert_eq!(refused, Some(("right", 10)));
    }

    #[test]
    fn routes_that_nobody_reaches_are_refused() {
        for (paths, words) in [
            (vec!["/ws"], "the server's own"),
            (vec!["/v1/rooms"], "the server's own"),
            (vec!["/%76%31/rooms"], "the server's own"),
            (vec!["/a", "/a"], "twice"),
            (vec!["/a", "/%61"], "twice"),
            (vec!["/a/{b}", "/a/{c}"], "not possible"),
        ] {
            let routes: Vec<_> = paths.iter().map(|path| route(Method::GET, path)).collect();
            let refused = check(&routes).expect_err("it is refused");
            assert!(refused.contains(words), "{refused}");
        }
    }
}
