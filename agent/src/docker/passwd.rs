//! What an image has: its users, for the agent hands folders to the container's user and must know that user's numbers;
//! and its C library, for the programs that the agent brings.

use std::io::Read as _;

use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{
    ContainerArchiveInfoOptionsBuilder, CreateContainerOptionsBuilder, DownloadFromContainerOptionsBuilder,
};
use futures_util::StreamExt as _;

use super::image::Image;
use super::{Engine, LABEL_AGENT, is_missing};
use crate::externals::Libc;
use crate::failure::{Cause, Failure};

/// `/etc/passwd` and `/etc/group` larger than this are not read further.
const FILE_MAX_BYTES: usize = 1024 * 1024;

/// More groups of one user than these are left out.
const GROUPS_MAX: usize = 1_000;

/// musl's loader, by architecture.
const MUSL_LOADERS: [&str; 2] = ["/lib/ld-musl-x86_64.so.1", "/lib/ld-musl-aarch64.so.1"];

/// glibc's loader, by architecture.
const GLIBC_LOADERS: [&str; 2] = ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"];

/// The user that GitHub's runner images work as.
pub const RUNNER_USER: &str = "runner";

/// A user in a container.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ContainerUser {
    /// Numeric user id.
    pub uid: u32,
    /// Numeric group id.
    pub gid: u32,
    /// Home folder; `/` when the image does not say.
    pub home: String,
    /// Numeric ids of further groups: those whose member the user is, unless a group was asked for, as in Docker.
    #[serde(default)]
    pub groups: Vec<u32>,
}

impl ContainerUser {
    /// The superuser.
    #[must_use]
    pub fn root() -> Self {
        Self { uid: 0, gid: 0, home: "/root".to_owned(), groups: Vec::new() }
    }
}

/// The users and groups of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Users {
    passwd: String,
    group: String,
}

impl Users {
    /// From the texts of `/etc/passwd` and `/etc/group`.
    #[must_use]
    pub fn new(passwd: String, group: String) -> Self {
        Self { passwd, group }
    }

    /// Whether there is a user of this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.entry(|fields| fields.first() == Some(&name)).is_some()
    }

    /// The user that `USER` or `--user` names: empty, `name`, `uid`, `name:group` or `uid:gid`. None when a name is
    /// not in the image.
    #[must_use]
    pub fn resolve(&self, user: &str) -> Option<ContainerUser> {
        if user.is_empty() {
            let root = self.entry(|fields| fields.get(2) == Some(&"0"));
            return Some(root.unwrap_or_else(ContainerUser::root));
        }
        let (name, group) = user.split_once(':').map_or((user, None), |(name, group)| (name, Some(group)));
        let mut found = match self.entry(|fields| fields.first() == Some(&name)) {
            Some(found) => found,
            None => {
                let uid: u32 = name.parse().ok()?;
                self.entry(|fields| fields.get(2) == Some(&name)).unwrap_or(ContainerUser {
                    uid,
                    gid: 0,
                    home: "/".to_owned(),
                    groups: Vec::new(),
                })
            }
        };
        if let Some(group) = group {
            found.gid = self.group(group)?;
            found.groups.clear();
        }
        Some(found)
    }

    fn entry(&self, wanted: impl Fn(&[&str]) -> bool) -> Option<ContainerUser> {
        self.passwd.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            if !wanted(&fields) {
                return None;
            }
            let home = fields.get(5).copied().filter(|home| home.starts_with('/')).unwrap_or("/");
            Some(ContainerUser {
                uid: fields.get(2)?.parse().ok()?,
                gid: fields.get(3)?.parse().ok()?,
                home: home.to_owned(),
                groups: self.groups_of(fields.first()?),
            })
        })
    }

    /// The groups that list a user as a member.
    fn groups_of(&self, user: &str) -> Vec<u32> {
        let groups = self.group.lines().filter_map(|line| {
            let mut fields = line.split(':').skip(2);
            let id = fields.next()?.parse().ok()?;
            fields.next()?.split(',').any(|member| member == user).then_some(id)
        });
        groups.take(GROUPS_MAX).collect()
    }

    fn group(&self, name: &str) -> Option<u32> {
        let known = self.group.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?
        });
        known.or_else(|| name.parse().ok())
    }
}

/// What one look into an image tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageFacts {
    /// Its users.
    pub users: Users,
    /// Its C library: musl where there is that one's loader and not the other's.
    pub libc: Libc,
}

