//! One route: what it takes, what it gives, and who may use it. The types of its handler say all of it, so that what
//! is documented is what is done.
//! Not here: which routes there are (`routes`), connections (`serve`).

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::extract::rejection::RawPathParamsRejection;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};

use super::access::Needs;
use super::answer::{Answer, HTML, Told, acceptable, names};
use super::indent::indented;
use super::input::{Input, PathPart, Query, RequestBody, body, query};
use super::openapi::Schemas;
use super::problem::Problem;
use super::site::{Actor, Reader, Site};

/// From the end of its head to its answer, a request may take so long; one that waits for something, longer by that.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// What of a path's name is decoded.
pub(super) type RawPath = Result<axum::extract::RawPathParams, RawPathParamsRejection>;

pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    /// Unique, for those who generate clients.
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) needs: Needs,
    pub(crate) shape: fn(&mut Schemas) -> Shape,
    serve: Box<dyn Fn(&Site) -> MethodRouter + Send + Sync>,
}

/// What a route takes and gives.
pub(crate) struct Shape {
    /// The parameter of the path.
    pub(crate) path: Option<(&'static str, schemars::Schema)>,
    /// An object, each property of which is a parameter of the query.
    pub(crate) query: schemars::Schema,
    pub(crate) body: Option<schemars::Schema>,
    pub(crate) answers: Vec<Told>,
}

impl Shape {
    fn of<P: PathPart, Q: Query, B: RequestBody, A: Answer>(schemas: &mut Schemas) -> Self {
        Self { path: P::told(schemas), query: schemas.alone::<Q>(), body: B::told(schemas), answers: A::told(schemas) }
    }
}

impl Route {
    /// Its handler is given the latest documents and nothing else, so it cannot change anything.
    pub(crate) fn read<P, Q, A, H, F>(
        path: &'static str,
        needs: Needs,
        (name, about): (&'static str, &'static str),
        handler: H,
    ) -> Self
    where
        P: PathPart,
        Q: Query,
        A: Answer,
        H: Fn(Reader, Input<P, Q>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<A, Problem>> + Send + 'static,
    {
        let serve = Box::new(move |site: &Site| {
            let (reader, handler) = (site.reader.clone(), handler.clone());
            get(move |params: RawPath, request: Request| answer(params, request, move |input| handler(reader, input)))
        });
        Self { method: Method::GET, path, name, about, needs, shape: Shape::of::<P, Q, super::input::NoBody, A>, serve }
    }

    /// Over TCP it always needs the token.
    pub(crate) fn change<P, Q, B, A, H, F>(
        path: &'static str,
        (name, about): (&'static str, &'static str),
        handler: H,
    ) -> Self
    where
        P: PathPart,
        Q: Query,
        B: RequestBody,
        A: Answer,
        H: Fn(Arc<Actor>, Input<P, Q, B>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<A, Problem>> + Send + 'static,
    {
        let serve = Box::new(move |site: &Site| {
            let (actor, handler) = (Arc::clone(&site.actor), handler.clone());
            post(move |params: RawPath, request: Request| {
                answer(params, request, async move |input| {
                    if actor.changes.take() {
                        return handler(actor, input).await;
                    }
                    Err(Problem::too_many("more than 20 changes a second; try again"))
                })
            })
        });
        Self { method: Method::POST, path, name, about, needs: Needs::Token, shape: Shape::of::<P, Q, B, A>, serve }
    }

    pub(crate) fn serve(&self, site: &Site) -> MethodRouter {
        (self.serve)(site)
    }
}

async fn answer<P, Q, B, A, F>(params: RawPath, request: Request, handle: impl FnOnce(Input<P, Q, B>) -> F) -> Response
where
    P: PathPart,
    Q: Query,
    B: RequestBody,
    A: Answer,
    F: Future<Output = Result<A, Problem>>,
{
    let (head, sent) = request.into_parts();
    let path = match P::of(params) {
        Ok(path) => path,
        Err(problem) => return problem.into_response(),
    };
    let asked = acceptable(&head.headers, A::KINDS).and_then(|()| query::<Q>(&head.uri));
    let query = match asked {
        Ok(query) => query,
        Err(problem) => return problem.into_response(),
    };
    let browser = names(&head.headers, HTML);
    let limit = REQUEST_TIMEOUT.saturating_add(query.patience());
    let answered = async {
        let body = body::<B>(&head.headers, sent).await?;
        handle(Input { path, query, body, headers: head.headers }).await
    };
    match tokio::time::timeout(limit, answered).await {
        Ok(Ok(answer)) if browser => indented(answer.respond()).await,
        Ok(Ok(answer)) => answer.respond(),
        Ok(Err(problem)) => problem.into_response(),
        Err(_) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the answer took too long").into_response(),
    }
}
