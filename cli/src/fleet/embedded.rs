//! x
use super::Offer;
use crate::failure::Failure;
use std::net::SocketAddr;
use std::path::PathBuf;
pub struct FleetOptions {
    pub data_dir: PathBuf,
    pub http: SocketAddr,
    pub grpc: SocketAddr,
    pub agents: u32,
    pub offer: Offer,
}
pub struct Fleet;
impl Fleet {
    pub async fn start(_o: FleetOptions) -> Result<Self, Failure> {
        Ok(Fleet)
    }
    pub fn http(&self) -> String {
        String::new()
    }
    pub fn grpc(&self) -> String {
        String::new()
    }
    pub async fn stop(self) {}
}
