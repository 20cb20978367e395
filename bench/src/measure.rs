//! Speed and processor time: interleaved rounds of load on servers that all stay up, so that a
//! noisy neighbour meets every one of them.

use std::{net::SocketAddr, time::Duration};

use e2e::load::Report;

use crate::{
    Fallible,
    args::Options,
    process,
    roles::clients,
    servers::{Program, Running},
};

/// Serving processes of each server, each with one thread.
pub(crate) const PROCESSES: usize = 2;

/// Kept-alive connections of the load.
pub(crate) const CONNECTIONS: usize = 16;

/// Load before the first round that does not count.
const WARM_UP: Duration = Duration::from_millis(300);

/// What one server has shown; microseconds where not said otherwise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Speed {
    /// User and system time of all its processes for one request.
    pub(crate) cpu: f64,
    /// Requests per second.
    pub(crate) rate: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

/// Medians of all rounds, in the order of `programs`.
///
/// # Errors
/// When a server does not start, or a request fails: figures of such a run say nothing.
pub(crate) fn rounds(programs: &[Program], options: &Options) -> Fallible<Vec<Speed>> {
    let servers = programs
        .iter()
        .map(|program| program.start(PROCESSES, None))
        .collect::<Fallible<Vec<Running>>>()?;
    for server in &servers {
        round(server, WARM_UP)?;
    }
    let mut samples = vec![Vec::new(); servers.len()];
    for number in 0..options.rounds {
        eprintln!("round {} of {}", number + 1, options.rounds);
        for turn in 0..servers.len() {
            // Another one begins each round, so that none always follows the same neighbour.
            let at = (turn + number) % servers.len();
            samples[at].push(round(&servers[at], options.time)?);
        }
    }
    for server in servers {
        server.stop()?;
    }
    Ok(samples.iter().map(|samples| medians(samples)).collect())
}

/// Sends exactly this many requests.
///
/// # Errors
/// When one of them fails.
pub(crate) fn exactly(address: SocketAddr, requests: u64) -> Fallible<()> {
    let mut load = clients(address);
    load.max_requests = requests;
    load.max_duration = Duration::from_secs(600);
    let report = whole(load.start().join())?;
    if report.ok() == requests {
        Ok(())
    } else {
        Err(format!("{} of {requests} requests", report.ok()).into())
    }
}

fn round(server: &Running, time: Duration) -> Fallible<Speed> {
    let mut load = clients(server.address);
    load.max_duration = time;
    load.max_requests = u64::MAX;
    let before = process::cpu_time(&server.all)?;
    let report = whole(load.start().join())?;
    let used = process::cpu_time(&server.all)?.saturating_sub(before);
    let phase = report.phase("steady");
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    Ok(Speed {
        cpu: micros(used) / phase.ok() as f64,
        rate: phase.rate(),
        p50: micros(phase.quantile(0.5)),
        p99: micros(phase.quantile(0.99)),
    })
}

fn whole(report: Report) -> Fallible<Report> {
    if report.lost() == 0 && report.ok() > 0 {
        Ok(report)
    } else {
        Err(format!("the load did not go through:\n{report}").into())
    }
}

fn medians(samples: &[Speed]) -> Speed {
    let of = |figure: fn(&Speed) -> f64| median(samples.iter().map(figure).collect());
    Speed { cpu: of(|s| s.cpu), rate: of(|s| s.rate), p50: of(|s| s.p50), p99: of(|s| s.p99) }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) {
        f64::midpoint(values[middle - 1], values[middle])
    } else {
        values[middle]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_ignores_one_bad_round() {
        assert_eq!(median(vec![3.0, 900.0, 1.0, 2.0, 4.0]), 3.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(vec![7.0]), 7.0);
    }
}
