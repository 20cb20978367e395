//! Limits of one request whose counts lie on several servers of a cluster, since their keys, which are those of the
//! Python package `limits`, say nothing of who belongs together. The script decides on each alone: all are looked
//! at first, and those taken from then that the outcome counts at, so that a request that is refused uses up none.
//! Each limit stays exact. Only who is overtaken between looking and taking may have used up others.

use super::client::{Connection, Trouble};
use crate::limits::question::{Item, Order, Outcome, Part, Question, Reply};
use futures_util::future::try_join_all;
use mainstay_os::segment::Verdict;

/// What becomes of a request, and at which of its limits it counts.
#[derive(Debug, PartialEq, Eq)]
struct Judgement {
    outcome: Outcome,
    asked: usize,
    takes: Vec<usize>,
}

/// As the script decides on all at once.
pub(super) async fn decide(open: &Connection, question: &Question) -> Result<Reply, Trouble> {
    let (order, items) = (question.order, &question.items);
    let every: Vec<usize> = (0..items.len()).collect();
    let mut verdicts = each(open, Order::Look, items, &every).await?;
    let mut judged = judge(order, items, &verdicts);
    let taken = each(open, Order::All, items, &judged.takes).await?;
    judged.takes.iter().zip(taken).for_each(|(at, verdict)| verdicts[*at] = verdict);
    if is_overtaken(items, &judged, &verdicts) {
        judged.outcome = Outcome::Refused;
        let meta = metas(items, &verdicts);
        let taken = each(open, Order::All, items, &meta).await?;
        meta.iter().zip(taken).for_each(|(at, verdict)| verdicts[*at] = verdict);
    }
    Ok(Reply { outcome: judged.outcome, asked: judged.asked, verdicts })
}

/// What the script says of each of these alone.
async fn each(
    open: &Connection,
    order: Order,
    items: &[Item],
    which: &[usize],
) -> Result<Vec<Verdict>, Trouble> {
    let asking = which.iter().map(|at| {
        let (item, mut open) = (items[*at].alone(), open.clone());
        async move {
            let reply = open.run(order, &[item]).await?;
            reply.verdicts.into_iter().next().ok_or(Trouble::NoAnswer)
        }
    });
    try_join_all(asking).await
}

fn judge(order: Order, items: &[Item], verdicts: &[Verdict]) -> Judgement {
    let of = |part: Part| (0..items.len()).filter(move |at| items[*at].part == part);
    let refuses = |at: &usize| !verdicts[*at].admitted;
    if of(Part::Meta).any(|at| refuses(&at)) {
        return Judgement { outcome: Outcome::Banned, asked: 0, takes: Vec::new() };
    }
    let enforced: Vec<usize> = of(Part::Enforced).collect();
    let refusing = enforced.iter().position(refuses);
    let outcome = if refusing.is_some() { Outcome::Refused } else { Outcome::Admitted };
    let mut asked = enforced.len();
    let mut takes = match (refusing, order) {
        (None, _) => {
            let tried = of(Part::Tried).filter(|at| !refuses(at));
            enforced.iter().copied().chain(tried).collect()
        }
        (Some(first), Order::Each) => {
            asked = first + 1;
            enforced[..first].to_vec()
        }
        (Some(_), _) => Vec::new(),
    };
    if refusing.is_some() {
        takes.extend(metas(items, verdicts));
    }
    if order == Order::Look {
        takes.clear();
    }
    Judgement { outcome, asked, takes }
}

/// Limits that count refusals, as far as they have room.
fn metas(items: &[Item], verdicts: &[Verdict]) -> Vec<usize> {
    let is_meta = |at: &usize| matches!(items[*at].part, Part::Meta | Part::MetaTried);
    (0..items.len()).filter(is_meta).filter(|at| verdicts[*at].admitted).collect()
}

/// Whether a limit that had room when it was looked at had none when it was taken from.
fn is_overtaken(items: &[Item], judged: &Judgement, verdicts: &[Verdict]) -> bool {
    let takes = || judged.takes.iter();
    let refuses = |at: &usize| items[*at].part == Part::Enforced && !verdicts[*at].admitted;
    judged.outcome == Outcome::Admitted && takes().any(refuses)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limits;
    use crate::limits::plan::Plan;
    use crate::limits::question::Naming;
    use crate::limits::settings::Settings;

    const PARTS: [Part; 5] =
        [Part::Meta, Part::MetaTried, Part::Enforced, Part::Enforced, Part::Tried];

    fn items() -> Vec<Item> {
        let mut limits = Limits::for_tests();
        limits.application = "10/minute".into();
        let plan = Plan::of(&Settings::of(&limits).unwrap()).unwrap();
        let naming = Naming { prefix: String::new(), plain: false };
        let item = |part| Item::new(part, &plan.application[0], &naming, "unix");
        PARTS.map(item).into()
    }

    /// In which order, which limits refuse, and then what became, of how many that were asked, and which are taken.
    type Case = (Order, &'static [usize], Outcome, usize, &'static [usize]);

    /// What becomes of a request that these limits refuse.
    fn judged(order: Order, refusing: &[usize]) -> (Outcome, usize, Vec<usize>) {
        let verdict = |at| Verdict { admitted: !refusing.contains(&at), ..Verdict::default() };
        let verdicts: Vec<_> = (0..PARTS.len()).map(verdict).collect();
        let judged = judge(order, &items(), &verdicts);
        (judged.outcome, judged.asked, judged.takes)
    }

    #[test]
    fn limits_on_several_servers_count_where_the_script_would_count() {
        use Order::{All, Each, Look};
        use Outcome::{Admitted, Banned, Refused};
        let cases: [Case; 9] = [
            (All, &[], Admitted, 2, &[2, 3, 4]),
            (Each, &[], Admitted, 2, &[2, 3, 4]),
            (All, &[1, 4], Admitted, 2, &[2, 3]),
            (All, &[3, 4], Refused, 2, &[0, 1]),
            (Each, &[3], Refused, 2, &[2, 0, 1]),
            (Each, &[2, 3], Refused, 1, &[0, 1]),
            (All, &[1, 2], Refused, 2, &[0]),
            (All, &[0, 2], Banned, 0, &[]),
            (Look, &[3], Refused, 2, &[]),
        ];
        for (order, refusing, outcome, asked, takes) in cases {
            let is = judged(order, refusing);
            assert_eq!(is, (outcome, asked, takes.to_vec()), "{order:?} {refusing:?}");
        }
        assert_eq!(judged(Look, &[]), (Admitted, 2, vec![]));
    }

    #[test]
    fn who_is_overtaken_between_looking_and_taking_is_refused() {
        let items = items();
        let admits = Verdict { admitted: true, ..Verdict::default() };
        let mut verdicts = [admits; PARTS.len()];
        let judged = judge(Order::All, &items, &verdicts);
        assert!(!is_overtaken(&items, &judged, &verdicts));
        verdicts[4].admitted = false;
        assert!(!is_overtaken(&items, &judged, &verdicts), "a trial refuses nobody");
        verdicts[3].admitted = false;
        assert!(is_overtaken(&items, &judged, &verdicts));
        assert_eq!(metas(&items, &verdicts), [0, 1]);
    }
}
