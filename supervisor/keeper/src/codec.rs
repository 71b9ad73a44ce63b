//! What messages look like on the wire: little-endian integers, counted sequences, fields in order.
//! Not here: sockets, file descriptors, and what a message means.

use crate::message::{Exited, Notice, Reply, Request, Spawn};
use crate::strings::Strings;

/// Bytes that are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("unknown operation {0:#04x}")]
    Operation(u8),
    #[error("the body ends too early")]
    Short,
    #[error("{0} bytes follow the message")]
    Long(usize),
    #[error("a value is out of its range")]
    Value,
}

/// Something that travels as one frame: an operation and a body.
pub(crate) trait Message: Sized {
    fn operation(&self) -> u8;
    fn encode(&self) -> Vec<u8>;
    fn decode(operation: u8, body: &[u8]) -> Result<Self, Malformed>;
}

/// A value inside a body.
trait Wire: Sized {
    fn put(&self, out: &mut Vec<u8>);
    fn take(input: &mut &[u8]) -> Result<Self, Malformed>;

    fn put_all(items: &[Self], out: &mut Vec<u8>) {
        items.iter().for_each(|item| item.put(out));
    }

    fn take_all(count: usize, input: &mut &[u8]) -> Result<Vec<Self>, Malformed> {
        (0..count).map(|_| Self::take(input)).collect()
    }
}

/// The operations. A number, once given, keeps its meaning; the golden frames hold us to it.
macro_rules! messages {
    ($message:ident { $($op:literal => $variant:ident $(($tuple:ident))? $({ $($field:ident),+ })?;)+ }) => {
        impl Message for $message {
            fn operation(&self) -> u8 {
                match self {
                    $(Self::$variant { .. } => $op,)+
                }
            }

            fn encode(&self) -> Vec<u8> {
                #[allow(unused_mut, reason = "not every operation has fields")]
                let mut out = Vec::new();
                match self {
                    $(Self::$variant $(($tuple))? $({ $($field),+ })? => {
                        $($tuple.put(&mut out);)?
                        $($($field.put(&mut out);)+)?
                    })+
                }
                out
            }

            fn decode(operation: u8, mut body: &[u8]) -> Result<Self, Malformed> {
                let message = match operation {
                    $($op => {
                        $(let $tuple = Wire::take(&mut body)?;)?
                        $($(let $field = Wire::take(&mut body)?;)+)?
                        Self::$variant $(($tuple))? $({ $($field),+ })?
                    })+
                    unknown => return Err(Malformed::Operation(unknown)),
                };
                if body.is_empty() { Ok(message) } else { Err(Malformed::Long(body.len())) }
            }
        }
    };
}

messages!(Request {
    0x01 => Spawn(spawn);
    0x02 => Signal { run, signal, and_continue, group };
    0x03 => SignalOrphan { pid, signal, and_continue };
    0x04 => ListOrphans;
    0x05 => Hold { names };
    0x06 => Drop { names };
    0x07 => Fetch { names };
    0x08 => Put { key, value };
    0x09 => Delete { key };
    0x0a => Configure { shutdown_timeout_ms };
    0x0b => Finish { code };
    0x0c => Acknowledge { up_to };
});

messages!(Reply {
    0x41 => Done;
    0x42 => Failed { errno };
    0x43 => Spawned { pid };
    0x44 => SpawnFailed { step, errno };
    0x45 => Orphans { processes };
    0x46 => Fds { names };
});

messages!(Notice {
    0x81 => Welcome { version, epoch, keeper_pid, pid_one };
    0x82 => Run { run, pid, started_ms, helper };
    0x83 => Record { key, value };
    0x84 => Held { name };
    0x85 => Ready;
    0x86 => Exited(exited);
    0x87 => OrphanReaped;
    0x88 => Shutdown { now };
    0x89 => Reload;
});

macro_rules! structs {
    ($($name:ident { $($field:ident),+ $(,)? })+) => {$(
        impl Wire for $name {
            fn put(&self, out: &mut Vec<u8>) {
                $(self.$field.put(out);)+
            }

            fn take(input: &mut &[u8]) -> Result<Self, Malformed> {
                Ok(Self { $($field: Wire::take(input)?),+ })
            }
        }
    )+};
}

