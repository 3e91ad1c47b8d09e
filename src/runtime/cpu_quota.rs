//! How much of the machine's cores a control group leaves this process.

use std::path::Path;

use super::control_groups::{self, Version};

/// A share of CPU time: so many microseconds in each period of so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quota {
    quota: u64,
    period: u64,
}

impl Quota {
    /// Cores that this share keeps busy, rounded up, and at least one.
    pub(super) fn cores(self) -> usize {
        usize::try_from(self.quota.div_ceil(self.period)).unwrap_or(usize::MAX).max(1)
    }

    #[cfg(test)]
    pub(super) fn of_cores(cores: u64) -> Quota {
        Quota { quota: cores * 100_000, period: 100_000 }
    }

    fn is_less(self, other: Quota) -> bool {
        let of = |one: Quota, other: Quota| u128::from(one.quota) * u128::from(other.period);
        of(self, other) < of(other, self)
    }
}

/// The quota of this process: the smallest of its control group and of all groups around it.
pub(super) fn cpu_quota() -> Option<Quota> {
    least(control_groups::of_this_process("cpu", quota))
}

fn least(quotas: Vec<Quota>) -> Option<Quota> {
    quotas.into_iter().reduce(|least, quota| if quota.is_less(least) { quota } else { least })
}

/// What one group's folder says; none when it sets no limit.
fn quota(version: Version, folder: &Path, read: &dyn Fn(&Path) -> Option<String>) -> Option<Quota> {
    let text = |name: &str| read(&folder.join(name));
    let (quota, period) = match version {
        Version::One => (text("cpu.cfs_quota_us")?, text("cpu.cfs_period_us")?),
        Version::Two => {
            let both = text("cpu.max")?;
            let (quota, period) = both.split_once(' ')?;
            (quota.to_owned(), period.to_owned())
        }
    };
    // "max" and -1 stand for no limit, and are no such numbers.
    let (quota, period) = (quota.trim().parse().ok()?, period.trim().parse().ok()?);
    (period > 0).then_some(Quota { quota, period })
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2: &str = "29 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
    const V1: &str = "30 25 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n";

    fn check(cgroup: &str, mounts: &str, files: &[(&str, &str)], expected: Option<usize>) {
        let read = |path: &Path| {
            let file = files.iter().find(|(name, _)| Path::new(name) == path);
            file.map(|(_, text)| (*text).to_owned())
        };
        let found = least(control_groups::find(cgroup, mounts, "cpu", quota, &read));
        let found = found.map(Quota::cores);
        assert_eq!(found, expected, "for {cgroup} and {files:?}");
    }

    #[test]
    fn version_two_says_it_in_one_file() {
        let max = "/sys/fs/cgroup/app/cpu.max";
        for (text, cores) in [
            ("200000 100000\n", Some(2)),
            ("150000 100000\n", Some(2)),
            ("1000 100000\n", Some(1)),
            ("50000 25000\n", Some(2)),
            ("max 100000\n", None),
            ("", None),
            ("200000 0\n", None),
        ] {
            check("0::/app\n", V2, &[(max, text)], cores);
        }
        check("0::/app\n", V2, &[], None);
        check("0::/app\n", "", &[(max, "200000 100000\n")], None);
    }

    #[test]
    fn version_one_says_it_in_two() {
        let quota = "/sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_quota_us";
        let period = "/sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_period_us";
        let cgroup = "5:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n";
        check(cgroup, V1, &[(quota, "300000\n"), (period, "100000\n")], Some(3));
        check(cgroup, V1, &[(quota, "-1\n"), (period, "100000\n")], None);
        check("5:cpuset:/docker/x\n", V1, &[(quota, "300000\n"), (period, "100000\n")], None);
    }

    #[test]
    fn the_smallest_on_the_way_up_holds() {
        let files = [
            ("/sys/fs/cgroup/cpu.max", "max 100000"),
            ("/sys/fs/cgroup/pods/cpu.max", "150000 50000"),
            ("/sys/fs/cgroup/pods/one/cpu.max", "800000 100000"),
            ("/sys/fs/cgroup/pods/one/inner/cpu.max", "max 100000"),
        ];
        check("0::/pods/one/inner\n", V2, &files, Some(3));
        check("0::/elsewhere\n", V2, &files, None);
    }

    #[test]
    fn a_container_sees_its_group_as_the_root() {
        // With a namespace of its own.
        check("0::/\n", V2, &[("/sys/fs/cgroup/cpu.max", "400000 100000")], Some(4));
        // Without one: the path is the host's, and the mount shows only a part of it.
        let mount = "30 25 0:27 /docker/x /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";
        let files = [
            ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "250000"),
            ("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000"),
        ];
        check("4:cpu:/docker/x\n", mount, &files, Some(3));
    }

    #[test]
    fn both_versions_count_where_both_are_used() {
        let mounts = format!("{V1}{V2}");
        let files = [
            ("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "500000"),
            ("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000"),
            ("/sys/fs/cgroup/b/cpu.max", "200000 100000"),
        ];
        check("4:cpu,cpuacct:/a\n0::/b\n", &mounts, &files, Some(2));
    }
}
