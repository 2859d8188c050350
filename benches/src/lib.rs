//! The load driver: each figure beside a baseline measured in the same run.
