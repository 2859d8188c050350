//! The messages of `github.actions.results.api.v1`, with the field numbers that the npm packages have, in protobuf and in
//! protobuf's JSON. Only what is looked at is here; unknown fields are passed over.

use jiff::Timestamp as Time;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct CreateCacheEntryRequest {
    #[prost(string, tag = "2")]
    pub(super) key: String,
    #[prost(string, tag = "3")]
    pub(super) version: String,
}

#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct CreateCacheEntryResponse {
    #[prost(bool, tag = "1")]
    pub(super) ok: bool,
    #[prost(string, tag = "2")]
    pub(super) signed_upload_url: String,
    #[prost(string, tag = "3")]
    pub(super) message: String,
}

#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct FinalizeCacheEntryUploadRequest {
    #[prost(string, tag = "2")]
    pub(super) key: String,
    #[prost(int64, tag = "3")]
    #[serde(alias = "sizeBytes", with = "int64")]
    pub(super) size_bytes: i64,
    #[prost(string, tag = "4")]
    pub(super) version: String,
}

#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct FinalizeCacheEntryUploadResponse {
    #[prost(bool, tag = "1")]
    pub(super) ok: bool,
    #[prost(int64, tag = "2")]
    #[serde(with = "int64")]
    pub(super) entry_id: i64,
    #[prost(string, tag = "3")]
    pub(super) message: String,
}

#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct GetCacheEntryDownloadUrlRequest {
    #[prost(string, tag = "2")]
    pub(super) key: String,
    #[prost(string, repeated, tag = "3")]
    #[serde(alias = "restoreKeys")]
    pub(super) restore_keys: Vec<String>,
    #[prost(string, tag = "4")]
    pub(super) version: String,
}

#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct GetCacheEntryDownloadUrlResponse {
    #[prost(bool, tag = "1")]
    pub(super) ok: bool,
    #[prost(string, tag = "2")]
    pub(super) signed_download_url: String,
    #[prost(string, tag = "3")]
    pub(super) matched_key: String,
}

#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct CreateArtifactRequest {
    #[prost(string, tag = "1")]
    #[serde(alias = "workflowRunBackendId")]
    pub(super) workflow_run_backend_id: String,
    #[prost(string, tag = "2")]
    #[serde(alias = "workflowJobRunBackendId")]
    pub(super) workflow_job_run_backend_id: String,
    #[prost(string, tag = "3")]
    pub(super) name: String,
    #[prost(message, optional, tag = "4")]
    #[serde(alias = "expiresAt")]
    pub(super) expires_at: Option<Timestamp>,
    #[prost(message, optional, tag = "6")]
    #[serde(alias = "mimeType")]
    pub(super) mime_type: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct CreateArtifactResponse {
    #[prost(bool, tag = "1")]
    pub(super) ok: bool,
    #[prost(string, tag = "2")]
    pub(super) signed_upload_url: String,
}

#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct FinalizeArtifactRequest {
    #[prost(string, tag = "1")]
    #[serde(alias = "workflowRunBackendId")]
    pub(super) workflow_run_backend_id: String,
    #[prost(string, tag = "2")]
    #[serde(alias = "workflowJobRunBackendId")]
    pub(super) workflow_job_run_backend_id: String,
    #[prost(string, tag = "3")]
    pub(super) name: String,
    #[prost(int64, tag = "4")]
    #[serde(with = "int64")]
    pub(super) size: i64,
    #[prost(message, optional, tag = "5")]
    pub(super) hash: Option<String>,
}

/// The answer of `FinalizeArtifact` and of `DeleteArtifact`.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct ArtifactIdResponse {
    #[prost(bool, tag = "1")]
    pub(super) ok: bool,
    #[prost(int64, tag = "2")]
    #[serde(with = "int64")]
    pub(super) artifact_id: i64,
}

#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct ListArtifactsRequest {
    #[prost(string, tag = "1")]
    #[serde(alias = "workflowRunBackendId")]
    pub(super) workflow_run_backend_id: String,
    #[prost(string, tag = "2")]
    #[serde(alias = "workflowJobRunBackendId")]
    pub(super) workflow_job_run_backend_id: String,
    #[prost(message, optional, tag = "3")]
    #[serde(alias = "nameFilter")]
    pub(super) name_filter: Option<String>,
    #[prost(message, optional, tag = "4")]
    #[serde(alias = "idFilter", with = "optional_int64")]
    pub(super) id_filter: Option<i64>,
}

#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct ListArtifactsResponse {
    #[prost(message, repeated, tag = "1")]
    pub(super) artifacts: Vec<ListedArtifact>,
}

