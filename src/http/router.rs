//! Which route of the program answers a request.

use hyper::Method;

use crate::handler::{Handler, Template};
use crate::route::{HttpRequest, RouteResult};

/// One route of the program, on its way to the shards.
#[derive(Clone)]
pub(crate) struct Route {
    method: Method,
    path: String,
    handler: Box<dyn Template<HttpRequest, RouteResult>>,
}

impl Route {
    pub(crate) fn new(
        method: Method,
        path: &str,
        handler: Box<dyn Template<HttpRequest, RouteResult>>,
    ) -> Route {
        Route { method, path: path.to_owned(), handler }
    }
}

/// Paths that the server answers itself.
const RESERVED: [&str; 5] = ["/ws", "/v1", "/healthz", "/readyz", "/metrics"];

/// All routes of a shard, by path.
#[derive(Default)]
pub(crate) struct Router {
    paths: matchit::Router<usize>,
    methods: Vec<Vec<(Method, Handler<HttpRequest, RouteResult>)>>,
}

/// A request's way through the routes.
pub(crate) enum Matched {
    /// No route has this path.
    Nowhere,
    /// The path is known, for these methods.
    Otherwise(String),
    /// This handler, with the path's parameters.
    Handler(Handler<HttpRequest, RouteResult>, Vec<(String, String)>),
}

/// Refuses routes that could never be reached, in words for the programmer.
pub(crate) fn check(routes: &[Route]) -> Result<(), String> {
    let mut paths = matchit::Router::new();
    let mut known: Vec<(&str, &Method)> = Vec::new();
    for Route { method, path, .. } in routes {
        let within = |own: &&str| path == *own || path.starts_with(&format!("{own}/"));
        if let Some(own) = RESERVED.iter().find(|own| within(own)) {
            return Err(format!("the route {path} is not possible: {own} is the server's own"));
        }
        if known.contains(&(path, method)) {
            return Err(format!("the route {method} {path} stands twice"));
        }
        if !known.iter().any(|(other, _)| other == path) {
            let inserted = paths.insert(path.as_str(), ());
            inserted.map_err(|error| format!("the route {path} is not possible: {error}"))?;
        }
        known.push((path, method));
    }
    Ok(())
}

impl Router {
    /// A router of routes that were checked.
    pub(crate) fn new(routes: Vec<Route>) -> Router {
        let mut router = Router::default();
        let mut paths: Vec<String> = Vec::new();
        for Route { method, path, handler } in routes {
            let place = paths.iter().position(|known| *known == path).unwrap_or_else(|| {
                let inserted = router.paths.insert(path.as_str(), paths.len());
                inserted.expect("the routes were checked before the first shard started");
                paths.push(path);
                router.methods.push(Vec::new());
                paths.len() - 1
            });
            router.methods[place].push((method, handler.instantiate()));
        }
        router
    }

    /// Finds the handler of a request. HEAD is answered as GET without the body.
    pub(crate) fn find(&self, method: &Method, path: &str) -> Matched {
        let Ok(found) = self.paths.at(path) else { return Matched::Nowhere };
        let methods = &self.methods[*found.value];
        let is = |wanted: &Method| methods.iter().find(|(method, _)| method == wanted);
        let as_get = || is(&Method::GET).filter(|_| method == Method::HEAD);
        let Some((_, handler)) = is(method).or_else(as_get) else {
            let allowed: Vec<_> = methods.iter().map(|(method, _)| method.as_str()).collect();
            return Matched::Otherwise(allowed.join(", "));
        };
        let parameters = found.params.iter().map(|(name, value)| (name.to_owned(), decode(value)));
        Matched::Handler(handler.clone(), parameters.collect())
    }
}

fn decode(value: &str) -> String {
    percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handler::unary;
    use crate::route::HttpResponse;

    fn route(method: Method, path: &str) -> Route {
        Route::new(method, path, unary(async |_: HttpRequest| Ok(HttpResponse::text("yes"))))
    }

    #[test]
    fn paths_and_methods_lead_to_handlers() {
        let routes = vec![
            route(Method::GET, "/"),
            route(Method::GET, "/hello/{name}"),
            route(Method::POST, "/hello/{name}"),
        ];
        assert_eq!(check(&routes), Ok(()));
        let router = Router::new(routes);
        let name = |matched| match matched {
            Matched::Handler(_, parameters) => {
                parameters.into_iter().map(|(_, value)| value).next()
            }
            _ => panic!("no handler"),
        };
        assert_eq!(name(router.find(&Method::POST, "/hello/a%2Fb")).as_deref(), Some("a/b"));
        assert_eq!(name(router.find(&Method::HEAD, "/")), None);
        assert!(matches!(router.find(&Method::GET, "/bye"), Matched::Nowhere));
        let refused = router.find(&Method::DELETE, "/hello/x");
        assert!(matches!(refused, Matched::Otherwise(allow) if allow == "GET, POST"));
    }

    #[test]
    fn routes_that_nobody_reaches_are_refused() {
        for (paths, words) in [
            (vec!["/ws"], "the server's own"),
            (vec!["/v1/rooms"], "the server's own"),
            (vec!["/a", "/a"], "twice"),
            (vec!["/a/{b}", "/a/{c}"], "not possible"),
        ] {
            let routes: Vec<_> = paths.iter().map(|path| route(Method::GET, path)).collect();
            let refused = check(&routes).expect_err("it is refused");
            assert!(refused.contains(words), "{refused}");
        }
    }
}
