//! The control groups that this process is in, from its own up to the root.
//!
//! Any of them may have a limit: systemd sets `CPUQuota=` and `MemoryMax=` on the unit or on a slice
//! above it, a container runtime sets them on the container, which sees its own group as the root.
//!
//! Source: Linux `Documentation/admin-guide/cgroup-v2.rst` and `cgroup-v1/cgroups.rst`; cgroups(7).

use std::path::{Component, Path, PathBuf};

use super::read;

/// Where the hierarchies are mounted by convention.
pub(super) const MOUNT: &str = "sys/fs/cgroup";

/// The directories of the groups in the unified hierarchy, the process's own first.
pub(super) fn unified(root: &Path) -> Vec<PathBuf> {
    let Some(own) = own_group(root, |hierarchy, _| hierarchy == "0") else {
        return Vec::new();
    };
    let mount = root.join(MOUNT);
    // With both versions mounted, the second one has a directory of its own.
    let hybrid = mount.join("unified");
    let mount = if hybrid.is_dir() { hybrid } else { mount };
    upwards(&mount, &own)
}

/// The directories of the groups in the older hierarchy of this controller, the process's own first.
pub(super) fn of_controller(root: &Path, controller: &str) -> Vec<PathBuf> {
    let is_of = |_: &str, controllers: &str| controllers.split(',').any(|it| it == controller);
    let Some(own) = own_group(root, is_of) else {
        return Vec::new();
    };
    upwards(&root.join(MOUNT).join(controller), &own)
}

/// The path in the line `hierarchy:controllers:path` that is the wanted one.
fn own_group(root: &Path, is_wanted: impl Fn(&str, &str) -> bool) -> Option<PathBuf> {
    let text = read(&root.join("proc/self/cgroup"))?;
    text.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (hierarchy, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        is_wanted(hierarchy, controllers).then(|| PathBuf::from(path))
    })
}

/// The group and all above it. A path of the machine's may not exist below the mount of a container,
/// which begins further down: then only the mount itself is left.
fn upwards(mount: &Path, own: &Path) -> Vec<PathBuf> {
    // A process that is outside of its namespace's root has a path with `..`, which leads nowhere.
    let is_below = !own.components().any(|it| it == Component::ParentDir);
    let own = own.strip_prefix("/").unwrap_or(own);
    let own = if is_below { own } else { Path::new("") };
    let groups = own.ancestors().map(|group| mount.join(group));
    groups.filter(|group| group.is_dir()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::machine;
    use super::*;

    fn names(root: &Path, groups: &[PathBuf]) -> Vec<String> {
        let name = |group: &PathBuf| {
            let path = group.strip_prefix(root.join(MOUNT)).unwrap();
            path.to_str().unwrap().to_owned()
        };
        groups.iter().map(name).collect()
    }

    #[test]
    fn groups_are_walked_up_to_the_root() {
        let root = machine(&[
            ("proc/self/cgroup", "0::/system.slice/voxpool.service\n"),
            (
                "sys/fs/cgroup/system.slice/voxpool.service/cpu.max",
                "max 100000\n",
            ),
        ]);
        let groups = unified(root.path());
        let names = names(root.path(), &groups);
        assert_eq!(names, ["system.slice/voxpool.service", "system.slice", ""]);
    }

    #[test]
    fn a_container_sees_its_own_group_as_the_root() {
        for path in [
            "/",
            "/docker/0123456789ab",
            "/../../system.slice/other.service",
        ] {
            let root = machine(&[
                ("proc/self/cgroup", &format!("0::{path}\n")),
                ("sys/fs/cgroup/memory.max", "max\n"),
            ]);
            let groups = unified(root.path());
            assert_eq!(groups, [root.path().join(MOUNT)], "{path}");
        }
    }

    #[test]
    fn controllers_of_the_older_hierarchies_have_paths_of_their_own() {
        let root = machine(&[
            (
                "proc/self/cgroup",
                "5:memory:/a\n4:cpu,cpuacct:/b/c\n1:name=systemd:/d\n0::/e\n",
            ),
            ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "1\n"),
            ("sys/fs/cgroup/cpu/b/c/cpu.cfs_quota_us", "1\n"),
            ("sys/fs/cgroup/unified/e/cgroup.procs", "1\n"),
        ]);
        let of = |controller| names(root.path(), &of_controller(root.path(), controller));
        assert_eq!(of("memory"), ["memory/a", "memory"]);
        assert_eq!(of("cpu"), ["cpu/b/c", "cpu/b", "cpu"]);
        assert_eq!(of("cpuset"), Vec::<String>::new());
        assert_eq!(
            names(root.path(), &unified(root.path())),
            ["unified/e", "unified"]
        );
    }

    #[test]
    fn unreadable_files_are_no_groups() {
        for text in ["", "nonsense", "0:", "0::"] {
            let root = machine(&[("proc/self/cgroup", text)]);
            assert_eq!(unified(root.path()), Vec::<PathBuf>::new(), "{text}");
        }
    }
}
