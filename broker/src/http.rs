//! Health and metrics over HTTP/1: `/healthz`, `/readyz`, `/metrics`.

use std::convert::Infallible;
use std::sync::Arc;

use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::metrics::Figures;

/// A peer that does not finish its request line and headers is cut off.
const HEADER_WAIT: std::time::Duration = std::time::Duration::from_secs(5);

/// Answers until `stop`.
pub(crate) async fn serve(listener: TcpListener, figures: Arc<Figures>, stop: CancellationToken) {
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => { debug!(%error, "accepting a probe"); continue }
            },
            () = stop.cancelled() => return,
        };
        let figures = Arc::clone(&figures);
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let figures = Arc::clone(&figures);
                async move { Ok::<_, Infallible>(answer(&request, figures).await) }
            });
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_WAIT)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            if let Err(error) = served {
                debug!(%error, "probe connection ended");
            }
        });
    }
}

async fn answer(request: &Request<Incoming>, figures: Arc<Figures>) -> Response<Full<Bytes>> {
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/healthz") => (StatusCode::OK, "ok\n".to_owned()),
        (&Method::GET, "/readyz") if figures.is_ready() => (StatusCode::OK, "ready\n".to_owned()),
        (&Method::GET, "/readyz") => (StatusCode::SERVICE_UNAVAILABLE, "not serving clients\n".to_owned()),
        (&Method::GET, "/metrics") => match figures.prometheus_page().await {
            Some(page) => (StatusCode::OK, page),
            None => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n".to_owned()),
        },
        (&Method::GET, path) => {
            (StatusCode::NOT_FOUND, format!("no {path}; try /healthz, /readyz, /metrics\n"))
        }
        _ => (StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert("content-type", http::HeaderValue::from_static("text/plain; version=0.0.4"));
    response
}
