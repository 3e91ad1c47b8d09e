//! How many shards there are, and on which cores.

use corecast_shards::SHARDS_MAX;

use super::cpu_quota::{Quota, cpu_quota};
use super::start_error::StartError;
use super::sys;
use crate::values::Sizing;

/// The core of each shard, none for those that are not pinned, and why there are that many.
pub(super) fn choose_cores(
    wanted: Option<usize>,
) -> Result<(Vec<Option<usize>>, Sizing), StartError> {
    // Unlike the list of the executor this one respects the process's affinity mask.
    let allowed = core_affinity::get_core_ids().unwrap_or_default();
    let allowed: Vec<usize> = allowed.into_iter().map(|core| core.id).collect();
    let (mut cores, sizing) = choose(wanted, &allowed, cpu_quota())?;
    if cores.contains(&None) {
        return Ok((cores, sizing));
    }
    if let Err(error) = sys::keep_affinity() {
        tracing::warn!(%error, "the system does not let threads be pinned to cores; none is");
        cores.fill(None);
    }
    Ok((cores, sizing))
}

/// A quota of time says nothing about cores: pinned to the first ones, all containers of a machine
/// would share those.
fn choose(
    wanted: Option<usize>,
    allowed: &[usize],
    quota: Option<Quota>,
) -> Result<(Vec<Option<usize>>, Sizing), StartError> {
    let quota = quota.map(Quota::cores).filter(|cores| *cores < allowed.len().max(1));
    let (shards, sizing) = match (wanted, quota) {
        (Some(wanted), _) => (wanted, Sizing::Asked),
        (None, Some(cores)) => (cores, Sizing::Quota { cores }),
        (None, None) => (allowed.len().max(1), Sizing::Cores),
    };
    if shards == 0 || shards > SHARDS_MAX {
        return Err(StartError::Shards { wanted: shards });
    }
    Ok(match allowed.get(..shards) {
        Some(cores) if quota.is_none() => (cores.iter().copied().map(Some).collect(), sizing),
        _ => (vec![None; shards], sizing),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        wanted: Option<usize>,
        allowed: &[usize],
        quota: Option<Quota>,
        cores: &[Option<usize>],
        why: Sizing,
    ) {
        assert_eq!(choose(wanted, allowed, quota).unwrap(), (cores.to_vec(), why));
    }

    #[test]
    fn there_is_a_shard_for_each_core_that_the_process_may_use() {
        let quota = |cores| Some(Quota::of_cores(cores));
        check(None, &[0, 2, 5], None, &[Some(0), Some(2), Some(5)], Sizing::Cores);
        check(None, &[], None, &[None], Sizing::Cores);
        check(None, &[0, 1, 2, 3], quota(2), &[None; 2], Sizing::Quota { cores: 2 });
        check(None, &[0, 1], quota(2), &[Some(0), Some(1)], Sizing::Cores);
        check(None, &[0, 1], quota(8), &[Some(0), Some(1)], Sizing::Cores);
    }

    #[test]
    fn who_asks_for_shards_gets_them_and_more_than_cores_are_not_pinned() {
        check(Some(1), &[3, 4], None, &[Some(3)], Sizing::Asked);
        check(Some(3), &[3, 4], None, &[None; 3], Sizing::Asked);
        check(Some(3), &[0, 1, 2, 3], Some(Quota::of_cores(1)), &[None; 3], Sizing::Asked);
        assert!(choose(Some(0), &[0], None).is_err());
        assert!(choose(Some(SHARDS_MAX + 1), &[0], None).is_err());
    }
}
