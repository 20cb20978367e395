//! What is written, read by the decoders that OpenTelemetry's own crates have.

#[cfg(all(feature = "axum", feature = "sqlite"))]
mod app;

use super::attributes::Attributes;
use super::record::LogRecord;
use super::span::{Exception, Span, SpanKind, Status};
use super::*;
use crate::config::Level;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::ScopeLogs;
use opentelemetry_proto::tonic::trace::v1::{ScopeSpans, Span as Decoded};
use proptest::prelude::*;
use prost::Message;

/// The spans of a parcel.
pub(crate) fn spans_of(bytes: &[u8]) -> Vec<Decoded> {
    ScopeSpans::decode(bytes).unwrap().spans
}

/// An attribute as text.
pub(crate) fn attribute(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|it| it.key == key)?;
    Some(match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        Value::BoolValue(truth) => truth.to_string(),
        Value::DoubleValue(number) => format!("{number:?}"),
        other => panic!("not written by us: {other:?}"),
    })
}

fn write(span: &Span<'_>, attributes: impl FnOnce(&mut Attributes<'_, '_>)) -> Decoded {
    let mut out = Vec::new();
    span.write(&mut out, attributes);
    let mut all = spans_of(&out);
    assert_eq!(all.len(), 1);
    all.remove(0)
}

