//! Lines of mainstay.

use crate::Fallible;
use crate::measure::Row;
use crate::samples::{PLAIN, RICH, USUAL};
use mainstay::inside::{AccessLines, DEFAULT_FORMAT, Sample};

/// Lines between two drainings of the ring. They take turns, as writer and worker do, but the
/// draining is the writer's cost and another table's.
const DRAINED: u32 = 512;

/// One row for each format and request.
///
/// # Errors
/// When a format is not one.
pub(crate) fn rows() -> Fallible<Vec<Row<'static>>> {
    Ok(vec![
        row("default", "default format, 4 headers", DEFAULT_FORMAT, USUAL)?,
        row("default-rich", "default format, browser", DEFAULT_FORMAT, RICH)?,
        row("ecs-plain", "ECS, the 570 bytes of a plain request", "ecs", PLAIN)?,
        row("ecs", "ECS, 4 headers", "ecs", USUAL)?,
        row("ecs-rich", "ECS, browser, trace, all of the service", "ecs", RICH)?,
    ])
}

fn row(
    key: &'static str,
    what: &'static str,
    format: &str,
    sample: Sample<'static>,
) -> Fallible<Row<'static>> {
    let mut lines = AccessLines::new(format, sample)?;
    lines.make();
    lines.skip();
    let bytes = lines.line().len();
    let mut made = 0;
    let once = move || {
        assert!(lines.make(), "the ring is drained in time");
        made += 1;
        if made == DRAINED {
            made = 0;
            lines.skip();
        }
    };
    Ok(Row { key, what, bytes, once: Box::new(once) })
}
