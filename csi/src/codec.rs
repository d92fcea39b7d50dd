//! How messages become bytes: Protocol Buffers, with what tonic's own codec lacks.
//!
//! - a message that cannot be decoded is marked [`crate::status::Malformed`], so that nobody takes it for the
//!   driver's verdict;
//! - every message is logged at level trace, target `csi::messages`, with its secrets stripped. This is the only
//!   place where messages are logged.

use std::fmt::Debug;
use std::marker::PhantomData;

use prost::Message;
use tonic::Status;
use tonic::codec::{DecodeBuf, EncodeBuf};

/// The codec of the generated clients and servers.
#[derive(Debug)]
pub struct Codec<T, U> {
    messages: PhantomData<(T, U)>,
}

impl<T, U> Default for Codec<T, U> {
    fn default() -> Self {
        Self {
            messages: PhantomData,
        }
    }
}

impl<T, U> tonic::codec::Codec for Codec<T, U>
where
    T: Message + Debug + 'static,
    U: Message + Debug + Default + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = Encoder<T>;
    type Decoder = Decoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        Encoder { message: PhantomData }
    }

    fn decoder(&mut self) -> Self::Decoder {
        Decoder { message: PhantomData }
    }
}

/// Writes one kind of message.
#[derive(Debug)]
pub struct Encoder<T> {
    message: PhantomData<T>,
}

impl<T: Message + Debug> tonic::codec::Encoder for Encoder<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, item: T, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        tracing::trace!(target: "csi::messages", message = ?item, "sent");
        item.encode(buffer)
            .map_err(|error| Status::internal(format!("the message cannot be encoded: {error}")))
    }
}

/// Reads one kind of message.
#[derive(Debug)]
pub struct Decoder<U> {
    message: PhantomData<U>,
}

impl<U: Message + Debug + Default> tonic::codec::Decoder for Decoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        let item = U::decode(buffer).map_err(|error| crate::status::malformed(&error.to_string()))?;
        tracing::trace!(target: "csi::messages", message = ?item, "received");
        Ok(Some(item))
    }
}
