//! The few messages of TensorBoard's event files, as protobuf bytes. Field numbers are those of `tensorflow/core`'s
//! `event.proto`, `summary.proto` and `tensor.proto`, and of the `hparams` plugin's `plugin_data.proto`.

use std::collections::BTreeMap;

use crate::track::{Parameter, Status};

/// A protobuf message being written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn key(&mut self, field: u64, wire_type: u64) {
        self.varint(field << 3 | wire_type);
    }

    fn integer(mut self, field: u64, value: i64) -> Self {
        self.key(field, 0);
        // Two's complement, in ten bytes where it is negative.
        self.varint(value as u64);
        self
    }

    fn double(mut self, field: u64, value: f64) -> Self {
        self.key(field, 1);
        self.0.extend(value.to_le_bytes());
        self
    }

    fn float(mut self, field: u64, value: f32) -> Self {
        self.key(field, 5);
        self.0.extend(value.to_le_bytes());
        self
    }

    fn bytes(mut self, field: u64, value: &[u8]) -> Self {
        self.key(field, 2);
        self.varint(value.len() as u64);
        self.0.extend(value);
        self
    }

    fn message(self, field: u64, value: Self) -> Self {
        self.bytes(field, &value.0)
    }
}

/// The first event of a file.
pub(super) fn file_version(wall_time: f64) -> Vec<u8> {
    Message::default().double(1, wall_time).bytes(3, b"brain.Event:2").0
}

/// One value of a metric. `simple_value` is a 32-bit float.
pub(super) fn scalar(wall_time: f64, step: i64, tag: &str, value: f64) -> Vec<u8> {
    let value = Message::default().bytes(1, tag.as_bytes()).float(2, value as f32);
    event(wall_time, step, value)
}

/// The run's parameters, for the page HPARAMS.
pub(super) fn session_start(wall_time: f64, name: &str, parameters: &BTreeMap<String, Parameter>) -> Vec<u8> {
    let mut info = Message::default();
    for (key, value) in parameters {
        let value = match value {
            Parameter::Boolean(value) => Message::default().integer(4, i64::from(*value)),
            Parameter::Integer(value) => Message::default().double(2, *value as f64),
            Parameter::Number(value) => Message::default().double(2, *value),
            Parameter::Text(value) => Message::default().bytes(3, value.as_bytes()),
        };
        info = info.message(1, Message::default().bytes(1, key.as_bytes()).message(2, value));
    }
    let info = info.bytes(4, name.as_bytes()).double(5, wall_time);
    hparams(wall_time, "_hparams_/session_start_info", Message::default().message(3, info))
}

/// How the run ended, for the page HPARAMS.
pub(super) fn session_end(wall_time: f64, status: Status) -> Vec<u8> {
    let status = match status {
        Status::Completed => 1,
        Status::Failed | Status::Stopped => 2,
        Status::Running => 3,
        Status::Created => 0,
    };
    let info = Message::default().integer(1, status).double(2, wall_time);
    hparams(wall_time, "_hparams_/session_end_info", Message::default().message(4, info))
}

/// A summary that carries `data` of the plugin, beside a tensor that says nothing, as the plugin itself writes it.
fn hparams(wall_time: f64, tag: &str, data: Message) -> Vec<u8> {
    let plugin = Message::default().bytes(1, b"hparams").message(2, data);
    let one = Message::default().message(2, Message::default().integer(1, 1));
    let nothing = Message::default().integer(1, 1).message(2, one).bytes(5, &0_f32.to_le_bytes());
    let metadata = Message::default().message(1, plugin);
    event(wall_time, 0, Message::default().bytes(1, tag.as_bytes()).message(8, nothing).message(9, metadata))
}

fn event(wall_time: f64, step: i64, value: Message) -> Vec<u8> {
    let summary = Message::default().message(1, value);
    Message::default().double(1, wall_time).integer(2, step).message(5, summary).0
}

#[cfg(test)]
mod tests {
    /// As `tensorboard.compat.proto.event_pb2` 2.21 serialises the same event:
    /// `Event(wall_time=1.5, step=300, summary=Summary(value=[Summary.Value(tag="a", simple_value=0.5)]))`.
    #[test]
    fn a_scalar_is_an_event_with_one_value() {
        let expected = "09000000000000f83f10ac022a0a0a080a0161150000003f";
        assert_eq!(hex::encode(super::scalar(1.5, 300, "a", 0.5)), expected);
    }
}
