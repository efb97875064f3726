//! A log line before it is rendered for people: its sentence and its fields.

use std::fmt;
use std::time::Duration;

use tracing::Event;
use tracing::field::{Field, Visit};

/// The sentence and the fields of a line.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// The constant sentence.
    pub(super) message: String,
    /// The name of the event, or nothing.
    pub(super) event: String,
    fields: Vec<(&'static str, Value)>,
}

/// The value of a field.
#[derive(Debug)]
enum Value {
    Number(u64),
    Text(String),
}

impl Record {
    pub(super) fn of(event: &Event<'_>) -> Self {
        let mut record = Self::default();
        event.record(&mut record);
        record
    }

    /// The names of the fields, in their order.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.fields.iter().map(|(name, _)| *name)
    }

    fn value(&self, name: &str) -> Option<&Value> {
        self.fields.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// A field as text, if it is there.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.value(name).map(|value| match value {
            Value::Number(number) => number.to_string(),
            Value::Text(text) => text.clone(),
        })
    }

    /// A field in milliseconds, if it is there.
    pub(super) fn duration(&self, name: &str) -> Option<Duration> {
        match self.value(name)? {
            Value::Number(ms) => Some(Duration::from_millis(*ms)),
            Value::Text(_) => None,
        }
    }

    /// Whether a request failed and will be repeated.
    pub(super) fn is_retry(&self) -> bool {
        self.event.ends_with(".retrying")
    }

    fn push(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::Text(text)) => self.message = text,
            ("event", Value::Text(text)) => self.event = text,
            (name, value) => self.fields.push((name, value)),
        }
    }
}

impl Visit for Record {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push(field, Value::Number(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.push(field, Value::Text(value.to_owned()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.push(field, Value::Text(format!("{value:?}")));
    }
}
