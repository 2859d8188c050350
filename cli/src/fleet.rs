//! A coordinator and agents in this process: what `up` serves, and the private fleet of `run`.
use std::net::SocketAddr;
use std::path::PathBuf;
use crate::client::Client;
use crate::client::types::Instance;
use crate::failure::Failure;
use crate::occasion::Occasion;
use crate::settings::Settings;
use serde_json::Value as Json;
#[derive(Debug, Clone)]
pub struct Images;
impl Images {
    pub fn of(_settings: &Settings, _flags: &[(String, String)]) -> Self { Images }
    pub fn unserved(&self, _instance: &Instance) -> Option<String> { None }
}
pub struct FleetOptions { pub data_dir: PathBuf, pub http: SocketAddr, pub grpc: SocketAddr, pub agents: u32, pub images: Images }
pub struct Fleet;
impl Fleet {
    pub async fn start(_o: FleetOptions) -> Result<Self, Failure> { Ok(Fleet) }
    pub fn http(&self) -> String { String::new() }
    pub fn grpc(&self) -> String { String::new() }
    pub async fn stop(self) {}
}
pub struct PrivateFleet;
impl PrivateFleet {
    pub async fn start(_o: &Images) -> Result<Self, Failure> { Ok(PrivateFleet) }
    pub fn client(&self) -> Result<Client, Failure> { Err(Failure::usage("x")) }
    pub async fn remove(self) {}
}
pub async fn preflight(_o: &Occasion, _w: &[String], _i: &Json, _v: &Json, _m: &Images) -> Result<(), Failure> { Ok(()) }