structs! {
    Spawn {
        run, helper_deadline_ms, program, argv, env, listen_pid, cwd, umask, nofile, user, fds,
        hold, in_group, join, record, stop_rank, stop_signal, stop_timeout_ms,
    }
    Exited { run, pid, code, signal, core_dumped, at_ms, cpu_us, max_rss, alone }
}

macro_rules! integers {
    ($($integer:ty)+) => {$(
        impl Wire for $integer {
            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }

            fn take(input: &mut &[u8]) -> Result<Self, Malformed> {
                let (bytes, rest) = input.split_first_chunk().ok_or(Malformed::Short)?;
                *input = rest;
                Ok(Self::from_le_bytes(*bytes))
            }
        }
    )+};
}

integers!(u32 u64 i32);

/// Bytes come in megabytes, hence not one by one.
impl Wire for u8 {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(*self);
    }

    fn take(input: &mut &[u8]) -> Result<Self, Malformed> {
        let (byte, rest) = input.split_first().ok_or(Malformed::Short)?;
        *input = rest;
        Ok(*byte)
    }

    fn put_all(items: &[Self], out: &mut Vec<u8>) {
        out.extend_from_slice(items);
    }

    fn take_all(count: usize, input: &mut &[u8]) -> Result<Vec<Self>, Malformed> {
        let (bytes, rest) = input.split_at_checked(count).ok_or(Malformed::Short)?;
        *input = rest;
        Ok(bytes.to_vec())
    }
}

impl Wire for bool {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn take(input: &mut &[u8]) -> Result<Self, Malformed> {
        match u8::take(input)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed::Value),
        }
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        // A sequence longer than that makes a frame that the channel refuses.
        u32::try_from(self.len()).unwrap_or(u32::MAX).put(out);
        T::put_all(self, out);
    }

    fn take(input: &mut &[u8]) -> Result<Self, Malformed> {
        let count = u32::take(input)?;
        T::take_all(usize::try_from(count).unwrap_or(usize::MAX), input)
    }
}

impl Wire for String {
    fn put(&self, out: &mut Vec<u8>) {
        put_bytes(self.as_bytes(), out);
    }

    fn take(input: &mut &[u8]) -> Result<Self, Malformed> {
        Self::from_utf8(Vec::take(input)?).map_err(|_| Malformed::Value)
    }
}

fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX).put(out);
    out.extend_from_slice(bytes);
}

fn take_bytes<'b>(input: &mut &'b [u8]) -> Result<&'b [u8], Malformed> {
    let length = usize::try_from(u32::take(input)?).unwrap_or(usize::MAX);
    let (bytes, rest) = input.split_at_checked(length).ok_or(Malformed::Short)?;
    *input = rest;
    Ok(bytes)
}

/// Like a sequence of sequences of bytes.
impl Wire for Strings {
    fn put(&self, out: &mut Vec<u8>) {
        u32::try_from(self.iter().len()).unwrap_or(u32::MAX).put(out);
        self.iter().for_each(|string| put_bytes(string, out));
    }

    fn take(input: &mut &[u8]) -> Result<Self, Malformed> {
        let count = usize::try_from(u32::take(input)?).unwrap_or(usize::MAX);
        // No more can follow: each brings its length.
        let mut strings = Self::with_room(input.len(), count.min(input.len() / size_of::<u32>()));
        for _ in 0..count {
            strings.push(take_bytes(input)?);
        }
        Ok(strings)
    }
}

impl<T: Wire> Wire for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        self.iter().for_each(|value| value.put(out));
    }

    fn take(input: &mut &[u8]) -> Result<Self, Malformed> {
        bool::take(input)?.then(|| T::take(input)).transpose()
    }
}

impl<T: Wire> Wire for Box<T> {
    fn put(&self, out: &mut Vec<u8>) {
        T::put(self, out);
    }

    fn take(input: &mut &[u8]) -> Result<Self, Malformed> {
        T::take(input).map(Self::new)
    }
}

impl<A: Wire, B: Wire> Wire for (A, B) {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
    }

    fn take(input: &mut &[u8]) -> Result<Self, Malformed> {
        Ok((A::take(input)?, B::take(input)?))
    }
}

impl<A: Wire, B: Wire, C: Wire> Wire for (A, B, C) {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
        self.2.put(out);
    }

    fn take(input: &mut &[u8]) -> Result<Self, Malformed> {
        Ok((A::take(input)?, B::take(input)?, C::take(input)?))
    }
}

#[cfg(test)]
mod tests;
