//! The admin API of a broker that may not lead: calls about the group go to the leader, undecoded.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::uri::{Parts, Scheme};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::server::NamedService;
use wire::admin::admin_server::AdminServer;

use super::{AdminService, REQUEST_BYTES_MAX};
use crate::call;
use crate::leader::{LeaderAddress, Leadership};
use crate::relay::{self, Relay, Sent};
use crate::steer::{Steering, Stranded, Terms, Way};

/// Answered by the broker that is asked.
const ABOUT_THIS_BROKER: &str = "/millpond.admin.v1.Admin/GetBroker";

/// Its answer says who the next leader is, so it comes after the end of this one.
const OUTLIVES_THE_LEADER: &str = "/millpond.admin.v1.Admin/HandOver";

/// The admin API, answered by whoever leads.
#[derive(Clone)]
pub struct Leading {
    served: AdminServer<AdminService>,
    leadership: Arc<Leadership>,
    relay: Arc<Relay>,
}

impl Leading {
    pub(super) fn new(
        served: AdminServer<AdminService>,
        leadership: Arc<Leadership>,
        relay: Arc<Relay>,
    ) -> Self {
        Self { served, leadership, relay }
    }

    async fn steer(mut self, request: Request<Body>) -> Result<Response<Body>, Infallible> {
        let arrived_ms = self.leadership.now_ms();
        let timeout_ms = call::timeout_of(request.headers());
        let terms = Terms {
            address: admin_address,
            is_forwarded: relay::is_forwarded(request.headers()),
            arrived_ms,
            deadline_ms: timeout_ms.map(|ms| arrived_ms.saturating_add(ms)),
            stop_head: None,
            stop_body: None,
            outlives_leader: request.uri().path() == OUTLIVES_THE_LEADER,
        };
        let mut steering = Steering::new(&self.leadership, &self.relay, terms);
        let request = match outgoing(request).await {
            Ok(request) => request,
            Err(status) => return Ok(status.into_http()),
        };
        loop {
            let road = match steering.way().await {
                Ok(Way::Here(_)) => return self.served.call(request.map(Full::new).map(Body::new)).await,
                Ok(Way::There(road)) => road,
                Err(stranded) => return Ok(told(stranded)),
            };
            match steering.send(road, request.clone().map(|body| relay::boxed(Full::new(body)))).await {
                Sent::Reply(response) => return Ok(response.map(Body::new)),
                Sent::Lost(error) => return Ok(Status::unavailable(error.message).into_http()),
                Sent::Undone | Sent::Unsent(_) => steering.undone(),
            }
        }
    }
}

impl Service<Request<Body>> for Leading {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<Body>>::poll_ready(&mut self.served, context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if self.leadership.is_here() || request.uri().path() == ABOUT_THIS_BROKER {
            return self.served.call(request);
        }
        Box::pin(self.clone().steer(request))
    }
}

impl NamedService for Leading {
    const NAME: &'static str = <AdminServer<AdminService> as NamedService>::NAME;
}

impl fmt::Debug for Leading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leading").field("leadership", &self.leadership).finish_non_exhaustive()
    }
}

fn admin_address(leader: &LeaderAddress) -> &str {
    &leader.admin
}

fn told(stranded: Stranded) -> Response<Body> {
    match stranded {
        Stranded::Refused(refusal) => Status::unavailable(refusal.message).into_http(),
        Stranded::NotLeading => {
            let mut response = Status::unavailable(relay::not_leading().message).into_http();
            relay::mark_undone(response.headers_mut());
            response
        }
    }
}

/// The call as a client of the leader writes it, as a whole.
async fn outgoing(request: Request<Body>) -> Result<Request<Bytes>, Status> {
    let (mut head, body) = request.into_parts();
    let body = Limited::new(body, REQUEST_BYTES_MAX).collect().await;
    let body = body.map_err(|error| Status::invalid_argument(format!("request cannot be read: {error}")))?;
    relay::mark(&mut head.headers, None);
    let told = head.uri.into_parts();
    let mut parts = Parts::default();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = told.authority;
    parts.path_and_query = told.path_and_query;
    head.uri = Uri::from_parts(parts).unwrap_or_default();
    Ok(Request::from_parts(head, body.to_bytes()))
}