proptest! {
    #[test]
    fn every_field_of_a_span_is_read_as_it_was_written(
        trace: [u8; 16], id: [u8; 8], parent: Option<[u8; 8]>, remote: Option<bool>, flags in 0..=3_u8,
        (start, end) in any::<(u64, u64)>(), kind in 1..=5_i32,
        (name, state, text) in ("\\PC{0,40}", "[a-z=]{0,20}", "\\PC{0,80}"),
        (integer, real, truth) in any::<(i64, f64, bool)>(), outcome in 0..3_i32,
    ) {
        let span = Span {
            trace, id, parent, remote, flags, start, end, state: &state, name: &name,
            kind: match kind {
                1 => SpanKind::Internal,
                2 => SpanKind::Server,
                3 => SpanKind::Client,
                4 => SpanKind::Producer,
                _ => SpanKind::Consumer,
            },
            status: [Status::Unset, Status::Ok, Status::Error(&text)][outcome as usize],
            exception: (outcome == 2).then_some(Exception { wall: end, message: &text }),
        };
        let read = write(&span, |it| {
            it.shown("text", &text);
            it.integer("integer", integer);
            it.real("real", real);
            it.truth("truth", truth);
        });
        prop_assert_eq!(read.trace_id, trace);
        prop_assert_eq!(read.span_id, id);
        prop_assert_eq!(read.parent_span_id, parent.map(Vec::from).unwrap_or_default());
        prop_assert_eq!(read.trace_state, state);
        prop_assert_eq!(read.name, name);
        prop_assert_eq!(read.kind, kind);
        prop_assert_eq!((read.start_time_unix_nano, read.end_time_unix_nano), (start, end));
        let of_remote = remote.map_or(0, |remote| if remote { 0x300 } else { 0x100 });
        prop_assert_eq!(read.flags, u32::from(flags) | of_remote);
        let found = |key| attribute(&read.attributes, key);
        prop_assert_eq!(found("text").unwrap(), text.clone());
        prop_assert_eq!(found("integer").unwrap(), integer.to_string());
        prop_assert_eq!(found("real").unwrap(), format!("{real:?}"));
        prop_assert_eq!(found("truth").unwrap(), truth.to_string());
        let (code, why) = read.status.map(|it| (it.code, it.message)).unwrap_or_default();
        prop_assert_eq!(code, outcome);
        prop_assert_eq!(why, if outcome == 2 { text.as_str() } else { "" });
        prop_assert_eq!(read.events.len(), usize::from(outcome == 2));
        for event in &read.events {
            prop_assert_eq!(&event.name, "exception");
            prop_assert_eq!(event.time_unix_nano, end);
            let message = attribute(&event.attributes, "exception.message");
            prop_assert_eq!(message.unwrap_or_default(), text.clone());
        }
        prop_assert_eq!(read.dropped_attributes_count, 0);
    }

    #[test]
    fn every_field_of_a_record_is_read_as_it_was_written(
        trace in prop::array::uniform16(1..=u8::MAX), id in prop::array::uniform8(1..=u8::MAX), wall: u64,
        (message, event) in ("\\PC{0,80}", "[a-z.]{0,20}"), level in 0..5_usize,
    ) {
        let hex = |bytes: &[u8]| bytes.iter().map(|it| format!("{it:02x}")).collect::<String>();
        let levels =
            [Level::Debug, Level::Info, Level::Warning, Level::Error, Level::Critical];
        let (trace_hex, span_hex) = (hex(&trace), hex(&id));
        let record = LogRecord {
            wall, level: levels[level], message: &message, event: &event,
            trace: &trace_hex, span: &span_hex,
        };
        let mut out = Vec::new();
        record.write(&mut out, |it| it.text("log.logger", "a::b"));
        let read = ScopeLogs::decode(&*out).unwrap().log_records.remove(0);
        prop_assert_eq!((read.time_unix_nano, read.observed_time_unix_nano), (wall, wall));
        prop_assert_eq!(read.severity_number, 5 + 4 * level as i32);
        let names = ["DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
        prop_assert_eq!(read.severity_text, names[level]);
        prop_assert_eq!(read.body.unwrap().value, Some(Value::StringValue(message)));
        prop_assert_eq!(read.event_name, event);
        prop_assert_eq!((&read.trace_id[..], &read.span_id[..]), (&trace[..], &id[..]));
        prop_assert_eq!(attribute(&read.attributes, "log.logger").unwrap(), "a::b");
    }
}

#[test]
fn what_stands_behind_each_other_is_read_as_one() {
    let mut out = Vec::new();
    for name in ["a", "b", "c"] {
        Span { name, ..Span::default() }.write(&mut out, |_| {});
    }
    let names: Vec<_> = spans_of(&out).into_iter().map(|span| span.name).collect();
    assert_eq!(names, ["a", "b", "c"]);
}

#[test]
fn what_is_too_much_for_a_span_is_counted_and_what_is_too_long_is_cut() {
    let many = write(&Span::default(), |it| {
        (0..100).for_each(|at| it.integer(&format!("k{at}"), at));
    });
    assert_eq!((many.attributes.len(), many.dropped_attributes_count), (64, 36));
    let long = "ä".repeat(10_000);
    let large = write(&Span { name: &long, ..Span::default() }, |it| {
        (0..10).for_each(|at| it.text(&format!("k{at}"), &long));
    });
    assert!(large.name.len() <= 255 && large.name.starts_with('ä'));
    assert_eq!((large.attributes.len(), large.dropped_attributes_count), (3, 7));
    assert_eq!(attribute(&large.attributes, "k0").unwrap().len(), 4_094);
    assert!(large.encoded_len() < 16_384);
    assert_eq!(large.status, None);
}

#[test]
fn a_rendered_value_is_what_it_was() {
    let read = write(&Span::default(), |it| {
        it.of_shape("integer", "-7", Shape::Integer);
        it.of_shape("beyond", "18446744073709551615", Shape::Integer);
        it.of_shape("real", "1.5", Shape::Real);
        it.of_shape("truth", "true", Shape::Truth);
        it.of_shape("text", "7", Shape::Text);
    });
    let value = |key: &str| {
        let found = read.attributes.iter().find(|it| it.key == key);
        found.and_then(|it| it.value.clone()).and_then(|it| it.value).unwrap()
    };
    assert_eq!(value("integer"), Value::IntValue(-7));
    assert_eq!(value("beyond"), Value::StringValue("18446744073709551615".into()));
    assert_eq!(value("real"), Value::DoubleValue(1.5));
    assert_eq!(value("truth"), Value::BoolValue(true));
    assert_eq!(value("text"), Value::StringValue("7".into()));
}
