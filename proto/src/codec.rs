//! How messages become bytes on a stream.

use prost::Message;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, EncodeBuf, Encoder};
use tonic_prost::{ProstCodec, ProstEncoder};

/// The first size of a stream's two buffers, in bytes. A coordinator has a stream open for each of ten thousand agents that
/// hardly ever say anything; tonic's own buffers would be 16 KiB of memory for each of them. They grow with what comes.
const BUFFER_BYTES: usize = 512;

/// How much is encoded before it is handed to the connection, in bytes (tonic's own).
const YIELD_BYTES: usize = 32 * 1024;

/// Prost's codec with small buffers.
#[derive(Debug, Clone)]
pub struct LeanCodec<T, U>(ProstCodec<T, U>);

impl<T, U> Default for LeanCodec<T, U> {
    fn default() -> Self {
        Self(ProstCodec::new())
    }
}

impl<T, U> Codec for LeanCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = LeanEncoder<T>;
    type Decoder = <ProstCodec<T, U> as Codec>::Decoder;

    fn encoder(&mut self) -> Self::Encoder {
        LeanEncoder(ProstCodec::<T, U>::raw_encoder(BufferSettings::new(BUFFER_BYTES, YIELD_BYTES)))
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<T, U>::raw_decoder(BufferSettings::new(BUFFER_BYTES, YIELD_BYTES))
    }
}

/// Prost's encoder, which makes room for a message before it writes it: a buffer that grows while a mebibyte of log goes in
/// would move it again and again.
#[derive(Debug)]
pub struct LeanEncoder<T>(ProstEncoder<T>);

impl<T: Message> Encoder for LeanEncoder<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, item: T, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.reserve(item.encoded_len());
        self.0.encode(item, buffer)
    }

    fn buffer_settings(&self) -> BufferSettings {
        self.0.buffer_settings()
    }
}
