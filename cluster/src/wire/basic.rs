//! Numbers, texts, times, ids, and what holds other values.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use proto::{
    ids::{NamespaceId, NodeId, QueueKey, RunId, RunKey, ShardId, TaskKind, WorkflowId, WorkflowKey},
    time::Timestamp,
};

use super::{
    Field, Malformed, Wire, put_body, put_int, take_array, take_body, take_int, take_text, wire_codes,
    wire_struct,
};

macro_rules! wire_numbers {
    ($($type:ty),*) => { $(
        impl Wire for $type {
            fn put(&self, to: &mut Vec<u8>) {
                #[allow(clippy::cast_sign_loss, clippy::cast_lossless, reason = "two's complement, as protobuf has it")]
                put_int(*self as u64, to);
            }

            fn take(from: Bytes) -> Result<Self, Malformed> {
                #[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "undoes put")]
                Ok(take_int(from)? as Self)
            }

            fn absent() -> Option<Self> {
                Some(0)
            }

            fn is_absent(&self) -> bool {
                *self == 0
            }
        }
    )* };
}

wire_numbers!(u8, u32, u64, usize, i32, i64);

impl Wire for bool {
    fn put(&self, to: &mut Vec<u8>) {
        put_int(u64::from(*self), to);
    }

    fn take(from: Bytes) -> Result<Self, Malformed> {
        Ok(take_int(from)? != 0)
    }

    fn absent() -> Option<Self> {
        Some(false)
    }

    fn is_absent(&self) -> bool {
        !*self
    }
}

impl Wire for f64 {
    fn put(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(&self.to_le_bytes());
    }

    fn take(from: Bytes) -> Result<Self, Malformed> {
        take_array(&from).map(Self::from_le_bytes)
    }

    fn absent() -> Option<Self> {
        Some(0.0)
    }

    fn is_absent(&self) -> bool {
        self.to_bits() == 0
    }
}

impl Wire for () {
    fn put(&self, _to: &mut Vec<u8>) {}

    fn take(_from: Bytes) -> Result<Self, Malformed> {
        Ok(())
    }

    fn absent() -> Option<Self> {
        Some(())
    }
}

macro_rules! wire_texts {
    ($($type:ty),*) => { $(
        impl Wire for $type {
            fn put(&self, to: &mut Vec<u8>) {
                to.extend_from_slice(self.as_bytes());
            }

            fn take(from: Bytes) -> Result<Self, Malformed> {
                take_text(&from).map(Self::from)
            }

            fn absent() -> Option<Self> {
                Some(Self::from(""))
            }

            fn is_absent(&self) -> bool {
                self.is_empty()
            }
        }
    )* };
}

wire_texts!(String, Arc<str>);

impl Wire for Bytes {
    fn put(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(self);
    }

    fn take(from: Bytes) -> Result<Self, Malformed> {
        Ok(from)
    }

    fn absent() -> Option<Self> {
        Some(Self::new())
    }

    fn is_absent(&self) -> bool {
        self.is_empty()
    }
}

impl<T: Wire> Wire for Box<T> {
    fn put(&self, to: &mut Vec<u8>) {
        (**self).put(to);
    }

    fn take(from: Bytes) -> Result<Self, Malformed> {
        T::take(from).map(Box::new)
    }

    fn absent() -> Option<Self> {
        T::absent().map(Box::new)
    }

    fn is_absent(&self) -> bool {
        (**self).is_absent()
    }
}

impl<A: Field, B: Field> Wire for (A, B) {
    fn put(&self, to: &mut Vec<u8>) {
        self.0.put_field(1, to);
        self.1.put_field(2, to);
    }

    fn take(mut from: Bytes) -> Result<Self, Malformed> {
        let (mut first, mut second) = (None, None);
        while let Some((tag, body)) = take_body(&mut from)? {
            match tag {
                1 => A::take_field(&mut first, body)?,
                2 => B::take_field(&mut second, body)?,
                _ => {}
            }
        }
        Ok((A::finish(first)?, B::finish(second)?))
    }
}

impl<T: Wire, E: Wire> Wire for Result<T, E> {
    fn put(&self, to: &mut Vec<u8>) {
        match self {
            Ok(value) => put_body(1, to, |to| value.put(to)),
            Err(error) => put_body(2, to, |to| error.put(to)),
        }
    }

    fn take(mut from: Bytes) -> Result<Self, Malformed> {
        match take_body(&mut from)? {
            Some((1, body)) => T::take(body).map(Ok),
            Some((2, body)) => E::take(body).map(Err),
            _ => Err(Malformed("a result is neither")),
        }
    }
}

impl Wire for Duration {
    fn put(&self, to: &mut Vec<u8>) {
        put_int(u64::try_from(self.as_nanos()).unwrap_or(u64::MAX), to);
    }

    fn take(from: Bytes) -> Result<Self, Malformed> {
        take_int(from).map(Self::from_nanos)
    }

    fn absent() -> Option<Self> {
        Some(Self::ZERO)
    }

    fn is_absent(&self) -> bool {
        self.is_zero()
    }
}

impl Wire for Timestamp {
    fn put(&self, to: &mut Vec<u8>) {
        self.nanos().put(to);
    }

    fn take(from: Bytes) -> Result<Self, Malformed> {
        i64::take(from).map(Self::from_nanos)
    }

    fn absent() -> Option<Self> {
        Some(Self::EPOCH)
    }

    fn is_absent(&self) -> bool {
        *self == Self::EPOCH
    }
}

macro_rules! wire_ids {
    ($($type:ty),*) => { $(
        impl Wire for $type {
            fn put(&self, to: &mut Vec<u8>) {
                to.extend_from_slice(self.as_bytes());
            }

            fn take(from: Bytes) -> Result<Self, Malformed> {
                take_array(&from).map(Self::from_bytes)
            }
        }
    )* };
}

wire_ids!(NamespaceId, RunId);

impl Wire for WorkflowId {
    fn put(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(self.as_str().as_bytes());
    }

    fn take(from: Bytes) -> Result<Self, Malformed> {
        take_text(&from).map(Self::from)
    }
}

impl Wire for ShardId {
    fn put(&self, to: &mut Vec<u8>) {
        self.0.put(to);
    }

    fn take(from: Bytes) -> Result<Self, Malformed> {
        u32::take(from).map(Self)
    }

    fn absent() -> Option<Self> {
        Some(Self(0))
    }
}

wire_struct!(WorkflowKey { 1 namespace_id, 2 workflow_id });
wire_struct!(RunKey { 1 workflow, 2 run_id });
wire_struct!(NodeId { 1 name, 2 generation });
wire_codes!(TaskKind { 1 Workflow, 2 Activity });
wire_struct!(QueueKey { 1 namespace_id, 2 kind, 3 sticky, 4 name });
