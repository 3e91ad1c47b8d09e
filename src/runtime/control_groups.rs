//! The control groups of this process, and what their folders say of its limits.

use std::fs;
use std::path::{Path, PathBuf};

/// What one group's folder says of a limit, none when it sets none. It is handed a way to read files.
type Limit<T> = fn(Version, &Path, &dyn Fn(&Path) -> Option<String>) -> Option<T>;

/// What the group of this process, and all groups around it, say of a limit of this controller.
pub(super) fn of_this_process<T>(controller: &str, limit: Limit<T>) -> Vec<T> {
    let read = |path: &Path| fs::read_to_string(path).ok();
    let cgroup = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let mounts = read(Path::new("/proc/self/mountinfo")).unwrap_or_default();
    find(&cgroup, &mounts, controller, limit, &read)
}

/// The same from the text of `/proc/self/cgroup` and `/proc/self/mountinfo`, and a way to read the
/// files of groups (cgroups(7), proc_pid_mountinfo(5)).
pub(super) fn find<T>(
    cgroup: &str,
    mounts: &str,
    controller: &str,
    limit: Limit<T>,
    read: &dyn Fn(&Path) -> Option<String>,
) -> Vec<T> {
    let mounts = || mounts.lines().filter_map(|line| Mount::parse(line, controller));
    let groups = cgroup.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let version = match controllers {
            "" => Version::Two,
            list if list.split(',').any(|name| name == controller) => Version::One,
            _ => return None,
        };
        let mount = mounts().find(|mount| mount.version == version)?;
        Some((version, mount.folders(path)))
    });
    let folders =
        groups.flat_map(|(version, folders)| folders.map(move |folder| (version, folder)));
    folders.filter_map(|(version, folder)| limit(version, &folder, read)).collect()
}

/// The two kinds of control groups; a machine may use both at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    One,
    Two,
}

/// Where a hierarchy of groups is seen.
#[derive(Debug)]
struct Mount<'a> {
    version: Version,
    /// The group that stands at the mount point: not the root of all inside a container.
    root: &'a Path,
    point: &'a Path,
}

impl<'a> Mount<'a> {
    /// One line: `36 35 98:0 /root /point options - type source super-options`.
    fn parse(line: &'a str, controller: &str) -> Option<Mount<'a>> {
        let (mount, kind) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3);
        let (root, point) = (Path::new(mount.next()?), Path::new(mount.next()?));
        let mut kind = kind.split(' ');
        let version = match (kind.next()?, kind.nth(1)) {
            ("cgroup2", _) => Version::Two,
            ("cgroup", Some(options)) if options.split(',').any(|name| name == controller) => {
                Version::One
            }
            _ => return None,
        };
        Some(Mount { version, root, point })
    }

    /// The folders of a group and of all around it, as far as they are seen here.
    fn folders(&self, group: &str) -> impl Iterator<Item = PathBuf> + use<> {
        let inner = Path::new(group).strip_prefix(self.root).unwrap_or(Path::new(""));
        let inner = inner.strip_prefix("/").unwrap_or(inner).to_owned();
        let point = self.point.to_owned();
        let folders: Vec<_> = inner.ancestors().map(|inner| point.join(inner)).collect();
        folders.into_iter()
    }
}
