//! Style sheet, script and pictures: part of the program, under addresses that change with their content.

use std::borrow::Cow;
use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/assets"]
struct Files;

/// A file of the page.
struct Asset {
    name: &'static str,
    kind: &'static str,
    /// Address with the begin of the content's SHA-256.
    href: String,
    hash: String,
    bytes: Cow<'static, [u8]>,
}

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    const KINDS: [(&str, &str); 3] = [
        ("style.css", "text/css; charset=utf-8"),
        ("live.js", "text/javascript; charset=utf-8"),
        ("mark.svg", "image/svg+xml"),
    ];
    let asset = |(name, kind)| {
        let file = Files::get(name)?;
        let digest = file.metadata.sha256_hash();
        let hash: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Some(Asset {
            name,
            kind,
            href: format!("/ui/assets/{hash}/{name}"),
            hash,
            bytes: file.data,
        })
    };
    KINDS.into_iter().filter_map(asset).collect()
});

/// Address of a file.
pub(crate) fn href(name: &str) -> &'static str {
    ASSETS
        .iter()
        .find(|asset| asset.name == name)
        .map(|asset| asset.href.as_str())
        .unwrap_or_default()
}

/// Serves `/ui/assets/{hash}/{name}`. The content behind an address never changes.
pub(crate) async fn serve(Path((hash, name)): Path<(String, String)>, headers: HeaderMap) -> Response {
    let Some(asset) = ASSETS
        .iter()
        .find(|asset| asset.name == name && asset.hash == hash)
    else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let tag = format!("\"{hash}\"");
    let known = headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|tags| tags.split(','))
        .any(|known| {
            matches!(known.trim().trim_start_matches("W/"), "*")
                || known.trim().trim_start_matches("W/") == tag
        });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(asset.kind)),
        (
            header::CACHE_CONTROL,
            HeaderValue::from_static("public, max-age=31536000, immutable"),
        ),
        (
            header::ETAG,
            HeaderValue::from_str(&tag).unwrap_or(HeaderValue::from_static("\"\"")),
        ),
    ];
    if known {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    match &asset.bytes {
        Cow::Borrowed(bytes) => (headers, *bytes).into_response(),
        Cow::Owned(bytes) => (headers, bytes.clone()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_asset_is_immutable_and_known_by_its_hash() {
        for name in ["style.css", "live.js", "mark.svg"] {
            let (hash, last) = href(name)
                .strip_prefix("/ui/assets/")
                .unwrap()
                .split_once('/')
                .unwrap();
            assert_eq!(last, name);
            let ask = |hash: &str, headers| serve(Path((hash.to_owned(), name.to_owned())), headers);
            let answer = ask(hash, HeaderMap::new()).await;
            assert_eq!(answer.status(), StatusCode::OK);
            assert!(
                answer.headers()[header::CACHE_CONTROL]
                    .to_str()
                    .unwrap()
                    .contains("immutable")
            );
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, answer.headers()[header::ETAG].clone());
            assert_eq!(ask(hash, headers).await.status(), StatusCode::NOT_MODIFIED);
            assert_eq!(
                ask("0000", HeaderMap::new()).await.status(),
                StatusCode::NOT_FOUND
            );
        }
    }
}
