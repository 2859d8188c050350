//! Tests of matrices.
