//! Metrics pushed to a statsd server each second, by Gunicorn's names: what was added to the totals of the
//! segment since the last time. Datagrams are never waited for.

use crate::config::{Bind, Level, Metrics};
use crate::event::{self, Event};
use crate::log::Log;
use crate::metrics::{families, names};
use mainstay_os::segment::{BINS, Kind, Measures, Segment, Tally, read_histograms, upper_edge};
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

/// Pushes until the other end of `told` is gone, and once more then.
pub(crate) async fn run(log: Log, config: Metrics, mut told: oneshot::Receiver<()>) {
    let (slot, mut added) = (log.slot(), Added::default());
    let is_first = slot.raise_to(names::PUSHED, config.statsd.is_some().into()) == 0;
    let Some(to) = &config.statsd else {
        told.await.ok();
        // A server that comes later is not told of the time when there was none.
        added.take(&log);
        return;
    };
    // One that came with a reload neither.
    if is_first && slot.epoch() > 1 {
        added.take(&log);
        added = Added::default();
    }
    let (mut socket, mut well) = (None, CALM);
    loop {
        let is_last = tokio::time::timeout(EACH, &mut told).await.is_ok();
        added.take(&log);
        let lines = Lines { config: &config, packets: Vec::new() }.all(&added);
        match push(&mut socket, to, &lines).await {
            Ok(()) => (added, well) = (Added::default(), well.saturating_add(1)),
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

/// What was added to totals and is not pushed yet.
#[derive(Default)]
struct Added {
    workers: u64,
    requests: u64,
    statuses: [u64; 6],
    levels: [u64; 3],
    /// Of the time of requests.
    bins: Vec<u64>,
}

impl Added {
    /// Takes what was added since some watch last did so. The slot knows up to where that was, so that
    /// what was added is taken once, by whichever watch.
    fn take(&mut self, log: &Log) {
        let (slot, segment) = (log.slot(), log.segment());
        let more = |cell, total: u64| total.saturating_sub(slot.raise_to(cell, total));
        let workers = crate::status::Status::read(segment, "", "").workers;
        self.workers = workers.iter().filter(|worker| worker.state == "ready").count() as u64;
        let statuses = STATUSES.map(|(_, cell)| segment.total(cell));
        let levels = LEVELS.map(|(_, level)| of_level(segment, level));
        let places = [&mut self.requests].into_iter().chain(&mut self.statuses);
        let totals = [segment.total(names::REQUESTS)].into_iter().chain(statuses).chain(levels);
        let places = places.chain(&mut self.levels).zip(names::PUSHED + 1..);
        for ((place, cell), total) in places.zip(totals) {
            *place += more(cell, total);
        }
        self.bins.resize(BINS, 0);
        let places = self.bins.iter_mut().zip(names::PUSHED_BINS..);
        for ((place, cell), total) in places.zip(durations(segment).bins) {
            *place += more(cell, total);
        }
    }
}

/// How long all requests took.
fn durations(segment: &Segment) -> Tally {
    let register = segment.register();
    let name = families::REQUEST_DURATION.name.as_bytes();
    let metric = register.metrics().find(|(_, metric)| metric.name() == name);
    let slots = segment.slots().filter(|slot| slot.epoch() != 0);
    let measures: Vec<Measures<'_>> = slots.map(|slot| slot.measures()).collect();
    let mut durations = Tally::default();
    for series in register.series(Kind::Histogram) {
        if metric.is_some_and(|(index, _)| index == series.metric) {
            read_histograms(&measures, series.index, &mut durations);
        }
    }
    durations
}

/// How many events there were of a level.
fn of_level(segment: &Segment, level: Level) -> u64 {
    let events = names::event_cells().zip(event::TABLE);
    let events = events.filter(|(_, row)| row.level == level);
    events.map(|((_, cell), _)| segment.total(cell)).sum()
}

/// Lines, in packets.
struct Lines<'a> {
    config: &'a Metrics,
    packets: Vec<String>,
}

impl Lines<'_> {
    fn all(mut self, added: &Added) -> Vec<String> {
        self.line("workers", &format!("{}|g", added.workers));
        self.count("requests", added.requests);
        for ((name, _), more) in STATUSES.iter().zip(added.statuses) {
            self.count(&format!("request.status.{name}"), more);
        }
        for ((name, _), more) in LEVELS.iter().zip(added.levels) {
            self.count(&format!("log.{name}"), more);
        }
        for (bin, more) in added.bins.iter().enumerate().filter(|(_, more)| **more > 0) {
            // One line for all of a bin: who adds them up takes it for as many as its rate says.
            let lower = bin.checked_sub(1).map_or(0, upper_edge);
            let middle = lower.midpoint(upper_edge(bin)) as f64 / MILLION;
            let rate = 1.0 / *more as f64;
            self.line("request.duration", &format!("{middle}|ms|@{rate:?}"));
        }
        self.packets
    }

    fn count(&mut self, name: &str, more: u64) {
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

    fn added(requests: u64) -> Added {
        let mut bins = vec![0; BINS];
        bins[mainstay_os::segment::bin_of(5_000_000)] = requests;
        let statuses = [0, requests, 0, 0, 0, 0];
        Added { workers: 4, requests, statuses, levels: [0; 3], bins }
    }

    fn lines(config: &Metrics, added: &Added) -> Vec<String> {
        Lines { config, packets: Vec::new() }.all(added)
    }

    #[test]
    fn what_was_added_is_pushed_by_gunicorns_names() {
        let plain = config("");
        let expected = "gunicorn.workers:4|g\ngunicorn.requests:4|c|@1.0\n\
                        gunicorn.request.status.2xx:4|c|@1.0\n\
                        gunicorn.request.duration:4.875|ms|@0.25";
        assert_eq!(lines(&plain, &added(4)), [expected]);
        assert_eq!(lines(&plain, &added(0)), ["gunicorn.workers:4|g"]);
        let tagged = config("statsd_prefix = \"shop.\"\ndogstatsd_tags = \"env:x,y\"");
        let expected = "shop.gunicorn.workers:4|g|#env:x,y";
        assert_eq!(lines(&tagged, &added(0)), [expected]);
    }

    #[test]
    fn no_packet_is_longer_than_networks_take() {
        let added = Added { bins: vec![3; BINS], ..added(9) };
        let packets = lines(&config(""), &added);
        assert!(packets.len() > 10 && packets.iter().all(|packet| packet.len() <= PACKET));
        let all: usize = packets.iter().map(|packet| packet.lines().count()).sum();
        assert_eq!(all, 3 + BINS);
    }

    /// Requests whose end changes everything that is pushed.
    fn serve(segment: &Segment, count: u64) {
        let slot = segment.slot(0).unwrap();
        slot.add(names::REQUESTS, count);
        slot.add(names::STATUS_2XX, count);
        let register = segment.register();
        let name = families::REQUEST_DURATION.name.as_bytes();
        let metric = register.declare(name, 0, b"").unwrap();
        let series = register.claim(Kind::Histogram, metric, b"", 1).unwrap();
        let pin = segment.pin(0, Kind::Histogram, series).unwrap();
        (0..count).for_each(|_| pin.observe(5_000_000));
    }

    fn segment() -> Segment {
        let (counters, metrics, ring_bytes) = (names::CELLS, names::CAPACITY, [64; 3]);
        let segment = Segment::on_heap(Layout {
            slots: 2,
            in_flight: 1,
            ring_bytes,
            metrics,
            ..Layout::small(counters)
        });
        segment.slot(0).unwrap().hand_out(1, 0, 0);
        segment
    }

    #[test]
    fn two_watches_at_once_take_each_addition_once() {
        let (segment, over) = (segment(), std::sync::atomic::AtomicBool::new(false));
        let taken = std::thread::scope(|scope| {
            let watch = || {
                let (log, mut added) = (Log::new(segment.clone(), 1), Added::default());
                while !over.load(std::sync::atomic::Ordering::Relaxed) {
                    added.take(&log);
                }
                added.take(&log);
                (added.requests, added.statuses[1], added.bins.iter().sum::<u64>())
            };
            let watches = [scope.spawn(watch), scope.spawn(watch)];
            (0..200).for_each(|_| serve(&segment, 7));
            over.store(true, std::sync::atomic::Ordering::Relaxed);
            watches.map(|watch| watch.join().unwrap())
        });
        let [one, other] = taken;
        assert_eq!((one.0 + other.0, one.1 + other.1, one.2 + other.2), (1_400, 1_400, 1_400));
    }

    #[test]
    fn a_server_that_comes_with_a_reload_is_told_from_then_on() {
        let segment = segment();
        let slot = segment.slot(1).unwrap();
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        udp.set_read_timeout(Some(EACH * 20)).unwrap();
        slot.hand_out(1, 0, 0);
        serve(&segment, 5);
        watched(&segment, config(""), 2);
        slot.hand_out(2, 0, 0);
        watched(&segment, config(&format!("statsd = \"{}\"", udp.local_addr().unwrap())), 3);
        let mut packet = [0; 2 * PACKET];
        let length = udp.recv(&mut packet).unwrap();
        let said = str::from_utf8(&packet[..length]).unwrap();
        assert!(said.contains("gunicorn.requests:3|c|@1.0\n"), "{said}");
        assert!(said.ends_with("gunicorn.request.duration:4.875|ms|@0.3333333333333333"), "{said}");
    }

    /// Requests while a watch lives.
    fn watched(segment: &Segment, config: Metrics, requests: u64) {
        let log = Log::new(segment.clone(), 1);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (leave, told) = oneshot::channel();
            let push = tokio::spawn(run(log, config, told));
            // It begins here.
            tokio::task::yield_now().await;
            serve(segment, requests);
            drop(leave);
            push.await.unwrap();
        });
    }

    /// Three requests while a watch lives that pushes there.
    fn pushed(segment: &Segment, to: &str) {
        watched(segment, config(&format!("statsd = {to:?}")), 3);
    }

    #[test]
    fn a_server_is_told_of_each_request_once_over_several_watches() {
        let segment = segment();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("statsd");
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let unix = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        udp.set_read_timeout(Some(EACH * 20)).unwrap();
        unix.set_read_timeout(Some(EACH * 20)).unwrap();
        let (udp_is, unix_is) =
            (udp.local_addr().unwrap().to_string(), format!("unix://{}", path.display()));
        let mut packet = [0; 2 * PACKET];
        for requests in [3, 4] {
            pushed(&segment, &udp_is);
            let length = udp.recv(&mut packet).unwrap();
            let said = str::from_utf8(&packet[..length]).unwrap();
            let all = format!("gunicorn.workers:0|g\ngunicorn.requests:{requests}|c|@1.0\n");
            assert!(said.starts_with(&all), "{said}");
            // Between two watches.
            serve(&segment, 1);
        }
        pushed(&segment, &unix_is);
        let length = unix.recv(&mut packet).unwrap();
        let said = str::from_utf8(&packet[..length]).unwrap();
        assert!(said.contains("gunicorn.requests:4|c|@1.0"), "{said}");
        drop(unix);
        pushed(&segment, &unix_is);
        let away = names::event_cell(&Event::StatsdAway { reason: String::new() });
        assert_eq!(segment.total(away), 1, "it is told, and disturbs nothing");
    }
}
