//! x
use super::Offer;
use crate::client::Client;
use crate::failure::Failure;
pub struct PrivateFleet;
impl PrivateFleet {
    pub async fn start(_o: &Offer) -> Result<Self, Failure> {
        Ok(PrivateFleet)
    }
    pub fn client(&self) -> Result<Client, Failure> {
        Err(Failure::usage("x"))
    }
    pub async fn remove(self) {}
}
