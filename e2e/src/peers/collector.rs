//! A receiver of OTLP that keeps what it is sent, and answers as it is told. What it keeps is decoded by
//! OpenTelemetry's own messages.

use super::inbox::{self, Request};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The status that means that nothing is answered.
pub const SILENCE: u16 = 0;

/// Path and body of each request that was taken.
type Taken = Mutex<Vec<(String, Vec<u8>)>>;

/// The receiver. It listens as long as the test runs.
#[derive(Clone, Debug)]
pub struct Collector {
    address: SocketAddr,
    status: Arc<AtomicU16>,
    taken: Arc<Taken>,
}

/// A point of a sum.
#[derive(Clone, Debug, PartialEq)]
pub struct Total {
    /// Whether it is what came since the last one.
    pub delta: bool,
    /// Begin and end of what it is about, nanoseconds since the Unix epoch.
    pub times: (u64, u64),
    /// Its value.
    pub value: u64,
}

impl Collector {
    /// Starts one that takes everything.
    ///
    /// # Panics
    /// When there is no port.
    #[must_use]
    pub fn start() -> Collector {
        let (listener, address) = inbox::bound();
        let (status, taken) = (Arc::new(AtomicU16::new(200)), Arc::default());
        let collector = Collector { address, status, taken };
        let own = collector.clone();
        inbox::serve(listener, move |stream| own.serve(stream));
        collector
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on it answers with this status; [`SILENCE`] is no answer.
    pub fn answer(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    /// Serves a connection to its end.
    fn serve(&self, mut stream: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        loop {
            let Request { target, body, .. } = inbox::read(&mut reader)?;
            let status = self.status.load(Ordering::SeqCst);
            if status == SILENCE {
                // Until the other side has had enough.
                reader.read_line(&mut String::new()).ok()?;
                return None;
            }
            if status == 200 {
                let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
                taken.push((target, body));
            }
            let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).ok()?;
        }
    }

    /// The spans that came, as they came.
    ///
    /// # Panics
    /// When what came is no OTLP.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let bodies = taken.iter().filter(|(path, _)| path == "/v1/traces");
        let requests = bodies.map(|(_, body)| ExportTraceServiceRequest::decode(&body[..]));
        let resources = requests.flat_map(|it| it.expect("OTLP").resource_spans);
        resources.flat_map(|it| it.scope_spans).flat_map(|it| it.spans).collect()
    }

    /// The points of the sum `name` without labels, in the order in which they came.
    ///
    /// # Panics
    /// When what came is no OTLP.
    #[must_use]
    pub fn totals(&self, name: &str) -> Vec<Total> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut totals = Vec::new();
        for (_, body) in taken.iter().filter(|(path, _)| path == "/v1/metrics") {
            let request = ExportMetricsServiceRequest::decode(&body[..]).expect("OTLP");
            let scopes = request.resource_metrics.into_iter().flat_map(|it| it.scope_metrics);
            for metric in scopes.flat_map(|scope| scope.metrics).filter(|it| it.name == name) {
                let Some(Data::Sum(sum)) = metric.data else { panic!("{name} is no sum") };
                let delta = sum.aggregation_temporality == 1;
                totals.extend(sum.data_points.into_iter().map(|point| {
                    let Some(Value::AsInt(value)) = point.value else { panic!("no whole number") };
                    let times = (point.start_time_unix_nano, point.time_unix_nano);
                    Total { delta, times, value: u64::try_from(value).expect("a total") }
                }));
            }
        }
        totals
    }
}
