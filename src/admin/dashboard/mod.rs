//! The operator's page: plain files that are compiled in, for a browser that has nothing but this address.
//!
//! Promises: the page holds no data, so it needs no token: what it shows it asks for as any operator does. It loads nothing from
//! elsewhere, runs no script that is not one of these files, and is shown in no frame; the browser is told to see to that.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};

use super::{Reply, error};

/// What the browser holds the page to. Sockets lead to the edge, which has a port of its own, and may be another host.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self' ws: wss:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const IMAGE: &str = "image/svg+xml";

/// One file of the page.
struct Asset {
    /// Below `/dashboard/`.
    name: &'static str,
    kind: &'static str,
    text: &'static str,
}

macro_rules! assets {
    ($($kind:ident $name:literal)*) => {
        &[$(Asset { name: $name, kind: $kind, text: include_str!($name) }),*]
    };
}

const PAGE: Asset = Asset { name: "index.html", kind: HTML, text: include_str!("index.html") };

const ASSETS: &[Asset] = assets! {
    CSS "style.css"
    IMAGE "icon.svg"
    SCRIPT "theme.js"
    SCRIPT "app.js"
    SCRIPT "api.js"
    SCRIPT "token.js"
    SCRIPT "dom.js"
    SCRIPT "facts.js"
    SCRIPT "format.js"
    SCRIPT "histogram.js"
    SCRIPT "history.js"
    SCRIPT "chart.js"
    SCRIPT "table.js"
    SCRIPT "combobox.js"
    SCRIPT "diagnostics.js"
    SCRIPT "envelope.js"
    SCRIPT "form.js"
    SCRIPT "messages.js"
    SCRIPT "journal.js"
    SCRIPT "request.js"
    SCRIPT "search.js"
    SCRIPT "views/overview.js"
    SCRIPT "views/routes.js"
    SCRIPT "views/backends.js"
    SCRIPT "views/connections.js"
    SCRIPT "views/reloads.js"
    SCRIPT "views/errors.js"
    SCRIPT "views/playground.js"
};

/// `GET /`.
pub fn page() -> Reply {
    serve(&PAGE)
}

/// `GET /dashboard/…`.
pub fn asset(parts: &[String]) -> Reply {
    let name = parts.join("/");
    match ASSETS.iter().find(|asset| asset.name == name) {
        Some(asset) => serve(asset),
        None => error(StatusCode::NOT_FOUND, "the page has no such file"),
    }
}

fn serve(asset: &Asset) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::from_static(asset.text.as_bytes())).boxed_unsync());
    *reply.headers_mut() = headers(asset.kind);
    reply
}

fn headers(kind: &'static str) -> HeaderMap {
    let said = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        // Another version of the gateway brings other files.
        (header::CACHE_CONTROL, "no-cache"),
    ];
    said.into_iter().map(|(name, value)| (name, HeaderValue::from_static(value))).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_of_the_page_is_served_under_its_name() {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/admin/dashboard"));
        let names = |folder: &Path, below: &str| -> Vec<String> {
            let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
            entries.filter(|name| name.contains('.') && !name.ends_with(".rs")).map(|name| format!("{below}{name}")).collect()
        };
        let there: BTreeSet<String> = names(folder, "").into_iter().chain(names(&folder.join("views"), "views/")).collect();
        let served: BTreeSet<String> = ASSETS.iter().chain([&PAGE]).map(|asset| asset.name.to_owned()).collect();
        assert_eq!(served, there);
        assert_eq!(asset(&["views".to_owned(), "overview.js".to_owned()]).status(), StatusCode::OK);
        assert_eq!(asset(&["mod.rs".to_owned()]).status(), StatusCode::NOT_FOUND);
    }

    /// The browser would refuse them; this says so before one is started.
    #[test]
    fn nothing_in_the_page_is_inline_or_comes_from_elsewhere() {
        for asset in ASSETS.iter().chain([&PAGE]) {
            let text = asset.text.replace("http://www.w3.org/2000/svg", "");
            for wrong in
                ["http://", "https://", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "style=\"", "onclick="]
            {
                assert!(!text.contains(wrong), "{} has `{wrong}`", asset.name);
            }
        }
        assert!(!PAGE.text.contains("<style") && PAGE.text.matches("<script").count() == PAGE.text.matches("<script ").count());
    }
}
