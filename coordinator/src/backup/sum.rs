//! The hash over a backup's entries.

use sha2::{Digest as _, Sha256};

/// Takes in entries; equal for those who write and those who read.
#[derive(Default)]
pub(super) struct Sum(Sha256);

impl Sum {
    pub(super) fn begin(&mut self, name: &str, size_bytes: u64) {
        self.0.update(name.as_bytes());
        self.0.update([0]);
        self.0.update(size_bytes.to_be_bytes());
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn finish(&self) -> String {
        hex::encode(self.0.clone().finalize())
    }
}
