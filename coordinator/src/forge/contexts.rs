//! Whether a name on a commit is one that we tell: a token's statuses come back without saying who made them.

use super::desired::{REPORTS_MAX, name};
use super::{Place, held, rules};
use crate::driver::View;

/// Whether a report of this name is told on the commit. `sum`: how the one is named that sums it up.
pub(crate) fn tells(view: View<'_>, place: &Place, sum: &str, context: &str) -> bool {
    let told = view.ledger.told();
    if let Some(commit) = told.of_commit(place)
        && (context == sum || commit.rules.keys().any(|event| rules::name(sum, event) == context))
    {
        return true;
    }
    told.runs_at(place).filter_map(|run| view.state.run(run)).any(|run| {
        let jobs = run.jobs_in_order().into_iter().take(REPORTS_MAX);
        let named = jobs.flat_map(|job| {
            let instances =
                view.state.instances_of(job).map(|instance| name(run, &instance.definition().name));
            instances.chain([name(run, job.id().as_str())])
        });
        named.chain([held::name_of(run)]).any(|named| named == context)
    })
}
