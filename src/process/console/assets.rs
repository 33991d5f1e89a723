//! The files of the page, as they are built in, compressed once.

use std::io::Write as _;
use std::sync::LazyLock;

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

/// A file.
struct Asset {
    path: &'static str,
    content_type: &'static str,
    plain: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

const ASSETS: [Asset; 9] = [
    Asset { path: "/", content_type: HTML, plain: include_str!("page/index.html") },
    Asset { path: "/login", content_type: HTML, plain: include_str!("page/login.html") },
    Asset { path: "/console.css", content_type: STYLE, plain: include_str!("page/console.css") },
    Asset { path: "/console.js", content_type: SCRIPT, plain: include_str!("page/console.js") },
    Asset { path: "/charts.js", content_type: SCRIPT, plain: include_str!("page/charts.js") },
    Asset { path: "/lists.js", content_type: SCRIPT, plain: include_str!("page/lists.js") },
    Asset { path: "/uplot.js", content_type: SCRIPT, plain: include_str!("page/vendor/uplot-1.6.32.min.js") },
    Asset {
        path: "/uplot.css",
        content_type: STYLE,
        plain: include_str!("page/vendor/uplot-1.6.32.min.css"),
    },
    Asset { path: "/favicon.svg", content_type: "image/svg+xml", plain: include_str!("page/favicon.svg") },
];

static COMPRESSED: LazyLock<Vec<Option<Bytes>>> = LazyLock::new(|| ASSETS.iter().map(compressed).collect());

fn compressed(asset: &Asset) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(asset.plain.as_bytes()).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

/// The paths of all files, in the order of their places.
pub(super) fn paths() -> impl Iterator<Item = &'static str> {
    ASSETS.iter().map(|asset| asset.path)
}

/// The file at a place, compressed where the browser takes that.
pub(super) fn give(place: usize, headers: &HeaderMap) -> Response {
    let asset = &ASSETS[place];
    let takes = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    let takes_gzip = takes.is_some_and(|takes| takes.split(',').any(|way| way.trim().starts_with("gzip")));
    let mut response = match COMPRESSED[place].clone().filter(|_| takes_gzip) {
        Some(bytes) => ([(header::CONTENT_ENCODING, "gzip")], bytes).into_response(),
        None => asset.plain.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page as it is sent the first time, in bytes.
    const PAGE_BYTES_MAX: usize = 48 << 10;

    #[test]
    fn the_page_is_a_few_tens_of_kilobytes_and_holds_no_inline_code() {
        let sent: usize = COMPRESSED.iter().flatten().map(Bytes::len).sum();
        assert!(sent <= PAGE_BYTES_MAX, "{sent}");
        for asset in ASSETS.iter().filter(|asset| asset.content_type == HTML) {
            let page = asset.plain;
            assert!(!page.contains("<style") && !page.contains(" style="), "{}", asset.path);
            assert!(!page.contains(" onclick=") && !page.contains(" onload="), "{}", asset.path);
            for script in page.split("<script").skip(1) {
                assert!(script.trim_start().starts_with("src=") || script.contains(" src=\"/"), "{script}");
            }
            assert!(
                !page.contains("http://") && !page.contains("https://"),
                "another origin: {}",
                asset.path
            );
        }
    }
}
