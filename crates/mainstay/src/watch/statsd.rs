//! Metrics pushed to a statsd server each second, by Gunicorn's names: what was added to the totals of the
//! segment since the last time. Datagrams are never waited for.

use crate::config::{Bind, Level, Metrics};
use crate::event::{self, Event};
use crate::log::Log;
use crate::metrics::{families, names};
use mainstay_os::segment::{Kind, Segment, Tally, upper_edge};
use std::fmt::Write as _;
use std::io;
use std::time::Duration;
use tokio::net::{UdpSocket, UnixDatagram};
use tokio::sync::oneshot;

const EACH: Duration = Duration::from_secs(1);
/// Pushes in a row after which a failure is news: one that nobody receives fails every other time.
const CALM: u32 = 60;
/// What every network takes in one piece.
const PACKET: usize = 1_432;
/// Billionths of a second in a millisecond.
const MILLION: f64 = 1e6;
/// Statuses as they are counted: by class, but for clients that left.
const STATUSES: [(&str, usize); 6] = [
    ("1xx", names::STATUS_1XX),
    ("2xx", names::STATUS_2XX),
    ("3xx", names::STATUS_3XX),
    ("4xx", names::STATUS_4XX),
    ("5xx", names::STATUS_5XX),
    ("499", names::ABANDONED),
];
const LEVELS: [(&str, Level); 3] =
    [("critical", Level::Critical), ("error", Level::Error), ("warning", Level::Warning)];

/// Pushes until the other end of `told` is gone, and once more then. What came before it began is not
/// pushed: an earlier watch has done that.
pub(crate) async fn run(log: Log, config: Metrics, mut told: oneshot::Receiver<()>) {
    let Some(to) = &config.statsd else { return };
    let (mut before, mut socket, mut well) = (Totals::read(log.segment()), None, CALM);
    loop {
        let is_last = tokio::time::timeout(EACH, &mut told).await.is_ok();
        let now = Totals::read(log.segment());
        let lines = Lines { config: &config, packets: Vec::new() }.all(&before, &now);
        match push(&mut socket, to, &lines).await {
            Ok(()) => (before, well) = (now, well.saturating_add(1)),
            Err(error) => {
                socket = None;
                if std::mem::take(&mut well) >= CALM {
                    log.event(&Event::StatsdAway { reason: format!("{to}: {error}") });
                }
            }
        }
        if is_last {
            return;
        }
    }
}

/// What has been counted up to now.
struct Totals {
    workers: u64,
    requests: u64,
    statuses: [u64; 6],
    levels: [u64; 3],
    durations: Tally,
}

impl Totals {
    fn read(segment: &Segment) -> Totals {
        let register = segment.register();
        let name = families::REQUEST_DURATION.name.as_bytes();
        let metric = register.metrics().find(|(_, metric)| metric.name() == name);
        let mut durations = Tally::default();
        for series in register.series(Kind::Histogram) {
            if metric.is_some_and(|(index, _)| index == series.metric) {
                let slots = segment.slots().filter(|slot| slot.epoch() != 0);
                slots.for_each(|slot| slot.measures().read_histogram(series.index, &mut durations));
            }
        }
        let of_level = |level| {
            let events = names::event_cells().zip(event::TABLE);
            let events = events.filter(|(_, row)| row.level == level);
            events.map(|((_, cell), _)| segment.total(cell)).sum()
        };
        let workers = crate::status::Status::read(segment, "", "").workers;
        Totals {
            workers: workers.iter().filter(|worker| worker.state == "ready").count() as u64,
            requests: segment.total(names::REQUESTS),
            statuses: STATUSES.map(|(_, cell)| segment.total(cell)),
            levels: LEVELS.map(|(_, level)| of_level(level)),
            durations,
        }
    }
}

/// Lines, in packets.
struct Lines<'a> {
    config: &'a Metrics,
    packets: Vec<String>,
}

impl Lines<'_> {
    fn all(mut self, before: &Totals, now: &Totals) -> Vec<String> {
        self.line("workers", &format!("{}|g", now.workers));
        self.count("requests", before.requests, now.requests);
        for ((name, _), (before, now)) in
            STATUSES.iter().zip(before.statuses.iter().zip(now.statuses))
        {
            self.count(&format!("request.status.{name}"), *before, now);
        }
        for ((name, _), (before, now)) in LEVELS.iter().zip(before.levels.iter().zip(now.levels)) {
            self.count(&format!("log.{name}"), *before, now);
        }
        let bins = before.durations.bins.iter().zip(&now.durations.bins).enumerate();
        for (bin, (before, now)) in bins.filter(|(_, (before, now))| now > before) {
            // One line for all of a bin: who adds them up takes it for as many as its rate says.
            let lower = bin.checked_sub(1).map_or(0, upper_edge);
            let middle = lower.midpoint(upper_edge(bin)) as f64 / MILLION;
            let rate = 1.0 / (now - before) as f64;
            self.line("request.duration", &format!("{middle}|ms|@{rate:?}"));
        }
        self.packets
    }

    fn count(&mut self, name: &str, before: u64, now: u64) {
        let more = now.wrapping_sub(before);
        if more != 0 {
            self.line(name, &format!("{more}|c|@1.0"));
        }
    }

    fn line(&mut self, name: &str, value: &str) {
        let prefix = self.config.statsd_prefix.trim_end_matches('.');
        let dot = if prefix.is_empty() { "" } else { "." };
        let mut line = format!("{prefix}{dot}gunicorn.{name}:{value}");
        if !self.config.dogstatsd_tags.is_empty() {
            // Writing to a string does not fail.
            write!(line, "|#{}", self.config.dogstatsd_tags).ok();
        }
        match self.packets.last_mut().filter(|it| it.len() + 1 + line.len() <= PACKET) {
            Some(packet) => {
                packet.push('\n');
                packet.push_str(&line);
            }
            None => self.packets.push(line),
        }
    }
}

