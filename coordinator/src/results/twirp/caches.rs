//! `CacheService`.

use axum::response::Response;

use super::super::address::Permission;
use super::super::error::ResultsError;
use super::messages::{
    CreateCacheEntryRequest, CreateCacheEntryResponse, FinalizeCacheEntryUploadRequest,
    FinalizeCacheEntryUploadResponse, GetCacheEntryDownloadUrlRequest, GetCacheEntryDownloadUrlResponse,
};
use super::{Call, TwirpError};

pub(super) async fn create(call: &Call<'_>) -> Result<Response, TwirpError> {
    let asked: CreateCacheEntryRequest = call.message()?;
    let answer = match call.results.create_cache(&call.claims, &asked.key, &asked.version).await {
        Ok(id) => CreateCacheEntryResponse {
            ok: true,
            signed_upload_url: call.results.address(
                &call.origin,
                id,
                Permission::Write,
                &call.claims.lease(),
            ),
            message: String::new(),
        },
        // The clients look for the reason here and tell it as a warning.
        Err(ResultsError::Denied(message)) => CreateCacheEntryResponse { message, ..Default::default() },
        Err(error) => return Err(error.into()),
    };
    Ok(call.form.answer(&answer))
}

pub(super) async fn finalize(call: &Call<'_>) -> Result<Response, TwirpError> {
    let asked: FinalizeCacheEntryUploadRequest = call.message()?;
    let size_bytes = size(asked.size_bytes)?;
    let entry_id =
        call.results.finish_cache_of_key(&call.claims, &asked.key, &asked.version, size_bytes).await?;
    Ok(call.form.answer(&FinalizeCacheEntryUploadResponse { ok: true, entry_id, message: String::new() }))
}

pub(super) async fn find(call: &Call<'_>) -> Result<Response, TwirpError> {
    let asked: GetCacheEntryDownloadUrlRequest = call.message()?;
    let keys = std::iter::once(asked.key).chain(asked.restore_keys).collect();
    let found = call.results.find_cache(&call.claims, keys, asked.version, &call.origin).await?;
    let answer = found.map(|(entry, address)| GetCacheEntryDownloadUrlResponse {
        ok: true,
        signed_download_url: address,
        matched_key: entry.key,
    });
    // A miss is no error.
    Ok(call.form.answer(&answer.unwrap_or_default()))
}

/// A size, which is not negative.
pub(super) fn size(bytes: i64) -> Result<u64, ResultsError> {
    u64::try_from(bytes).map_err(|_| ResultsError::Invalid(format!("{bytes} is no size")))
}
