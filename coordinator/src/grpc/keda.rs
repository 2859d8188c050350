//! KEDA's external scaler: Kubernetes starts and stops agents as a pool wants them.
//!
//! A trigger names the pool (`metadata.pool`); the one figure is how many agents the pool should have, of which each is worth one.
//! Like `/metrics` it is open to whoever reaches the port: it tells how many jobs wait, and nothing of what they are.

use std::pin::Pin;
use std::time::Duration;

use futures_util::stream;
use slipway_proto::keda::external_scaler_server::ExternalScaler;
use slipway_proto::keda::{
    GetMetricSpecResponse, GetMetricsRequest, GetMetricsResponse, IsActiveResponse, MetricSpec, MetricValue,
    ScaledObjectRef,
};
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

use super::driver_status;
use crate::services::Services;
use crate::view::{self, PoolView};

/// The key of a trigger's metadata that names the pool.
const POOL: &str = "pool";

/// The only figure: how many agents there should be.
const METRIC: &str = "agents";

/// How often a stream looks whether something changed.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Answers KEDA.
pub(super) struct Keda {
    services: Services,
}

impl Keda {
    pub(super) fn new(services: Services) -> Self {
        Self { services }
    }
}

/// The pool that a trigger names.
///
/// # Errors
/// It names none, or one that there is not.
async fn pool(services: &Services, asked: &ScaledObjectRef) -> Result<PoolView, Status> {
    let named = asked.scaler_metadata.get(POOL).ok_or_else(|| {
        Status::invalid_argument("the trigger's metadata has no `pool`; `slipway pools` lists them")
    })?;
    let pools = services.driver.query(view::pools).await.map_err(|error| driver_status(&error))?.pools;
    let found = pools.into_iter().find(|pool| pool.name.eq_ignore_ascii_case(named));
    found.ok_or_else(|| {
        Status::not_found(format!(
            "there is no pool `{}`; `slipway pools set` makes one",
            named.escape_debug()
        ))
    })
}

fn is_active(pool: &PoolView) -> bool {
    pool.desired > 0
}

#[tonic::async_trait]
impl ExternalScaler for Keda {
    type StreamIsActiveStream = Pin<Box<dyn Stream<Item = Result<IsActiveResponse, Status>> + Send>>;

    async fn is_active(
        &self,
        request: Request<ScaledObjectRef>,
    ) -> Result<Response<IsActiveResponse>, Status> {
        let pool = pool(&self.services, request.get_ref()).await?;
        Ok(Response::new(IsActiveResponse { result: is_active(&pool) }))
    }

    async fn stream_is_active(
        &self,
        request: Request<ScaledObjectRef>,
    ) -> Result<Response<Self::StreamIsActiveStream>, Status> {
        let asked = request.into_inner();
        // What is wrong with the trigger is told at once.
        pool(&self.services, &asked).await?;
        let services = self.services.clone();
        let stream = stream::try_unfold(None, move |told| {
            let (services, asked) = (services.clone(), asked.clone());
            async move {
                loop {
                    let result = is_active(&pool(&services, &asked).await?);
                    if told != Some(result) {
                        return Ok(Some((IsActiveResponse { result }, Some(result))));
                    }
                    tokio::select! {
                        () = tokio::time::sleep(LOOK_EVERY) => {}
                        () = services.closing.cancelled() => return Ok(None),
                    }
                }
            }
        });
        Ok(Response::new(Box::pin(stream)))
    }

    async fn get_metric_spec(
        &self,
        request: Request<ScaledObjectRef>,
    ) -> Result<Response<GetMetricSpecResponse>, Status> {
        pool(&self.services, request.get_ref()).await?;
        let spec = MetricSpec { metric_name: METRIC.to_owned(), target_size: 1, target_size_float: 1.0 };
        Ok(Response::new(GetMetricSpecResponse { metric_specs: vec![spec] }))
    }

    async fn get_metrics(
        &self,
        request: Request<GetMetricsRequest>,
    ) -> Result<Response<GetMetricsResponse>, Status> {
        let GetMetricsRequest { scaled_object_ref, metric_name } = request.into_inner();
        if metric_name != METRIC {
            return Err(Status::not_found(format!("the only metric is `{METRIC}`")));
        }
        let desired = pool(&self.services, &scaled_object_ref.unwrap_or_default()).await?.desired;
        let value =
            MetricValue { metric_name, metric_value: desired.into(), metric_value_float: desired.into() };
        Ok(Response::new(GetMetricsResponse { metric_values: vec![value] }))
    }
}