/// A way to the server.
enum Socket {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

impl Socket {
    async fn open(to: &Bind) -> io::Result<Socket> {
        match to {
            Bind::Tcp { host, port } => {
                let mut found = tokio::net::lookup_host((&**host, *port)).await?;
                let address = found.next().ok_or(io::ErrorKind::NotFound)?;
                let own = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(own).await?;
                socket.connect(address).await?;
                Ok(Socket::Udp(socket))
            }
            Bind::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(path)?;
                Ok(Socket::Unix(socket))
            }
            Bind::Fd(_) => Err(io::Error::other("a descriptor is nowhere to push to")),
        }
    }

    async fn send(&self, packet: &[u8]) -> io::Result<()> {
        match self {
            Socket::Udp(socket) => socket.send(packet).await.map(drop),
            Socket::Unix(socket) => socket.send(packet).await.map(drop),
        }
    }
}

/// Sends all packets, or fails before the first is sent. Of those behind it none is sent again, since what
/// is counted twice is worse than what is not counted there.
async fn push(socket: &mut Option<Socket>, to: &Bind, packets: &[String]) -> io::Result<()> {
    let open = match socket.take() {
        Some(open) => open,
        None => tokio::time::timeout(EACH, Socket::open(to)).await??,
    };
    let open = socket.insert(open);
    for (index, packet) in packets.iter().enumerate() {
        let sent = tokio::time::timeout(EACH, open.send(packet.as_bytes())).await;
        match sent.map_err(io::Error::from).flatten() {
            Err(error) if index == 0 => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Sources};
    use mainstay_os::segment::Layout;

    fn config(text: &str) -> Metrics {
        let file = Some(("x.toml".into(), format!("[metrics]\n{text}")));
        Config::resolve(&Sources { file, ..Sources::default() }).unwrap().metrics
    }

    fn totals(requests: u64) -> Totals {
        let mut durations = Tally::default();
        durations.bins[mainstay_os::segment::bin_of(5_000_000)] = requests;
        let statuses = [0, requests, 0, 0, 0, 0];
        Totals { workers: 4, requests, statuses, levels: [0; 3], durations }
    }

    fn lines(config: &Metrics, before: &Totals, now: &Totals) -> Vec<String> {
        Lines { config, packets: Vec::new() }.all(before, now)
    }

    #[test]
    fn what_was_added_is_pushed_by_gunicorns_names() {
        let plain = config("");
        let expected = "gunicorn.workers:4|g\ngunicorn.requests:4|c|@1.0\n\
                        gunicorn.request.status.2xx:4|c|@1.0\n\
                        gunicorn.request.duration:4.875|ms|@0.25";
        assert_eq!(lines(&plain, &totals(3), &totals(7)), [expected]);
        assert_eq!(lines(&plain, &totals(7), &totals(7)), ["gunicorn.workers:4|g"]);
        let tagged = config("statsd_prefix = \"shop.\"\ndogstatsd_tags = \"env:x,y\"");
        let expected = "shop.gunicorn.workers:4|g|#env:x,y";
        assert_eq!(lines(&tagged, &totals(7), &totals(7)), [expected]);
    }

    #[test]
    fn no_packet_is_longer_than_networks_take() {
        let (mut before, mut now) = (totals(0), totals(9));
        now.durations.bins.fill(3);
        before.durations.bins.fill(0);
        let packets = lines(&config(""), &before, &now);
        assert!(packets.len() > 10 && packets.iter().all(|packet| packet.len() <= PACKET));
        let all: usize = packets.iter().map(|packet| packet.lines().count()).sum();
        assert_eq!(all, 3 + mainstay_os::segment::BINS);
    }

    /// Three requests while a watch lives, and what it pushes of all.
    fn pushed(segment: &Segment, to: &str) {
        let (log, config) = (Log::new(segment.clone(), 1), config(&format!("statsd = {to:?}")));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (leave, told) = oneshot::channel();
            let push = tokio::spawn(run(log, config, told));
            // It begins here.
            tokio::task::yield_now().await;
            segment.slot(0).unwrap().add(names::REQUESTS, 3);
            drop(leave);
            push.await.unwrap();
        });
    }

    #[test]
    fn a_server_is_told_of_each_request_once_over_several_watches() {
        let metrics = names::CAPACITY;
        let layout = Layout {
            slots: 2,
            counters: names::CELLS,
            in_flight: 1,
            ring_bytes: [64; 3],
            metrics,
            limits: 0,
        };
        let segment = Segment::on_heap(layout);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("statsd");
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let unix = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        udp.set_read_timeout(Some(EACH * 20)).unwrap();
        unix.set_read_timeout(Some(EACH * 20)).unwrap();
        let (udp_is, unix_is) =
            (udp.local_addr().unwrap().to_string(), format!("unix://{}", path.display()));
        let mut packet = [0; 2 * PACKET];
        for _ in 0..2 {
            pushed(&segment, &udp_is);
            let length = udp.recv(&mut packet).unwrap();
            let said = str::from_utf8(&packet[..length]).unwrap();
            assert_eq!(said, "gunicorn.workers:0|g\ngunicorn.requests:3|c|@1.0");
        }
        pushed(&segment, &unix_is);
        let length = unix.recv(&mut packet).unwrap();
        assert!(packet[..length].ends_with(b"gunicorn.requests:3|c|@1.0"));
        drop(unix);
        pushed(&segment, &unix_is);
        let away = names::event_cell(&Event::StatsdAway { reason: String::new() });
        assert_eq!(segment.total(away), 1, "it is told, and disturbs nothing");
    }
}
