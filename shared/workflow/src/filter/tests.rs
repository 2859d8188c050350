//! Tests of patterns and triggers.
