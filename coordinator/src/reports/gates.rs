//! The gates of a run: read from its repository by the coordinator, where no job can write.

use slipway_scheduler::RunId;
use slipway_workflow::settings::{self, Settings};

use super::base::{self, About};
use super::compare::{CompareError, with_base};
use super::judge::{Judged, judge};
use crate::driver::View;
use crate::mirror::MirrorError;
use crate::services::Services;

/// Why gates could not be judged; another try may do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GatesError {
    #[error(transparent)]
    Compare(#[from] CompareError),
    #[error("`.slipway.yml` can't be read: {0}")]
    Mirror(MirrorError),
}

impl From<crate::driver::DriverError> for GatesError {
    fn from(error: crate::driver::DriverError) -> Self {
        Self::Compare(error.into())
    }
}

/// What the gates of a run that has ended say; nothing for one that goes on, has no gates, or whose repository is not known.
///
/// # Errors
/// [`GatesError`].
pub(crate) async fn of_run(services: &Services, run: RunId) -> Result<Vec<Judged>, GatesError> {
    let ended = move |view: View<'_>| view.state.run(run).is_some_and(|run| run.end().is_some());
    if !services.driver.query(ended).await? {
        return Ok(Vec::new());
    }
    let Some(about) = base::about(services, run).await? else { return Ok(Vec::new()) };
    let gates = match settings_of(services, &about).await? {
        Ok(settings) => settings.gates,
        Err(problem) => return Ok(vec![problem]),
    };
    if gates.is_empty() {
        return Ok(Vec::new());
    }
    Ok(judge(&gates, &with_base(services, &about).await?))
}

/// What the repository says; or what is wrong with it.
async fn settings_of(services: &Services, about: &About) -> Result<Result<Settings, Judged>, GatesError> {
    let known = services.repositories.find(&about.repository).filter(|known| known.forge == about.forge);
    let Some(repository) = known else { return Ok(Ok(Settings::default())) };
    let sha = about.gates_sha();
    let file = match services.mirrors.file(&repository.clone_url, sha, settings::FILE).await {
        Ok(file) => file,
        // A commit that is gone has no gates.
        Err(MirrorError::Missing(_)) => None,
        Err(error) => return Err(GatesError::Mirror(error)),
    };
    let Some(file) = file else { return Ok(Ok(Settings::default())) };
    let wrong = |lines| {
        let title = format!("{} is not valid", settings::FILE);
        Judged::new("settings", false, title, lines)
    };
    Ok(match file.text {
        Ok(text) => settings::parse(settings::FILE, &text)
            .map_err(|found| wrong(found.iter().map(ToString::to_string).collect())),
        Err(why) => Err(wrong(vec![why])),
    })
}