impl Engine {
    /// The facts of an image, read from a container that is never started.
    ///
    /// # Errors
    /// When that container can't be made.
    pub async fn image_facts(&self, image: &Image, platform: Option<&str>) -> Result<ImageFacts, Failure> {
        let mut options = CreateContainerOptionsBuilder::default();
        if let Some(platform) = platform {
            options = options.platform(platform);
        }
        let body = ContainerCreateBody {
            image: Some(image.id.clone()),
            entrypoint: Some(vec!["/.slipway/never-started".to_owned()]),
            labels: Some([(LABEL_AGENT.to_owned(), self.agent.clone())].into()),
            network_disabled: Some(true),
            ..ContainerCreateBody::default()
        };
        let created = self
            .docker
            .create_container(Some(options.build()), body)
            .await
            .map_err(|error| self.failure(Cause::ContainerStart, "cannot look into the image", &error))?;
        let facts = async {
            let passwd = self.read_file(&created.id, "/etc/passwd").await?;
            let group = self.read_file(&created.id, "/etc/group").await?;
            let musl = self.has_any(&created.id, &MUSL_LOADERS).await?
                && !self.has_any(&created.id, &GLIBC_LOADERS).await?;
            let libc = if musl { Libc::Musl } else { Libc::Glibc };
            Ok(ImageFacts { users: Users::new(passwd, group), libc })
        }
        .await;
        self.remove_container(&created.id).await?;
        facts
    }

    /// Whether a container has one of these paths.
    async fn has_any(&self, container: &str, paths: &[&str]) -> Result<bool, Failure> {
        for path in paths {
            let options = ContainerArchiveInfoOptionsBuilder::default().path(path).build();
            match self.docker.get_container_archive_info(container, Some(options)).await {
                Ok(_) => return Ok(true),
                Err(error) if is_missing(&error) => {}
                Err(error) => {
                    let what = format!("cannot look for {path} in the image");
                    return Err(self.failure(Cause::ContainerStart, &what, &error));
                }
            }
        }
        Ok(false)
    }

    /// A small text file of a container; empty when it does not exist.
    async fn read_file(&self, container: &str, path: &str) -> Result<String, Failure> {
        let options = DownloadFromContainerOptionsBuilder::default().path(path).build();
        let mut parts = std::pin::pin!(self.docker.download_from_container(container, Some(options)));
        let mut archive = Vec::new();
        while let Some(part) = parts.next().await {
            match part {
                Ok(bytes) => archive.extend_from_slice(&bytes),
                Err(error) if is_missing(&error) => return Ok(String::new()),
                Err(error) => {
                    return Err(self.failure(
                        Cause::ContainerStart,
                        &format!("cannot read {path} of the image"),
                        &error,
                    ));
                }
            }
            if archive.len() > FILE_MAX_BYTES {
                break;
            }
        }
        let mut text = Vec::new();
        let mut entries = tar::Archive::new(archive.as_slice());
        if let Ok(mut entries) = entries.entries()
            && let Some(Ok(entry)) = entries.next()
        {
            // A cut archive gives a cut text; what is in it still counts.
            let _ = entry.take(FILE_MAX_BYTES as u64).read_to_end(&mut text);
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn users() -> Users {
        Users::new(
            "root:x:0:0:root:/root:/bin/bash\nrunner:x:1001:1002::/home/runner:/bin/bash\nbroken\n"
                .to_owned(),
            "root:x:0:\ndocker:x:999:runner\nbroken:x:no:runner\nfew:x:7:other,runner\nrunners:x:8:other\n"
                .to_owned(),
        )
    }

    #[test]
    fn names_numbers_and_groups_resolve() {
        let users = users();
        assert_eq!(users.resolve("").unwrap(), ContainerUser::root());
        let runner =
            ContainerUser { uid: 1001, gid: 1002, home: "/home/runner".to_owned(), groups: vec![999, 7] };
        assert_eq!(users.resolve("runner").unwrap(), runner);
        assert_eq!(users.resolve("1001").unwrap(), runner);
        let asked_group = ContainerUser { gid: 999, groups: Vec::new(), ..runner };
        assert_eq!(users.resolve("runner:docker").unwrap(), asked_group);
        let unknown = ContainerUser { uid: 7, gid: 8, home: "/".to_owned(), groups: Vec::new() };
        assert_eq!(users.resolve("7:8").unwrap(), unknown);
        assert!(users.has("runner") && !users.has("broken2"));
    }

    #[test]
    fn an_unknown_name_does_not_resolve() {
        assert_eq!(users().resolve("nobody-here"), None);
        assert_eq!(users().resolve("runner:nobody-here"), None);
        assert_eq!(Users::default().resolve("").unwrap(), ContainerUser::root());
    }
}
