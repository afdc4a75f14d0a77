//! Routes that know their own list, so that what must hold for every route can be asked of every route.

use axum::{
    Router,
    handler::Handler,
    http::Method,
    routing::{self, MethodRouter},
};
use utoipa::openapi::{OpenApi, PathItem, path::Operation};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use super::limit::{Limits, PathLimits};

/// What one route answers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path, with its parameters in braces.
    pub path: String,
}

/// A router, the list of what is in it, and how much of that at once.
pub(super) struct Routes<S> {
    router: Router<S>,
    list: Vec<Route>,
    limits: PathLimits,
}

/// The handlers of one path, by method.
pub(super) struct Handlers<S> {
    router: MethodRouter<S>,
    methods: Vec<Method>,
}

/// Answers GET, and with it HEAD.
pub(super) fn get<S, H, T>(handler: H) -> Handlers<S>
where
    S: Clone + Send + Sync + 'static,
    H: Handler<T, S>,
    T: 'static,
{
    Handlers {
        router: routing::get(handler),
        methods: vec![Method::GET],
    }
}

/// Answers POST.
pub(super) fn post<S, H, T>(handler: H) -> Handlers<S>
where
    S: Clone + Send + Sync + 'static,
    H: Handler<T, S>,
    T: 'static,
{
    Handlers {
        router: routing::post(handler),
        methods: vec![Method::POST],
    }
}

impl<S: Clone + Send + Sync + 'static> Handlers<S> {
    /// Answers POST as well.
    pub(super) fn post<H, T>(mut self, handler: H) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        self.router = self.router.post(handler);
        self.methods.push(Method::POST);
        self
    }
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    pub(super) fn new() -> Self {
        Self {
            router: Router::new(),
            list: Vec::new(),
            limits: PathLimits::default(),
        }
    }

    /// Adds a path.
    pub(super) fn route(mut self, path: &str, handlers: Handlers<S>) -> Self {
        self.list
            .extend(handlers.methods.into_iter().map(|method| Route {
                method,
                path: path.to_owned(),
            }));
        self.router = self.router.route(path, handlers.router);
        self
    }

    /// Routes that describe themselves, and their description. There is no way to add one without.
    pub(super) fn described(
        about: OpenApi,
        all: impl IntoIterator<Item = UtoipaMethodRouter<S>>,
    ) -> (Self, OpenApi) {
        let (router, document) = all
            .into_iter()
            .fold(OpenApiRouter::with_openapi(about), OpenApiRouter::routes)
            .split_for_parts();
        let list = document.paths.paths.iter().flat_map(|(path, item)| {
            operations(item).map(|(method, _)| Route {
                method,
                path: path.clone(),
            })
        });
        let described = Self {
            router,
            list: list.collect(),
            limits: PathLimits::default(),
        };
        (described, document)
    }

    pub(super) fn merge(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        self.list.extend(other.list);
        self.limits.extend(other.limits);
        self
    }

    /// Only so many of these at once, and none for ever.
    pub(super) fn hold(mut self, limits: &Limits) -> Self {
        for route in &self.list {
            self.limits.insert(route.path.clone(), limits.clone());
        }
        self
    }

    /// The limits are for whoever answers with the router to keep.
    pub(super) fn into_router(self) -> (Router<S>, PathLimits) {
        (self.router, self.limits)
    }

    pub(super) fn into_list(self) -> Vec<Route> {
        self.list
    }
}

/// What a path of a description answers to.
pub(super) fn operations(item: &PathItem) -> impl Iterator<Item = (Method, &Operation)> {
    [
        (Method::GET, &item.get),
        (Method::POST, &item.post),
        (Method::PUT, &item.put),
        (Method::PATCH, &item.patch),
        (Method::DELETE, &item.delete),
        (Method::HEAD, &item.head),
        (Method::OPTIONS, &item.options),
        (Method::TRACE, &item.trace),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation.as_ref()?)))
}
