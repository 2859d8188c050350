//! Tests of places and renderings.
