//! Serves connections within bounds: so many at a time, headers within a time and a size, and none that takes nothing for long.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;

/// Connections at a time; further ones are closed at once.
const CONNECTIONS_MAX: usize = 128;
/// How long a request's headers may take, and how long a connection may be idle.
const HEADERS_WITHIN: Duration = Duration::from_secs(10);
/// What a request's line and headers may take, in bytes.
const HEADER_BYTES_MAX: usize = 16 << 10;
/// A browser that takes nothing for so long has gone.
const TAKES_WITHIN: Duration = Duration::from_secs(15);
/// How long connections may take to end with the worker.
const ENDS_WITHIN: Duration = Duration::from_millis(500);
/// The pause after an accept that failed, as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until the end; what is still open then is given a moment, and closed.
pub(super) async fn serve(listener: TcpListener, router: Router, ending: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = ending.cancelled() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) if connections.len() < CONNECTIONS_MAX => {
                connections.spawn(connection(stream, router.clone(), ending.clone()));
            }
            // No room: it is closed by being dropped.
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "the console cannot take a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    let _ =
        tokio::time::timeout(ENDS_WITHIN, async { while connections.join_next().await.is_some() {} }).await;
}

async fn connection(stream: TcpStream, router: Router, ending: CancellationToken) {
    let io = TokioIo::new(Impatient::new(stream));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_WITHIN)
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(io, TowerToHyperService::new(router));
    tokio::pin!(connection);
    tokio::select! {
        // A browser's connection that breaks is nobody's business here.
        _ = connection.as_mut() => return,
        () = ending.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// A connection whose other side must take what it is sent.
struct Impatient {
    stream: TcpStream,
    /// When patience ends, while it takes nothing.
    until: Option<Pin<Box<Sleep>>>,
}

impl Impatient {
    const fn new(stream: TcpStream) -> Self {
        Self { stream, until: None }
    }

    fn waits<T>(&mut self, written: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.until = None;
            return written;
        }
        let until = self
            .until
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + TAKES_WITHIN)));
        match until.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Impatient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Impatient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.waits(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.waits(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
