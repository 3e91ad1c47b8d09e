//! How much memory the process may have, unless the operator says so.

use std::fs;
use std::path::Path;

use super::control_groups::{self, Version};

/// Half of what the machine has, or of what the control group allows, whichever is less; none when
/// neither is to be found out.
pub(super) fn default_limit() -> Option<usize> {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| machine_bytes(&text));
    let groups = control_groups::of_this_process("memory", group_bytes);
    half_of_least(machine.into_iter().chain(groups))
}

fn half_of_least(sizes: impl Iterator<Item = u64>) -> Option<usize> {
    sizes.min().map(|least| usize::try_from(least / 2).unwrap_or(usize::MAX))
}

/// The first line of `/proc/meminfo` says what the machine has, in KiB (proc_meminfo(5)).
fn machine_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

/// What one group's folder allows; none when it sets no limit.
fn group_bytes(
    version: Version,
    folder: &Path,
    read: &dyn Fn(&Path) -> Option<String>,
) -> Option<u64> {
    let file = match version {
        Version::One => "memory.limit_in_bytes",
        Version::Two => "memory.max",
    };
    // "max" is no number. Version one says a very large one, which is more than any machine has.
    read(&folder.join(file))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(cgroup: &str, mounts: &str, files: &[(&str, &str)]) -> Option<usize> {
        let read = |path: &Path| {
            let file = files.iter().find(|(name, _)| Path::new(name) == path);
            file.map(|(_, text)| (*text).to_owned())
        };
        let machine = machine_bytes("MemTotal:       16384 kB\nMemFree:  1 kB\n");
        let groups = control_groups::find(cgroup, mounts, "memory", group_bytes, &read);
        half_of_least(machine.into_iter().chain(groups))
    }

    #[test]
    fn the_least_of_machine_and_groups_counts_by_half() {
        let v2 = "29 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
        let v1 = "30 25 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        let (inner, outer) = ("/sys/fs/cgroup/app/memory.max", "/sys/fs/cgroup/memory.max");
        assert_eq!(limit("0::/app\n", v2, &[(inner, "8388608\n")]), Some(4 << 20));
        assert_eq!(limit("0::/app\n", v2, &[(inner, "max\n")]), Some(8 << 20));
        let both = [(inner, "max\n"), (outer, "1048576\n")];
        assert_eq!(limit("0::/app\n", v2, &both), Some(512 << 10), "of all groups around");
        let one = ("/sys/fs/cgroup/memory/app/memory.limit_in_bytes", "2097152\n");
        assert_eq!(limit("4:cpu:/app\n5:memory:/app\n", v1, &[one]), Some(1 << 20));
        let endless = ("/sys/fs/cgroup/memory/app/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(limit("5:memory:/app\n", v1, &[endless]), Some(8 << 20));
        assert_eq!(limit("", "", &[]), Some(8 << 20), "the machine alone");
    }

    #[test]
    fn this_machine_has_some() {
        assert!(default_limit().is_some_and(|bytes| bytes > 1 << 20));
    }
}