#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct ListedArtifact {
    #[prost(string, tag = "1")]
    pub(super) workflow_run_backend_id: String,
    #[prost(string, tag = "2")]
    pub(super) workflow_job_run_backend_id: String,
    #[prost(int64, tag = "3")]
    #[serde(with = "int64")]
    pub(super) database_id: i64,
    #[prost(string, tag = "4")]
    pub(super) name: String,
    #[prost(int64, tag = "5")]
    #[serde(with = "int64")]
    pub(super) size: i64,
    #[prost(message, optional, tag = "6")]
    pub(super) created_at: Option<Timestamp>,
    #[prost(message, optional, tag = "7")]
    pub(super) digest: Option<String>,
}

/// `GetSignedArtifactURL` and `DeleteArtifact`.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct NamedArtifactRequest {
    #[prost(string, tag = "1")]
    #[serde(alias = "workflowRunBackendId")]
    pub(super) workflow_run_backend_id: String,
    #[prost(string, tag = "2")]
    #[serde(alias = "workflowJobRunBackendId")]
    pub(super) workflow_job_run_backend_id: String,
    #[prost(string, tag = "3")]
    pub(super) name: String,
}

#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct GetSignedArtifactUrlResponse {
    #[prost(string, tag = "1")]
    pub(super) signed_url: String,
}

/// `google.protobuf.Timestamp`; in JSON as RFC 3339 has it.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct Timestamp {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

impl Timestamp {
    pub(super) fn from_ms(ms: u64) -> Self {
        let nanos = i32::try_from(ms % 1_000 * 1_000_000).unwrap_or(0);
        Self { seconds: i64::try_from(ms / 1_000).unwrap_or(i64::MAX), nanos }
    }

    /// Unix milliseconds; what was before counts as 0.
    pub(super) fn ms(self) -> u64 {
        let seconds = u64::try_from(self.seconds).unwrap_or(0);
        seconds.saturating_mul(1_000).saturating_add(u64::try_from(self.nanos / 1_000_000).unwrap_or(0))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let time = Time::new(self.seconds, self.nanos).map_err(serde::ser::Error::custom)?;
        // Protobuf's JSON has 0, 3, 6 or 9 digits of a second, and GitHub's client takes nothing else: no `.76Z`.
        serializer.collect_str(&format_args!("{time:.3}"))
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time: Time = text.parse().map_err(serde::de::Error::custom)?;
        Ok(Self { seconds: time.as_second(), nanos: time.subsec_nanosecond() })
    }
}

/// 64 bits in protobuf's JSON: written as a string, read from a string or a number.
mod int64 {
    use serde::{Deserialize, Deserializer, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    pub(super) enum Either {
        Number(i64),
        Text(String),
    }

    impl Either {
        pub(super) fn value<E: serde::de::Error>(self) -> Result<i64, E> {
            match self {
                Self::Number(number) => Ok(number),
                Self::Text(text) => text.parse().map_err(E::custom),
            }
        }
    }

    pub(super) fn serialize<S: Serializer>(value: &i64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
        Either::deserialize(deserializer)?.value()
    }
}

/// The same, of a wrapped value that may be missing.
mod optional_int64 {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::int64::Either;

    pub(super) fn serialize<S: Serializer>(value: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.collect_str(value),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
        Option::<Either>::deserialize(deserializer)?.map(Either::value).transpose()
    }
}

/// Reads a body as each message that a method takes, in protobuf or its JSON; of those that can be read, writes and reads again.
/// How many there were, or the name of one that came back as another.
pub(in super::super) fn there_and_back(body: &[u8], json: bool) -> Result<usize, &'static str> {
    fn one<T>(body: &[u8], json: bool) -> Result<usize, &'static str>
    where
        T: prost::Message + Default + PartialEq + Serialize + serde::de::DeserializeOwned,
    {
        let read = |bytes: &[u8]| match json {
            true => serde_json::from_slice::<T>(bytes).ok(),
            false => T::decode(bytes).ok(),
        };
        let Some(message) = read(body) else { return Ok(0) };
        let written = match json {
            true => serde_json::to_vec(&message).unwrap_or_default(),
            false => message.encode_to_vec(),
        };
        if read(&written).is_some_and(|again| again == message) {
            return Ok(1);
        }
        Err(std::any::type_name::<T>())
    }
    let counts = [
        one::<CreateCacheEntryRequest>(body, json)?,
        one::<FinalizeCacheEntryUploadRequest>(body, json)?,
        one::<GetCacheEntryDownloadUrlRequest>(body, json)?,
        one::<CreateArtifactRequest>(body, json)?,
        one::<FinalizeArtifactRequest>(body, json)?,
        one::<ListArtifactsRequest>(body, json)?,
        one::<NamedArtifactRequest>(body, json)?,
    ];
    Ok(counts.into_iter().sum())
}
