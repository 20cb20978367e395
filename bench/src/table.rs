//! The table, as Markdown.

use std::fmt::Write;

use crate::{
    args::Options,
    measure::{CONNECTIONS, PROCESSES, Speed},
    servers::Program,
};

const HEAD: &str = "\
| server | user instr / request | added to bare axum | CPU µs / request | requests / s | p50 µs | p99 µs |
|---|--:|--:|--:|--:|--:|--:|
";

/// One row for each program, then `settings`. All slices are in the order of `programs`.
pub(crate) fn markdown(
    programs: &[Program],
    speeds: &[Speed],
    counts: &[Option<f64>],
    settings: &str,
) -> String {
    let axum =
        programs.iter().position(|program| *program == Program::Axum).and_then(|at| counts[at]);
    let mut text = HEAD.to_owned();
    for ((program, speed), count) in programs.iter().zip(speeds).zip(counts) {
        let added = match (count, axum) {
            (Some(count), Some(axum)) if *program != Program::Axum => signed(count - axum),
            _ => "–".to_owned(),
        };
        let Speed { cpu, rate, p50, p99 } = speed;
        let (name, count) = (program.name(), count.map_or("n/a".to_owned(), grouped));
        let rate = grouped(*rate);
        writeln!(text, "| {name} | {count} | {added} | {cpu:.1} | {rate} | {p50:.0} | {p99:.0} |")
            .expect("a string takes everything");
    }
    text + "\n" + settings + "\n"
}

/// The circumstances without which the figures mean nothing.
pub(crate) fn settings(options: &Options, method: &str) -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let (rounds, seconds) = (options.rounds, options.time.as_secs_f64());
    format!(
        "{cores} cores; {PROCESSES} single-thread processes on one listener; keep-alive `GET /`, {CONNECTIONS} \
         connections; medians of {rounds} interleaved rounds of {seconds} s; {method}."
    )
}

fn signed(value: f64) -> String {
    let sign = if value < 0.0 { "−" } else { "+" };
    format!("{sign}{}", grouped(value.abs()))
}

/// Rounded, with a comma between thousands.
fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_tells_what_it_adds_to_bare_axum() {
        let programs = [Program::Hyper, Program::Axum, Program::Mainstay];
        let speed = Speed { cpu: 12.34, rate: 98_765.4, p50: 150.0, p99: 410.6 };
        let table = markdown(
            &programs,
            &[speed; 3],
            &[Some(8_090.0), Some(13_040.4), Some(13_600.0)],
            "settings",
        );
        assert!(
            table.contains("| bare hyper | 8,090 | −4,950 | 12.3 | 98,765 | 150 | 411 |\n"),
            "{table}"
        );
        assert!(table.contains("| bare axum | 13,040 | – |"), "{table}");
        assert!(table.contains("| axum + mainstay | 13,600 | +560 |"), "{table}");
        assert!(table.ends_with("\n\nsettings\n"), "{table}");
    }

    #[test]
    fn what_was_not_counted_is_said_so() {
        let speed = Speed { cpu: 1.0, rate: 1.0, p50: 1.0, p99: 1.0 };
        let table = markdown(&[Program::Axum, Program::Mainstay], &[speed; 2], &[None, None], "");
        assert!(table.contains("| axum + mainstay | n/a | – |"), "{table}");
    }
}
